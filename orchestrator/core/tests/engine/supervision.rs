//! Stories about the broker's supervision, and what its death means for tasks.

use fades_api::codes;
use fades_core::engine::{Effect, GuestInput, Input};
use fades_core::fault::Fault;
use fades_core::limits::Patience;
use fades_core::task::TaskState::{Queued, Starting, Streaming, Succeeded};
use fades_wire::control::{Failed, Hello, OperationProgress, Started, ToGuest};
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::Role as WireRole;

use crate::scenarios::{panicked, states, stops, streaming};
use crate::world::{SECOND, World, spec, task};

#[test]
fn tasks_are_begun_anew_when_the_broker_dies_and_fail_in_the_end() {
    let mut world = World::new();
    world.boot();
    world.accept(spec(1, 2));
    for round in 1..=3 {
        world.settle_until_under_way(1);
        let broker = world.engine.status().broker.guest.unwrap();
        let function = world.function(1);
        world.until(1, Streaming, function);
        let effects = world.exit(broker, panicked());
        assert_eq!(stops(&effects), [function], "round {round}");
        assert_eq!(world.outcomes.is_empty(), round < 3);
    }
    assert_eq!(world.failure(1), "BROKER_DIED");
    let expected = [Queued, Starting, Streaming].repeat(3);
    assert_eq!(states(&world, 1)[..9], expected);
    world.finish();
    assert_eq!(world.engine.status().broker.deaths, 3);
}

#[test]
fn a_broker_that_stops_answering_is_dead_although_its_machine_runs() {
    let (mut world, broker, function) = streaming();
    for _ in 0..Patience::default().heartbeat_misses {
        assert_eq!(stops(&world.pass(SECOND)), []);
    }
    assert_eq!(stops(&world.pass(SECOND)), [broker, function]);
    assert_eq!(states(&world, 1).last(), Some(&Queued));
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
}

#[test]
fn a_daemon_that_slept_does_not_take_its_broker_for_dead() {
    let mut world = World::new();
    let broker = world.boot();
    world.pass(600 * SECOND);
    while world.step(broker) {}
    world.pass(SECOND);
    assert_eq!(world.engine.status().broker.guest, Some(broker));
    assert_eq!(world.engine.status().broker.deaths, 0);
}

#[test]
fn functions_are_pinged_so_that_they_notice_when_the_node_is_gone() {
    let mut world = World::new();
    let broker = world.boot();
    world.accept(spec(1, 1));
    let function = world.function(1);
    world.now.mono_us += SECOND / 4;
    world.until(1, Streaming, function);
    let hello_us = world.now.mono_us;
    let mut pings = Vec::new();
    while world.now.mono_us < hello_us + 3 * SECOND {
        let effects = world.pass(world.wake_us - world.now.mono_us);
        let ping = |effect: &Effect| matches!(effect, Effect::Send { guest, message: ToGuest::Ping(_) } if *guest == function);
        if effects.iter().any(ping) {
            pings.push(world.now.mono_us - hello_us);
        }
        while world.step(broker) {}
    }
    assert_eq!(pings, [SECOND, 2 * SECOND, 3 * SECOND]);
}

#[test]
fn the_brokers_own_faults_end_it_and_its_pause_grows() {
    let foreign = OperationProgress { task: task(1).into(), operation: 7, points: 1, bytes: 16 };
    let early = OperationProgress { task: task(2).into(), operation: 0, points: 1, bytes: 16 };
    let faults: Vec<GuestInput> = vec![
        GuestInput::Disconnected,
        GuestInput::ProtocolError("bad crc".into()),
        GuestInput::Message(Started.into()),
        GuestInput::Message(foreign.into()),
        GuestInput::Message(early.into()),
        GuestInput::Message(Failed(Failure::new(Code::Panic, "boom")).into()),
        GuestInput::Message(fades_wire::control::Heartbeat { nonce: 99, heap_used: 0 }.into()),
        GuestInput::Message(Hello { protocol: 1, role: WireRole::Broker, image: "x".into() }.into()),
    ];
    for fault in faults {
        let (mut world, broker, _) = streaming();
        world.accept(spec(2, 1));
        assert!(stops(&world.give(Input::Guest(broker, fault.clone()))).contains(&broker), "{fault:?}");
        world.finish();
        assert_eq!(world.outcomes[&task(1)].state(), Succeeded, "{fault:?}");
    }
    let mut world = World::new();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        world.give(Input::Tick);
        let broker = world.engine.status().broker.guest.unwrap();
        let fault = Fault::new(codes::GUEST_START_FAILED, "no qemu");
        world.give(Input::Guest(broker, GuestInput::StartFailed(fault)));
        pauses.push((world.wake_us - world.now.mono_us) / 1000);
        world.pass(world.wake_us - world.now.mono_us);
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
}
