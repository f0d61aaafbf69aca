//! Whole guests as processes of their own: this program runs itself again, as the guest.

mod common;

use common::{PATIENCE, Peer, listen};
use fades_guest::{Identity, boot, exit};
use fades_wire::address::Endpoint;
use fades_wire::control::{FromGuest, Shutdown, Welcome};
use fades_wire::exit::ExitCode;
use fades_wire::failure::Code;
use fades_wire::ids::Role;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Says what the guest does; not set in the test's own process.
const ACT: &str = "FADES_TEST_ACT";

/// The guest itself: does nothing unless it is run by one of the tests below.
#[test]
fn guest() {
    let Ok(act) = std::env::var(ACT) else { return };
    let guest = boot(Identity { role: Role::Probe, image: "test 1" });
    match act.as_str() {
        "panic" => panic!("no \"data\" in {}", guest.parameters.log),
        "panic elsewhere" => {
            let _ = std::thread::spawn(|| panic!("in a thread")).join();
            std::thread::sleep(PATIENCE);
        }
        "end" => exit::end(ExitCode::Ok, "done"),
        "fail" => exit::end(ExitCode::Failed, "cannot"),
        "wait" => drop(guest.control.recv()),
        other => panic!("unknown act {other}"),
    }
    // The channel's end ends the process; this is not reached in time.
    std::thread::sleep(PATIENCE);
}

fn start(act: &str, role: &str, control: Endpoint) -> std::process::Child {
    Command::new(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "guest", "--nocapture", "--test-threads=1"])
        .env(ACT, act)
        .env("FADES_ROLE", role)
        .env("FADES_CONTROL", control.to_string())
        .env("FADES_LOG", "3")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program can run itself")
}

/// Exit code and console of a guest that acts so, beside a script. The connection is open until it ended.
fn run<T>(act: &str, script: impl FnOnce(&mut Peer) -> T) -> (i32, String, T) {
    let (listener, endpoint) = listen();
    let guest = start(act, "probe", endpoint);
    let mut peer = Peer::welcome(&listener, 10_000);
    let told = script(&mut peer);
    let (code, console) = finish(guest.wait_with_output().expect("it was started"));
    (code, console, told)
}

fn finish(output: Output) -> (i32, String) {
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn line<'a>(console: &'a str, mark: &str) -> &'a str {
    let mut lines = console.lines().filter(|line| line.starts_with(mark));
    let line = lines.next().unwrap_or_else(|| panic!("{mark} in {console:?}"));
    assert_eq!(lines.next(), None);
    line
}

#[test]
fn a_panic_is_told_twice_and_has_its_code() {
    let (code, console, told) = run("panic", |peer| (peer.recv(), peer.recv()));
    assert_eq!(code, 10);
    let line = line(&console, "FADES-PANIC ");
    let expected =
        r#"FADES-PANIC {"message":"no \"data\" in 3","file":"images/guest/tests/process.rs","line":"#;
    assert!(line.starts_with(expected), "{line}");
    let (Some(FromGuest::Failed(failed)), None) = told else { panic!("{told:?}") };
    assert_eq!(failed.0.code, Code::Panic);
    assert!(
        failed.0.message.starts_with("no \"data\" in 3, at images/guest/tests/process.rs:"),
        "{}",
        failed.0
    );
}

/// An orchestrator that hangs up on hearing of a panic does not turn it into a lost connection.
#[test]
fn a_panic_stays_a_panic() {
    let (code, console, ()) = run("panic", |peer| {
        peer.recv();
        peer.hang_up();
    });
    assert_eq!((code, console.contains("FADES-END")), (10, false), "{console}");
}

#[test]
fn a_panic_in_any_thread_ends_the_guest() {
    let (code, console, told) = run("panic elsewhere", |peer| peer.recv());
    assert_eq!(code, 10);
    assert!(line(&console, "FADES-PANIC ").contains("in a thread"));
    assert!(matches!(told, Some(FromGuest::Failed(_))), "{told:?}");
}

#[test]
fn a_guest_ends_when_told_to_and_says_nothing() {
    let (code, console, ()) = run("wait", |peer| peer.send(Shutdown));
    assert_eq!((code, console.contains("FADES-")), (0, false), "{console}");
    let (code, console, ()) = run("end", |_| ());
    assert_eq!((code, console.contains("FADES-")), (0, false), "{console}");
}

#[test]
fn a_guest_that_fails_says_why() {
    let (code, console, _) = run("fail", |peer| peer.recv());
    assert_eq!(code, 1);
    assert_eq!(line(&console, "FADES-END "), r#"FADES-END {"message":"cannot","code":1,"name":"failed"}"#);
}

#[test]
fn a_guest_without_its_orchestrator_ends() {
    let (code, console, ()) = run("wait", Peer::hang_up);
    assert_eq!(code, 14);
    assert!(line(&console, "FADES-END ").contains(r#""code":14,"name":"control-lost""#));
    let (code, console, ()) = run("wait", |peer| peer.send(Welcome { heartbeat_ms: 1, time_unix_us: 1 }));
    assert_eq!(code, 15);
    assert!(line(&console, "FADES-END ").contains("second welcome"));
}

#[test]
fn a_guest_in_the_wrong_role_does_not_connect() {
    let (listener, endpoint) = listen();
    let (code, console) = finish(start("wait", "drb", endpoint).wait_with_output().unwrap());
    assert_eq!(code, 12);
    assert!(line(&console, "FADES-END ").contains("booted as drb, but this image is for probe"));
    listener.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(listener.accept().is_err());
}
