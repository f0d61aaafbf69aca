//! Functions that were booted once and go on as often as they are asked for.
//!
//! ```text
//! the second function of a kind has ended --wish--> make: boots one with a region of its own, hears its hello, stops it
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
pub use self::qmp::converse;

use self::qmp::Qmp;

/// How long a monitor may take from its start until its guest goes on, some 50 ms where it was tried: a part of what a start may
/// take, so that there is time to boot.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a guest that goes on may take to its first word, some 10 ms where it was tried.
pub(super) const WAKES_WITHIN: Duration = Duration::from_secs(1);
/// Kinds that are remembered; who names more has those forgotten that are not saved.
const KINDS: usize = 256;
/// A kind that could not be saved or loaded so often is not tried again.
const TRIES: u32 = 3;
/// How many times as large a snapshot may become. A guest that writes where the saved one had nothing makes the system put an
/// empty page into the file first, which stays there: whose functions do that much have nothing to share.
const GROWTH: u64 = 2;

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
    /// What it took of the host's memory when it was made.
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
    /// What it takes of the host's memory.
    fn bytes(&self) -> u64 {
        [&self.ram, &self.state].into_iter().map(size_of_file).sum()
    }

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

    /// Has a QEMU that waits at the other end of `line` load the state from a descriptor of this number, does `loaded`, and has the guest
    /// go on.
    ///
    /// # Errors
    /// It does not, or is another one than the one that saved it.
    pub(super) fn load(
        &self,
        line: UnixStream,
        pid: u32,
        state: i32,
        loaded: impl FnOnce() -> Result<(), QmpError>,
    ) -> Result<(), QmpError> {
        let mut line = Qmp::open(line, PATIENCE)?;
        let monitor = Monitor::of(&line, pid)?;
        if monitor != self.monitor {
            return Err(QmpError::OtherMonitor { found: format!("{monitor:?}") });
        }
        line.load(state)?;
        loaded()?;
        line.go_on()
    }
}

/// The snapshots of a backend.
pub(super) struct Snapshots {
    /// Bytes.
    budget: u64,
    kinds: Mutex<Kinds>,
    wishes: Sender<Wished>,
}

#[derive(Default)]
struct Kinds {
    all: HashMap<Kind, State>,
    /// How often a kind could not be saved or loaded.
    failures: HashMap<Kind, u32>,
    /// Counts up, to know what was used last.
    now: u64,
}

enum State {
    /// One was started, and no more: who comes once is not saved.
    Seen,
    /// One is to be saved, or is being saved.
    Wished,
    Failed,
    Kept(Arc<Saved>, u64),
}

/// What it takes to save a function of a kind.
pub(super) struct Wished {
    kind: Kind,
    loader: OwnedFd,
    application: OwnedFd,
    command_line: String,
}

/// Begun when it is dropped, with the guest that it is made for: then there is room for one more, and nobody waits for it.
pub(super) struct Wish(Option<(Wished, Sender<Wished>)>);

impl Drop for Wish {
    fn drop(&mut self) {
        if let Some((wished, to)) = self.0.take() {
            // With the backend gone there is nobody to wish anything of.
            drop(to.send(wished));
        }
    }
}

impl Snapshots {
    /// Room for so many bytes of snapshots that `maker` makes.
    ///
    /// # Errors
    /// The thread that makes them cannot be started.
    pub(super) fn new(maker: Maker, budget: u64) -> io::Result<Arc<Self>> {
        let (wishes, wished) = channel::<Wished>();
        let snapshots = Arc::new(Self { budget, kinds: Mutex::default(), wishes });
        let kept = Arc::downgrade(&snapshots);
        thread::Builder::new().name("fades-snapshot".to_owned()).spawn(move || {
            for wish in wished {
                let made = maker.make(&wish);
                let Some(snapshots) = kept.upgrade() else { return };
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
        let Some(State::Kept(saved, used)) = kinds.all.get_mut(kind) else { return None };
        if saved.bytes() <= GROWTH * saved.bytes {
            *used = now;
            return Some(Arc::clone(saved));
        }
        tracing::info!(
            memory_mib = kind.memory_mib,
            bytes = saved.bytes(),
            "functions of a kind have little in common; they boot from now on"
        );
        kinds.fail(*kind, TRIES);
        None
    }

    /// To be dropped when a function of this kind, which is about to boot, is gone: then one is saved. `None` for the first of its kind,
    /// while that is under way, and when it was in vain too often.
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
        match kinds.all.get(&kind) {
            None => {
                if kinds.all.len() >= KINDS {
                    kinds.all.retain(|_, state| matches!(state, State::Kept(..) | State::Wished));
                    kinds.failures.clear();
                }
                kinds.all.insert(kind, State::Seen);
                return Ok(None);
            }
            Some(State::Seen) => {}
            Some(State::Failed) if kinds.failures.get(&kind).is_none_or(|count| *count < TRIES) => {}
            Some(_) => return Ok(None),
        }
        let (loader, application) = (loader.try_clone()?, application.try_clone()?);
        let wished = Wished { kind, loader, application, command_line: command_line.to_owned() };
        kinds.all.insert(kind, State::Wished);
        Ok(Some(Wish(Some((wished, self.wishes.clone())))))
    }

    /// It could not be loaded. Another one is saved if there is hope.
    pub(super) fn give_up(&self, kind: &Kind, error: &QmpError) {
        let why = describe(error);
        tracing::warn!(memory_mib = kind.memory_mib, why, "a saved function could not go on, so it boots");
        // After an update of the monitor it is to be saved anew, and that it failed says nothing.
        let failure = if matches!(error, QmpError::OtherMonitor { .. }) { 0 } else { 1 };
        self.kinds().fail(*kind, failure);
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
                tracing::warn!(memory_mib = kind.memory_mib, why, "a function could not be saved");
                kinds.fail(kind, 1);
            }
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kinds {
    fn fail(&mut self, kind: Kind, failures: u32) {
        self.all.insert(kind, State::Failed);
        *self.failures.entry(kind).or_default() += failures;
    }

    /// Forgets those that were used longest ago, until what is left is within the budget. They may be wished for again.
    fn shrink(&mut self, budget: u64) {
        let size = |state: &State| if let State::Kept(saved, _) = state { saved.bytes() } else { 0 };
        while self.all.values().map(size).sum::<u64>() > budget {
            let kept = |(kind, state): (&Kind, &State)| match state {
                State::Kept(_, used) => Some((*used, *kind)),
                _ => None,
            };
            let Some((_, oldest)) = self.all.iter().filter_map(kept).min_by_key(|(used, _)| *used) else {
                return;
            };
            self.all.insert(oldest, State::Seen);
        }
    }
}

/// Bytes that a file in memory has pages for.
fn size_of_file(file: &OwnedFd) -> u64 {
    rustix::fs::fstat(file).map_or(0, |state| u64::try_from(state.st_blocks).unwrap_or(0) * 512)
}

/// An error with all that caused it.
fn describe(error: &dyn std::error::Error) -> String {
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

    fn file(bytes: u64) -> OwnedFd {
        let file = memfd_create("fades-test", MemfdFlags::CLOEXEC).unwrap();
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
        }
        file
    }

    fn saved(pages: u64) -> Saved {
        let monitor = Monitor { version: String::new(), program: (0, 0, 0, 0, 0) };
        let bytes = pages * 4096;
        let state = memfd_create("fades-test", MemfdFlags::CLOEXEC).unwrap();
        Saved { ram: file(bytes), state, monitor, bytes }
    }

    /// With room for so many pages.
    fn snapshots(pages: u64) -> (Snapshots, std::sync::mpsc::Receiver<Wished>) {
        let (wishes, wished) = channel();
        (Snapshots { budget: pages * 4096, kinds: Mutex::default(), wishes }, wished)
    }

    fn wish(snapshots: &Snapshots, number: u8) -> Option<Wish> {
        snapshots.wish(kind(number), [&file(4096), &file(4096)], "line").unwrap()
    }

    #[test]
    fn a_kind_is_wished_for_by_its_second_guest_once_and_when_that_is_gone() {
        let (snapshots, wished) = snapshots(100);
        assert!(wish(&snapshots, 1).is_none(), "who comes once is not saved");
        let second = wish(&snapshots, 1).unwrap();
        assert!(wish(&snapshots, 1).is_none(), "it is under way");
        assert!(wished.try_recv().is_err(), "its guest still runs");
        drop(second);
        let wish = wished.try_recv().unwrap();
        assert_eq!((wish.kind, wish.command_line.as_str()), (kind(1), "line"));
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
        assert!(wish(&snapshots, 2).is_some(), "may be saved again");
    }

    #[test]
    fn what_cannot_be_kept_or_loaded_is_tried_three_times() {
        let (snapshots, _wished) = snapshots(100);
        assert!(wish(&snapshots, 1).is_none());
        for failure in 0..TRIES {
            assert!(wish(&snapshots, 1).is_some(), "after {failure} failures");
            match failure {
                0 => snapshots.keep(kind(1), Ok(saved(101))),
                1 => snapshots.keep(kind(1), Err("no".to_owned())),
                _ => snapshots.give_up(&kind(1), &QmpError::Migration),
            }
            // An attempt under way is forgotten by neither.
            assert!(snapshots.of(&kind(1)).is_none());
        }
        assert!(wish(&snapshots, 1).is_none(), "no hope");
        assert!(wish(&snapshots, 2).is_none() && wish(&snapshots, 2).is_some());
        snapshots.give_up(&kind(2), &QmpError::OtherMonitor { found: "new".to_owned() });
        assert!(wish(&snapshots, 2).is_some(), "a new monitor is no failure");
    }

    #[test]
    fn one_that_grows_is_let_go() {
        let (snapshots, _wished) = snapshots(100);
        snapshots.keep(kind(1), Ok(saved(10)));
        let kept = snapshots.of(&kind(1)).unwrap();
        let grow = |pages: u64| {
            rustix::fs::fallocate(kept.ram(), rustix::fs::FallocateFlags::empty(), 0, pages * 4096).unwrap();
        };
        grow(20);
        assert!(snapshots.of(&kind(1)).is_some(), "twice as large");
        grow(21);
        assert!(snapshots.of(&kind(1)).is_none());
        assert!(wish(&snapshots, 1).is_none(), "the next would grow as well");
    }

    #[test]
    fn kinds_without_end_are_forgotten() {
        let (snapshots, _wished) = snapshots(100);
        snapshots.keep(kind(1), Ok(saved(1)));
        for memory_mib in 0..4 * u32::try_from(KINDS).unwrap() {
            let kind = Kind { image: [2; 32], memory_mib };
            assert!(snapshots.wish(kind, [&file(0), &file(0)], "").unwrap().is_none());
        }
        assert!(snapshots.kinds().all.len() <= KINDS && snapshots.of(&kind(1)).is_some());
    }
}
