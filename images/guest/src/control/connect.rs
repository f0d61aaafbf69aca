//! From nothing to a welcomed channel.

use super::reader::{Life, Reader, watch};
use super::{ControlChannel, ControlError, ControlSender, MAX_WAITING, Settings};
use fades_wire::address::Endpoint;
use fades_wire::control::Hello;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest single attempt: the gateway answers at once or is not there yet.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Pause after the first failed attempt; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Stack of the reader: it decodes into the heap. Guests get stacks as real memory, so a megabyte would hurt.
const READER_STACK: usize = 128 * 1024;
const WATCH_STACK: usize = 64 * 1024;

pub(super) fn open(
    endpoint: Endpoint,
    hello: Hello,
    settings: Settings,
) -> Result<ControlChannel, ControlError> {
    let stream = reach(endpoint, settings.connect_within)?;
    // Frames are whole messages, each of which the other side waits for.
    let nodelay = stream.set_nodelay(true);
    let reading = stream.try_clone().map_err(|error| ControlError::Io("duplicating", error))?;
    let closing = stream.try_clone().map_err(|error| ControlError::Io("duplicating", error))?;
    let sender = ControlSender::new(stream, settings.log);
    sender.send(hello)?;

    let (welcome_to, welcome_from) = sync_channel(1);
    let (to_application, inbox) = sync_channel(MAX_WAITING);
    let life = Arc::new(Life::new(closing, settings.on_end));
    let reader = Reader::new(reading, sender.clone(), to_application, Arc::clone(&life));
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
    if let Err(error) = nodelay {
        sender.log(crate::log::level::DEBUG, format!("messages may be delayed: {error}"));
    }
    Ok(ControlChannel { welcome, sender, inbox })
}

/// Connects, again and again until it is too late.
fn reach(endpoint: Endpoint, within: Duration) -> Result<TcpStream, ControlError> {
    let address = SocketAddr::V4(SocketAddrV4::from(endpoint));
    let start = Instant::now();
    let (mut attempts, mut pause) = (0, PAUSE);
    loop {
        let left = within.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        attempts += 1;
        match TcpStream::connect_timeout(&address, left.min(ATTEMPT)) {
            Ok(stream) => return Ok(stream),
            Err(source) if start.elapsed() + pause >= within => {
                return Err(ControlError::Connect { endpoint, attempts, source });
            }
            Err(_) => {
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
