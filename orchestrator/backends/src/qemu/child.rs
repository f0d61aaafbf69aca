//! One QEMU process: its limits, its inheritance, and its end with the daemon.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fades_wire::region::REGION_LEN;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

use super::Accelerator;
use super::jail::Cell;

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Resource limits of a QEMU process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Address space in bytes.
    address_space: u64,
    open_files: u64,
    /// Of its threads together, seconds; without, as long as it lives.
    processor_time: Option<u64>,
    /// No memory is taken 2 MiB at a time.
    small_pages: bool,
}

/// Address space that QEMU itself maps beside the guest's memory: its text and libraries, thread stacks, allocator
/// arenas and the translation buffer (seen: 0.9 GiB on Debian 12).
const QEMU_OWN: u64 = 2 << 30;

/// Threads of a monitor: its devices', its guest's, and those that it starts for a while (seen: 4).
const THREADS: u64 = 32;

impl Limits {
    pub(crate) fn guest(memory_mib: u32) -> Self {
        Limits {
            address_space: QEMU_OWN + (u64::from(memory_mib) << 20),
            open_files: 64,
            processor_time: None,
            small_pages: false,
        }
    }

    /// With so many regions that it shares with others, each of them a file and a bell.
    pub(crate) fn with_regions(self, regions: usize) -> Self {
        let (count, each) = (regions as u64, REGION_LEN as u64);
        let (address_space, open_files) = (self.address_space + count * each, self.open_files + 3 * count);
        Limits { address_space, open_files, ..self }
    }

    /// As it is best for this accelerator: translated code is most of what a monitor has of its own, and is little; large pages
    /// for it and for the guest only pay where the processor walks the guest's page tables itself.
    pub(crate) fn on(self, accelerator: Accelerator) -> Self {
        Limits { small_pages: accelerator == Accelerator::Tcg, ..self }
    }

    /// For a guest that is to be gone after `limit`: a second line behind whoever ends it then. The monitor has a thread for its guest
    /// and one for its devices.
    pub(crate) fn within(self, limit: Option<Duration>) -> Self {
        Limits { processor_time: limit.map(|limit| 2 * limit.as_secs() + 5), ..self }
    }

    pub(crate) fn probe() -> Self {
        Self::guest(8)
    }
}

/// A command for `program` that inherits `files` (and no other descriptor), leads a process group of its own, is bound by
/// `limits` and kept in `cell`, and is killed when the thread that starts it ends.
///
/// The last point is the kernel's rule for `PR_SET_PDEATHSIG`: it follows the starting thread, not the process. Whoever
/// spawns the command must do so on a thread that lives as long as the daemon.
pub(crate) fn command(
    program: &str,
    arguments: &[String],
    files: &[BorrowedFd<'_>],
    limits: &Limits,
    cell: &Arc<Cell>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).stdin(Stdio::null()).process_group(0);
    let files: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let (limits, cell) = (*limits, Arc::clone(cell));
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec and calls only system calls (no allocation, no lock). The raw
    // descriptors are open in the child, because the caller holds them open until `spawn` has returned.
    unsafe {
        command.pre_exec(move || {
            cell.enter()?;
            // After its user has changed, which would take this back.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The daemon may have died between the fork and the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let fixed = |value| Rlimit { current: Some(value), maximum: Some(value) };
            setrlimit(Resource::As, fixed(limits.address_space))?;
            setrlimit(Resource::Nofile, fixed(limits.open_files))?;
            setrlimit(Resource::Core, fixed(0))?;
            setrlimit(Resource::Fsize, fixed(0))?;
            setrlimit(Resource::Memlock, fixed(0))?;
            setrlimit(Resource::Msgqueue, fixed(0))?;
            if let Some(seconds) = limits.processor_time {
                setrlimit(Resource::Cpu, fixed(seconds))?;
            }
            if cell.has_user() {
                setrlimit(Resource::Nproc, fixed(THREADS))?;
            }
            if limits.small_pages {
                // A kernel without large pages has none to be told to leave.
                let _ = disable_transparent_huge_pages(true);
            }
            for &file in &files {
                rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(file), rustix::io::FdFlags::empty())?;
            }
            cell.lock()
        });
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_limits_and_its_own_group() {
        let limits = Limits::guest(64).within(Some(Duration::from_secs(60)));
        let script =
            "ulimit -v; ulimit -n; ulimit -c; ulimit -f; ulimit -t; cut -d' ' -f1,5 /proc/$$/stat".to_owned();
        let output =
            command("/bin/sh", &["-c".to_owned(), script], &[], &limits, &Arc::default()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let kibibytes = (QEMU_OWN + (64 << 20)) / 1024;
        assert_eq!(lines.next(), Some(kibibytes.to_string().as_str()), "{text}");
        assert_eq!((lines.next(), lines.next(), lines.next()), (Some("64"), Some("0"), Some("0")), "{text}");
        assert_eq!(lines.next(), Some("125"), "{text}");
        let (pid, group) = lines.next().and_then(|line| line.split_once(' ')).unwrap();
        assert_eq!(pid, group);
    }
}
