//! From a verified wrapper to a task: may it run, and what exactly is to be done.
//!
//! [`check`] judges a wrapper that has just come in; [`plan`] finds what it names on this node. A task taken up from the
//! store is only planned again: it was judged when it was accepted. This is where the wire form ends; behind it there are
//! only [`TaskSpec`]s.

use std::collections::BTreeMap;

use fades_api::codes::{self, Code};
use fades_api::task::{Operation, Wrapper};
use fades_pack::Version;
use fades_wire::address::Endpoint;
use fades_wire::control::{self, SourceKind, TagSelection};

use crate::ids::{Role, TaskId};
use crate::periods::Schedule;
use crate::policy::Policy;
use crate::task::{ImageRef, OperationSpec, TaskSpec};
use crate::terms::{Shape, Terms};

/// Difference between a service's clock and ours that is put up with, µs.
pub const SKEW_US: i64 = 30_000_000;

/// A wrapper that is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Reason of the catalogue; decides the HTTP status.
    pub code: Code,
    /// What is wrong, naming the value.
    pub message: String,
}

impl Refusal {
    /// A refusal in these words.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A source, as the broker will reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// How to speak to it, credentials included.
    pub kind: SourceKind,
    /// The gateway port behind which it stands.
    pub endpoint: Endpoint,
    /// Its longest silence, ms.
    pub timeout_ms: u32,
}

/// An image in the node's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its manifest's name.
    pub name: String,
    /// Its manifest's version.
    pub version: Version,
    /// Its manifest's role.
    pub role: Role,
    /// Its manifest's least memory, MiB.
    pub minimum_memory_mib: u32,
    /// Whether the function in it takes a task's operations side by side.
    pub together: bool,
    /// What it says that its results are.
    pub result: Option<Shape>,
}

/// What a node knows of itself when a wrapper comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's id, the audience of its wrappers.
    pub id: String,
    /// Renewed whenever the replay state was lost.
    pub epoch: [u8; 16],
    /// Registered sources by name.
    pub sources: BTreeMap<String, SourceFacts>,
    /// Images by digest.
    pub images: BTreeMap<[u8; 32], ImageFacts>,
    /// Memory of the largest function that fits beside the broker, MiB.
    pub function_memory_mib: u32,
    /// Most tasks that may wait.
    pub waiting_limit: u32,
}

/// How things stand when a wrapper comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Tasks of this issuer that have not ended.
    pub active: u32,
    /// Tasks of everybody that wait.
    pub waiting: u32,
}

/// When a wrapper came, for its timings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// µs since 1970 UTC.
    pub unix_us: u64,
    /// By this run's monotonic clock, µs; `None` for a task from the store.
    pub mono_us: Option<u64>,
    /// How long checking it took, µs.
    pub verify_us: u64,
}

/// Judges and plans a wrapper whose signature holds and was made by `signer`.
///
/// # Errors
/// The first thing that speaks against it.
pub fn admit(
    wrapper: &Wrapper,
    signer: &str,
    policy: &Policy,
    node: &NodeFacts,
    standing: Standing,
    received: Received,
) -> Result<TaskSpec, Refusal> {
    check(wrapper, signer, policy, node, standing, received.unix_us)?;
    plan(wrapper, Allowed::by(policy), node, received)
}

/// Whether a wrapper may run here and now: audience, epoch, times, policy, room.
///
/// # Errors
/// The first thing that speaks against it.
pub fn check(
    wrapper: &Wrapper,
    signer: &str,
    policy: &Policy,
    node: &NodeFacts,
    standing: Standing,
    now_unix_us: u64,
) -> Result<(), Refusal> {
    let credentials = &wrapper.credentials;
    if credentials.issuer.as_str() != signer {
        let why = format!("the wrapper names issuer {}, the key is {signer}'s", credentials.issuer);
        return Err(Refusal::new(codes::ISSUER_MISMATCH, why));
    }
    if credentials.audience.as_str() != node.id {
        let why = format!("the wrapper is for {}, this node is {}", credentials.audience, node.id);
        return Err(Refusal::new(codes::AUDIENCE_WRONG, why));
    }
    if credentials.node_epoch.0 != node.epoch {
        let why = format!("the wrapper names epoch {}, this node is in another", credentials.node_epoch);
        return Err(Refusal::new(codes::EPOCH_WRONG, why));
    }
    check_times(wrapper, now_unix_us)?;
    policy.permits(wrapper)?;
    check_floor(wrapper, policy, node)?;
    if standing.active >= policy.tasks {
        let why =
            format!("issuer {signer} has {} tasks under way, {} are allowed", standing.active, policy.tasks);
        return Err(Refusal::new(codes::TOO_MANY_TASKS, why));
    }
    if standing.waiting >= node.waiting_limit {
        let why = format!("{} tasks wait, this node holds {}", standing.waiting, node.waiting_limit);
        return Err(Refusal::new(codes::QUEUE_FULL, why));
    }
    Ok(())
}

/// Whether the image is as new as the policy wants it. One that the node does not have is left to [`plan`]. Tells no version of an
/// image that the policy does not name.
///
/// # Errors
/// It is older.
pub fn check_floor(wrapper: &Wrapper, policy: &Policy, node: &NodeFacts) -> Result<(), Refusal> {
    let image = &wrapper.dmf.image;
    let facts = node.images.get(&image.digest).filter(|facts| facts.name == image.name.as_str());
    match (facts, policy.floor(image.name.as_str())) {
        (Some(facts), Some(floor)) if facts.version < floor => {
            let why = format!("image {image} has version {}, {floor} is the least allowed", facts.version);
            Err(Refusal::new(codes::IMAGE_BELOW_FLOOR, why))
        }
        _ => Ok(()),
    }
}

/// Expired is expired: the skew is only granted to a clock that runs ahead of ours.
fn check_times(wrapper: &Wrapper, now_unix_us: u64) -> Result<(), Refusal> {
    let credentials = &wrapper.credentials;
    let now = i64::try_from(now_unix_us).unwrap_or(i64::MAX);
    if credentials.issued_at.as_microsecond().saturating_sub(now) > SKEW_US {
        let why = format!(
            "issued at {}, which is more than 30 s ahead of this node's clock",
            credentials.issued_at
        );
        return Err(Refusal::new(codes::ISSUED_IN_FUTURE, why));
    }
    if credentials.expires_at.as_microsecond() <= now {
        return Err(Refusal::new(codes::EXPIRED, format!("expired at {}", credentials.expires_at)));
    }
    Ok(())
}

/// What a task may leave behind; decided when it is accepted, and kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// What a result must keep to.
    pub result: Terms,
    /// Most bytes of a state that is kept between periods.
    pub state_bytes: u64,
}

impl Allowed {
    /// By a policy.
    #[must_use]
    pub const fn by(policy: &Policy) -> Self {
        Self { result: policy.result, state_bytes: policy.state_bytes }
    }
}

/// Finds what a wrapper names on this node. Says nothing about whether it may.
///
/// # Errors
/// What the node does not have, or cannot ever hold.
pub fn plan(
    wrapper: &Wrapper,
    allowed: Allowed,
    node: &NodeFacts,
    received: Received,
) -> Result<TaskSpec, Refusal> {
    let (image, facts) = plan_image(wrapper, node)?;
    let operations = wrapper.drb.operations.iter().enumerate();
    let operations = operations.map(|(at, operation)| plan_operation(at, operation, &node.sources));
    let credentials = &wrapper.credentials;
    Ok(TaskSpec {
        id: TaskId(credentials.task_id.to_bytes()),
        issuer: credentials.issuer.as_str().to_owned(),
        priority: credentials.priority,
        expires_unix_us: u64::try_from(credentials.expires_at.as_microsecond()).unwrap_or(0),
        received_unix_us: received.unix_us,
        received_mono_us: received.mono_us,
        verify_us: received.verify_us,
        image,
        together: facts.together,
        memory_mib: wrapper.dmf.resources.memory_mib,
        timeout_ms: wrapper.dmf.resources.timeout_ms.into(),
        parameters: wrapper.dmf.parameters_json(),
        terms: allowed.result,
        shape: facts.result.clone(),
        operations: operations.collect::<Result<_, _>>()?,
        schedule: Schedule::of(wrapper, allowed.state_bytes)?,
    })
}

/// The image, and what is known of it.
fn plan_image<'a>(wrapper: &Wrapper, node: &'a NodeFacts) -> Result<(ImageRef, &'a ImageFacts), Refusal> {
    let wanted = &wrapper.dmf.image;
    // The name must be the manifest's own: policy may allow an image by name, so a name must not stand for another image.
    let Some(facts) = node.images.get(&wanted.digest).filter(|facts| facts.name == wanted.name.as_str())
    else {
        return Err(Refusal::new(codes::IMAGE_UNKNOWN, format!("no image {wanted} on this node")));
    };
    if facts.role != Role::Function {
        let why = format!("image {wanted} has role {}, a task needs {}", facts.role, Role::Function);
        return Err(Refusal::new(codes::IMAGE_ROLE_WRONG, why));
    }
    let memory = wrapper.dmf.resources.memory_mib;
    if memory < facts.minimum_memory_mib {
        let why =
            format!("image {} needs {} MiB, the task gives {memory}", facts.name, facts.minimum_memory_mib);
        return Err(Refusal::new(codes::MEMORY_BELOW_IMAGE, why));
    }
    if memory > node.function_memory_mib {
        let why =
            format!("the task needs {memory} MiB, this node has {} for a function", node.function_memory_mib);
        return Err(Refusal::new(codes::TASK_ABOVE_NODE, why));
    }
    Ok((ImageRef { name: facts.name.clone(), digest: wanted.digest }, facts))
}

/// Finds the source of the operation that stands at `at`.
///
/// # Errors
/// It is not registered.
pub fn plan_operation(
    at: usize,
    operation: &Operation,
    sources: &BTreeMap<String, SourceFacts>,
) -> Result<OperationSpec, Refusal> {
    let source = operation.source.as_str();
    let Some(facts) = sources.get(source) else {
        let why = format!("operation {}: source {source} is not registered", operation.id);
        return Err(Refusal::new(codes::SOURCE_UNKNOWN, why));
    };
    let index = u16::try_from(at).map_err(|error| {
        Refusal::new(codes::TOO_MANY_OPERATIONS, format!("operation {}: {error}", operation.id))
    })?;
    let (from_ns, to_ns) = operation.range_ns();
    let tags = operation.tags.iter().map(|(tag, values)| TagSelection {
        tag: tag.as_str().into(),
        values: values.iter().map(|value| value.as_str().into()).collect(),
    });
    Ok(OperationSpec {
        id: operation.id.as_str().to_owned(),
        source: source.to_owned(),
        order: control::Operation {
            index,
            source: facts.kind.clone(),
            endpoint: facts.endpoint,
            measurement: operation.measurement.as_str().to_owned(),
            field: operation.field.as_str().to_owned(),
            tags: tags.collect(),
            from_ns,
            to_ns,
            group_by: operation.group_by.iter().map(|tag| tag.as_str().into()).collect(),
            timeout_ms: facts.timeout_ms,
        },
    })
}

#[cfg(test)]
mod tests;
