//! From nothing to a welcomed channel.

use super::line::{self, Line};
use super::reader::{Life, Reader, watch};
use super::{ControlChannel, ControlError, ControlSender, MAX_WAITING, Settings};
use fades_wire::address::Control;
use fades_wire::control::Hello;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Stack of the reader: it decodes into the heap. Guests get stacks as real memory, so a megabyte would hurt.
const READER_STACK: usize = 128 * 1024;
const WATCH_STACK: usize = 64 * 1024;

pub(super) fn open(
    control: Control,
    hello: Hello,
    settings: Settings,
) -> Result<ControlChannel, ControlError> {
    let Line { out, input, closer } = line::reach(control, settings.connect_within)?;
    let sender = ControlSender::new(out, settings.log);
    sender.send(hello)?;

    let (welcome_to, welcome_from) = sync_channel(1);
    let (to_application, inbox) = sync_channel(MAX_WAITING);
    let life = Arc::new(Life::new(closer, settings.on_end));
    let reader = Reader::new(input, sender.clone(), to_application, Arc::clone(&life));
    thread::Builder::new()
        .name("control".into())
        .stack_size(READER_STACK)
        .spawn(move || reader.run(&welcome_to))
        .map_err(|error| ControlError::Io("starting its reader", error))?;
    let welcome = match welcome_from.recv_timeout(settings.welcome_within) {
        Ok(first) => first?,
        Err(RecvTimeoutError::Timeout) => {
            life.close();
            return Err(ControlError::Silent(settings.welcome_within));
        }
        Err(RecvTimeoutError::Disconnected) => return Err(ControlError::Ended),
    };
    let interval = Duration::from_millis(welcome.heartbeat_ms.max(1).into());
    thread::Builder::new()
        .name("control-watch".into())
        .stack_size(WATCH_STACK)
        .spawn(move || watch(&life, interval, settings.silent_intervals))
        .map_err(|error| ControlError::Io("starting its watch", error))?;
    Ok(ControlChannel { welcome, sender, inbox })
}
