//! Functions that were started ahead of their task, and wait for it.
//!
//! ```text
//! booting ──(Hello)──> awake ──(a task of its kind)──> the task's ──(gone before its first word)──> task begun anew
//!    │                   │
//!    └─(exit, deadline)──┴──(not wanted any more, or its room is, or old)──> ended
//! ```
//! A kind is an image with an amount of memory. How many of one are wanted is what was under way at once of late: one less
//! with every [`CALM_US`] in which that was not reached, and none [`KEEP_US`] after the last. All together take no more than
//! the limits' `dormant_mib`, which is a part of what all guests may take, and give way to whoever has a task. Each serves
//! one task, as any function does.
//!
//! They outlive the broker: nobody has told it of them, so nothing of its is in their regions, and the next one has the same
//! bell and the same regions as the one before. One that is dead and has not been told as such fails no task that takes it: its
//! task is begun anew, with a function that is started for it (`tasks`).

use std::collections::BTreeMap;

use fades_wire::address::Place;
use fades_wire::control::FromGuest;
use fades_wire::ids::Role as WireRole;

use super::broker::check_hello;
use super::port::{GuestInput, Now};
use crate::ids::GuestId;
use crate::limits::{Limits, Patience};
use crate::task::ImageRef;

/// Time after which one less is wanted.
const CALM_US: u64 = 60_000_000;
/// Time after which none is.
const KEEP_US: u64 = 600_000_000;
/// How long one waits at most, awake. Longer than nobody asking takes to have it ended, so it is for kinds that are asked for
/// now and then: what came over a guest in its sleep, and the time that its clock has lost, do not grow for ever.
const LIFE_US: u64 = 900_000_000;
/// Pause after one that did not wake up; doubles up to [`KEEP_US`].
const RETRY_US: u64 = 5_000_000;

/// What functions are alike in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    digest: [u8; 32],
    memory_mib: u32,
}

impl Kind {
    pub(super) const fn of(image: &ImageRef, memory_mib: u32) -> Self {
        Self { digest: image.digest, memory_mib }
    }
}

/// How much of a kind is wanted.
#[derive(Debug)]
struct Demand {
    image: ImageRef,
    at_once: u32,
    /// When `at_once` was last reached, or taken down.
    calm_since_us: u64,
    last_us: u64,
    failures: u32,
    retry_us: u64,
}

#[derive(Debug)]
struct Sleeper {
    kind: Kind,
    place: Option<Place>,
    awake: bool,
    /// Of its boot, then of its life.
    deadline_us: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dormant {
    demands: BTreeMap<Kind, Demand>,
    sleepers: BTreeMap<GuestId, Sleeper>,
}

/// One that was taken for a task.
pub(super) struct Taken {
    pub(super) guest: GuestId,
    pub(super) place: Option<Place>,
    /// It has said hello.
    pub(super) awake: bool,
}

impl Dormant {
    pub(super) fn is(&self, guest: GuestId) -> bool {
        self.sleepers.contains_key(&guest)
    }

    /// A task of this kind begins, as one of `at_once`.
    pub(super) fn seen(&mut self, image: &ImageRef, memory_mib: u32, at_once: u32, now: Now) {
        let kind = Kind::of(image, memory_mib);
        let demand = self.demands.entry(kind).or_insert_with(|| Demand {
            image: image.clone(),
            at_once: 0,
            calm_since_us: now.mono_us,
            last_us: now.mono_us,
            failures: 0,
            retry_us: 0,
        });
        demand.last_us = now.mono_us;
        if at_once >= demand.at_once {
            demand.at_once = at_once;
            demand.calm_since_us = now.mono_us;
        }
    }

    /// One for a task of this kind: one that is awake rather than one that boots, and of these the oldest.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Taken> {
        let of_kind = self.sleepers.iter().filter(|(_, sleeper)| sleeper.kind == kind);
        let (&guest, _) = of_kind.min_by_key(|(guest, sleeper)| (!sleeper.awake, **guest))?;
        let Sleeper { place, awake, .. } = self.sleepers.remove(&guest)?;
        Some(Taken { guest, place, awake })
    }

    /// Whether there is one of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.sleepers.values().any(|sleeper| sleeper.kind == kind)
    }

    /// The kind of which one more is to be started now, if any: of those asked for last first. One boots at a time.
    pub(super) fn wanted(&self, limits: &Limits, now: Now) -> Option<(ImageRef, u32)> {
        if self.sleepers.values().any(|sleeper| !sleeper.awake) {
            return None;
        }
        let taken: u32 = self.memory_mib().sum();
        let room = limits.dormant_mib.saturating_sub(taken);
        let lacking = self.demands.iter().filter(|(kind, demand)| {
            kind.memory_mib <= room && demand.retry_us <= now.mono_us && self.count(**kind) < demand.at_once
        });
        lacking
            .max_by_key(|(_, demand)| demand.last_us)
            .map(|(kind, demand)| (demand.image.clone(), kind.memory_mib))
    }

    fn count(&self, kind: Kind) -> u32 {
        u32::try_from(self.sleepers.values().filter(|sleeper| sleeper.kind == kind).count())
            .unwrap_or(u32::MAX)
    }

    /// One was ordered.
    pub(super) fn ordered(&mut self, guest: GuestId, kind: Kind, now: Now, patience: &Patience) {
        let deadline_us = now.mono_us.saturating_add(patience.boot_us);
        self.sleepers.insert(guest, Sleeper { kind, place: None, awake: false, deadline_us });
    }

    /// What one says.
    ///
    /// # Errors
    /// Why it is to be ended, or that it is gone; it is forgotten then.
    pub(super) fn input(&mut self, guest: GuestId, input: GuestInput, now: Now) -> Result<(), String> {
        let Some(sleeper) = self.sleepers.get_mut(&guest) else { return Ok(()) };
        let why = match input {
            GuestInput::Started { place } => {
                sleeper.place = Some(place);
                return Ok(());
            }
            GuestInput::Connected | GuestInput::Message(FromGuest::Log(_)) => return Ok(()),
            GuestInput::Message(FromGuest::Hello(hello)) if !sleeper.awake => {
                match check_hello(&hello, WireRole::Function) {
                    Ok(()) => {
                        sleeper.awake = true;
                        sleeper.deadline_us = now.mono_us.saturating_add(LIFE_US);
                        if let Some(demand) = self.demands.get_mut(&sleeper.kind) {
                            demand.failures = 0;
                        }
                        return Ok(());
                    }
                    Err(why) => why,
                }
            }
            GuestInput::Message(_) => "spoke before it had a task".to_owned(),
            GuestInput::StartFailed(fault) => fault.message,
            GuestInput::ProtocolError(why) => why,
            GuestInput::Disconnected => "closed its control connection".to_owned(),
            GuestInput::Exited(exit) => exit.words(),
        };
        self.fail(guest, now);
        Err(why)
    }

    fn fail(&mut self, guest: GuestId, now: Now) {
        let Some(sleeper) = self.sleepers.remove(&guest) else { return };
        if let Some(demand) = self.demands.get_mut(&sleeper.kind) {
            let pause = RETRY_US.saturating_mul(1 << demand.failures.min(20)).min(KEEP_US);
            demand.failures = demand.failures.saturating_add(1);
            demand.retry_us = now.mono_us.saturating_add(pause);
        }
    }

    /// Nobody could be heard for so long.
    pub(super) fn stalled(&mut self, us: u64) {
        let boots = self.sleepers.values_mut().filter(|sleeper| !sleeper.awake);
        boots.for_each(|sleeper| sleeper.deadline_us = sleeper.deadline_us.saturating_add(us));
    }

    /// Those that are to be ended now, each with the reason.
    pub(super) fn tick(&mut self, now: Now) -> Vec<(GuestId, &'static str)> {
        for demand in self.demands.values_mut() {
            while demand.at_once > 1 && demand.calm_since_us.saturating_add(CALM_US) <= now.mono_us {
                demand.at_once -= 1;
                demand.calm_since_us += CALM_US;
            }
        }
        self.demands.retain(|_, demand| demand.last_us.saturating_add(KEEP_US) > now.mono_us);
        let late = self.sleepers.iter().filter(|(_, sleeper)| sleeper.deadline_us <= now.mono_us);
        let late: Vec<(GuestId, bool)> = late.map(|(guest, sleeper)| (*guest, sleeper.awake)).collect();
        let mut ended = Vec::new();
        for (guest, awake) in late {
            if awake {
                self.sleepers.remove(&guest);
                ended.push((guest, "it has waited long enough"));
            } else {
                self.fail(guest, now);
                ended.push((guest, "it did not wake up in time"));
            }
        }
        let mut left: BTreeMap<Kind, u32> =
            self.demands.iter().map(|(kind, demand)| (*kind, demand.at_once)).collect();
        self.sleepers.retain(|guest, sleeper| {
            let left = left.entry(sleeper.kind).or_default();
            let kept = *left > 0;
            *left = left.saturating_sub(1);
            if !kept {
                ended.push((*guest, "it is not wanted any more"));
            }
            kept
        });
        ended
    }

    /// Those that may give way, each with its memory: the whole room that could be made.
    pub(super) fn memory_mib(&self) -> impl Iterator<Item = u32> + '_ {
        self.sleepers.values().map(|sleeper| sleeper.kind.memory_mib)
    }

    /// Gives one up for its room: of the kind that was asked for longest ago.
    pub(super) fn give_way(&mut self) -> Option<GuestId> {
        let last = |sleeper: &Sleeper| self.demands.get(&sleeper.kind).map_or(0, |demand| demand.last_us);
        let (&guest, _) = self.sleepers.iter().min_by_key(|(_, sleeper)| last(sleeper))?;
        self.sleepers.remove(&guest);
        Some(guest)
    }

    /// All of them, and nothing is wanted any more.
    pub(super) fn forget(&mut self) -> Vec<GuestId> {
        self.demands.clear();
        std::mem::take(&mut self.sleepers).into_keys().collect()
    }

    /// When [`Dormant::tick`] or [`Dormant::wanted`] has something to do next, monotonic µs.
    pub(super) fn due_us(&self, now: Now) -> Option<u64> {
        let calm = |demand: &Demand| {
            if demand.at_once > 1 { demand.calm_since_us.saturating_add(CALM_US) } else { u64::MAX }
        };
        let demands = self.demands.values().map(|demand| {
            // One that is over waits for something else than time.
            let retry = if demand.retry_us > now.mono_us { demand.retry_us } else { u64::MAX };
            calm(demand).min(demand.last_us.saturating_add(KEEP_US)).min(retry)
        });
        let late = self.sleepers.values().map(|sleeper| sleeper.deadline_us);
        demands.chain(late).min()
    }
}
