//! What happens between a bell and a function's first word, once before it sleeps.
//!
//! A monitor without hardware virtualisation translates code when it runs for the first time, and code that wakes a function runs once
//! in its life, when somebody waits for it. So a function that is about to sleep takes up a channel with an orchestrator that is
//! written down, and is told to run. Nothing of it leaves the guest, and nothing of the application runs. A broker that is
//! not welcomed at once rehearses being a function, which does it no good and no harm.

use super::connect::take_up;
use super::line::{Closer, In, Line, Out};
use super::{ControlError, Settings};
use fades_wire::PROTOCOL;
use fades_wire::address::{Neighbour, Place};
use fades_wire::control::{Hello, OperationName, Run, Started, ToGuest, Welcome};
use fades_wire::frame::Encoder;
use fades_wire::ids::{Role, TaskKey, Ticket};
use std::io::Cursor;

/// Goes through all of it. That it fails costs nothing but time.
pub(super) fn rehearse() {
    ring_oneself();
    let _ = run();
}

/// What the function was told.
fn run() -> Result<ToGuest, ControlError> {
    let line = Line { out: Out::Nowhere, input: In::Script(Cursor::new(script()?)), closer: Closer::Nothing };
    let hello = Hello { protocol: PROTOCOL, role: Role::Function, image: String::new() };
    // The script has an end, which is nobody's.
    let settings = Settings::new(|_| ());
    let channel = take_up(line, hello, &settings, |welcome, _, _| {
        welcome.recv().map_err(|std::sync::mpsc::RecvError| ControlError::Ended)?
    })?;
    let told = channel.recv()?;
    channel.send(Started)?;
    Ok(told)
}

/// What an orchestrator says to a function.
fn script() -> Result<Vec<u8>, ControlError> {
    let operation = OperationName { index: 0, id: "rehearsal".into() };
    let run = Run {
        task: TaskKey([0; 16]),
        ticket: Ticket([0; 32]),
        broker: Place::Near(Neighbour::Region { number: 1, turn: 1 }),
        operations: vec![operation],
        parameters: "{}".into(),
        result_limit: 1,
        window_bytes: 1,
        memory: None,
    };
    let messages = [ToGuest::from(Welcome { heartbeat_ms: 1, time_unix_us: 0 }), run.into()];
    let (mut encoder, mut bytes) = (Encoder::control(), Vec::new());
    for message in messages {
        encoder.frame(message.kind(), 0, &message.to_body()?, &mut bytes)?;
    }
    Ok(bytes)
}

/// The way of an interrupt.
#[cfg(target_os = "hermit")]
fn ring_oneself() {
    if let Some(own) = crate::region::own() {
        own.ring(fades_wire::region::peer::OWN);
    }
}

#[cfg(not(target_os = "hermit"))]
const fn ring_oneself() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_told_to_run() {
        let ToGuest::Run(told) = run().unwrap() else { panic!("another message") };
        assert_eq!((told.parameters.as_str(), told.operations.len()), ("{}", 1));
    }
}
