//! Stories with a known end.

use fades_api::codes;
use fades_core::backend::ExitCause;
use fades_core::engine::{Effect, GuestInput, Input, Outcome};
use fades_core::fault::Fault;
use fades_core::limits::{Limits, Patience};
use fades_core::task::TaskState::{self, Accepted, Computing, Queued, Starting, Streaming, Succeeded};
use fades_core::{GuestId, Role};
use fades_wire::PROTOCOL;
use fades_wire::control::{
    Failed, FromGuest, Hello, OperationEnded, OperationFailed, OperationProgress, OperationTimes, ResultPart,
    Started, ToGuest,
};
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::Role as WireRole;

use crate::actors::{HEAP_PEAK, RESULT, finished, place, truth};
use crate::world::{LIMITS, SECOND, World, exited, spec, task};

pub(crate) fn panicked() -> ExitCause {
    ExitCause::Panicked { message: "index out of bounds".into(), location: "src/lib.rs:7".into() }
}

pub(crate) fn stops(effects: &[Effect]) -> Vec<GuestId> {
    let stopped =
        |effect: &Effect| if let Effect::StopGuest { guest, .. } = effect { Some(*guest) } else { None };
    effects.iter().filter_map(stopped).collect()
}

pub(crate) fn states(world: &World, number: u8) -> Vec<TaskState> {
    let of_task = |effect: &Effect| match effect {
        Effect::Record { task: id, state, .. } if *id == task(number) => Some(*state),
        Effect::Finish { task: id, outcome } if *id == task(number) => Some(outcome.state()),
        _ => None,
    };
    world.effects.iter().filter_map(of_task).collect()
}

/// A broker that is up, task 1 of two operations streaming; the broker and the function.
pub(crate) fn streaming() -> (World, GuestId, GuestId) {
    let mut world = World::new();
    let broker = world.boot();
    world.accept(spec(1, 2));
    let function = world.function(1);
    world.until(1, Streaming, function);
    (world, broker, function)
}

#[test]
fn a_task_goes_through_its_states_to_its_result() {
    let mut world = World::new();
    world.boot();
    world.now.mono_us += 7;
    let mut spec = spec(1, 2);
    spec.received_mono_us = Some(1);
    world.accept(spec);
    world.finish();
    assert_eq!(states(&world, 1), [Queued, Starting, Streaming, Computing, Succeeded]);
    let Some(Outcome::Succeeded(success)) = world.outcomes.get(&task(1)) else {
        panic!("{:?}", world.outcomes)
    };
    assert_eq!((success.result.as_bytes(), success.heap_peak), (RESULT, HEAP_PEAK));
    assert_eq!(success.summaries, [truth(task(1), 0), truth(task(1), 1)]);
    let timings = success.timings;
    assert_eq!((timings.verify, timings.retrieve, timings.transfer, timings.compute), (11, 5, 7, 3));
    assert_eq!(timings.total, world.now.mono_us - 1);
}

#[test]
fn the_end_is_stored_before_the_function_is_ended() {
    let (mut world, broker, function) = streaming();
    while world.step(broker) {}
    let mut last = Vec::new();
    while world.outcomes.is_empty() {
        let input = world.actors.get_mut(&function).unwrap().next().unwrap();
        last = world.give(Input::Guest(function, input));
    }
    let [
        Effect::Finish { .. },
        Effect::StopGuest { guest, .. },
        Effect::Send { message, .. },
        Effect::WakeAt { .. },
    ] = &last[..]
    else {
        panic!("{last:?}");
    };
    assert_eq!(*guest, function);
    // The broker is told as well: the function's farewell may never reach it.
    assert!(matches!(message, ToGuest::Abandon(_)), "{message:?}");
}

#[test]
fn stages_are_measured_from_their_marks() {
    let mut world = World::new();
    let broker = world.boot();
    world.accept(spec(1, 1));
    let function = world.function(1);
    world.now.mono_us += 300;
    world.until(1, Streaming, function);
    while world.step(broker) {}
    world.step(function);
    world.step(function);
    world.now.mono_us += 40;
    world.finish();
    let Some(Outcome::Succeeded(success)) = world.outcomes.get(&task(1)) else { panic!("no result") };
    assert_eq!((success.timings.queue, success.timings.boot, success.timings.return_), (0, 300, 40));
}

#[test]
fn the_broker_is_told_whether_operations_go_side_by_side() {
    let mut world = World::new();
    world.boot();
    for together in [false, true] {
        let number = 1 + u8::from(together);
        world.accept(fades_core::task::TaskSpec { together, ..spec(number, 2) });
        let function = world.function(number);
        world.until(number, Streaming, function);
        let told = world.effects.iter().rev().find_map(|effect| match effect {
            Effect::Send { message: ToGuest::Retrieve(retrieve), .. } => Some(retrieve.together),
            _ => None,
        });
        assert_eq!(told, Some(together));
    }
}

#[test]
fn the_broker_hears_of_the_task_before_the_function_does() {
    let (world, broker, function) = streaming();
    let retrieve = world.effects.iter().find_map(|effect| match effect {
        Effect::Send { guest, message: ToGuest::Retrieve(retrieve) } if *guest == broker => Some(retrieve),
        _ => None,
    });
    let run = world.effects.iter().find_map(|effect| match effect {
        Effect::Send { guest, message: ToGuest::Run(run) } if *guest == function => Some(run),
        _ => None,
    });
    let (retrieve, run) = (retrieve.unwrap(), run.unwrap());
    assert_eq!(
        (retrieve.priority, retrieve.deadline_us, retrieve.operations.len()),
        (5, 20 * SECOND - SECOND / 4, 2)
    );
    assert_eq!((run.ticket, run.result_limit, run.broker), (retrieve.ticket, 100, place()));
    assert_eq!(run.operations[1].id.0, "op1");
}

#[test]
fn a_result_that_overtakes_the_brokers_counts_waits_for_them() {
    let (mut world, broker, function) = streaming();
    while world.step(function) {}
    assert!(world.outcomes.is_empty());
    world.exit(function, ExitCause::Code(0));
    assert!(world.outcomes.is_empty(), "what it said before it ended still counts");
    while world.step(broker) {}
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    world.finish();
}

#[test]
fn last_words_that_come_after_the_news_of_the_end_still_count() {
    let (mut world, broker, function) = streaming();
    while world.step(broker) {}
    world.exit(function, ExitCause::Code(0));
    while world.step_ghost(function) {}
    world.give(Input::Guest(function, GuestInput::Disconnected));
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    world.finish();
}

/// The words a task failed with.
fn words(world: &World) -> &str {
    match &world.outcomes[&task(1)] {
        Outcome::Failed(fault) => &fault.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_are_called_as_the_wrapper_calls_them() {
    let (mut world, _, _) = streaming();
    world.pass(20 * SECOND);
    assert_eq!(world.failure(1), "GUEST_TIMED_OUT");
    let told = "not done after 20000 ms: the data of operations \"op0\", \"op1\" was not complete";
    assert_eq!(words(&world), told);
    let (mut world, broker, function) = streaming();
    while world.step(broker) {}
    let mut last = finished(task(1), 2);
    last.summaries[1].points += 1;
    world.message(function, ResultPart { index: 0, last: true, bytes: b"1".into() });
    last.result_len = 1;
    world.message(function, last);
    assert_eq!(world.failure(1), "SUMMARIES_DIFFER");
    assert!(words(&world).starts_with("operation \"op1\": the broker sent"), "{}", words(&world));
}

#[test]
fn a_result_before_its_data_fails() {
    let (mut world, _, function) = streaming();
    while world.step(function) {}
    world.pass(Patience::default().settle_us);
    assert_eq!(world.failure(1), "RESULT_BEFORE_INPUT");
    world.finish();
}

#[test]
fn summaries_that_differ_are_never_published() {
    type Change = fn(&mut fades_wire::data::StreamSummary);
    let changes: [Change; 8] = [
        |summary| summary.points += 1,
        |summary| summary.bytes += 16,
        |summary| summary.chunks += 1,
        |summary| summary.series += 1,
        |summary| summary.first_ns = None,
        |summary| summary.last_ns = Some(8),
        |summary| summary.digest[31] ^= 1,
        |summary| summary.operation = 0,
    ];
    for change in changes {
        let (mut world, broker, function) = streaming();
        while world.step(broker) {}
        world.message(function, ResultPart { index: 0, last: true, bytes: RESULT.into() });
        let mut lie = finished(task(1), 2);
        change(&mut lie.summaries[1]);
        world.message(function, lie);
        assert_eq!(world.failure(1), "SUMMARIES_DIFFER");
        world.finish();
    }
    for operations in [0, 1, 3] {
        let (mut world, broker, function) = streaming();
        while world.step(broker) {}
        world.message(function, ResultPart { index: 0, last: true, bytes: RESULT.into() });
        world.message(function, finished(task(1), operations));
        assert_eq!(world.failure(1), "SUMMARIES_DIFFER");
    }
}

#[test]
fn what_a_function_does_wrong_fails_its_task_alone() {
    let part =
        |index, last, size: usize| FromGuest::from(ResultPart { index, last, bytes: vec![b'1'; size] });
    let failed = |code| FromGuest::from(Failed(Failure::new(code, "words")));
    let hello = Hello { protocol: 1, role: WireRole::Function, image: "x".into() };
    let ended = OperationEnded {
        task: task(2).into(),
        operation: 0,
        summary: truth(task(2), 0),
        fewest: 0,
        times: OperationTimes::default(),
    };
    let mut longer = finished(task(1), 2);
    longer.result_len += 1;
    let cases: Vec<(Vec<FromGuest>, &str)> = vec![
        (vec![part(0, true, 101)], "RESULT_TOO_LARGE"),
        (vec![part(0, false, 60), part(1, true, 41)], "RESULT_TOO_LARGE"),
        (vec![part(1, true, 1)], "RESULT_PARTS_WRONG"),
        (vec![part(0, false, 1), part(0, true, 1)], "RESULT_PARTS_WRONG"),
        (vec![part(0, true, 1), part(1, true, 1)], "RESULT_PARTS_WRONG"),
        (vec![part(0, false, 0)], "RESULT_PARTS_WRONG"),
        (vec![part(0, false, 12), finished(task(1), 2).into()], "RESULT_PARTS_WRONG"),
        (vec![part(0, true, 12), longer.into()], "RESULT_PARTS_WRONG"),
        (vec![finished(task(1), 2).into()], "RESULT_PARTS_WRONG"),
        (vec![failed(Code::Function)], "FUNCTION_FAILED"),
        (vec![failed(Code::Parameters)], "FUNCTION_PARAMETERS"),
        (vec![failed(Code::Memory)], "GUEST_OUT_OF_MEMORY"),
        (vec![failed(Code::Panic)], "GUEST_PANICKED"),
        (vec![failed(Code::SourceSilent)], "SOURCE_SILENT"),
        (vec![failed(Code::Unknown(999))], "GUEST_FAILURE_UNKNOWN"),
        (vec![hello.into()], "GUEST_PROTOCOL"),
        (vec![ended.into()], "GUEST_PROTOCOL"),
        (vec![Started.into(), Started.into()], "GUEST_PROTOCOL"),
        (vec![fades_wire::control::Heartbeat { nonce: 9, heap_used: 0 }.into()], "GUEST_PROTOCOL"),
    ];
    for (messages, code) in cases {
        let (mut world, broker, function) = streaming();
        world.accept(spec(2, 1));
        for message in &messages {
            world.message(function, message.clone());
        }
        assert_eq!(world.failure(1), code, "{messages:?}");
        world.finish();
        assert_eq!(world.outcomes[&task(2)].state(), Succeeded, "its neighbour goes on");
        assert_eq!(world.engine.status().broker.guest, Some(broker));
    }
}

#[test]
fn a_result_that_is_no_json_fails() {
    for bytes in [&b"{\"a\":"[..], b"{} {}", b"", b"\"\xff\"", b"NaN"] {
        let (mut world, broker, function) = streaming();
        while world.step(broker) {}
        world.message(function, ResultPart { index: 0, last: true, bytes: bytes.into() });
        let mut last = finished(task(1), 2);
        last.result_len = bytes.len() as u64;
        world.message(function, last);
        assert_eq!(world.failure(1), "RESULT_NOT_JSON", "{bytes:?}");
    }
}

#[test]
fn a_function_that_dies_fails_its_task_with_the_cause() {
    let cases = [
        (panicked(), "GUEST_PANICKED"),
        (ExitCause::OutOfMemory { requested: Some(5), detail: String::new() }, "GUEST_OUT_OF_MEMORY"),
        (ExitCause::LoaderError { code: 3, message: "overlaps".into() }, "GUEST_LOADER_FAILED"),
        (ExitCause::Died { domain: "d".into(), reason: "it crashed".into() }, "DOMAIN_DIED"),
        (ExitCause::Signal(11), "GUEST_KILLED_BY_SIGNAL"),
        (ExitCause::Killed, "GUEST_TIMED_OUT"),
    ];
    for (cause, code) in
        [(ExitCause::Code(10), "GUEST_PANICKED"), (ExitCause::Code(11), "GUEST_OUT_OF_MEMORY")]
    {
        let (mut world, _, function) = streaming();
        world.exit(function, cause);
        world.give(Input::Guest(function, GuestInput::Disconnected));
        assert_eq!(world.failure(1), code, "its exit code alone tells");
    }
    for (cause, code) in cases {
        let (mut world, broker, function) = streaming();
        let effects = world.exit(function, cause);
        assert_eq!(world.failure(1), code);
        let abandons = |effect: &Effect| {
            matches!(effect, Effect::Send { guest, message: ToGuest::Abandon(abandon) }
                if *guest == broker && abandon.task == task(1).into())
        };
        assert!(effects.iter().any(abandons), "the broker need not go on");
        world.finish();
        assert_eq!(
            states(&world, 1).iter().filter(|state| **state == Starting).count(),
            1,
            "it is not tried again"
        );
    }
}

#[test]
fn the_cause_of_a_lost_connection_is_waited_for() {
    let (mut world, _, function) = streaming();
    world.give(Input::Guest(function, GuestInput::Disconnected));
    assert!(world.outcomes.is_empty());
    world.exit(function, panicked());
    assert_eq!(world.failure(1), "GUEST_PANICKED");

    let (mut world, _, function) = streaming();
    world.give(Input::Guest(function, GuestInput::Disconnected));
    world.pass(Patience::default().settle_us);
    assert_eq!(world.failure(1), "GUEST_CONTROL_LOST");

    for connection_first in [true, false] {
        let (mut world, _, function) = streaming();
        let mut ends = [GuestInput::Disconnected, exited(ExitCause::Code(3))];
        if !connection_first {
            ends.reverse();
        }
        ends.into_iter().for_each(|end| drop(world.give(Input::Guest(function, end))));
        assert_eq!(world.failure(1), "GUEST_EXITED");
    }
}

#[test]
fn a_function_that_does_not_boot_fails_in_time() {
    let mut world = World::new();
    let broker = world.boot();
    world.accept(spec(1, 1));
    let function = world.function(1);
    for _ in 0..30 {
        world.pass(SECOND);
        while world.step(broker) {}
    }
    assert_eq!(world.failure(1), "GUEST_BOOT_TIMED_OUT");
    assert!(world.actors[&function].stopped);

    world.accept(spec(2, 1));
    let fault = Fault::new(codes::DOMAIN_MEMORY, "no memory for domain d");
    world.give(Input::Guest(world.function(2), GuestInput::StartFailed(fault)));
    assert_eq!(world.failure(2), "DOMAIN_MEMORY", "the code is its backend's");
    world.accept(spec(3, 1));
    world.exit(world.function(3), ExitCause::Code(0));
    assert_eq!(world.failure(3), "GUEST_EXITED", "before its hello nothing can be on its way");
    world.accept(spec(4, 1));
    let hello = Hello { protocol: PROTOCOL + 1, role: WireRole::Function, image: "x".into() };
    world.message(world.function(4), hello);
    assert_eq!(world.failure(4), "GUEST_PROTOCOL_VERSION");
    world.accept(spec(5, 1));
    world.message(world.function(5), Started);
    assert_eq!(world.failure(5), "GUEST_PROTOCOL");
    world.finish();
}

#[test]
fn a_function_that_never_ends_is_ended_by_the_tasks_own_clock() {
    let (mut world, broker, function) = streaming();
    while world.step(broker) {}
    for second in 1..=20 {
        assert!(world.outcomes.is_empty(), "after {second} s");
        world.pass(SECOND);
        while world.step(broker) {}
    }
    assert_eq!(world.failure(1), "GUEST_TIMED_OUT");
    assert!(world.actors[&function].stopped);
}

#[test]
fn what_befalls_a_source_fails_its_task_in_words() {
    let (mut world, broker, _) = streaming();
    let failure = Failure::new(Code::SourceStatus, "500 out of disk");
    world.message(broker, OperationFailed { task: task(1).into(), operation: 1, failure });
    let Outcome::Failed(fault) = &world.outcomes[&task(1)] else { panic!("it failed") };
    assert_eq!(fault.code, fades_api::codes::SOURCE_STATUS);
    assert_eq!(fault.message, "operation \"op1\" on source \"edison\": 500 out of disk");
    world.finish();
}

#[test]
fn a_broken_stream_is_explained_by_whoever_died() {
    let gone = || Failure::new(Code::ClosedEarly, "the other end closed");
    // The function died: its exit is the reason, although the broker noticed first.
    let (mut world, broker, function) = streaming();
    world.message(broker, OperationFailed { task: task(1).into(), operation: 0, failure: gone() });
    assert!(world.outcomes.is_empty());
    world.exit(function, panicked());
    assert_eq!(world.failure(1), "GUEST_PANICKED");
    // The broker died: the task is tried again, although the function noticed first.
    let (mut world, broker, function) = streaming();
    world.message(function, Failed(gone()));
    world.exit(function, ExitCause::Code(4));
    world.give(Input::Guest(function, GuestInput::Disconnected));
    assert!(world.outcomes.is_empty());
    world.exit(broker, panicked());
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    // Likewise when the broker's own report came before: only its death explains both.
    let (mut world, broker, function) = streaming();
    world.message(broker, OperationFailed { task: task(1).into(), operation: 0, failure: gone() });
    world.message(function, Failed(gone()));
    world.exit(function, ExitCause::Code(1));
    world.give(Input::Guest(function, GuestInput::Disconnected));
    assert!(world.outcomes.is_empty());
    world.exit(broker, panicked());
    world.finish();
    assert_eq!(world.outcomes[&task(1)].state(), Succeeded);
    // Nobody died: the report stands.
    let (mut world, broker, function) = streaming();
    world.message(function, Failed(gone()));
    for _ in 0..8 {
        world.pass(SECOND);
        while world.step(broker) {}
    }
    assert_eq!(world.failure(1), "GUEST_CONTROL_LOST");
}

#[test]
fn limits_hold_and_the_queue_is_in_order() {
    let mut world = World::new();
    let orders = [(1, 5, 64), (2, 5, 64), (3, 1, 64), (4, 9, 100), (5, 5, 16)];
    for (number, priority, memory_mib) in orders {
        world.accept(fades_core::task::TaskSpec { priority, memory_mib, ..spec(number, 1) });
    }
    assert_eq!(world.engine.status().waiting, 5, "nothing starts before the broker is ready");
    world.finish();
    let starts: Vec<u8> = world.effects.iter().filter_map(started).collect();
    assert_eq!(starts, [4, 1, 2, 5, 3], "priority, then arrival");

    let mut world = World::with(Limits { tasks: 4, ..LIMITS });
    world.boot();
    world.accept(fades_core::task::TaskSpec { memory_mib: 100, ..spec(1, 1) });
    world.accept(fades_core::task::TaskSpec { memory_mib: 150, priority: 9, ..spec(2, 1) });
    world.accept(fades_core::task::TaskSpec { memory_mib: 16, ..spec(3, 1) });
    assert_eq!(world.engine.status().under_way, 1, "a small task does not overtake the large one before it");
    world.accept(fades_core::task::TaskSpec { memory_mib: 193, ..spec(4, 1) });
    assert_eq!(world.failure(4), "TASK_ABOVE_NODE");
    world.finish();
    assert_eq!(world.effects.iter().filter_map(started).collect::<Vec<u8>>(), [1, 2, 3]);
}

fn started(effect: &Effect) -> Option<u8> {
    match effect {
        Effect::StartGuest(order) if order.role == Role::Function => order.task.map(|task| task.0[0]),
        _ => None,
    }
}

#[test]
fn a_task_can_be_cancelled_in_every_state() {
    for state in [Queued, Starting, Streaming, Computing] {
        let mut world = World::new();
        if state == Queued {
            world.accept(spec(1, 1));
        } else {
            let broker = world.boot();
            world.accept(spec(1, 1));
            let function = world.function(1);
            if state != Starting {
                world.until(1, Streaming, function);
            }
            if state == Computing {
                world.until(1, Computing, broker);
            }
        }
        assert_eq!(world.laws.state(task(1)), state);
        let effects = world.give(Input::Cancel(task(1)));
        assert!(matches!(effects[0], Effect::Finish { outcome: Outcome::Cancelled, .. }), "{effects:?}");
        assert_eq!(world.give(Input::Cancel(task(1))).len(), 1, "the second time nothing happens");
        world.finish();
    }
}

#[test]
fn a_task_that_waits_too_long_expires() {
    let mut world = World::new();
    let broker = world.boot();
    let mut late = spec(1, 1);
    late.expires_unix_us = world.now.unix_us + 5;
    world.now.unix_us += 5;
    world.accept(late);
    assert_eq!(world.outcomes[&task(1)], Outcome::Expired);
    for number in [2, 3, 4] {
        let expires_unix_us = world.now.unix_us + SECOND / 2;
        world.accept(fades_core::task::TaskSpec { expires_unix_us, ..spec(number, 1) });
    }
    assert_eq!(world.wake_us - world.now.mono_us, SECOND / 2);
    world.pass(SECOND / 2);
    while world.step(broker) {}
    assert_eq!(world.outcomes[&task(4)], Outcome::Expired, "the third found no room");
    assert_eq!(world.outcomes.len(), 2, "what runs may outlive its wrapper");
    world.finish();
}

#[test]
fn what_an_earlier_daemon_left_is_taken_up_again() {
    let mut world = World::new();
    world.recover(spec(1, 1), Accepted, 0);
    world.recover(spec(2, 1), Queued, 1);
    world.recover(spec(3, 1), Streaming, 2);
    world.recover(spec(4, 1), Computing, 3);
    world.recover(spec(5, 1), Succeeded, 1);
    world.recover(fades_core::task::TaskSpec { expires_unix_us: 1, ..spec(6, 1) }, Starting, 1);
    world.finish();
    assert_eq!(world.failure(4), "NODE_RESTARTED");
    assert_eq!(world.outcomes[&task(6)], Outcome::Expired);
    for number in [1, 2, 3] {
        assert_eq!(world.outcomes[&task(number)].state(), Succeeded, "task {number}");
    }
    assert!(!world.outcomes.contains_key(&task(5)));
    let attempts = world.effects.iter().find_map(|effect| match effect {
        Effect::Record { task: id, state: Starting, attempts, .. } if *id == task(3) => Some(*attempts),
        _ => None,
    });
    assert_eq!(attempts, Some(3));
}

#[test]
fn progress_is_summed_over_the_operations_and_never_goes_back() {
    let (mut world, broker, _) = streaming();
    let mut told = Vec::new();
    for (operation, points) in [(0, 5), (1, 7), (0, 4), (0, 5), (0, 9)] {
        let progress = OperationProgress { task: task(1).into(), operation, points, bytes: points * 16 };
        told.extend(world.message(broker, progress).into_iter().filter_map(|effect| match effect {
            Effect::Progress { points, bytes, .. } => Some((points, bytes)),
            _ => None,
        }));
    }
    assert_eq!(told, [(5, 80), (12, 192), (16, 256)]);
}
