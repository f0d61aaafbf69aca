//! Functions that were booted once and go on as often as they are asked for.
//!
//! ```text
//! a function of some kind has ended --wish--> make: boots one with a region of its own, hears its hello, stops it
//!     --> memory (a file that nobody writes any more) and state, kept within a budget
//! the next function of that kind: a QEMU that maps the memory, its own pages where it writes, and loads the state;
//!     its region says who it is now, and gives it a seed and the time (`fades_wire::region::Birth`)
//! ```
//! A kind is an image's digest, an amount of memory and an accelerator. A snapshot lives as long as this process, and is only loaded
//! by the very monitor that made it: the same file, and of the version that it says it is. One that cannot be loaded is given up, and
//! its function boots.
//!
//! | part | what it does |
//! |---|---|
//! | `make` | boots and saves |
//! | `qmp` | what is said to QEMU for it |
//! | `state` | the one thing that is changed in what QEMU saved |

mod make;
mod qmp;
mod state;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

pub(super) use self::make::Maker;
pub(super) use self::qmp::QmpError;

use self::qmp::Qmp;

/// How long a monitor may take from its start until its guest goes on: some 50 ms where it was tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// Kinds that are remembered. Who names others without end has their functions booted.
const KINDS: usize = 256;

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// SHA-256 of the image's manifest.
    pub(super) image: [u8; 32],
    pub(super) memory_mib: u32,
}

/// A saved function.
pub(super) struct Saved {
    ram: OwnedFd,
    state: OwnedFd,
    monitor: Monitor,
    /// What it takes of the host's memory.
    bytes: u64,
}

/// Which program a QEMU is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Monitor {
    version: String,
    /// Device, number, length, and when it was changed, of the file that it runs.
    program: (u64, u64, u64, i64, i64),
}

impl Monitor {
    fn of(line: &Qmp, pid: u32) -> io::Result<Self> {
        let file = fs::metadata(format!("/proc/{pid}/exe"))?;
        let program = (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        Ok(Self { version: line.version.clone(), program })
    }
}

impl Saved {
    /// The guest's memory, to be mapped.
    pub(super) const fn ram(&self) -> &OwnedFd {
        &self.ram
    }

    /// The state, to be read once from its beginning.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn state(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsRawFd as _;
        let file = format!("/proc/self/fd/{}", self.state.as_fd().as_raw_fd());
        Ok(rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Has a QEMU that waits at the other end of `line` load the state from a descriptor of this number, and its guest go on.
    ///
    /// # Errors
    /// It does not, or is another one than the one that saved it.
    pub(super) fn load(&self, line: UnixStream, pid: u32, state: i32) -> Result<(), QmpError> {
        let mut line = Qmp::open(line, PATIENCE)?;
        let monitor = Monitor::of(&line, pid)?;
        if monitor != self.monitor {
            return Err(QmpError::OtherMonitor { found: format!("{monitor:?}") });
        }
        line.load(state)
    }
}

/// The snapshots of a backend.
pub(super) struct Snapshots {
    /// Bytes.
    budget: u64,
    kinds: Mutex<Kinds>,
    wishes: Sender<Wish>,
}

#[derive(Default)]
struct Kinds {
    all: HashMap<Kind, State>,
    /// Counts up, to know what was used last.
    now: u64,
}

enum State {
    /// A wish is under way.
    Wished,
    /// It could not be saved or loaded, or is too large: it is not tried again.
    Hopeless,
    Kept(Arc<Saved>, u64),
}

/// Everything that it takes to save a function of a kind; made when one is booted, and begun when that one is gone, so that
/// nobody waits for it.
pub(super) struct Wish {
    kind: Kind,
    loader: OwnedFd,
    application: OwnedFd,
    command_line: String,
    to: Option<Sender<Self>>,
}

impl Drop for Wish {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            let (kind, command_line) = (self.kind, std::mem::take(&mut self.command_line));
            if let (Ok(loader), Ok(application)) = (self.loader.try_clone(), self.application.try_clone()) {
                // With the backend gone there is nobody to wish anything of.
                drop(to.send(Self { kind, loader, application, command_line, to: None }));
            }
        }
    }
}

impl Snapshots {
    /// Room for so many bytes of snapshots that `maker` makes.
    ///
    /// # Errors
    /// The thread that makes them cannot be started.
    pub(super) fn new(maker: Maker, budget: u64) -> io::Result<Arc<Self>> {
        let (wishes, wished) = channel::<Wish>();
        let snapshots = Arc::new(Self { budget, kinds: Mutex::default(), wishes });
        let kept = Arc::downgrade(&snapshots);
        thread::Builder::new().name("fades-snapshot".to_owned()).spawn(move || {
            for wish in wished {
                let Some(snapshots) = kept.upgrade() else { return };
                let made = maker.make(&wish);
                snapshots.keep(wish.kind, made.map_err(|error| describe(&error)));
            }
        })?;
        Ok(snapshots)
    }

    /// The snapshot of this kind.
    pub(super) fn of(&self, kind: &Kind) -> Option<Arc<Saved>> {
        let mut kinds = self.kinds();
        kinds.now += 1;
        let now = kinds.now;
        match kinds.all.get_mut(kind) {
            Some(State::Kept(saved, used)) => {
                *used = now;
                Some(Arc::clone(saved))
            }
            _ => None,
        }
    }

    /// To be dropped when a function of this kind, which is about to boot, is gone: then one is saved. `None` if that is under way or
    /// was in vain.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn wish(
        &self,
        kind: Kind,
        [loader, application]: [&OwnedFd; 2],
        command_line: &str,
    ) -> io::Result<Option<Wish>> {
        let mut kinds = self.kinds();
        if kinds.all.contains_key(&kind) || kinds.all.len() >= KINDS {
            return Ok(None);
        }
        let (loader, application) = (loader.try_clone()?, application.try_clone()?);
        let (to, command_line) = (Some(self.wishes.clone()), command_line.to_owned());
        kinds.all.insert(kind, State::Wished);
        Ok(Some(Wish { kind, loader, application, command_line, to }))
    }

    /// It could not be loaded.
    pub(super) fn give_up(&self, kind: &Kind, why: &str) {
        tracing::warn!(
            memory_mib = kind.memory_mib,
            why,
            "a saved function could not go on; it boots from now on"
        );
        self.kinds().all.insert(*kind, State::Hopeless);
    }

    fn keep(&self, kind: Kind, made: Result<Saved, String>) {
        let made = made.and_then(|saved| match saved.bytes {
            bytes if bytes > self.budget => {
                Err(format!("{bytes} bytes are more than the budget of {}", self.budget))
            }
            _ => Ok(saved),
        });
        let mut kinds = self.kinds();
        match made {
            Ok(saved) => {
                tracing::info!(memory_mib = kind.memory_mib, bytes = saved.bytes, "a function was saved");
                kinds.now += 1;
                let now = kinds.now;
                kinds.all.insert(kind, State::Kept(Arc::new(saved), now));
                kinds.shrink(self.budget);
            }
            Err(why) => {
                tracing::warn!(
                    memory_mib = kind.memory_mib,
                    why,
                    "a function could not be saved; it boots every time"
                );
                kinds.all.insert(kind, State::Hopeless);
            }
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kinds {
    /// Forgets those that were used longest ago, until what is left is within the budget. They may be wished for again.
    fn shrink(&mut self, budget: u64) {
        let size = |state: &State| if let State::Kept(saved, _) = state { saved.bytes } else { 0 };
        while self.all.values().map(size).sum::<u64>() > budget {
            let kept = |(kind, state): (&Kind, &State)| match state {
                State::Kept(_, used) => Some((*used, *kind)),
                _ => None,
            };
            let Some((_, oldest)) = self.all.iter().filter_map(kept).min_by_key(|(used, _)| *used) else {
                return;
            };
            self.all.remove(&oldest);
        }
    }
}

/// An error with all that caused it.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    fn kind(number: u8) -> Kind {
        Kind { image: [number; 32], memory_mib: 64 }
    }

    fn file() -> OwnedFd {
        memfd_create("fades-test", MemfdFlags::CLOEXEC).unwrap()
    }

    fn saved(bytes: u64) -> Saved {
        let monitor = Monitor { version: String::new(), program: (0, 0, 0, 0, 0) };
        Saved { ram: file(), state: file(), monitor, bytes }
    }

    fn snapshots(budget: u64) -> (Snapshots, std::sync::mpsc::Receiver<Wish>) {
        let (wishes, wished) = channel();
        (Snapshots { budget, kinds: Mutex::default(), wishes }, wished)
    }

    #[test]
    fn a_kind_is_wished_for_once_and_when_its_first_guest_is_gone() {
        let (snapshots, wished) = snapshots(100);
        let wish = snapshots.wish(kind(1), [&file(), &file()], "line").unwrap().unwrap();
        assert!(snapshots.wish(kind(1), [&file(), &file()], "line").unwrap().is_none());
        assert!(wished.try_recv().is_err(), "its guest still runs");
        drop(wish);
        let wish = wished.try_recv().unwrap();
        assert_eq!((wish.kind, wish.command_line.as_str()), (kind(1), "line"));
        drop(wish);
        assert!(wished.try_recv().is_err(), "once");
    }

    #[test]
    fn what_was_used_last_stays_within_the_budget() {
        let (snapshots, _wished) = snapshots(100);
        for number in 1..=2 {
            snapshots.keep(kind(number), Ok(saved(50)));
        }
        assert!(snapshots.of(&kind(1)).is_some());
        snapshots.keep(kind(3), Ok(saved(50)));
        let kept = [1, 2, 3].map(|number| snapshots.of(&kind(number)).is_some());
        assert_eq!(kept, [true, false, true]);
        assert!(snapshots.wish(kind(2), [&file(), &file()], "").unwrap().is_some(), "may be saved again");
    }

    #[test]
    fn what_cannot_be_kept_or_loaded_is_not_tried_again() {
        let (snapshots, _wished) = snapshots(100);
        snapshots.keep(kind(1), Ok(saved(101)));
        snapshots.keep(kind(2), Err("no".to_owned()));
        snapshots.keep(kind(3), Ok(saved(1)));
        snapshots.give_up(&kind(3), "no");
        for number in 1..=3 {
            assert!(snapshots.of(&kind(number)).is_none());
            assert!(snapshots.wish(kind(number), [&file(), &file()], "").unwrap().is_none());
        }
    }
}
