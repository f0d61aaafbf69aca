//! What an issuer may ask for. The default is nothing.

use std::collections::{BTreeMap, BTreeSet};

use fades_api::codes;
use fades_api::task::{Lifetime, Wrapper};
use fades_pack::Version;

use crate::admit::Refusal;
use crate::limits::Bucket;
use crate::periods::Schedule;
use crate::terms::Terms;

/// What one issuer may ask for. [`Policy::default`] allows nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Sources by name, and what may be read there.
    pub sources: BTreeMap<String, Readable>,
    /// Images.
    pub images: Vec<ImageRule>,
    /// Most memory of a function, MiB.
    pub memory_mib: u32,
    /// Longest timeout of a task, ms.
    pub timeout_ms: u32,
    /// Highest priority.
    pub priority: u8,
    /// What results must keep to.
    pub result: Terms,
    /// Longest life of a wrapper, s.
    pub life_s: u64,
    /// Most operations of a task.
    pub operations: u32,
    /// Longest range of times of an operation, s; `None` without bound.
    pub range_s: Option<u64>,
    /// Most tasks waiting and under way at once.
    pub tasks: u32,
    /// Tasks per minute.
    pub per_minute: u32,
    /// Tasks that may come at once on top of the rate.
    pub burst: u32,
    /// Most periods of a persistent task; 0 allows none such.
    pub periods: u32,
    /// Most bytes of a state that is kept between periods.
    pub state_bytes: u64,
}

/// What may be read at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// Everything.
    All,
    /// These measurements, with all of their fields or these.
    Only(BTreeMap<String, Fields>),
}

/// What may be read of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// Every field.
    All,
    /// These.
    Only(BTreeSet<String>),
}

/// An image that may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRule {
    /// Its name, as its manifest says.
    pub name: String,
    /// One build of it; `None`: every build that the node's operator has added.
    pub digest: Option<[u8; 32]>,
    /// The least version. It holds for every rule of this name, one for a single build included: what a known fault is in
    /// does not come back by another rule.
    pub floor: Option<Version>,
}

impl ImageRule {
    /// Whether this rule names the image, whatever its version.
    fn names(&self, name: &str, digest: &[u8; 32]) -> bool {
        self.name == name && self.digest.is_none_or(|one| one == *digest)
    }
}

impl Policy {
    /// Whether the wrapper stays within this policy. Straight early returns, cheapest first; says nothing of what exists
    /// on the node.
    ///
    /// # Errors
    /// The first thing that is not allowed.
    pub fn permits(&self, wrapper: &Wrapper) -> Result<(), Refusal> {
        let credentials = &wrapper.credentials;
        if *self == Self::default() {
            return Err(Refusal::new(
                codes::NO_POLICY,
                format!("issuer {} may do nothing here", credentials.issuer),
            ));
        }
        let life_s = credentials.expires_at.as_second().saturating_sub(credentials.issued_at.as_second());
        self.within(codes::WRAPPER_LIFE_ABOVE_POLICY, "a life in seconds", life_s, self.life_s)?;
        self.within(
            codes::PRIORITY_ABOVE_POLICY,
            "priority",
            credentials.priority.into(),
            self.priority.into(),
        )?;
        let resources = &wrapper.dmf.resources;
        let memory = i64::from(resources.memory_mib);
        self.within(codes::MEMORY_ABOVE_POLICY, "memory in MiB", memory, self.memory_mib.into())?;
        let timeout = i64::from(resources.timeout_ms);
        self.within(codes::TIMEOUT_ABOVE_POLICY, "a timeout in ms", timeout, self.timeout_ms.into())?;
        let image = &wrapper.dmf.image;
        if !self.images.iter().any(|rule| rule.names(image.name.as_str(), &image.digest)) {
            return Err(Refusal::new(codes::IMAGE_NOT_ALLOWED, format!("image {image} is not allowed")));
        }
        let operations = i64::try_from(wrapper.drb.operations.len()).unwrap_or(i64::MAX);
        self.within(
            codes::TOO_MANY_OPERATIONS,
            "a number of operations",
            operations,
            self.operations.into(),
        )?;
        wrapper.drb.operations.iter().try_for_each(|operation| self.permits_operation(operation))?;
        if self.periods == 0 && wrapper.dmf.lifetime != Lifetime::Ephemeral {
            let why = format!("issuer {} may have no persistent tasks", credentials.issuer);
            return Err(Refusal::new(codes::PERSISTENT_NOT_ALLOWED, why));
        }
        if let Some(schedule) = Schedule::of(wrapper, self.state_bytes)? {
            let periods = i64::try_from(schedule.count()).unwrap_or(i64::MAX);
            self.within(codes::PERIODS_ABOVE_POLICY, "a number of periods", periods, self.periods.into())?;
        }
        match wrapper.result.as_ref().and_then(|result| result.sinks.first()) {
            // This version knows no sinks, so none can be registered.
            Some(sink) => Err(Refusal::new(codes::SINK_NOT_ALLOWED, format!("sink {sink} is not allowed"))),
            None => Ok(()),
        }
    }

    /// The least version of images of this name that may be run; the highest of those that are named.
    #[must_use]
    pub fn floor(&self, name: &str) -> Option<Version> {
        self.images.iter().filter(|rule| rule.name == name).filter_map(|rule| rule.floor).max()
    }

    /// Whether an image that the node has may be run: named, and not below its floor.
    #[must_use]
    pub fn allows_image(&self, name: &str, digest: &[u8; 32], version: Version) -> bool {
        self.images.iter().any(|rule| rule.names(name, digest))
            && self.floor(name).is_none_or(|floor| version >= floor)
    }

    /// Whether one build of this name is named by its digest.
    #[must_use]
    pub fn pins_image(&self, name: &str, digest: &[u8; 32]) -> bool {
        self.images.iter().any(|rule| rule.digest.is_some() && rule.names(name, digest))
    }

    fn permits_operation(&self, operation: &fades_api::task::Operation) -> Result<(), Refusal> {
        let (id, source) = (&operation.id, operation.source.as_str());
        let Some(readable) = self.sources.get(source) else {
            let why = format!("operation {id}: source {source} is not allowed");
            return Err(Refusal::new(codes::SOURCE_NOT_ALLOWED, why));
        };
        let (measurement, field) = (operation.measurement.as_str(), operation.field.as_str());
        if let Readable::Only(measurements) = readable {
            let Some(fields) = measurements.get(measurement) else {
                let why = format!("operation {id}: measurement {measurement:?} is not allowed");
                return Err(Refusal::new(codes::MEASUREMENT_NOT_ALLOWED, why));
            };
            if let Fields::Only(fields) = fields
                && !fields.contains(field)
            {
                let why = format!("operation {id}: field {field:?} of {measurement:?} is not allowed");
                return Err(Refusal::new(codes::FIELD_NOT_ALLOWED, why));
            }
        }
        let (from_ns, to_ns) = operation.range_ns();
        let range_s = to_ns.saturating_sub(from_ns) / 1_000_000_000;
        let most = self.range_s.unwrap_or(u64::MAX);
        self.within(codes::TIME_RANGE_ABOVE_POLICY, "a range of times in seconds", range_s, most)
    }

    fn within(&self, code: codes::Code, what: &str, asked: i64, most: u64) -> Result<(), Refusal> {
        // What is negative here was refused by the schema; a cast would make it huge and refuse it too.
        if u64::try_from(asked).is_ok_and(|asked| asked <= most) {
            return Ok(());
        }
        Err(Refusal::new(code, format!("{what} of {asked} is above the {most} that are allowed")))
    }
}

/// How fast each issuer submits. Kept in memory: after a restart every issuer starts with its full burst.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: BTreeMap<String, (Bucket, u32, u32)>,
}

impl Rates {
    /// Counts one task of an issuer against its rate.
    ///
    /// # Errors
    /// When it has submitted as many as it may for now.
    pub fn take(&mut self, issuer: &str, policy: &Policy, mono_us: u64) -> Result<(), Refusal> {
        let (per_minute, burst) = (policy.per_minute, policy.burst.max(1));
        let fresh = || (Bucket::new(per_minute, burst, mono_us), per_minute, burst);
        let entry = self.buckets.entry(issuer.to_owned()).or_insert_with(fresh);
        if (entry.1, entry.2) != (per_minute, burst) {
            *entry = fresh();
        }
        if entry.0.take(mono_us) {
            return Ok(());
        }
        let why = format!("issuer {issuer} may submit {per_minute} tasks per minute");
        Err(Refusal::new(codes::RATE_ABOVE_POLICY, why))
    }
}
