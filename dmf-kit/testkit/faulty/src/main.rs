//! `faulty`: misbehaves in every way it is told to, so that tests see what becomes of the task, the guest and its
//! neighbours. Never shipped.

mod reach;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use dmf_kit::prelude::*;
use reach::Reached;

/// What it is to do wrong, and when: `after` points into the stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    mode: Mode,
    #[serde(default)]
    after: u64,
    /// Result bytes for [`Mode::Large`].
    #[serde(default)]
    bytes: usize,
    /// Milliseconds per batch for [`Mode::Slow`], in all for [`Mode::Reach`].
    #[serde(default)]
    millis: u64,
    /// Whom to connect to, for [`Mode::Reach`].
    #[serde(default)]
    addresses: Vec<SocketAddrV4>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Behaves: gives the number of points.
    Nothing,
    /// Panics with words of its own.
    Panic,
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
    /// Tries to connect to all `addresses`, and listens itself.
    Reach,
}

/// The state.
struct Faulty {
    parameters: Parameters,
    points: u64,
    hoard: Vec<Vec<u8>>,
    reached: Option<Reached>,
}

/// The result.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    points: u64,
    padding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<Reached>,
}

impl Function for Faulty {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        Ok(Self { parameters, points: 0, hoard: Vec::new(), reached: None })
    }

    fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.points += batch.len() as u64;
        if self.points <= self.parameters.after {
            return Ok(());
        }
        match self.parameters.mode {
            Mode::Nothing | Mode::Large => {}
            Mode::Panic => panic!("told to panic after {} points", self.points),
            Mode::Memory => loop {
                self.hoard.push(vec![1; 1 << 20]);
            },
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
        Ok(Report { schema: "fades.faulty.v1", points: self.points, padding, reached: self.reached })
    }
}

dmf_kit::main!(Faulty);
