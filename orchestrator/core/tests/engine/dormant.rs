//! Functions that are started ahead of their tasks.

use fades_core::backend::ExitCause;
use fades_core::engine::{Effect, Input, Outcome};
use fades_core::limits::Limits;
use fades_core::task::TaskSpec;
use fades_core::{GuestId, Role};

use crate::world::{LIMITS, World, spec, task};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Room for two functions of ordinary size that wait, beside two that run.
fn world() -> World {
    let mut world =
        World::with(Limits { guests: 6, memory_mib: 512, tasks: 3, waiting: 100, dormant_mib: 130 });
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
    world.finish();
    assert_eq!(boot_us(&world, 2), 0, "asked for and ready at once");
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
