//! The console of a guest as the host keeps it: a bounded tail, and the one line in which a guest says why it died.
//!
//! A guest may write without end, which its emulated serial port makes slow. All of it is read, so that a long life of few
//! words does not end in a full pipe; what is kept is bounded by [`TAIL_BYTES`] and [`LINE_BYTES`].

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use fades_core::backend::ExitCause;
use fades_wire::exit::{OOM_MARK, PANIC_MARK};
use serde::Deserialize;

/// Bytes of console kept for people: enough for a panic with its surroundings, small enough to keep for every guest.
pub(crate) const TAIL_BYTES: usize = 16 * 1024;
/// Longest line that is looked at for a cause; the rest of a longer line is kept in the tail only.
const LINE_BYTES: usize = 4 * 1024;

/// Mark of the loader (see `images/loader`), which shares no code with guests.
const LOADER: &str = "FADES-LOADER error ";
/// Mark of a kernel that has no other way to tell its exit code: on Xen, in the last line but what Xen itself says.
const EXIT: &str = "FADES-EXIT ";
/// How the kernel's allocator words its end.
const KERNEL_OOM: &str = "memory allocation of ";

/// A bounded view of what a guest wrote, shared between the reading thread and whoever asks.
#[derive(Clone, Default)]
pub struct Console(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    tail: VecDeque<u8>,
    line: Vec<u8>,
    cause: Option<ExitCause>,
    code: Option<i32>,
}

impl Console {
    /// Reads `source` to its end; blocks, so it has a thread of its own.
    pub fn fill_from(&self, mut source: impl Read) {
        let mut block = [0u8; 4096];
        loop {
            match source.read(&mut block) {
                Ok(0) => break,
                Ok(n) => self.push(&block[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tail.extend(bytes);
        let excess = kept.tail.len().saturating_sub(TAIL_BYTES);
        kept.tail.drain(..excess);
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut kept.line);
                let line = String::from_utf8_lossy(&line);
                // The first cause is the true one: what follows a panic is often a second panic.
                if kept.cause.is_none() {
                    kept.cause = cause_in(&line);
                }
                // The last code is the kernel's own, whatever an application wrote before.
                kept.code = code_in(&line).or(kept.code);
            } else if kept.line.len() < LINE_BYTES {
                kept.line.push(byte);
            }
        }
    }

    /// The last 16 KiB as text, control characters but line ends and tabs replaced.
    pub fn tail(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.tail.make_contiguous();
        String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
            .collect()
    }

    /// Adds a line of ours to what the guest wrote.
    pub fn note(&self, words: &str) {
        self.push(format!("\nfades: {words}\n").as_bytes());
    }

    /// The exit code that the guest's kernel told, if it did.
    pub fn code(&self) -> Option<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).code
    }

    /// The cause that the guest itself named, if it did.
    pub fn cause(&self) -> Option<ExitCause> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cause.clone()
    }
}

/// What the guest runtime writes behind its marks (`fades-guest`): one JSON object. The kernel, which has no JSON at hand
/// when it dies, writes plain words.
#[derive(Deserialize)]
struct Report {
    message: String,
    #[serde(default)]
    file: String,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    requested: Option<u64>,
}

/// Reads an exit code out of one console line: nothing else is on it.
fn code_in(line: &str) -> Option<i32> {
    line.strip_prefix(EXIT)?.trim_end().parse().ok()
}

/// Reads a cause out of one console line.
fn cause_in(line: &str) -> Option<ExitCause> {
    if let Some(rest) = after(line, PANIC_MARK) {
        return Some(match serde_json::from_str::<Report>(rest) {
            Ok(report) if report.file.is_empty() => panicked(report.message, String::new()),
            Ok(report) => panicked(report.message, format!("{}:{}", report.file, report.line)),
            Err(_) => plain(rest),
        });
    }
    if let Some(rest) = after(line, OOM_MARK) {
        return Some(match serde_json::from_str::<Report>(rest) {
            Ok(report) => ExitCause::OutOfMemory { requested: report.requested, detail: report.message },
            Err(_) => ExitCause::OutOfMemory { requested: None, detail: rest.to_owned() },
        });
    }
    let rest = after(line, LOADER)?;
    let (code, message) = rest.split_once(": ")?;
    Some(ExitCause::LoaderError {
        code: code.trim_start_matches('E').parse().ok()?,
        message: message.to_owned(),
    })
}

/// A kernel's panic: `message at file:line:column`.
fn plain(text: &str) -> ExitCause {
    let (message, location) = text.rsplit_once(" at ").unwrap_or((text, ""));
    if let Some(rest) = message.strip_prefix(KERNEL_OOM) {
        let requested = rest.split(' ').next().and_then(|bytes| bytes.parse().ok());
        return ExitCause::OutOfMemory { requested, detail: "in the guest's kernel".to_owned() };
    }
    panicked(message.to_owned(), location.to_owned())
}

fn panicked(message: String, location: String) -> ExitCause {
    ExitCause::Panicked { message, location }
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.find(mark).map(|at| line[at + mark.len()..].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_code_on_a_line_of_its_own_is_told() {
        let console = Console::default();
        assert_eq!(console.code(), None);
        console.push(b"FADES-EXIT 7\r\nsaid FADES-EXIT 8\nFADES-EXIT 9 or so\nFADES-EXIT ");
        assert_eq!(console.code(), Some(7));
        console.push(b"14\n");
        assert_eq!(console.code(), Some(14));
        console.note("gone");
        assert!(console.tail().ends_with("\nfades: gone\n"));
    }

    #[test]
    fn causes_are_read_out_of_lines() {
        let panicked = |message: &str, location: &str| panicked(message.to_owned(), location.to_owned());
        let out_of_memory =
            |requested, detail: &str| ExitCause::OutOfMemory { requested, detail: detail.to_owned() };
        let cases = [
            ("FADES-PANIC {\"message\":\"no\",\"file\":\"a.rs\",\"line\":3}", Some(panicked("no", "a.rs:3"))),
            ("FADES-PANIC at once at src/mm.rs:4:9", Some(panicked("at once", "src/mm.rs:4:9"))),
            (
                "FADES-PANIC memory allocation of 64 bytes failed at alloc.rs:1:2",
                Some(out_of_memory(Some(64), "in the guest's kernel")),
            ),
            ("FADES-OOM {\"message\":\"full\",\"requested\":7}", Some(out_of_memory(Some(7), "full"))),
            (
                "[0] FADES-LOADER error E7: too large: 9",
                Some(ExitCause::LoaderError { code: 7, message: "too large: 9".to_owned() }),
            ),
            ("FADES-LOADER error", None),
            ("nothing", None),
        ];
        for (line, cause) in cases {
            assert_eq!(cause_in(line), cause, "{line}");
        }
    }
}
