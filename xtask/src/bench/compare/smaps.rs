//! What a monitor's memory is, mapping by mapping, as the kernel tells it in `/proc/PID/smaps`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Memory of one monitor, MiB. Private: resident and nobody else's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    /// All private memory.
    pub(super) private: f64,
    /// Of that, the guest's own: what it has touched of its memory.
    pub(super) touched: f64,
    /// The rest, by what it is.
    pub(super) parts: BTreeMap<&'static str, f64>,
}

impl Memory {
    /// Of the process with this id, whose guest has so much.
    pub(super) fn of(pid: u32, guest_mib: u32) -> Result<Self> {
        let file = format!("/proc/{pid}/smaps");
        let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        Self::parse(&text, guest_mib)
            .with_context(|| format!("{file} has no mapping of {guest_mib} MiB for the guest's memory"))
    }

    /// Beyond the guest's own.
    pub(super) fn own(&self) -> f64 {
        self.private - self.touched
    }

    fn parse(text: &str, guest_mib: u32) -> Option<Self> {
        let mut memory = Self::default();
        let mut guest = false;
        for mapping in mappings(text) {
            memory.private += mapping.private;
            if !guest && mapping.is_memory_of_a_guest() && mapping.size == f64::from(guest_mib) {
                guest = true;
                memory.touched = mapping.private;
            } else {
                *memory.parts.entry(mapping.what()).or_default() += mapping.private;
            }
        }
        guest.then_some(memory)
    }
}

/// One mapping, MiB.
struct Mapping<'a> {
    rights: &'a str,
    name: &'a str,
    size: f64,
    private: f64,
}

impl Mapping<'_> {
    /// Writable, not code, and of nobody's file or a snapshot's; nothing else of this kind is as large as a guest's memory.
    fn is_memory_of_a_guest(&self) -> bool {
        self.rights == "rw-p" && (self.name.is_empty() || self.name.starts_with("/memfd:fades-saved"))
    }

    fn what(&self) -> &'static str {
        match self.name {
            "" if self.rights.contains('x') => "translated code",
            "" => "anonymous: arenas, stacks of threads, tables",
            "[heap]" => "heap",
            "[stack]" => "stack",
            name if name.starts_with("/memfd:") || name.starts_with("/dev/") => "shared files",
            name if name.contains(".so") => "libraries",
            name if name.starts_with('/') => "program",
            _ => "other",
        }
    }
}

fn mappings(text: &str) -> Vec<Mapping<'_>> {
    let mut found: Vec<Mapping<'_>> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(key) = first.strip_suffix(':') {
            let value = words.next().and_then(|word| word.parse::<f64>().ok()).map(|kib| kib / 1024.0);
            if let (Some(mapping), Some(mib)) = (found.last_mut(), value) {
                match key {
                    "Size" => mapping.size = mib,
                    "Private_Clean" | "Private_Dirty" => mapping.private += mib,
                    _ => {}
                }
            }
        } else if first.contains('-') {
            // ADDRESSES RIGHTS OFFSET DEVICE INODE [NAME]
            let (rights, name) = (words.next().unwrap_or_default(), words.nth(3).unwrap_or_default());
            found.push(Mapping { rights, name, size: 0.0, private: 0.0 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        7f00-7f20 rwxp 00000000 00:00 0 \nSize: 32768 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 4096 kB\nVmFlags: rd wr\n\
        7f30-7f50 rw-p 00000000 00:00 0 \nSize: 32768 kB\nPrivate_Clean: 1024 kB\nPrivate_Dirty: 9216 kB\n\
        5500-5501 rw-p 00000000 00:00 0 [heap]\nSize: 4096 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 2048 kB\n\
        7f60-7f61 r-xp 00000000 08:01 77 /usr/lib/libc.so.6\nSize: 1024 kB\nPrivate_Clean: 512 kB\nPrivate_Dirty: 0 kB\n";

    #[test]
    fn the_guests_memory_is_told_from_the_monitors() {
        let memory = Memory::parse(TEXT, 32).unwrap();
        assert_eq!((memory.private, memory.touched, memory.own()), (16.5, 10.0, 6.5));
        assert_eq!(memory.parts["translated code"], 4.0);
        assert_eq!((memory.parts["heap"], memory.parts["libraries"]), (2.0, 0.5));
        assert_eq!(Memory::parse(TEXT, 64), None, "no guest of this size");
        let restored = TEXT.replace(
            "rw-p 00000000 00:00 0 \nSize: 32768",
            "rw-p 00000000 00:01 9 /memfd:fades-saved (deleted)\nSize: 32768",
        );
        assert_eq!(Memory::parse(&restored, 32), Some(memory), "one that goes on from a snapshot");
    }
}
