//! Memory of processes, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};
use fades_bench::Measured;

/// Bytes of one process, in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Memory {
    /// Resident, shared pages counted in full.
    rss: f64,
    /// Resident, shared pages divided among those who share them.
    pss: f64,
    /// Resident, written, and nobody else's: what another such process would cost.
    private_dirty: f64,
}

impl Memory {
    /// Of the process with this id.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        Self::parse(&text).with_context(|| format!("{file} has not the lines it should have"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mib = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
        };
        Some(Self { rss: mib("Rss")?, pss: mib("Pss")?, private_dirty: mib("Private_Dirty")? })
    }

    /// As figures, under three names.
    pub(super) fn figures(self, names: [&'static str; 3]) -> impl Iterator<Item = Measured> {
        let values = [self.rss, self.pss, self.private_dirty];
        names.into_iter().zip(values).map(|(name, value)| Measured::new(name, value))
    }
}

/// Process ids of the guests of the daemon with this process id.
pub(super) fn guests(daemon: u32) -> Result<Vec<u32>> {
    let parent = format!("PPid:\t{daemon}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may have ended meanwhile.
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if status.lines().any(|line| line == parent) && program.starts_with("qemu-system") {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "55f0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  2048 kB\nPss: 1024 kB\nPss_Dirty: 9 kB\nPrivate_Dirty:  512 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { rss: 2.0, pss: 1.0, private_dirty: 0.5 }));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss >= memory.private_dirty && memory.private_dirty > 0.0);
    }
}
