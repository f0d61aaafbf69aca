//! Persistent tasks.

use fades_api::codes;
use fades_api::task::Missed;
use fades_core::engine::{Effect, Input, Outcome};
use fades_core::fault::Fault;
use fades_core::periods::{PeriodsSoFar, Schedule};
use fades_core::task::TaskState::{
    self, Accepted, Computing, Queued, Starting, Streaming, Succeeded, Waiting,
};
use fades_core::task::{RecordedState, TaskSpec};
use fades_wire::control::{Failed, Finished, Keep, ResultPart, StateHead};
use fades_wire::failure::{Code, Failure};

use crate::actors::{RESULT, finished};
use crate::scenarios::panicked;
use crate::world::{SECOND, World, spec, task};

/// A task with periods 0 to `last`, one a minute; period 0 is due at minute 1.
fn persistent(number: u8, last: u64, missed: Missed) -> TaskSpec {
    let minute = 60 * SECOND;
    let schedule = Schedule { every_us: minute, first_due_us: minute, last, missed, state_limit: 100 };
    TaskSpec { schedule: Some(schedule), ..spec(number, 1) }
}

/// A ready broker, at the middle of this minute.
fn at_minute(minute: u64) -> World {
    let mut world = World::new();
    world.now.unix_us = minute * 60 * SECOND + 30 * SECOND;
    world.boot();
    world
}

/// What was stored of periods, in order: `m2-3` missed, `+4` done, `-5` failed.
fn told(world: &World, number: u8) -> String {
    let words = world.effects.iter().filter_map(|effect| match effect {
        Effect::Missed { task: id, first, last } if *id == task(number) => Some(format!("m{first}-{last}")),
        Effect::Period { task: id, period, .. } if *id == task(number) => {
            let found =
                world.periods.iter().find(|(own, at, _)| own == id && at == period).expect("it has ended");
            Some(format!("{}{period}", if found.2.is_ok() { '+' } else { '-' }))
        }
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn states(world: &World, number: u8) -> Vec<TaskState> {
    let of_task = |effect: &Effect| match effect {
        Effect::Record { task: id, state, .. } if *id == task(number) => Some(*state),
        Effect::Period { task: id, .. } if *id == task(number) => Some(Waiting),
        Effect::Finish { task: id, outcome } if *id == task(number) => Some(outcome.state()),
        _ => None,
    };
    world.effects.iter().filter_map(of_task).collect()
}

/// The lengths of the states that periods left; each behaves by keeping one byte more than it was given.
fn kept(world: &World) -> Vec<usize> {
    let ended = world.periods.iter().filter_map(|(_, _, end)| end.as_ref().ok());
    ended.map(|success| success.state.as_ref().map_or(0, |state| state.bytes.len())).collect()
}

#[test]
fn a_period_follows_the_other_with_its_state_until_none_is_left() {
    let mut world = at_minute(0);
    world.accept(persistent(1, 2, Missed::Skip));
    world.settle();
    assert_eq!(states(&world, 1), [Waiting], "nothing is due");
    world.finish();
    let period = [Queued, Starting, Streaming, Computing, Waiting];
    assert_eq!(states(&world, 1), [&[Waiting][..], &period, &period, &period, &[Succeeded]].concat());
    assert_eq!(told(&world, 1), "+0 +1 +2");
    assert_eq!(kept(&world), [1, 2, 3]);
    assert_eq!(world.outcomes[&task(1)], Outcome::PeriodsOver);
    assert!(world.now.unix_us >= 180 * SECOND && world.now.unix_us < 185 * SECOND, "each when it was due");
}

#[test]
fn windows_move_with_their_period() {
    let mut world = at_minute(3);
    let mut spec = persistent(1, 9, Missed::Skip);
    (spec.operations[0].order.from_ns, spec.operations[0].order.to_ns) = (0, 60_000_000_000);
    world.accept(spec);
    world.settle();
    let broker = world.engine.status().broker.guest.unwrap();
    // At 3:30 period 2 is the latest that is due.
    assert_eq!(world.actors[&broker].windows, [(120_000_000_000, 180_000_000_000)]);
    // The next one asks for what is planned by then, moved from where period 0 is.
    let planned = &mut world.planned.get_mut(&task(1)).expect("it is planned")[0].order;
    (planned.from_ns, planned.to_ns) = (7, 60_000_000_007);
    world.pass(60 * SECOND);
    world.settle();
    assert_eq!(world.actors[&broker].windows, [(180_000_000_007, 240_000_000_007)]);
    assert_eq!(told(&world, 1), "m0-1 +2 +3");
}

#[test]
fn what_is_missed_is_skipped_or_caught_up_with() {
    for (missed, expected) in [(Missed::Skip, "m0-3 +4 +5"), (Missed::CatchUp, "+0 +1 +2 +3 +4 +5")] {
        let mut world = at_minute(5);
        world.accept(persistent(1, 5, missed));
        world.finish();
        assert_eq!(told(&world, 1), expected);
        assert_eq!(world.outcomes[&task(1)], Outcome::PeriodsOver);
    }
}

#[test]
fn a_period_that_takes_longer_than_until_the_next_makes_that_one_late_and_not_double() {
    for (missed, expected) in [(Missed::Skip, "+0 m1-1 +2 +3"), (Missed::CatchUp, "+0 +1 +2 +3")] {
        let mut world = at_minute(1);
        let mut spec = persistent(1, 3, missed);
        spec.timeout_ms = 1_000_000;
        world.accept(spec);
        let function = world.function(1);
        world.until(1, Streaming, function);
        world.now.unix_us += 120 * SECOND;
        world.finish();
        assert_eq!(told(&world, 1), expected);
        assert_eq!(kept(&world).last(), Some(&if missed == Missed::Skip { 3 } else { 4 }));
    }
}

#[test]
fn a_clock_that_goes_back_runs_nothing_twice() {
    let mut world = at_minute(4);
    world.accept(persistent(1, 5, Missed::Skip));
    world.settle();
    world.now.unix_us -= 200 * SECOND;
    world.finish();
    assert_eq!(told(&world, 1), "m0-2 +3 +4 +5");
    // Between being due and having its turn, too.
    let mut world = World::new();
    world.now.unix_us = 90 * SECOND;
    world.accept(persistent(1, 1, Missed::Skip));
    world.now.unix_us = SECOND;
    world.boot();
    assert_eq!(states(&world, 1), [Queued, Waiting]);
    world.finish();
    assert_eq!(told(&world, 1), "+0 +1");
}

#[test]
fn a_failed_period_keeps_the_state_and_the_task_goes_on() {
    let mut world = at_minute(4);
    world.accept(persistent(1, 4, Missed::CatchUp));
    world.until_periods(1);
    world.settle_until_under_way(1);
    let function = world.function(1);
    world.exit(function, panicked());
    world.settle_until_under_way(1);
    let function = world.function(1);
    world.until(1, Streaming, function);
    // Told when the next one asks for it.
    world.damage = Some(Fault::new(codes::STATE_DAMAGED, "the state has another checksum"));
    world.message(function, Failed(Failure::new(Code::State, "of another version")));
    assert_eq!((world.periods.len(), world.kept[&task(1)].bytes.len()), (4, 1));
    world.finish();
    assert_eq!(told(&world, 1), "+0 -1 -2 -3 +4");
    let failures: Vec<_> = world.periods.iter().filter_map(|(_, _, end)| end.clone().err()).collect();
    assert_eq!(failures, ["GUEST_PANICKED", "STATE_REFUSED", "STATE_DAMAGED"]);
    assert_eq!(kept(&world), [1, 2]);
    assert_eq!(world.outcomes[&task(1)], Outcome::PeriodsOver);
}

#[test]
fn a_task_without_any_result_fails() {
    let mut world = at_minute(2);
    world.accept(persistent(1, 1, Missed::Skip));
    let function = world.function(1);
    world.exit(function, panicked());
    assert_eq!(world.failure(1), "PERIODS_WITHOUT_RESULT");
    assert_eq!(told(&world, 1), "m0-0 -1");
}

#[test]
fn the_broker_may_die_under_a_period_and_it_begins_again_with_the_old_state() {
    let mut world = at_minute(2);
    world.accept(persistent(1, 1, Missed::CatchUp));
    world.until_periods(1);
    for _ in 0..2 {
        world.settle_until_under_way(1);
        let function = world.function(1);
        world.until(1, Streaming, function);
        let broker = world.engine.status().broker.guest.unwrap();
        world.exit(broker, panicked());
    }
    world.finish();
    assert_eq!(told(&world, 1), "+0 +1");
    assert_eq!(kept(&world), [1, 2]);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let recorded = |state, attempts, next, running| RecordedState {
        state,
        attempts,
        periods: PeriodsSoFar { next, running, done: next, failed: 0, missed: 0 },
    };
    let cases = [
        (Accepted, 0, 0, None, "+0 +1 +2 +3"),
        (Waiting, 0, 2, None, "+2 +3"),
        (Queued, 0, 2, None, "+2 +3"),
        (Queued, 1, 2, Some(2), "+2 +3"),
        (Streaming, 1, 1, Some(1), "+1 +2 +3"),
        // Begun as often as the node allows.
        (Computing, 3, 1, Some(1), "-1 +2 +3"),
        (Queued, 3, 1, Some(1), "-1 +2 +3"),
        (Waiting, 0, 4, None, ""),
    ];
    for (state, attempts, next, running, expected) in cases {
        let mut world = at_minute(3);
        world.recover_persistent(persistent(1, 3, Missed::CatchUp), recorded(state, attempts, next, running));
        world.finish();
        assert_eq!(told(&world, 1), expected, "{state} {running:?}");
        assert_eq!(world.outcomes[&task(1)], Outcome::PeriodsOver);
    }
    // With skip the one that had begun is not skipped.
    let mut world = at_minute(3);
    world.recover_persistent(persistent(1, 3, Missed::Skip), recorded(Streaming, 1, 0, Some(0)));
    world.finish();
    assert_eq!(told(&world, 1), "+0 m1-1 +2 +3");
}

#[test]
fn cancelling_ends_it_between_periods_and_within_one() {
    let mut world = at_minute(0);
    world.accept(persistent(1, 3, Missed::Skip));
    world.give(Input::Cancel(task(1)));
    assert_eq!(world.outcomes[&task(1)], Outcome::Cancelled);
    world.pass(600 * SECOND);
    world.settle();
    assert_eq!(told(&world, 1), "");

    let mut world = at_minute(1);
    world.accept(persistent(1, 3, Missed::Skip));
    let function = world.function(1);
    world.until(1, Streaming, function);
    let effects = world.give(Input::Cancel(task(1)));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::StopGuest { guest, .. } if *guest == function))
    );
    world.finish();
    assert_eq!(told(&world, 1), "");
}

#[test]
fn what_is_due_when_the_wrapper_expires_is_missed() {
    // No broker, so nothing has its turn.
    let mut world = World::new();
    let mut spec = persistent(1, 9, Missed::CatchUp);
    spec.expires_unix_us = 330 * SECOND;
    world.now.unix_us = 330 * SECOND;
    let periods = PeriodsSoFar { next: 2, running: Some(2), done: 1, failed: 1, missed: 0 };
    world.recover_persistent(spec, RecordedState { state: Starting, attempts: 1, periods });
    assert_eq!(told(&world, 1), "-2 m3-4");
    assert_eq!(world.outcomes[&task(1)], Outcome::PeriodsOver);

    let mut world = World::new();
    let mut spec = persistent(1, 9, Missed::Skip);
    spec.expires_unix_us = 80 * SECOND;
    world.now.unix_us = 70 * SECOND;
    world.accept(spec);
    world.pass(10 * SECOND);
    assert_eq!((told(&world, 1).as_str(), &world.outcomes[&task(1)]), ("m0-0", &Outcome::Expired));
}

#[test]
fn a_state_that_does_not_fit_together_fails_its_period() {
    let head = |len| Some(StateHead { version: 1, len });
    let keep = |index, len: usize| Keep { index, bytes: vec![0; len] };
    let cases: [(&[Keep], Option<StateHead>); 6] = [
        (&[keep(1, 5)], head(5)),
        (&[keep(0, 0)], head(0)),
        (&[keep(0, 60), keep(1, 41)], head(101)),
        (&[keep(0, 5)], head(6)),
        (&[keep(0, 5)], None),
        (&[], head(1)),
    ];
    for (parts, state) in cases {
        let mut world = at_minute(1);
        world.accept(persistent(1, 0, Missed::Skip));
        let function = world.function(1);
        world.until(1, Streaming, function);
        world.message(function, ResultPart { index: 0, last: true, bytes: RESULT.into() });
        parts.iter().for_each(|part| drop(world.message(function, part.clone())));
        if world.periods.is_empty() {
            world.message(function, Finished { state, ..finished(task(1), 1) });
        }
        let [(_, 0, Err(code))] = &world.periods[..] else { panic!("{:?}", world.periods) };
        assert_eq!(code, "STATE_PARTS_WRONG", "{parts:?} {state:?}");
        assert!(world.kept.is_empty());
    }
    // And a task that is not persistent keeps nothing.
    let (mut world, _, function) = crate::scenarios::streaming();
    world.message(function, keep(0, 1));
    assert_eq!(world.failure(1), "STATE_PARTS_WRONG");
}

#[test]
fn who_catches_up_keeps_nobody_from_their_turn() {
    let mut world = at_minute(9);
    world.accept(persistent(1, 8, Missed::CatchUp));
    world.accept(persistent(2, 8, Missed::CatchUp));
    world.accept(persistent(3, 8, Missed::CatchUp));
    world.finish();
    let order: Vec<u64> = world.periods.iter().map(|(_, period, _)| *period).collect();
    let most_ahead = order.iter().enumerate().map(|(at, period)| period.abs_diff(at as u64 / 3)).max();
    assert!(most_ahead <= Some(1), "{order:?}");
}
