//! From nothing to a welcomed channel.

use super::line::{self, Line};
use super::reader::{Life, Reader, watch};
use super::rehearsal::rehearse;
use super::{ControlChannel, ControlError, ControlSender, MAX_WAITING, Settings};
use fades_wire::address::Control;
use fades_wire::control::{Hello, Welcome};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Stack of the reader: it decodes into the heap. Guests get stacks as real memory, so a megabyte would hurt.
const READER_STACK: usize = 128 * 1024;
const WATCH_STACK: usize = 64 * 1024;
/// First pause before an orchestrator that has not read a hello is urged; it doubles.
const URGE: Duration = Duration::from_millis(20);

pub(super) fn open(
    control: Control,
    hello: Hello,
    settings: Settings,
) -> Result<ControlChannel, ControlError> {
    loop {
        match attempt(control, hello.clone(), &settings) {
            // As somebody else it is all to be done again.
            Err(ControlError::Reborn) => {}
            done => return done,
        }
    }
}

fn attempt(control: Control, hello: Hello, settings: &Settings) -> Result<ControlChannel, ControlError> {
    let line = line::reach(control, settings.connect_within)?;
    let within = settings.welcome_within;
    take_up(line, hello, settings, |welcome, sender, life| match control {
        Control::Region => dormant(welcome, sender),
        Control::Network(_) | Control::Store => {
            welcome.recv_timeout(within).map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    life.close();
                    ControlError::Silent(within)
                }
                RecvTimeoutError::Disconnected => ControlError::Ended,
            })?
        }
    })
}

/// What the reader tells of the orchestrator's first message.
type First = Result<Welcome, ControlError>;

/// Says hello on a line, has `wait` wait for the welcome, and takes messages from there on.
pub(super) fn take_up(
    line: Line,
    hello: Hello,
    settings: &Settings,
    wait: impl FnOnce(&Receiver<First>, &ControlSender, &Life) -> First,
) -> Result<ControlChannel, ControlError> {
    let Line { out, input, closer } = line;
    let sender = ControlSender::new(out, settings.log);
    sender.send(hello)?;

    let (welcome_to, welcome_from) = sync_channel(1);
    let (to_application, inbox) = sync_channel(MAX_WAITING);
    let life = Arc::new(Life::new(closer, Arc::clone(&settings.on_end)));
    let reader = Reader::new(input, sender.clone(), to_application, Arc::clone(&life));
    thread::Builder::new()
        .name("control".into())
        .stack_size(READER_STACK)
        .spawn(move || reader.run(&welcome_to))
        .map_err(|error| ControlError::Io("starting its reader", error))?;
    let welcome = wait(&welcome_from, &sender, &life)?;
    let interval = Duration::from_millis(welcome.heartbeat_ms.max(1).into());
    let intervals = settings.silent_intervals;
    thread::Builder::new()
        .name("control-watch".into())
        .stack_size(WATCH_STACK)
        .spawn(move || watch(&life, interval, intervals))
        .map_err(|error| ControlError::Io("starting its watch", error))?;
    Ok(ControlChannel { welcome, sender, inbox })
}

/// Waits for the welcome as long as it takes: a guest that was started ahead of its task sleeps here, and rehearses before it does.
/// Its orchestrator cannot be lost without it, as its monitor ends with the orchestrator.
fn dormant(welcome_from: &Receiver<First>, sender: &ControlSender) -> First {
    let mut pause = URGE;
    loop {
        match welcome_from.recv_timeout(pause) {
            Ok(first) => return first,
            Err(RecvTimeoutError::Disconnected) => return Err(ControlError::Ended),
            // The hello was read some time ago, and nothing followed: nobody is in a hurry.
            Err(RecvTimeoutError::Timeout) if sender.urge() => break,
            Err(RecvTimeoutError::Timeout) => pause *= 2,
        }
    }
    rehearse();
    welcome_from.recv().map_err(|std::sync::mpsc::RecvError| ControlError::Ended)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::line::Out;

    const WELCOME: Welcome = Welcome { heartbeat_ms: 1000, time_unix_us: 7 };

    fn told_after(pause: Duration) -> First {
        let (to, from) = sync_channel(1);
        let teller = thread::spawn(move || {
            thread::sleep(pause);
            to.send(Ok(WELCOME)).unwrap();
        });
        let first = dormant(&from, &ControlSender::new(Out::Nowhere, 0));
        teller.join().unwrap();
        first
    }

    #[test]
    fn a_welcome_is_heard_at_once_and_after_a_rehearsal() {
        assert_eq!(told_after(Duration::ZERO).unwrap(), WELCOME);
        assert_eq!(told_after(4 * URGE).unwrap(), WELCOME);
    }

    #[test]
    fn nobody_is_waited_for_who_is_gone() {
        let (to, from) = sync_channel(1);
        drop(to);
        assert!(matches!(dormant(&from, &ControlSender::new(Out::Nowhere, 0)), Err(ControlError::Ended)));
    }
}
