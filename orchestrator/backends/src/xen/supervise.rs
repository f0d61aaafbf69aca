//! One thread per domain, from before it is built until it is gone.
//!
//! ```text
//! building --domain found--> running --it ends--> over
//!     \---build deadline, time limit, kill--> destroying --it is gone--> over
//! ```

use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fades_core::backend::GuestExit;
use fades_xen_toolstack::{DomainName, End, Monitor, Reason, Xl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::exit::{Known, cause};
use super::mail::Mailbox;
use crate::console::Console;

/// How long a domain may take to be built: others before it in `xl`'s lock, and its own memory to be filled.
pub(super) const BUILDING: Duration = Duration::from_secs(120);
/// How long destroying is tried: while there is an `xl` that should follow, and then once more without it.
pub(super) const DESTROYING: Duration = Duration::from_secs(60);
/// How long after a failure destroying is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long after the domain's end its console and its mailbox are still read, and are waited for if they were not open by
/// then.
const GRACE: Duration = Duration::from_secs(1);

/// What the thread and those who ask share.
pub(super) struct Shared {
    pub(super) console: Console,
    killed: AtomicBool,
    built: AtomicBool,
    /// A byte here wakes the thread.
    wake: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

/// What was joined to a domain: all, some, or nothing.
#[derive(Default)]
pub(super) struct Joined {
    /// Its control connection.
    pub(super) mail: Option<Mailbox>,
    /// Reads the console.
    pub(super) reader: Option<JoinHandle<()>>,
    /// Closed, it stops what carries frames, and the link to the virtual network ends.
    pub(super) stop: Option<OwnedFd>,
}

#[derive(Default)]
struct State {
    /// Whether what hangs on the domain was tried to be joined to it.
    attached: bool,
    joined: Joined,
    /// How the domain ended.
    end: Option<End>,
    /// How the guest ended; last of all.
    exit: Option<GuestExit>,
}

impl Shared {
    /// What is shared, and the other end of what wakes the thread.
    pub(super) fn new() -> std::io::Result<(Arc<Self>, OwnedFd)> {
        use rustix::pipe::{PipeFlags, pipe_with};
        let (asleep, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let shared = Self {
            console: Console::default(),
            killed: AtomicBool::new(false),
            built: AtomicBool::new(false),
            wake,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok((Arc::new(shared), asleep))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the domain's end.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// The domain exists: its build deadline is over.
    pub(super) fn built(&self) {
        self.built.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Full, it is awake already; closed, it is over.
        let _ = rustix::io::write(&self.wake, &[0]);
    }

    /// What was joined to the domain. Said once; what is said later is not heard.
    pub(super) fn attached(&self, joined: Joined) {
        let mut state = self.state();
        if !state.attached {
            (state.attached, state.joined) = (true, joined);
            self.changed.notify_all();
        }
    }

    /// How the domain ended, if it did by `deadline`.
    pub(super) fn ended(&self, deadline: Instant) -> Option<End> {
        self.until(deadline, |state| state.end.is_some()).end.clone()
    }

    /// How the guest ended; waits for that.
    pub(super) fn wait(&self) -> GuestExit {
        let mut state = self.state();
        loop {
            if let Some(exit) = &state.exit {
                return exit.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn until(&self, deadline: Instant, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if done(&state) || left.is_zero() {
                return state;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the thread has for itself.
pub(super) struct Supervisor {
    pub(super) xl: Xl,
    pub(super) name: DomainName,
    pub(super) monitor: Monitor,
    pub(super) shared: Arc<Shared>,
    pub(super) asleep: OwnedFd,
    /// Wakes who waits for the domain to be built.
    pub(super) building: Box<dyn Fn() + Send>,
    pub(super) started: Instant,
    pub(super) time_limit: Option<Duration>,
    /// [`DESTROYING`].
    pub(super) destroying: Duration,
}

impl Supervisor {
    /// The thread's whole life.
    pub(super) fn run(mut self) {
        if self.watch() {
            self.destroy();
        }
        let (status, end) = self.reap();
        self.shared.state().end = Some(end.clone());
        self.shared.changed.notify_all();
        (self.building)();

        // A domain may end before all is joined to it; its last words are worth a moment.
        let mut state = self.shared.until(Instant::now() + GRACE, |state| state.attached);
        let Joined { mail, reader, stop } = std::mem::take(&mut state.joined);
        drop(state);
        // Before its link, whose end says that everything was told.
        if let Some(mail) = mail {
            mail.finish(GRACE);
        }
        drop(stop);
        if let Some(reader) = reader {
            let until = Instant::now() + GRACE;
            while !reader.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let console = &self.shared.console;
        let killed = self.shared.killed.load(Ordering::Acquire);
        let known = Known {
            name: &self.name,
            named: console.cause(),
            code: console.code(),
            end: &end,
            status,
            killed,
        };
        let exit = GuestExit { cause: cause(known), console_tail: console.tail() };
        self.shared.state().exit = Some(exit);
        self.shared.changed.notify_all();
    }

    /// Waits until the monitor has ended, or the domain must: whether that is so.
    fn watch(&self) -> bool {
        loop {
            let limit = self.time_limit.map(|limit| self.started + limit);
            let building = !self.shared.built.load(Ordering::Acquire);
            let deadline = limit.into_iter().chain(building.then(|| self.started + BUILDING)).min();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                self.shared.killed.store(true, Ordering::Release);
            }
            if self.shared.killed.load(Ordering::Acquire) {
                return true;
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let process = self.monitor.process();
            let mut watched =
                [PollFd::new(&process, PollFlags::IN), PollFd::new(&self.asleep, PollFlags::IN)];
            match poll(&mut watched, timeout.as_ref()) {
                Ok(_) if !watched[0].revents().is_empty() => return false,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Not to be waited for: then it is ended, rather than forgotten.
                Err(_) => return true,
            }
            let _ = rustix::io::read(&self.asleep, &mut [0; 64]);
        }
    }

    /// Destroys the domain until its monitor has followed. One that is not there yet comes: killing its builder instead
    /// could leave a half of it that has no name.
    fn destroy(&mut self) {
        let until = Instant::now() + self.destroying;
        while Instant::now() < until {
            let follows = match self.xl.destroy(&self.name) {
                Ok(true) => Duration::from_secs(10),
                Ok(false) => Duration::from_millis(100),
                Err(error) => {
                    self.shared.console.note(&error.to_string());
                    AGAIN
                }
            };
            if matches!(self.monitor.wait(Some(Instant::now() + follows)), Ok(Some(_))) {
                return;
            }
        }
        if let Err(error) = self.monitor.kill() {
            self.shared.console.note(&format!("xl of this domain could not be ended: {error}"));
        }
    }

    /// How it ended, with nothing of it left, as far as `xl` can see to that.
    fn reap(&mut self) -> (Option<ExitStatus>, End) {
        let (status, end) = match self.monitor.wait(None) {
            Ok(Some((status, end))) => (Some(status), end),
            Ok(None) => (None, End::Unknown(String::new())),
            Err(error) => (None, End::Unknown(error.to_string())),
        };
        let is_gone = match &end {
            End::ShutDown(Reason::Suspend) | End::Unknown(_) => false,
            // The monitor destroys what shut down, if it lived to do so.
            End::ShutDown(_) => status.is_some_and(|status| status.success()),
            End::Destroyed => true,
        };
        if !is_gone {
            self.destroy_alone();
        }
        (status, end)
    }

    /// Destroys what no monitor looks after any more: until it is gone, or it is said that it may live on.
    fn destroy_alone(&self) {
        let until = Instant::now() + self.destroying;
        while let Err(error) = self.xl.destroy(&self.name) {
            if Instant::now() >= until {
                let (name, tried) = (&self.name, self.destroying.as_secs());
                self.shared.console.note(&format!(
                    "domain {name} may live on, with its memory: it could not be destroyed in {tried} s: {error}"
                ));
                tracing::error!(domain = %name, %error, "a domain could not be destroyed and may live on");
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use fades_core::backend::ExitCause;

    use super::*;

    /// An `xl` whose one domain is there when the file `domain` is, and goes with it.
    const SCRIPT: &str = r#"#!/bin/sh
cd "${0%/*}"
case "$1" in
destroy) if rm domain 2>/dev/null; then echo "$2" >> destroyed; else
    echo "$2 is an invalid domain identifier (rc=-6)" >&2; exit 1; fi ;;
create) BEGIN
    touch domain; while [ -e domain ]; do sleep 0.02; done; echo 'Domain 3 has been destroyed.' >&2 ;;
esac
"#;

    struct Stand {
        folder: PathBuf,
        shared: Arc<Shared>,
        thread: JoinHandle<()>,
    }

    impl Stand {
        /// A domain whose `xl` does `begin` first.
        fn new(test: &str, begin: &str, time_limit: Option<Duration>) -> Self {
            Self::with(test, &SCRIPT.replace("BEGIN", begin), time_limit)
        }

        fn with(test: &str, xl: &str, time_limit: Option<Duration>) -> Self {
            let folder = std::env::temp_dir().join(format!("fades-xen-{test}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            let program = folder.join("xl");
            super::super::tests::script(&program, xl);
            let mut create = Command::new(&program);
            create.arg("create");
            let (shared, asleep) = Shared::new().unwrap();
            let supervisor = Supervisor {
                xl: Xl::at(program),
                name: DomainName::new("fades-0f-a").unwrap(),
                monitor: Monitor::spawn(create).unwrap(),
                shared: Arc::clone(&shared),
                asleep,
                building: Box::new(|| ()),
                started: Instant::now(),
                time_limit,
                destroying: Duration::from_secs(3),
            };
            shared.attached(Joined::default());
            Self { folder, shared, thread: std::thread::spawn(move || supervisor.run()) }
        }

        fn wait_for_domain(&self) {
            while !self.folder.join("domain").exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        /// How it ended, and which domains were destroyed by us.
        fn end(self) -> (ExitCause, String) {
            let cause = self.shared.wait().cause;
            assert_eq!(self.shared.wait().cause, cause, "a second answer is the same");
            self.thread.join().unwrap();
            assert!(!Path::new(&self.folder.join("domain")).exists(), "nothing is left");
            let destroyed = std::fs::read_to_string(self.folder.join("destroyed")).unwrap_or_default();
            std::fs::remove_dir_all(&self.folder).unwrap();
            (cause, destroyed)
        }
    }

    const OURS: &str = "fades-0f-a\n";

    #[test]
    fn a_kill_and_a_time_limit_destroy_the_domain() {
        let killed = Stand::new("kill", "", None);
        killed.wait_for_domain();
        killed.shared.built();
        killed.shared.kill();
        assert_eq!(killed.end(), (ExitCause::Killed, OURS.to_owned()));
        let limited = Stand::new("limit", "", Some(Duration::from_millis(300)));
        assert_eq!(limited.end(), (ExitCause::Killed, OURS.to_owned()));
    }

    #[test]
    fn a_domain_that_is_not_there_yet_is_destroyed_when_it_is() {
        let early = Stand::new("early", "sleep 0.5", None);
        early.shared.kill();
        assert_eq!(early.end(), (ExitCause::Killed, OURS.to_owned()));
    }

    #[test]
    fn a_domain_that_ends_by_itself_is_asked_for_its_code() {
        let ended = "touch domain; sleep 0.2; rm domain
            echo 'Domain 3 has shut down, reason code 0 0x0' >&2; exit 0";
        let stand = Stand::new("code", ended, None);
        stand.shared.console.note("FADES-EXIT is on a line of its own");
        stand.shared.console.fill_from(&b"\nFADES-EXIT 14\n"[..]);
        assert_eq!(stand.end(), (ExitCause::Code(14), String::new()));
    }

    #[test]
    fn a_monitor_that_dies_takes_its_domain_along() {
        let stand = Stand::new("signal", "touch domain; kill -SEGV $$", None);
        assert_eq!(stand.end(), (ExitCause::Signal(11), OURS.to_owned()));
        let stand = Stand::new("refused", "echo 'no such kernel' >&2; exit 1", None);
        let refused = ExitCause::LoaderError { code: 0, message: "no such kernel".to_owned() };
        assert_eq!(stand.end(), (refused, String::new()));
    }

    #[test]
    fn destroying_is_tried_again_until_its_time_is_over() {
        // The first two fail; what is left is destroyed by the third.
        let fails = SCRIPT
            .replace("destroy) if", "destroy) echo \"$2\" >> tried; if [ \"$(wc -l < tried)\" -le 2 ]; then echo busy >&2; exit 1; elif")
            .replace("BEGIN", "touch domain; kill -SEGV $$");
        assert_eq!(Stand::with("again", &fails, None).end(), (ExitCause::Signal(11), OURS.to_owned()));

        let never = SCRIPT
            .replace("destroy) if", "destroy) if true; then echo busy >&2; exit 1; elif")
            .replace("BEGIN", "touch domain; kill -SEGV $$");
        let stand = Stand::with("never", &never, None);
        let exit = stand.shared.wait();
        assert_eq!(exit.cause, ExitCause::Signal(11));
        let said = "domain fades-0f-a may live on, with its memory: it could not be destroyed in 3 s: \
            xl destroy fades-0f-a failed: busy";
        assert!(exit.console_tail.contains(said), "{}", exit.console_tail);
        std::fs::remove_file(stand.folder.join("domain")).unwrap();
        stand.end();
    }

    #[test]
    fn a_domain_destroyed_from_outside_is_told_apart() {
        let stand = Stand::new("outside", "", None);
        stand.wait_for_domain();
        std::fs::remove_file(stand.folder.join("domain")).unwrap();
        assert_eq!(stand.end(), (ExitCause::Signal(9), String::new()));
    }
}
