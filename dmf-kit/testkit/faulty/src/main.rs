//! `faulty`: misbehaves in every way it is told to, so that tests see what becomes of the task, the guest and its
//! neighbours. Never shipped.

use std::time::{Duration, Instant};

use dmf_kit::prelude::*;

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
    /// Milliseconds per batch for [`Mode::Slow`].
    #[serde(default)]
    millis: u64,
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
}

/// The state.
struct Faulty {
    parameters: Parameters,
    points: u64,
    hoard: Vec<Vec<u8>>,
}

/// The result.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    points: u64,
    padding: String,
}

impl Function for Faulty {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        Ok(Self { parameters, points: 0, hoard: Vec::new() })
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
        Ok(Report { schema: "fades.faulty.v1", points: self.points, padding })
    }
}

dmf_kit::main!(Faulty);
