//! The `xl` that builds one domain and stays with it: `xl create -F`.
//!
//! What it does, in this order, as `tools/xl/xl_vmcontrol.c` of Xen 4.14 to 4.20 has it:
//! 1. reads the configuration (a plain file that `fopen` can open, so `/proc/self/fd/N` will do) and says
//!    `Parsing config from …` unless told `-q`; a configuration that it does not take ends it with code 1;
//! 2. takes the lock that all builders of a host share: domains are built one after another, whoever asks;
//! 3. builds: makes the domain with its name, loads kernel and ramdisk (opened and mapped by name, in this process),
//!    introduces it to XenStore, makes its devices and runs their scripts; what fails undoes what was done, and ends it
//!    with a code that is not 0;
//! 4. gives the lock back, lets the domain run, says `Waiting for domain NAME (domid N) to die [pid P]`;
//! 5. waits. `Domain N has shut down, reason code R 0xR` and `Action for shutdown reason code R is destroy` come when
//!    the domain ended itself; it then destroys it and ends with 0. `Domain N has been destroyed.` comes when somebody
//!    else did.
//!
//! All that is said goes to standard error; a suspended domain (reason 2) is left as it is. `SIGTERM` and `SIGKILL` have
//! no handlers: they end `xl` alone. Its domain goes on without a monitor, half built or running, and is found by its
//! name: to end a domain, destroy it, and its monitor follows.
//!
//! So the monitor is not tied to our own life: when this process dies it still cleans up behind a domain that ends. What
//! it says goes into a file in memory for the same reason: a pipe that nobody reads would end it before its work is done.

use super::{End, run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

/// The running `xl` of one domain.
pub struct Monitor {
    child: Child,
    process: OwnedFd,
    said: File,
}

impl Monitor {
    /// Starts `command`, which [`super::Xl::create`] made.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let said = File::from(rustix::fs::memfd_create("fades-xl", MemfdFlags::CLOEXEC)?);
        command.stdout(said.try_clone()?).stderr(said.try_clone()?);
        let mut child = command.spawn()?;
        match run::watch_process(&child) {
            Ok(process) => Ok(Self { child, process, said }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Readable when it has ended, to be waited for together with other things.
    #[must_use]
    pub fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Waits for its end. `None`: `deadline` came first.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<Option<(ExitStatus, End)>> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some((status, End::parse(&self.said()?))));
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.process, PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends `xl` alone, and reaps it; its domain stays. For an `xl` that hangs.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The last 64 KiB of what it said.
    ///
    /// # Errors
    /// The system's.
    pub fn said(&self) -> Result<String> {
        let length = self.said.metadata()?.len();
        let mut bytes = vec![0; run::KEPT];
        let mut filled = 0;
        let start = length.saturating_sub(run::KEPT as u64);
        while filled < bytes.len() {
            match self.said.read_at(&mut bytes[filled..], start + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(run::text(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;
    use std::time::Duration;

    fn shell(script: &str) -> Monitor {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Monitor::spawn(command).unwrap()
    }

    #[test]
    fn an_end_is_told() {
        let script = "echo 'Waiting for domain a (domid 3) to die [pid 1]' >&2
            echo 'Domain 3 has shut down, reason code 4 0x4' >&2; exit 0";
        let (status, end) = shell(script).wait(None).unwrap().unwrap();
        assert_eq!((status.code(), end), (Some(0), End::ShutDown(Reason::Watchdog)));
        let (status, end) = shell("echo refused; exit 1").wait(None).unwrap().unwrap();
        assert_eq!((status.code(), end), (Some(1), End::Unknown("refused\n".to_owned())));
    }

    #[test]
    fn a_deadline_leaves_it_running_and_a_kill_does_not() {
        let mut monitor = shell("exec sleep 60");
        assert!(monitor.wait(Some(Instant::now() + Duration::from_millis(50))).unwrap().is_none());
        monitor.kill().unwrap();
        assert_eq!(monitor.wait(None).unwrap().unwrap().1, End::Unknown(String::new()));
    }

    #[test]
    fn only_the_last_of_much_is_kept() {
        let mut monitor =
            shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo 'Domain 9 has been destroyed.'");
        assert_eq!(monitor.wait(None).unwrap().unwrap().1, End::Destroyed);
        assert_eq!(monitor.said().unwrap().len(), run::KEPT);
    }
}
