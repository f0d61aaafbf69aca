//! What happened, line by line: the last lines for people, a hash of all of them for the promise that a seed tells the same story again.

use std::collections::VecDeque;
use std::fmt;

/// Lines that a failure shows.
const SHOWN: usize = 60;

#[derive(Debug)]
pub(crate) struct Trace {
    last: VecDeque<String>,
    hash: u64,
    pub(crate) lines: u64,
    /// `FADES_TRACE`: every line as it comes.
    loud: bool,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let loud = std::env::var_os("FADES_TRACE").is_some();
        Self { last: VecDeque::new(), hash: 0xcbf2_9ce4_8422_2325, lines: 0, loud }
    }

    pub(crate) fn note(&mut self, at_us: u64, what: fmt::Arguments<'_>) {
        let line = format!("{:>6}.{:06} {what}", at_us / 1_000_000, at_us % 1_000_000);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.loud {
            eprintln!("{line}");
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// FNV-1a over every line.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn tail(&self) -> String {
        self.last.iter().map(|line| format!("  {line}\n")).collect()
    }
}
