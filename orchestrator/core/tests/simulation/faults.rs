//! The large faults: the daemon dies and starts on what is durable, the disk is full or slow, clocks jump; and the end of all faults.

use fades_core::TaskId;
use fades_core::admit;
use fades_core::engine::{Input, Outcome};
use fades_core::fault::Fault;
use fades_core::periods::PeriodsSoFar;
use fades_core::task::{RecordedState, TaskState};

use crate::books::{allowed, received};
use crate::disk::Room;
use crate::mutation::Mutation;
use crate::outside::Event;
use crate::shell::{Message, Shell};
use crate::tables::Change;
use crate::weather::{Blow, SECOND};
use crate::world::World;
use crate::wrappers::BROKER_MIB;

impl World {
    /// The daemon starts on what is durable, as `orchestrator/daemon/src/daemon.rs` has it.
    pub(crate) fn start(&mut self) {
        if self.shell.is_some() {
            return;
        }
        if let Some(Blow::Limits { tasks, memory_mib }) = self.out.next_limits.take() {
            (self.out.limits.tasks, self.out.limits.guests) = (tasks, tasks + 1);
            self.out.limits.memory_mib = memory_mib;
            self.out.facts.function_memory_mib = self.out.limits.function_mib(BROKER_MIB);
        }
        let config = self.config();
        let out = &mut self.out;
        out.run += 1;
        let run = out.run;
        out.note(format_args!("daemon {run} starts"));
        if out.mutation != Some(Mutation::OrphansLeft) {
            out.machines.values_mut().for_each(|machine| machine.ended = true);
        }
        if out.mutation == Some(Mutation::ReplayForgotten) {
            out.disk.tables.replay.clear();
            out.disk.tables.tasks.retain(|_, record| !record.state.is_final());
        }
        let dice = out.dice.fork();
        let mut shell = Shell::new(out.run, config, out, dice);
        let mut early = Vec::new();
        let taken_up = |state: TaskState| !state.is_final() || out.mutation == Some(Mutation::EndedTakenUp);
        let ids: Vec<TaskId> = out
            .disk
            .tables
            .tasks
            .iter()
            .filter(|(_, record)| taken_up(record.state))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let record = &out.disk.tables.tasks[&id];
            let mut periods =
                record.periods.as_ref().map_or_else(PeriodsSoFar::default, |periods| periods.so_far);
            let mut attempts = record.attempts;
            match out.mutation {
                Some(Mutation::PeriodsForgotten) => periods = PeriodsSoFar::default(),
                Some(Mutation::AttemptsForgotten) => attempts = 0,
                _ => {}
            }
            let state = if record.state.is_final() { TaskState::Queued } else { record.state };
            match admit::plan(&record.wrapper, allowed(), &out.facts, received(record.accepted_us)) {
                Ok(spec) => {
                    *shell.seats.entry(record.issuer.clone()).or_default() += 1;
                    shell.plans.insert(id);
                    early.push(Input::Recovered(spec, RecordedState { state, attempts, periods }));
                }
                Err(refusal) => {
                    let outcome = Outcome::Failed(Fault::new(refusal.code, refusal.message));
                    let held = out.disk.tables.apply(&Change::Finish { task: id, outcome }, None);
                    out.hold(held.map(drop));
                }
            }
        }
        shell.begin(early, out);
        self.shell = Some(shell);
    }

    pub(crate) fn blow(&mut self, blow: Blow) {
        let out = &mut self.out;
        out.note(format_args!("{blow:?}"));
        out.count(blow.name());
        match blow {
            Blow::Crash { down_us } => {
                if self.shell.take().is_none() {
                    return;
                }
                out.troubles.push(out.now_us);
                let whole = out.dice.chance(500);
                out.machines
                    .values_mut()
                    .filter(|_| out.mutation != Some(Mutation::OrphansLeft))
                    .for_each(|machine| machine.ended = true);
                out.after(down_us, Event::Start);
                for job in out.disk.crash(whole) {
                    self.apply(job, false);
                }
            }
            Blow::Full { for_us } => {
                out.disk.room = Room::None;
                out.after(for_us, Event::Over(blow));
            }
            Blow::Tight { for_us } => {
                out.disk.room = if out.disk.room == Room::None { Room::None } else { Room::Tight };
                out.after(for_us, Event::Over(blow));
            }
            Blow::Slow { write_us, for_us } => {
                out.disk.write_us = write_us;
                out.after(for_us, Event::Over(blow));
            }
            Blow::Clock { off_us } => {
                out.off_us = off_us;
                if let Some(shell) = &mut self.shell {
                    shell.turn(out);
                }
            }
            Blow::Source => {
                let all = crate::wrappers::facts(&out.limits).sources;
                out.facts.sources =
                    if out.facts.sources.len() < all.len() { all } else { all.into_iter().take(1).collect() };
            }
            Blow::Limits { .. } => out.next_limits = Some(blow),
            Blow::Images => {
                if let Some(shell) = &self.shell {
                    out.after(0, Event::Inbox(shell.run, Message::ImagesChanged));
                }
            }
        }
    }

    pub(crate) fn over(&mut self, blow: Blow) {
        let out = &mut self.out;
        match blow {
            Blow::Full { .. } | Blow::Tight { .. } => {
                out.disk.room = Room::Enough;
                out.begin_write();
            }
            Blow::Slow { .. } => out.disk.write_us = out.weather.write_us,
            _ => {}
        }
    }

    /// Nothing goes wrong from now on, and what did is set right: the clock by whoever keeps it, the disk by whoever makes room.
    pub(crate) fn calm(&mut self) {
        let out = &mut self.out;
        out.note(format_args!("calm"));
        (out.calm, out.off_us) = (true, 0);
        out.facts = crate::wrappers::facts(&out.limits);
        (out.disk.room, out.disk.write_us) = (Room::Enough, out.weather.write_us);
        out.begin_write();
        out.after(10 * SECOND, Event::Look);
    }
}
