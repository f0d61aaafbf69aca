//! Thousands of orders in which things can happen; the laws watch.

use std::collections::BTreeMap;

use fades_api::codes;
use fades_api::task::Missed;
use fades_core::backend::ExitCause;
use fades_core::engine::{Effect, GuestInput, Input, Outcome};
use fades_core::fault::Fault;
use fades_core::limits::Limits;
use fades_core::periods::Schedule;
use fades_core::task::{TaskSpec, TaskState};
use fades_core::{GuestId, Role};
use fades_wire::control::{
    Failed, FromGuest, Heartbeat, OperationEnded, OperationFailed, OperationProgress, ResultPart,
};
use fades_wire::failure::{Code, Failure};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::actors::{finished, truth};
use crate::world::{LIMITS, SECOND, World, exited, spec, task};

/// What may happen next. Numbers pick a guest or a task among those there are.
#[derive(Debug, Clone)]
enum Step {
    /// A guest does what it should.
    Proper(u8),
    /// Everybody does what they should, for a while.
    Calm(u8),
    /// A guest's next message gets lost.
    Lost(u8),
    /// Something that a guest said before its end comes now.
    Ghost(u8),
    /// A guest says something twice.
    Twice(u8),
    /// A guest dies.
    Exit(u8, u8),
    Disconnect(u8),
    StartFails(u8),
    Garbage(u8),
    /// A guest says something that is not its to say, or not now.
    Foreign(u8, u8, u8),
    /// A function claims to have read something else than was sent.
    Lie(u8),
    Gone(u64),
    Accept {
        number: u8,
        priority: u8,
        memory: u8,
        operations: u8,
        expires_s: u8,
    },
    /// A task comes, and its function is gone before it has said another word.
    Sudden(u8),
    /// A persistent task comes, some of its periods due already.
    Persistent {
        number: u8,
        every_s: u8,
        past: u8,
        last: u8,
        late_s: u8,
    },
    Cancel(u8),
    ImagesChanged,
    Pass(u32),
    ClockJumps(i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => any::<u8>().prop_map(Step::Proper),
        8 => (1u8..20).prop_map(Step::Calm),
        1 => any::<u8>().prop_map(Step::Lost),
        2 => any::<u8>().prop_map(Step::Ghost),
        1 => any::<u8>().prop_map(Step::Twice),
        2 => any::<(u8, u8)>().prop_map(|(guest, cause)| Step::Exit(guest, cause)),
        1 => any::<u8>().prop_map(Step::Disconnect),
        1 => any::<u8>().prop_map(Step::StartFails),
        1 => any::<u8>().prop_map(Step::Garbage),
        3 => any::<(u8, u8, u8)>().prop_map(|(guest, kind, task)| Step::Foreign(guest, kind, task)),
        1 => any::<u8>().prop_map(Step::Lie),
        1 => (90u64..100).prop_map(Step::Gone),
        8 => any::<(u8, u8, u8, u8, u8)>().prop_map(|(number, priority, memory, operations, expires_s)| {
            Step::Accept { number, priority, memory, operations, expires_s }
        }),
        2 => any::<u8>().prop_map(Step::Sudden),
        2 => any::<(u8, u8, u8, u8, u8)>().prop_map(|(number, every_s, past, last, late_s)| {
            Step::Persistent { number, every_s, past, last, late_s }
        }),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => Just(Step::ImagesChanged),
        5 => (0u32..12_000_000).prop_map(Step::Pass),
        1 => (-100_000_000i32..100_000_000).prop_map(Step::ClockJumps),
    ];
    prop::collection::vec(step, 1..120)
}

fn pick(world: &World, number: u8) -> Option<GuestId> {
    let guests = world.actors.len();
    (guests > 0).then(|| world.actors.keys().nth(usize::from(number) % guests).copied())?
}

fn cause(number: u8) -> ExitCause {
    match number % 7 {
        0 => ExitCause::Code(0),
        1 => ExitCause::Code(3),
        2 => ExitCause::Panicked { message: "boom".into(), location: "lib.rs:1".into() },
        3 => ExitCause::OutOfMemory { requested: Some(1 << 30), detail: String::new() },
        4 => ExitCause::LoaderError { code: 4, message: "too large".into() },
        5 => ExitCause::Signal(9),
        _ => ExitCause::Killed,
    }
}

fn foreign(world: &World, kind: u8, number: u8) -> FromGuest {
    let served = world.engine.tasks().find(|status| status.state == TaskState::Streaming);
    let id = served.filter(|_| number.is_multiple_of(2)).map_or(task(number % 12), |status| status.task);
    let operation = u16::from(number % 3);
    let failure = |code| Failure::new(code, "so it is");
    match kind % 10 {
        0 => OperationProgress { task: id.into(), operation, points: number.into(), bytes: 16 }.into(),
        1 => {
            let times = Default::default();
            let (summary, fewest) = (truth(id, operation), 0);
            OperationEnded { task: id.into(), operation, summary, fewest, times }.into()
        }
        2 => OperationFailed { task: id.into(), operation, failure: failure(Code::SourceStatus) }.into(),
        3 => OperationFailed { task: id.into(), operation, failure: failure(Code::ClosedEarly) }.into(),
        4 => finished(id, 1).into(),
        5 => ResultPart { index: number.into(), last: true, bytes: vec![b'1'] }.into(),
        6 => Failed(failure(Code::Function)).into(),
        7 => Failed(failure(Code::ClosedEarly)).into(),
        8 => Heartbeat { nonce: number.into(), heap_used: 0 }.into(),
        _ => fades_wire::control::Started.into(),
    }
}

fn act(world: &mut World, step: &Step, accepted: &mut Vec<u8>) {
    let told = |world: &World, guest: &u8| pick(world, *guest);
    match step {
        Step::Proper(guest) => {
            told(world, guest).map(|guest| world.step(guest));
        }
        Step::Calm(turns) => {
            for _ in 0..*turns {
                let guests: Vec<GuestId> = world.actors.keys().copied().collect();
                for guest in guests {
                    world.step(guest);
                }
            }
        }
        Step::Lost(guest) => {
            if let Some(guest) = told(world, guest) {
                world.actors.get_mut(&guest).and_then(|actor| actor.next());
            }
        }
        Step::Ghost(number) => {
            let ghosts = world.ghosts.len();
            let ghost =
                (ghosts > 0).then(|| world.ghosts.keys().nth_back(usize::from(*number) % ghosts).copied());
            ghost.flatten().map(|guest| world.step_ghost(guest));
        }
        Step::Twice(guest) => {
            if let Some(guest) = told(world, guest)
                && let Some(input) = world.actors.get_mut(&guest).and_then(|actor| actor.next())
            {
                world.give(Input::Guest(guest, input.clone()));
                world.give(Input::Guest(guest, input));
            }
        }
        Step::Exit(guest, number) => {
            if let Some(guest) = told(world, guest) {
                world.give(Input::Guest(guest, exited(cause(*number))));
            }
        }
        Step::Disconnect(guest) => {
            told(world, guest).map(|guest| world.give(Input::Guest(guest, GuestInput::Disconnected)));
        }
        Step::StartFails(guest) => {
            let failed = GuestInput::StartFailed(Fault::new(codes::GUEST_START_FAILED, "no room"));
            told(world, guest).map(|guest| world.give(Input::Guest(guest, failed)));
        }
        Step::Garbage(guest) => {
            let garbage = GuestInput::ProtocolError("bad crc".into());
            told(world, guest).map(|guest| world.give(Input::Guest(guest, garbage)));
        }
        Step::Foreign(guest, kind, number) => {
            told(world, guest).map(|guest| world.message(guest, foreign(world, *kind, *number)));
        }
        Step::Lie(guest) => {
            let told = told(world, guest);
            if let Some(guest) = told
                && let Some(id) =
                    world.actors.get(&guest).filter(|actor| actor.role == Role::Function).and_then(|a| a.task)
            {
                let mut lie = finished(id, 1);
                lie.summaries[0].points += 1;
                world
                    .message(guest, ResultPart { index: 0, last: true, bytes: crate::actors::RESULT.into() });
                world.message(guest, lie);
            }
        }
        Step::Gone(number) => {
            world.give(Input::Guest(GuestId(number + 1_000_000), GuestInput::Disconnected));
        }
        Step::Accept { number, priority, memory, operations, expires_s } => {
            let number = number % 12;
            if !accepted.contains(&number) {
                accepted.push(number);
                let mut spec = spec(number, u16::from(operations % 3 + 1));
                spec.priority = priority % 10;
                spec.memory_mib = [16, 64, 64, 150, 192, 400][usize::from(memory % 6)];
                spec.expires_unix_us = world.now.unix_us + u64::from(*expires_s) * 3_000_000;
                world.accept(spec);
            }
        }
        Step::Sudden(number) => {
            let number = 12 + number % 8;
            if !accepted.contains(&number) {
                accepted.push(number);
                world.accept(spec(number, 1));
                let started = world.engine.tasks().find(|status| status.task == task(number));
                if let Some(guest) = started.and_then(|status| status.guest) {
                    world.exit(guest, ExitCause::Signal(9));
                }
            }
        }
        Step::Persistent { number, every_s, past, last, late_s } => {
            let number = 20 + number % 4;
            if !accepted.contains(&number) {
                accepted.push(number);
                let every_us = (1 + u64::from(every_s % 20)) * SECOND;
                let schedule = Schedule {
                    every_us,
                    first_due_us: (world.now.unix_us + 2 * SECOND)
                        .saturating_sub(u64::from(past % 8) * every_us),
                    last: u64::from(last % 5),
                    missed: if last & 8 == 0 { Missed::Skip } else { Missed::CatchUp },
                    state_limit: if last & 16 == 0 { 100 } else { 2 },
                };
                let expires_unix_us = schedule.due_us(schedule.last) + u64::from(late_s % 64) * SECOND;
                world.accept(TaskSpec { expires_unix_us, schedule: Some(schedule), ..spec(number, 1) });
            }
        }
        Step::Cancel(number) => {
            let persistent = 20 + number % 4;
            world.give(Input::Cancel(task(if *number < 200 { number % 12 } else { persistent })));
        }
        Step::ImagesChanged => {
            world.give(Input::ImagesChanged);
        }
        Step::Pass(us) => {
            world.pass(u64::from(*us));
        }
        Step::ClockJumps(us) => {
            world.now.unix_us = world.now.unix_us.saturating_add_signed(i64::from(*us));
            world.give(Input::Tick);
        }
    }
}

fn recovered() -> impl Strategy<Value = Vec<(usize, u32)>> {
    prop::collection::vec((0usize..TaskState::ALL.len(), 0u32..5), 0..4)
}

/// One story from its beginning until every task has ended.
fn tell(recovered: &[(usize, u32)], steps: &[Step], dormant_mib: u32) -> World {
    let region_mib = if dormant_mib > 0 { 4 } else { 0 };
    let mut world = World::with(Limits { dormant_mib, region_mib, ..LIMITS });
    for (at, (state, attempts)) in recovered.iter().enumerate() {
        let number = 100 + u8::try_from(at).expect("few tasks");
        world.recover(spec(number, 1), TaskState::ALL[*state], (*attempts).min(3));
    }
    let mut accepted = Vec::new();
    for step in steps {
        act(&mut world, step, &mut accepted);
    }
    world.finish();
    world
}

/// That the stories lead everywhere: laws that are never put to the test hold easily.
#[test]
fn the_stories_reach_every_kind_of_end() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let (mut retried, mut missed) = (0, 0);
    let mut periods: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..1500 {
        let (recovered, steps) = (recovered(), steps()).new_tree(&mut runner).unwrap().current();
        let world = tell(&recovered, &steps, 0);
        for outcome in world.outcomes.values() {
            let kind = match outcome {
                Outcome::Failed(fault) => fault.code.entry().map_or("?", |entry| entry.name).to_owned(),
                other => other.state().word().to_owned(),
            };
            *seen.entry(kind).or_default() += 1;
        }
        let again = |effect: &&Effect| {
            matches!(effect, Effect::Record { state: TaskState::Starting, attempts: 2.., .. })
        };
        retried += world.effects.iter().filter(again).count();
        missed += world.effects.iter().filter(|effect| matches!(effect, Effect::Missed { .. })).count();
        for (_, _, end) in &world.periods {
            *periods.entry(end.clone().map_or_else(|code| code, |_| "done".to_owned())).or_default() += 1;
        }
    }
    let wanted = [
        "succeeded",
        "cancelled",
        "expired",
        "BROKER_DIED",
        "FUNCTION_FAILED",
        "GUEST_BOOT_TIMED_OUT",
        "GUEST_CONTROL_LOST",
        "GUEST_EXITED",
        "GUEST_PANICKED",
        "GUEST_PROTOCOL",
        "GUEST_START_FAILED",
        "GUEST_TIMED_OUT",
        "NODE_RESTARTED",
        "RESULT_BEFORE_INPUT",
        "RESULT_PARTS_WRONG",
        "SOURCE_STATUS",
        "SUMMARIES_DIFFER",
        "TASK_ABOVE_NODE",
    ];
    for kind in wanted {
        assert!(seen.contains_key(kind), "no story ended with {kind}: {seen:?}");
    }
    assert!(retried > 100 && seen["succeeded"] > 1000, "{retried} retried, {seen:?}");
    assert!(missed > 500 && periods["done"] > 1000, "{missed} missed, {periods:?}");
    for kind in ["GUEST_PANICKED", "STATE_PARTS_WRONG", "SUMMARIES_DIFFER", "TASK_EXPIRED"] {
        assert!(periods.contains_key(kind), "no period ended with {kind}: {periods:?}");
    }
    let mut anew = 0;
    for _ in 0..1500 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let world = tell(&[], &steps, 150);
        let told = |effect: &&Effect| matches!(effect, Effect::Record { detail, .. } if detail.contains("before its first word"));
        anew += world.effects.iter().filter(told).count();
    }
    assert!(anew > 100, "{anew} begun anew");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_laws_hold(
        recovered in recovered(), steps in steps(), dormant_mib in prop_oneof![Just(0), Just(64), Just(150)],
    ) {
        tell(&recovered, &steps, dormant_mib);
    }
}
