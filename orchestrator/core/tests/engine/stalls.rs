//! Stories about time in which the shell could hear nobody, as its disk was full. Seeds of the simulation told them first.

use fades_core::backend::ExitCause;
use fades_core::engine::{Effect, Input};
use fades_core::task::TaskState::{Queued, Succeeded};
use fades_wire::control::{Heartbeat, OperationEnded, ToGuest};
use fades_wire::ids::TaskKey;

use crate::actors::truth;
use crate::scenarios::{states, streaming};
use crate::world::{SECOND, World, spec, task};

/// Longer than any of its patience.
const LONG: u64 = 90 * SECOND;

fn stall(world: &mut World) -> Vec<Effect> {
    world.now.mono_us += LONG;
    world.now.unix_us += LONG;
    world.give(Input::Stalled(LONG))
}

#[test]
fn what_was_done_in_time_counts_though_it_is_heard_late() {
    let (mut world, ..) = streaming();
    stall(&mut world);
    assert!(world.outcomes.is_empty());
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    assert!(!states(&world, 1)[2..].contains(&Queued), "it is not begun again: {:?}", states(&world, 1));
}

#[test]
fn who_boots_has_all_of_its_time_afterwards() {
    let mut world = World::new();
    world.give(Input::Tick);
    stall(&mut world);
    assert_eq!(world.engine.status().broker.deaths, 0, "the broker boots still");
    world.settle();
    world.accept(spec(1, 1));
    world.settle_until_under_way(1);
    stall(&mut world);
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
}

#[test]
fn a_function_that_hangs_is_ended_all_the_same() {
    let (mut world, ..) = streaming();
    stall(&mut world);
    world.pass(20 * SECOND);
    assert_eq!(world.failure(1), "GUEST_TIMED_OUT");
}

#[test]
fn a_function_ended_by_its_backend_meanwhile_is_begun_again_under_another_name() {
    let (mut world, broker, function) = streaming();
    stall(&mut world);
    world.exit(function, ExitCause::Killed);
    assert!(world.outcomes.is_empty());
    // What the broker had said of the first attempt comes late, and is about nobody.
    let times = Default::default();
    let (summary, fewest) = (truth(task(1), 0), 0);
    let late = OperationEnded { task: task(1).into(), operation: 0, summary, fewest, times };
    world.message(broker, late);
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    let run = |effect: &Effect| match effect {
        Effect::Send { message: ToGuest::Run(run), .. } => Some(run.task),
        _ => None,
    };
    let keys: Vec<TaskKey> = world.effects.iter().filter_map(run).collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_function_that_is_killed_without_a_stall_fails_its_task() {
    let (mut world, _, function) = streaming();
    world.exit(function, ExitCause::Killed);
    assert_eq!(world.failure(1), "GUEST_TIMED_OUT");
}

#[test]
fn the_answer_to_a_word_that_the_shell_gave_passes() {
    let (mut world, broker, function) = streaming();
    for guest in [broker, function] {
        world.message(guest, Heartbeat { nonce: 0, heap_used: 1 });
    }
    assert!(world.outcomes.is_empty());
    assert_eq!(world.engine.status().broker.deaths, 0);
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
}
