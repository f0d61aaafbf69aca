//! What a guest's last words mean: lines of its console, and addresses in its image.

use std::fmt;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// Before the JSON object of a panic, of the way to it, and of neither.
const PANIC: &str = "FADES-PANIC ";
const TRACE: &str = "FADES-TRACE ";
/// Functions of the standard library that lead from a fault to the hook that tells of it.
const MACHINERY: [&str; 3] = ["rust_begin_unwind", "core::panicking::", "std::panicking::"];

/// A panic, as the guest told it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Panic {
    pub(super) message: String,
    #[serde(default)]
    pub(super) file: String,
    #[serde(default)]
    pub(super) line: u32,
}

/// The last chunk that the function was given, as it told it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) operation: String,
    pub(super) series: String,
    pub(super) chunk: u64,
    pub(super) points: u64,
    pub(super) first: String,
    pub(super) last: String,
}

/// What a console says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) panic: Option<Panic>,
    /// Return addresses.
    pub(super) frames: Vec<u64>,
    pub(super) chunk: Option<Chunk>,
}

#[derive(Deserialize)]
struct Trace {
    frames: Vec<String>,
    chunk: Option<Chunk>,
}

/// Reads a console. The guest is not trusted; what is malformed is not there.
pub(super) fn read(console: &str) -> Said {
    let behind = |mark: &str| console.lines().find_map(|line| Some(line.split_once(mark)?.1.trim()));
    let panic = behind(PANIC).and_then(|json| serde_json::from_str(json).ok());
    let trace = behind(TRACE).and_then(|json| serde_json::from_str::<Trace>(json).ok());
    let (frames, chunk) = trace.map(|trace| (trace.frames, trace.chunk)).unwrap_or_default();
    let frames = frames.iter().filter_map(|frame| u64::from_str_radix(frame, 16).ok()).collect();
    Said { panic, frames, chunk }
}

/// One function on the way, or an address of which no more is known.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// From the image's first byte, hexadecimal.
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "{function}")?,
            None => write!(f, "0x{}", self.address)?,
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "  at {file}:{line}"),
            (Some(file), None) => write!(f, "  at {file}"),
            _ => Ok(()),
        }
    }
}

/// A debug file.
pub(super) struct Symbols {
    pub(super) file: PathBuf,
    pub(super) build_id: Option<String>,
    loader: Loader,
}

impl Symbols {
    pub(super) fn of(file: &Path) -> Result<Self> {
        let build_id = fades_pack::build_id(&super::read_elf(file)?);
        let loader = Loader::new(file).map_err(|error| {
            Failure::usage(format!("{} cannot be read as a debug file: {error}", file.display()))
        })?;
        Ok(Self { file: file.to_owned(), build_id, loader })
    }

    /// The functions at a return address: those that were inlined first.
    fn frames(&self, back: u64) -> Vec<Frame> {
        let address = format!("{back:x}");
        // The call is before the address that it returns to.
        let call = back.saturating_sub(1);
        let mut found = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(call) {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame.function.as_ref();
                let name = function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
                let place = frame.location.as_ref();
                found.push(Frame {
                    address: address.clone(),
                    function: name.or_else(|| self.symbol(call)),
                    file: place.and_then(|place| place.file).map(shown),
                    line: place.and_then(|place| place.line),
                });
            }
        }
        if found.is_empty() {
            found.push(Frame { address, function: self.symbol(call), file: None, line: None });
        }
        found
    }

    /// The kernel has names and no lines.
    fn symbol(&self, at: u64) -> Option<String> {
        let name = self.loader.find_symbol(at)?;
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }
}

/// The way of these return addresses, without the machinery of the panic itself.
pub(super) fn resolved(frames: &[u64], symbols: Option<&Symbols>) -> Vec<Frame> {
    let bare = |back: &u64| Frame { address: format!("{back:x}"), function: None, file: None, line: None };
    let Some(symbols) = symbols else { return frames.iter().map(bare).collect() };
    let mut all: Vec<Frame> = frames.iter().flat_map(|&back| symbols.frames(back)).collect();
    let is_machinery = |frame: &Frame| {
        frame.function.as_deref().is_some_and(|name| MACHINERY.iter().any(|part| name.contains(part)))
    };
    let first = all.iter().rposition(is_machinery).map_or(0, |last| last + 1);
    all.drain(..first);
    all
}

/// A source file as its author knows it: what the build calls `function/…` is the crate's own folder.
pub(super) fn shown(file: &str) -> String {
    let own = file.strip_prefix("function/").or_else(|| file.split_once("/function/").map(|(_, own)| own));
    let kit = || Some(file.split_once("/kit/")?.1);
    let rust = || file.rfind("/rust/").map(|at| &file[at + 1..]);
    own.or_else(kit).or_else(rust).unwrap_or(file).trim_start_matches("fades/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_read() {
        let console = "noise\nFADES-PANIC {\"message\":\"no\",\"file\":\"function/src/main.rs\",\"line\":3}\r\n\nFADES-TRACE {\"frames\":\
            [\"1f\",\"what\",\"20\"],\"chunk\":{\"operation\":\"a\",\"series\":\"air no2\",\"chunk\":1,\"points\":2,\
            \"first\":\"f\",\"last\":\"l\"}}\n";
        let said = read(console);
        assert_eq!(said.panic.unwrap().line, 3);
        assert_eq!(said.frames, [0x1f, 0x20]);
        assert_eq!(said.chunk.unwrap().points, 2);
        let said = read("FADES-PANIC page fault\nFADES-TRACE {\"frames\":[],\"chunk\":null}");
        assert!(said.panic.is_none() && said.frames.is_empty() && said.chunk.is_none());
    }

    #[test]
    fn files_are_named_as_their_author_knows_them() {
        for (file, name) in [
            ("function/src/main.rs", "src/main.rs"),
            ("fades/target/stage/peaks/function/src/main.rs", "src/main.rs"),
            ("fades/target/stage/peaks/kit/dmf-kit/dmf/src/run.rs", "dmf-kit/dmf/src/run.rs"),
            ("fades/dmf-kit/functions/stats/src/main.rs", "dmf-kit/functions/stats/src/main.rs"),
            ("/usr/lib/library/std/rust/std/src/panicking.rs", "rust/std/src/panicking.rs"),
        ] {
            assert_eq!(shown(file), name);
        }
    }
}
