//! `faulty`: misbehaves in every way it is told to, so that tests see what becomes of the task, the guest and its
//! neighbours. Never shipped.

#![forbid(unsafe_code)]

#[cfg_attr(not(target_os = "hermit"), path = "no_domain.rs")]
mod domain;
mod reach;
#[cfg_attr(not(target_os = "hermit"), path = "no_region.rs")]
mod region;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dmf_kit::prelude::*;
use reach::Reached;

/// The code of [`Mode::Exit`]: none that means something.
const EXIT: i32 = 77;

/// What it is to do wrong, and when: `after` points into the stream, or with the batch of this number.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    mode: Mode,
    #[serde(default)]
    after: u64,
    /// From 1 on; 0: `after` says when.
    #[serde(default)]
    batch: u64,
    /// Result bytes for [`Mode::Large`], bytes of the state for [`Mode::Remember`], bytes of a piece for [`Mode::Memory`]: a MiB
    /// if it is 0.
    #[serde(default)]
    bytes: usize,
    /// Milliseconds per batch for [`Mode::Slow`], in all for [`Mode::Reach`], [`Mode::Flood`], [`Mode::Storm`],
    /// [`Mode::Scribble`] and [`Mode::Ring`].
    #[serde(default)]
    millis: u64,
    /// Whom to connect to, for [`Mode::Reach`].
    #[serde(default)]
    addresses: Vec<SocketAddrV4>,
    /// The broker's domain, for what is done to it on Xen.
    #[serde(default)]
    broker: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Behaves: gives the number of points.
    Nothing,
    /// Panics with words of its own.
    Panic,
    /// Ends with a code of its own, without a word.
    Exit,
    /// Takes all memory.
    Memory,
    /// Never comes back.
    Loop,
    /// Gives a result of `bytes` bytes.
    Large,
    /// Refuses in words.
    Refuse,
    /// Takes `millis` per batch.
    Slow,
    /// Behaves, and keeps a state of `bytes` bytes between periods; tells how many it has seen as `events`.
    Remember,
    /// Tries to connect to all `addresses`, and listens itself.
    Reach,
    /// On Xen: offers `broker` something that is no offer, and waits.
    Nonsense,
    /// On Xen: offers it as many pages as a channel may have.
    Huge,
    /// On Xen: makes a proper offer and does not go on.
    Silent,
    /// On Xen: writes for `millis` what it watches, then behaves.
    Flood,
    /// On Xen: sends it events for `millis`, once, and then behaves.
    Storm,
    /// Writes anything anywhere in its region for `millis`, once, and then behaves.
    Scribble,
    /// Behaves, and tells who it is: randomness that it was not asked for before, and its clock.
    Identity,
    /// Rings its broker's bell and the orchestrator's for `millis`, once, and then behaves.
    Ring,
}

/// The state.
struct Faulty {
    parameters: Parameters,
    points: u64,
    batches: u64,
    hoard: Vec<Vec<u8>>,
    reached: Option<Reached>,
    events: u64,
}

/// The result.
#[derive(Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    points: u64,
    batches: u64,
    padding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<Reached>,
    /// Events that were sent, for [`Mode::Storm`] and [`Mode::Ring`]; periods that were seen, for [`Mode::Remember`].
    events: u64,
    /// For [`Mode::Identity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
}

#[derive(Serialize, JsonSchema)]
struct Identity {
    random: u64,
    unix_ms: u64,
}

impl Identity {
    fn told() -> Result<Self, Error> {
        // A thread's first hasher takes its keys from the system.
        let random = std::thread::spawn(|| RandomState::new().build_hasher().finish()).join();
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            random: random.map_err(|_| Error::new("a thread panicked"))?,
            unix_ms: clock.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0)),
        })
    }
}

impl Function for Faulty {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        domain::before(parameters.mode, parameters.broker, parameters.millis)?;
        Ok(Self { parameters, points: 0, batches: 0, hoard: Vec::new(), reached: None, events: 0 })
    }

    fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.points += batch.len() as u64;
        self.batches += 1;
        if self.points <= self.parameters.after || self.batches < self.parameters.batch {
            return Ok(());
        }
        match self.parameters.mode {
            Mode::Nothing
            | Mode::Identity
            | Mode::Remember
            | Mode::Large
            | Mode::Flood
            | Mode::Nonsense
            | Mode::Huge
            | Mode::Silent => {}
            Mode::Storm | Mode::Scribble | Mode::Ring if self.events > 0 => {}
            Mode::Storm => self.events = domain::storm(self.parameters.millis)?,
            Mode::Scribble => {
                self.events = 1;
                region::scribble(self.parameters.millis)?;
            }
            Mode::Ring => self.events = region::storm(self.parameters.millis)?,
            Mode::Panic => panic!("told to panic after {} points", self.points),
            Mode::Exit => std::process::exit(EXIT),
            Mode::Memory => {
                let piece = if self.parameters.bytes == 0 { 1 << 20 } else { self.parameters.bytes };
                loop {
                    self.hoard.push(vec![1; piece]);
                }
            }
            Mode::Loop => loop {
                std::hint::spin_loop();
            },
            Mode::Refuse => return Err(Error::new(format!("told to refuse after {} points", self.points))),
            // Once, in the middle of the stream: what it may have must go on coming meanwhile.
            Mode::Reach if self.reached.is_some() => {}
            Mode::Reach => {
                let Parameters { addresses, millis, .. } = &self.parameters;
                self.reached = Some(reach::try_all(addresses, Duration::from_millis(*millis)));
            }
            Mode::Slow => {
                let until = Instant::now() + Duration::from_millis(self.parameters.millis);
                while Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let padding = if self.parameters.mode == Mode::Large {
            "x".repeat(self.parameters.bytes)
        } else {
            String::new()
        };
        Ok(Report {
            schema: "fades.faulty.v1",
            points: self.points,
            batches: self.batches,
            padding,
            reached: self.reached,
            events: self.events,
            identity: (self.parameters.mode == Mode::Identity).then(Identity::told).transpose()?,
        })
    }
}

/// What [`Mode::Remember`] keeps.
#[derive(Serialize, Deserialize)]
struct Remembered {
    periods: u64,
    /// As many as there were periods, modulo 251, over and over: what comes back wrong is seen.
    padding: Vec<u8>,
}

impl Recurring for Faulty {
    type State = Remembered;
    const STATE_VERSION: u32 = 1;

    fn resume(parameters: Parameters, state: Option<Remembered>) -> Result<Self, Error> {
        let mut function = Self::start(parameters)?;
        let Some(Remembered { periods, padding }) = state else { return Ok(function) };
        if let Some(at) = padding.iter().position(|byte| u64::from(*byte) != periods % 251) {
            return Err(Error::new(format!("byte {at} of what {periods} periods left is {}", padding[at])));
        }
        function.events = periods;
        Ok(function)
    }

    fn keep(&self) -> Remembered {
        let periods = self.events + 1;
        let byte = u8::try_from(periods % 251).unwrap_or(0);
        let len = if self.parameters.mode == Mode::Remember { self.parameters.bytes } else { 0 };
        Remembered { periods, padding: vec![byte; len] }
    }
}

dmf_kit::main!(recurring Faulty);
