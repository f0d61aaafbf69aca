//! Every guest from its order to its end, and what they take together.

use std::collections::BTreeMap;

use super::port::{Effect, GuestOrder};
use crate::ids::{GuestId, Role, TaskId};
use crate::limits::{Limits, Usage};
use crate::task::ImageRef;

/// A guest that was ordered and is not known to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) role: Role,
    pub(super) memory_mib: u32,
    /// What it takes of the node's limits.
    cost_mib: u32,
    pub(super) task: Option<TaskId>,
    /// Its end was asked for: nothing it says counts any more.
    pub(super) stopping: bool,
}

/// What to order.
pub(super) struct Wanted<'a> {
    pub(super) role: Role,
    pub(super) image: &'a ImageRef,
    pub(super) memory_mib: u32,
    pub(super) task: Option<TaskId>,
    pub(super) time_limit_us: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Guests {
    live: BTreeMap<GuestId, Live>,
    usage: Usage,
    named: u64,
    limits: Limits,
}

impl Guests {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, live: BTreeMap::new(), usage: Usage::default(), named: 0 }
    }

    /// Orders a guest; what it costs counts from now until it is [`Guests::gone`].
    pub(super) fn order(&mut self, wanted: &Wanted<'_>, out: &mut Vec<Effect>) -> GuestId {
        self.named += 1;
        let guest = GuestId(self.named);
        let Wanted { role, image, memory_mib, task, time_limit_us } = *wanted;
        let cost_mib = self.limits.cost_mib(memory_mib);
        self.live.insert(guest, Live { role, memory_mib, cost_mib, task, stopping: false });
        self.usage.add(cost_mib);
        out.push(Effect::StartGuest(GuestOrder {
            guest,
            role,
            image: image.clone(),
            memory_mib,
            task,
            time_limit_us,
        }));
        guest
    }

    /// A guest that was ordered for no task gets one.
    pub(super) fn assign(&mut self, guest: GuestId, task: TaskId) {
        if let Some(live) = self.live.get_mut(&guest) {
            live.task = Some(task);
        }
    }

    /// Asks for a guest's end, once; nothing for a guest that is gone.
    pub(super) fn stop(&mut self, guest: GuestId, why: &str, out: &mut Vec<Effect>) {
        if let Some(live) = self.live.get_mut(&guest)
            && !live.stopping
        {
            live.stopping = true;
            out.push(Effect::StopGuest { guest, why: why.to_owned() });
        }
    }

    /// The guest has ended, or was never started.
    pub(super) fn gone(&mut self, guest: GuestId) {
        if let Some(live) = self.live.remove(&guest) {
            self.usage.sub(live.cost_mib);
        }
    }

    pub(super) fn get(&self, guest: GuestId) -> Option<Live> {
        self.live.get(&guest).copied()
    }

    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// What will be taken when those are gone whose end was asked for.
    pub(super) fn usage_to_be(&self) -> Usage {
        let mut usage = self.usage;
        self.live.values().filter(|live| live.stopping).for_each(|live| usage.sub(live.cost_mib));
        usage
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GuestId, Live)> + '_ {
        self.live.iter().map(|(guest, live)| (*guest, *live))
    }
}
