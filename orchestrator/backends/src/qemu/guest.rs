//! One QEMU process as a guest: waiting for it, ending it, and telling why it ended.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fades_core::backend::{ExitCause, Guest, GuestExit};
use fades_wire::address::Neighbour;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::jail::Cell;
use super::rank::Rank;
use super::regions::Seated;
use super::snapshot::Wish;
use crate::console::Console;

/// How long after the process's end its console is still read: something that inherited the pipe must not hold us.
const CONSOLE_GRACE: Duration = Duration::from_millis(500);

pub(crate) struct QemuGuest {
    pid: u32,
    process: OwnedFd,
    started: Instant,
    time_limit: Option<Duration>,
    console: Console,
    running: Mutex<Option<Running>>,
    killed: AtomicBool,
    exit: OnceLock<GuestExit>,
    neighbour: Option<Neighbour>,
    told: bool,
}

struct Running {
    child: Child,
    reader: JoinHandle<()>,
    _held: Held,
}

/// The code of a guest that powered off without telling one, where it should have: what a kernel tells for a code that it cannot tell.
const UNTOLD: i32 = 127;

/// What is given up when the process is gone.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) seat: Option<Arc<Seated>>,
    /// Its user id is another's then.
    pub(crate) _cell: Arc<Cell>,
    pub(crate) _wish: Option<Wish>,
    /// Its machine has no device by which a code is told: it is told on the console.
    pub(crate) told: bool,
}

impl QemuGuest {
    /// Starts `command` with its output as the console. Must be called on a thread that lives as long as the daemon.
    pub(crate) fn spawn(
        mut command: Command,
        time_limit: Option<Duration>,
        held: Held,
    ) -> std::io::Result<Arc<Self>> {
        let (source, sink) = std::io::pipe()?;
        // What QEMU itself says belongs to the same story as what its guest says.
        command.stdout(sink.try_clone()?).stderr(sink);
        let mut child = command.spawn()?;
        drop(command); // holds the pipe's write end, which would keep the reader from seeing its end
        let opened = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(std::io::ErrorKind::InvalidData.into())
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        let process = match opened {
            Ok(process) => process,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let console = Console::default();
        let filled = console.clone();
        let reader =
            thread::Builder::new().name("fades-console".to_owned()).spawn(move || filled.fill_from(source));
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        Ok(Arc::new(Self {
            pid: child.id(),
            process,
            started: Instant::now(),
            time_limit,
            console,
            neighbour: held.seat.as_ref().and_then(|seat| seat.neighbour()),
            told: held.told,
            running: Mutex::new(Some(Running { child, reader, _held: held })),
            killed: AtomicBool::new(false),
            exit: OnceLock::new(),
        }))
    }

    pub(crate) const fn process_id(&self) -> u32 {
        self.pid
    }

    /// Waits for the process's end, or for its time limit, upon which it is killed.
    fn wait_for_end(&self) {
        // Such as are to be gone some day are functions.
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let mut rank = pid.filter(|_| self.time_limit.is_some()).map(Rank::new);
        loop {
            let left = self.time_limit.map(|limit| limit.saturating_sub(self.started.elapsed()));
            if left == Some(Duration::ZERO) {
                self.kill();
            }
            let look = rank.as_ref().and_then(Rank::look);
            rank = rank.filter(|_| look.is_some());
            let next = left.filter(|left| !left.is_zero()).into_iter().chain(look).min();
            let timeout = next.and_then(|next| Timespec::try_from(next).ok());
            let mut watched = [PollFd::new(&self.process, PollFlags::IN)];
            match poll(&mut watched, timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Readable: ended. Any error: the blocking wait below tells.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn cause(&self, status: std::io::Result<ExitStatus>) -> ExitCause {
        if let Some(cause) = self.console.cause() {
            return cause;
        }
        let Ok(status) = status else { return ExitCause::Killed };
        match (status.code(), status.signal()) {
            // It powered off: its kernel had no device to tell its code by, and told it on the console. What told none is not taken
            // for a success.
            (Some(0), _) if self.told => ExitCause::Code(self.console.code().unwrap_or(UNTOLD)),
            // QEMU's own.
            (Some(code), _) if self.told => ExitCause::Code(code),
            (Some(code), _) => ExitCause::Code(guest_code(code)),
            (None, _) if self.killed.load(Ordering::Acquire) => ExitCause::Killed,
            (None, signal) => ExitCause::Signal(signal.unwrap_or_default()),
        }
    }
}

/// The guest's own exit code out of the process's: `isa-debug-exit` ends QEMU with `value << 1 | 1`; everything even
/// comes from QEMU itself (0: the guest powered off).
fn guest_code(code: i32) -> i32 {
    if code & 1 == 1 { code >> 1 } else { code }
}

impl Guest for QemuGuest {
    fn wait(&self) -> GuestExit {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { mut child, reader, _held }) = running.take() {
            self.wait_for_end();
            let status = child.wait();
            let until = Instant::now() + CONSOLE_GRACE;
            while !reader.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            let exit = GuestExit { cause: self.cause(status), console_tail: self.console.tail() };
            return self.exit.get_or_init(|| exit).clone();
        }
        drop(running);
        self.exit
            .get()
            .cloned()
            .unwrap_or_else(|| GuestExit { cause: ExitCause::Killed, console_tail: self.console.tail() })
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        // Already gone is what was wanted.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    fn console(&self) -> String {
        self.console.tail()
    }

    fn neighbour(&self) -> Option<Neighbour> {
        self.neighbour
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kibibytes * 1024)
    }
}

impl Drop for QemuGuest {
    fn drop(&mut self) {
        self.kill();
        if let Some(Running { mut child, .. }) =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Killed above, so this ends at once; without it the process would stay as a zombie.
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Option<Duration>) -> Arc<QemuGuest> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        QemuGuest::spawn(command, limit, Held::default()).unwrap()
    }

    #[test]
    fn the_cause_comes_from_the_console_the_signal_or_the_code() {
        let code = shell("exit 7", None).wait().cause;
        assert_eq!(code, ExitCause::Code(3));
        let signal = shell("kill -SEGV $$", None).wait().cause;
        assert_eq!(signal, ExitCause::Signal(11));
        let panic = shell(
            "echo 'FADES-PANIC {\"message\":\"no \\\"data\\\"\",\"file\":\"a.rs\",\"line\":3}'; exit 3",
            None,
        )
        .wait()
        .cause;
        assert_eq!(
            panic,
            ExitCause::Panicked { message: "no \"data\"".to_owned(), location: "a.rs:3".to_owned() }
        );
    }

    #[test]
    fn a_machine_without_an_exit_device_tells_its_code_on_the_console_or_has_not_ended_well() {
        let told = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            QemuGuest::spawn(command, None, Held { told: true, ..Held::default() }).unwrap().wait().cause
        };
        assert_eq!(told("echo FADES-EXIT 0"), ExitCause::Code(0));
        assert_eq!(told("echo FADES-EXIT 0; echo FADES-EXIT 12"), ExitCause::Code(12));
        assert_eq!(told("echo said nothing"), ExitCause::Code(UNTOLD));
        assert_eq!(told("echo FADES-EXIT 0; exit 1"), ExitCause::Code(1));
    }

    #[test]
    fn a_time_limit_and_a_kill_end_it_and_wait_answers_twice() {
        let limited = shell("sleep 60", Some(Duration::from_millis(50)));
        assert_eq!(limited.wait().cause, ExitCause::Killed);
        assert_eq!(limited.wait().cause, ExitCause::Killed);
        let guest = shell("sleep 60", None);
        let waiter = {
            let guest = guest.clone();
            thread::spawn(move || guest.wait().cause)
        };
        guest.kill();
        assert_eq!(waiter.join().unwrap(), ExitCause::Killed);
    }

    #[test]
    fn g3_of_a_gibibyte_on_the_console_little_is_kept() {
        let exit = shell("head -c 1073741824 /dev/zero; echo; echo end", None).wait();
        assert!(exit.console_tail.ends_with("end\n"));
        // What is no text is told by a character of three bytes.
        assert!(exit.console_tail.len() <= 3 * crate::console::TAIL_BYTES);
    }
}
