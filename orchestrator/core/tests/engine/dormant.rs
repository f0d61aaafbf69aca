//! Functions that are started ahead of their tasks.

use fades_core::backend::ExitCause;
use fades_core::engine::{Effect, GuestInput, Input, Outcome};
use fades_core::limits::Limits;
use fades_core::task::{TaskSpec, TaskState};
use fades_core::{GuestId, Role};
use fades_wire::control::{OperationEnded, OperationFailed, Started, ToGuest};
use fades_wire::failure::{Code, Failure};

use crate::actors::truth;
use crate::world::{LIMITS, World, exited, spec, task};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Room for two functions of ordinary size that wait, beside two that run.
fn world() -> World {
    let mut world = World::with(Limits { guests: 6, memory_mib: 512, tasks: 3, dormant_mib: 130, ..LIMITS });
    world.boot();
    world
}

/// Functions that exist, and whether each has a task.
fn functions(world: &World) -> Vec<(GuestId, bool)> {
    let guests = world.engine.status().guests;
    let live = guests.iter().filter(|guest| guest.role == Role::Function && !guest.stopping);
    live.map(|guest| (guest.guest, guest.task.is_some())).collect()
}

fn boot_us(world: &World, number: u8) -> u64 {
    match &world.outcomes[&task(number)] {
        Outcome::Succeeded(success) => success.timings.boot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_like_one_before_finds_its_function_awake() {
    let mut world = world();
    world.accept(spec(1, 1));
    let first = world.function(1);
    world.finish();
    world.settle();
    let [(sleeper, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    assert_ne!(sleeper, first, "each serves one task");
    world.accept(spec(2, 1));
    assert_eq!(world.function(2), sleeper);
    world.now.mono_us += 3;
    world.finish();
    assert_eq!(boot_us(&world, 2), 3, "from when it was taken until its first word");
    world.settle();
    let [(next, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    assert!(next != sleeper, "another one waits for the next");
    // Another amount of memory is another kind, and so is another image.
    let mut other = spec(3, 1);
    other.image.digest = [9; 32];
    for spec in [other, TaskSpec { memory_mib: 48, ..spec(4, 1) }] {
        let number = spec.id.0[0];
        world.accept(spec);
        assert_ne!(world.function(number), next);
    }
    world.finish();
}

#[test]
fn one_that_still_boots_is_taken_and_waited_for() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.until_finished(1);
    let [(sleeper, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    world.accept(spec(2, 1));
    assert_eq!(world.function(2), sleeper);
    world.now.mono_us += 7;
    world.finish();
    assert_eq!(boot_us(&world, 2), 7);
}

#[test]
fn as_many_wait_as_ran_at_once_within_their_memory_and_ever_fewer() {
    let mut world = world();
    for number in 1..=3 {
        world.accept(spec(number, 1));
    }
    world.finish();
    for _ in 0..5 {
        world.settle();
        world.pass(1);
    }
    assert_eq!(functions(&world).len(), 2, "a third would be over the budget of 130 MiB");
    world.pass(MINUTE);
    world.settle();
    assert_eq!(functions(&world).len(), 2);
    world.pass(MINUTE);
    world.settle();
    assert_eq!(functions(&world).len(), 1);
    world.pass(7 * MINUTE);
    world.settle();
    assert_eq!(functions(&world).len(), 1);
    world.pass(MINUTE);
    world.settle();
    assert_eq!(functions(&world), [], "nobody has asked for ten minutes");
    world.pass(1);
    assert_eq!(functions(&world), []);
}

#[test]
fn who_waits_gives_way_to_a_task() {
    let mut world = World::with(Limits { dormant_mib: 64, ..LIMITS });
    world.boot();
    world.accept(spec(1, 1));
    world.finish();
    world.settle();
    assert_eq!(functions(&world).len(), 1);
    // 128 of the broker and 192: all that there is.
    world.accept(TaskSpec { memory_mib: 192, ..spec(2, 1) });
    assert_eq!(functions(&world), [], "its end was asked for");
    world.finish();
    assert!(matches!(world.outcomes[&task(2)], Outcome::Succeeded(_)));
}

#[test]
fn none_gives_way_in_vain() {
    let mut world = world();
    for number in 1..=2 {
        world.accept(spec(number, 1));
    }
    world.finish();
    for _ in 0..3 {
        world.settle();
        world.pass(1);
    }
    let two = functions(&world);
    assert_eq!(two.len(), 2);
    // 512 in all, 128 of the broker. Beside a task of 192 and the two that wait, there is no room for another one of 288,
    // whoever gives way; when that task is done, one of the two has to.
    world.accept(TaskSpec { memory_mib: 192, ..spec(3, 1) });
    world.accept(TaskSpec { memory_mib: 288, ..spec(4, 1) });
    let waiting: Vec<_> = functions(&world).into_iter().filter(|(_, has_task)| !has_task).collect();
    assert_eq!(waiting, two);
    world.until_finished(3);
    let waiting = functions(&world).into_iter().filter(|(_, has_task)| !has_task).count();
    assert_eq!(waiting, 1);
    world.finish();
    assert!(matches!(world.outcomes[&task(4)], Outcome::Succeeded(_)));
}

/// A task of one operation whose function was awake before, and the broker.
fn taken() -> (World, GuestId, GuestId) {
    let mut world = world();
    world.accept(spec(1, 1));
    world.finish();
    world.settle();
    let [(sleeper, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    let broker = world.engine.status().broker.guest.expect("ready");
    world.accept(spec(2, 1));
    assert_eq!(world.function(2), sleeper);
    (world, broker, sleeper)
}

#[test]
fn a_task_whose_function_died_in_its_sleep_is_begun_anew_with_a_fresh_one() {
    for death in [GuestInput::Disconnected, exited(ExitCause::Signal(9)), exited(ExitCause::Code(14))] {
        let (mut world, broker, dead) = taken();
        // That it is not there any more may be told by the broker first.
        let failure = Failure::new(Code::PeerSilent, "the region is in another turn");
        let unmet = OperationFailed { task: task(2).into(), operation: 0, failure };
        world.message(broker, unmet.clone());
        let effects = world.give(Input::Guest(dead, death.clone()));
        assert!(world.outcomes.is_empty() || !world.outcomes.contains_key(&task(2)), "{death:?}");
        let fresh = world.function(2);
        let ordered = |effect: &&Effect| matches!(effect, Effect::StartGuest(order) if order.guest == fresh);
        assert_eq!(effects.iter().filter(ordered).count(), 1, "it is started for it: {effects:?}");
        let abandoned = |effect: &&Effect| matches!(effect, Effect::Send { guest, message: ToGuest::Abandon(_) } if *guest == broker);
        assert_eq!(effects.iter().filter(abandoned).count(), 1);
        // What the broker had said of it before it heard of that is about nobody, whenever it comes.
        let summary = truth(task(2), 0);
        let (fewest, times) = (0, Default::default());
        let ended = OperationEnded { task: task(2).into(), operation: 0, summary, fewest, times };
        world.message(broker, ended);
        world.until(2, TaskState::Streaming, fresh);
        world.message(broker, ended);
        world.message(broker, unmet);
        world.finish();
        assert!(matches!(world.outcomes[&task(2)], Outcome::Succeeded(_)), "{death:?}: {:?}", world.outcomes);
        assert_eq!(world.engine.status().broker.deaths, 0);
    }
}

#[test]
fn a_function_that_has_said_a_word_or_is_fresh_fails_its_task_when_it_dies() {
    let (mut world, _, woken) = taken();
    world.message(woken, Started);
    world.exit(woken, ExitCause::Signal(9));
    assert_eq!(world.failure(2), "GUEST_KILLED_BY_SIGNAL");
    let (mut world, _, dead) = taken();
    world.exit(dead, ExitCause::Signal(9));
    let fresh = world.function(2);
    world.until(2, TaskState::Streaming, fresh);
    world.exit(fresh, ExitCause::Signal(9));
    assert_eq!(world.failure(2), "GUEST_KILLED_BY_SIGNAL", "once is enough");
    world.finish();
}

#[test]
fn the_last_attempt_is_made_with_a_function_of_its_own() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.finish();
    world.settle();
    let [(sleeper, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    world.recover(spec(2, 1), TaskState::Queued, 2);
    assert_ne!(world.function(2), sleeper);
    world.recover(spec(3, 1), TaskState::Queued, 1);
    assert_eq!(world.function(3), sleeper);
    world.finish();
}

#[test]
fn one_that_has_waited_for_long_is_replaced() {
    let mut world = World::with(Limits { dormant_mib: 128, memory_mib: 512, tasks: 1, ..LIMITS });
    world.boot();
    // Of two kinds one each is kept, but of the second none is ever taken: it is asked for with a last attempt only.
    let other = |number| {
        let mut spec = spec(number, 1);
        spec.image.digest = [9; 32];
        spec
    };
    world.accept(other(1));
    world.finish();
    world.settle();
    let [(first, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    for number in 2..=3 {
        world.pass(7 * MINUTE);
        world.settle();
        world.recover(other(number), TaskState::Queued, 2);
        world.finish();
        assert!(functions(&world).contains(&(first, false)));
    }
    world.pass(2 * MINUTE);
    world.settle();
    world.pass(1);
    world.settle();
    let [(second, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    assert_ne!(second, first, "after a quarter of an hour");
}

#[test]
fn none_is_started_while_a_task_waits_for_its_own() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.accept(spec(2, 1));
    let both = [world.function(1), world.function(2)];
    world.step(both[0]);
    assert_eq!(functions(&world).len(), 2);
    world.finish();
}

#[test]
fn one_that_does_not_wake_up_is_ended_and_tried_again_later() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.finish();
    let broker = world.engine.status().broker.guest.expect("ready");
    for pause in [5, 10, 20] {
        let [(sleeper, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
        let before = world.now.mono_us;
        world.exit(sleeper, ExitCause::Signal(9));
        assert_eq!(functions(&world), []);
        while functions(&world).is_empty() && world.now.mono_us < before + MINUTE {
            world.pass(world.wake_us - world.now.mono_us);
            world.step(broker);
        }
        assert_eq!(world.now.mono_us - before, pause * SECOND);
    }
    // Silence is noticed as well, and what speaks before it has a task is not trusted.
    let [(silent, false)] = functions(&world)[..] else { panic!("{:?}", functions(&world)) };
    for _ in 0..30 {
        world.pass(SECOND);
        world.step(broker);
    }
    let stopped = |effect: &Effect| matches!(effect, Effect::StopGuest { guest, .. } if *guest == silent);
    assert!(world.effects.iter().any(stopped));
}

#[test]
fn nothing_waits_of_images_that_may_be_gone() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.finish();
    world.settle();
    assert_eq!(functions(&world).len(), 1);
    world.give(Input::ImagesChanged);
    world.settle();
    assert_eq!(functions(&world), []);
    world.accept(spec(2, 1));
    world.finish();
    assert!(matches!(world.outcomes[&task(2)], Outcome::Succeeded(_)));
}

#[test]
fn who_waits_outlives_the_broker() {
    let mut world = world();
    world.accept(spec(1, 1));
    world.finish();
    world.settle();
    let before = functions(&world);
    let broker = world.engine.status().broker.guest.expect("ready");
    world.exit(broker, ExitCause::Signal(9));
    assert_eq!(functions(&world), before);
    world.accept(spec(2, 1));
    world.finish();
    assert!(matches!(world.outcomes[&task(2)], Outcome::Succeeded(_)));
}
