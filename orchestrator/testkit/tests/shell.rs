//! The smallest shell there can be around the engine, with real threads and a real clock: what a daemon has to do, and a
//! test that the scripted guests, the traits and the engine fit together.

mod smallest;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fades_api::codes;
use fades_core::backend::{Backend, ExitCause};
use fades_core::engine::{Input, Outcome};
use fades_core::network::Network;
use fades_core::{Role, TaskId};
use fades_testkit::{BrokerAct, FunctionAct, Script, counted};
use fades_wire::failure::{Code, Failure};
use smallest::{Shell, spec};

fn panicked() -> ExitCause {
    ExitCause::Panicked { message: "boom".into(), location: "lib.rs:1".into() }
}

#[test]
fn many_tasks_run_at_once_and_nothing_is_left() {
    let mut shell = Shell::new(Script::default());
    shell.run(20);
    for number in 1..=20 {
        let Outcome::Succeeded(success) = &shell.outcomes[&TaskId([number; 16])] else {
            panic!("task {number}")
        };
        assert_eq!(success.result, r#"{"count":1}"#);
        assert_eq!(success.summaries, [counted(TaskId([number; 16]).into(), 0)]);
        assert!(success.timings.total > 0 && success.timings.boot > 0);
    }
    assert_eq!((shell.backend.started(Role::Function), shell.backend.started(Role::Broker)), (20, 1));
    assert_eq!(shell.backend.running(), 1, "the broker stays");
}

#[test]
fn g4_every_fault_of_a_function_fails_its_task_only() {
    let acts = [
        (FunctionAct::FailsToStart, codes::GUEST_START_FAILED),
        (FunctionAct::NeverReady, codes::GUEST_BOOT_TIMED_OUT),
        (FunctionAct::Dies(panicked()), codes::GUEST_PANICKED),
        (FunctionAct::Dies(ExitCause::Code(3)), codes::GUEST_EXITED),
        (FunctionAct::Loops, codes::GUEST_TIMED_OUT),
        (FunctionAct::ReturnsTooMuch, codes::RESULT_TOO_LARGE),
        (FunctionAct::Lies, codes::SUMMARIES_DIFFER),
        (FunctionAct::BreaksProtocol, codes::GUEST_PROTOCOL),
        (FunctionAct::Fails(Failure::new(Code::Function, "no")), codes::FUNCTION_FAILED),
        (FunctionAct::Reduces("{".into()), codes::RESULT_NOT_JSON),
    ];
    let count = u8::try_from(acts.len()).unwrap();
    let mut shell = Shell::new(Script::default().functions(acts.iter().map(|(act, _)| act.clone())));
    shell.run(count + 2);
    for (number, (act, code)) in (1..).zip(&acts) {
        assert_eq!(shell.code(number), Some(*code), "{act:?}");
    }
    assert_eq!((shell.code(count + 1), shell.code(count + 2)), (None, None));
    assert_eq!(shell.backend.started(Role::Broker), 1, "the broker does not mind");
}

#[test]
fn every_fault_of_a_broker_is_survived() {
    let acts = [
        BrokerAct::FailsToStart,
        BrokerAct::NeverReady,
        BrokerAct::Dies(panicked()),
        BrokerAct::FallsSilent,
        BrokerAct::BreaksProtocol,
    ];
    for act in acts {
        let mut shell = Shell::new(Script::default().brokers([act.clone()]));
        shell.run(3);
        assert_eq!([1, 2, 3].map(|number| shell.code(number)), [None; 3], "{act:?}");
        assert_eq!(shell.backend.started(Role::Broker), 2, "{act:?}");
    }
    let mut shell = Shell::new(Script::default().brokers([1, 2, 3].map(|_| BrokerAct::Dies(panicked()))));
    shell.run(1);
    assert_eq!(shell.code(1), Some(codes::BROKER_DIED));
    let failure = Failure::new(Code::SourceSilent, "nothing for 900 ms");
    let mut shell = Shell::new(Script::default().brokers([BrokerAct::SourceFails(failure)]));
    shell.run(2);
    assert_eq!(shell.code(1), Some(codes::SOURCE_SILENT));
}

#[test]
fn a_broker_ended_or_cut_off_in_the_middle_costs_an_attempt() {
    for cut in [true, false] {
        let slow = BrokerAct::Serves(Duration::from_millis(300));
        let mut shell = Shell::new(Script::default().brokers([slow]));
        let now = shell.now();
        shell.give(Input::Accepted(spec(1, now)));
        shell.until(|shell| shell.engine.tasks().any(|task| task.state.word() == "streaming"));
        if cut {
            shell.network.cut(Role::Broker);
        } else {
            assert!(shell.backend.end(Role::Broker, ExitCause::Signal(9)));
        }
        shell.until(|shell| shell.outcomes.len() == 1);
        assert_eq!(shell.code(1), None);
        assert_eq!(shell.backend.started(Role::Function), 2);
    }
}

#[test]
fn a_network_without_addresses_fails_the_start() {
    let mut shell = Shell::new(Script::default());
    shell.until(|shell| shell.engine.status().broker.phase == "ready");
    shell.network.fail_attaches(1);
    shell.run(2);
    assert_eq!(shell.code(1), Some(codes::GUEST_START_FAILED));
    assert_eq!(shell.code(2), None);
}

#[test]
fn orphans_are_told_once() {
    let shell = Shell::new(Script::default());
    shell.backend.leave_orphan("fades-9");
    assert_eq!(shell.backend.end_orphans().unwrap()[0].name, "fades-9");
    assert!(shell.backend.end_orphans().unwrap().is_empty());
}

#[test]
fn a_link_ends_with_its_port() {
    let shell = Shell::new(Script::default());
    let port = shell.network.attach(Role::Function).unwrap();
    shell.network.detach(port.id);
    let mut link = UnixStream::from(port.link);
    assert_eq!(link.read(&mut [0]).unwrap(), 0);
}
