//! What a trial has on this machine ends with it, also when a signal ends this program first.
//!
//! Nothing is dropped when a signal kills a process, so a thread waits for the signals that mean "end", ends what there is, and then the
//! program. Whoever starts something holds the lock while it does, so that nothing is started behind the thread's back.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result};

/// Time for the daemon to end its guests.
const FAREWELL: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What is to end, shared with the thread that waits for signals.
#[derive(Debug, Clone)]
pub(super) struct Ending(Arc<Mutex<Left>>);

/// What a trial has on this machine.
#[derive(Debug, Default)]
struct Left {
    /// A command of ours on the node.
    asking: Option<OwnedFd>,
    daemon: Option<Child>,
    folder: Option<TempDir>,
}

impl Ending {
    /// Has signals end what will be given to it, and then this program. From now on; once in a program.
    pub(super) fn watch() -> Result<Self> {
        let failed = |error: std::io::Error| Failure::system("the signals that end this program", &error);
        let ending = Self(Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // What is ignored stays so: `nohup` means it.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kinds = kinds.into_iter().filter(|kind| !is_ignored(&status, kind.as_raw_value()));
        let mut waits = {
            let _within = runtime.enter();
            kinds.map(|kind| Ok((kind, signal(kind)?))).collect::<std::io::Result<Vec<_>>>()
        }
        .map_err(failed)?;
        let watched = ending.clone();
        std::thread::spawn(move || {
            let came = runtime.block_on(poll_fn(|context| {
                let came = waits
                    .iter_mut()
                    .find_map(|(kind, wait)| wait.poll_recv(context).is_ready().then(|| kind.as_raw_value()));
                came.map_or(Poll::Pending, Poll::Ready)
            }));
            // Held to the very end: who waits for it must not go on and tell of what is gone.
            let mut left = watched.left();
            left.end();
            // As shells tell of a program that a signal has ended.
            std::process::exit(128 + came)
        });
        Ok(ending)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the trial's folder.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        let mut left = self.left();
        let folder = tempfile::Builder::new()
            .prefix("fades-trial-")
            .tempdir()
            .map_err(|error| Failure::system("a folder for the node", &error))?;
        Ok(left.folder.insert(folder).path().to_owned())
    }

    /// Starts the trial's daemon.
    pub(super) fn daemon(&self, command: &mut Command) -> std::io::Result<()> {
        let mut left = self.left();
        left.daemon = Some(command.spawn()?);
        Ok(())
    }

    /// How the daemon ended, if it has.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.left().daemon.as_mut()?.try_wait().ok().flatten()
    }

    /// Runs a command of ours on the node, to its end.
    pub(super) fn output(&self, command: &mut Command) -> std::io::Result<std::process::Output> {
        let mut left = self.left();
        let child = command.spawn()?;
        left.asking = match pid(&child) {
            Some(pid) => Some(pidfd_open(pid, PidfdFlags::empty())?),
            None => None,
        };
        drop(left);
        let output = child.wait_with_output();
        self.left().asking = None;
        output
    }

    /// Ends what there is, in order.
    pub(super) fn now(&self) {
        self.left().end();
    }
}

impl Left {
    fn end(&mut self) {
        if let Some(asking) = self.asking.take() {
            let _gone = pidfd_send_signal(asking, Signal::TERM);
        }
        if let Some(mut daemon) = self.daemon.take() {
            farewell(&mut daemon);
        }
        self.folder = None;
    }
}

/// In order, so that its guests end with it; by force if it does not listen.
fn farewell(daemon: &mut Child) {
    if let Some(pid) = pid(daemon) {
        let _gone = kill_process(pid, Signal::TERM);
    }
    let begun = Instant::now();
    while begun.elapsed() < FAREWELL && daemon.try_wait().ok().flatten().is_none() {
        std::thread::sleep(LOOK);
    }
    let _gone = daemon.kill();
    let _gone = daemon.wait();
}

/// Whether a process ignores a signal, by its `/proc/PID/status`.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use super::*;

    /// Tells the process below that it is one, and where its daemon writes that it was ended in order.
    const ROLE: &str = "FADES_TEST_ENDING";

    /// Ends in order when it is told to.
    fn daemon(word: &str) -> Command {
        let mut command = Command::new("sh");
        let script = format!("trap 'echo ended > {word}; exit' TERM; while :; do sleep 0.05; done");
        command.args(["-c", &script]).stdout(Stdio::null());
        command
    }

    /// Not a test: the program that is ended by a signal in the one below.
    #[test]
    fn stand_in() {
        let Some(word) = std::env::var_os(ROLE) else { return };
        let ending = Ending::watch().unwrap();
        let folder = ending.folder().unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        ending.daemon(&mut daemon(word.to_str().unwrap())).unwrap();
        // Its shell says when both are there, and becomes what a signal has to end.
        let begun = format!("sleep 0.3; echo; echo at $$ {} >&2; exec sleep 60", folder.display());
        let output = ending.output(Command::new("sh").args(["-c", &begun]));
        panic!("nothing is told of what is gone: {output:?}");
    }

    #[test]
    fn a_signal_ends_all_of_it_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        for (number, signal) in [(15, Signal::TERM), (2, Signal::INT)] {
            if is_ignored(&status, number) {
                eprintln!(
                    "skipped: signal {number} is ignored by whoever started this, and so by what it starts"
                );
                continue;
            }
            let word = folder.path().join(number.to_string());
            let name = format!("{}::stand_in", module_path!().split_once("::").unwrap().1);
            let mut program = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name, "--nocapture"])
                .env(ROLE, &word)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let said = BufReader::new(program.stderr.take().unwrap());
            let line =
                said.lines().map_while(std::io::Result::ok).find(|line| line.starts_with("at ")).unwrap();
            let (pid, trial) = line[3..].split_once(' ').unwrap();
            assert!(PathBuf::from(trial).join("file").exists());
            kill_process(super::pid(&program).unwrap(), signal).unwrap();
            assert_eq!(program.wait().unwrap().code(), Some(128 + number));
            assert_eq!(std::fs::read_to_string(&word).unwrap(), "ended\n", "the daemon, in order");
            assert!(!PathBuf::from(trial).exists(), "{trial} is left behind");
            let asking = PathBuf::from("/proc").join(pid).join("cmdline");
            let gone = || std::fs::read(&asking).unwrap_or_default().is_empty();
            assert!(
                (0..100).any(|_| gone() || {
                    std::thread::sleep(LOOK);
                    false
                }),
                "process {pid} goes on"
            );
        }
    }

    #[test]
    fn what_is_ignored_is_read_of_the_system() {
        let status = "SigBlk:\t0000000000004003\nSigIgn:\t0000000000004001\nSigCgt:\t0000000000000002\n";
        assert_eq!([1, 2, 15].map(|signal| is_ignored(status, signal)), [true, false, true]);
        assert!(!is_ignored("", 1));
    }

    #[test]
    fn without_a_signal_it_ends_when_it_is_told() {
        let (ending, place) = (Ending(Arc::default()), tempfile::tempdir().unwrap());
        let folder = ending.folder().unwrap();
        let word = place.path().join("word");
        ending.daemon(&mut daemon(word.to_str().unwrap())).unwrap();
        let mut echo = Command::new("sh");
        let output = ending.output(echo.args(["-c", "sleep 0.3; echo here"]).stdout(Stdio::piped())).unwrap();
        assert_eq!(output.stdout, b"here\n");
        ending.now();
        assert!(word.exists() && !folder.exists());
        // And again for the next one.
        assert!(ending.folder().unwrap().exists());
        ending.now();
    }
}
