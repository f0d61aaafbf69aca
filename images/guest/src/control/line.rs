//! What carries the control channel's bytes: a TCP connection, in a Xen domain nodes of its own in XenStore, or memory of this
//! guest's own that it shares with the orchestrator; or a script, of which a rehearsal is made.

use super::ControlError;
#[cfg(target_os = "hermit")]
use crate::region::{self, line};
#[cfg(target_os = "hermit")]
use crate::xen::{self, mail};
use fades_wire::address::{Control, Endpoint};
use std::io::{self, Cursor, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Longest single attempt: the gateway answers at once or is not there yet.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Pause after the first failed attempt; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A line to the orchestrator: the way out, the way in, and what ends it.
pub(super) struct Line {
    pub(super) out: Out,
    pub(super) input: In,
    pub(super) closer: Closer,
}

/// The way to the orchestrator.
pub(super) enum Out {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Store(mail::MailOut),
    #[cfg(target_os = "hermit")]
    Region(line::LineOut),
    /// To nobody.
    Nowhere,
}

/// The way from it.
pub(super) enum In {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Store(mail::MailIn),
    #[cfg(target_os = "hermit")]
    Region(line::LineIn),
    /// What was written down before.
    Script(Cursor<Vec<u8>>),
}

/// Wakes who waits for bytes, as there will be none.
pub(super) enum Closer {
    Tcp(TcpStream),
    /// There is nothing to be closed: who waits does so until the guest ends, which comes next, or nobody waits.
    Nothing,
}

/// Reaches the orchestrator.
pub(super) fn reach(control: Control, within: Duration) -> Result<Line, ControlError> {
    match control {
        Control::Network(endpoint) => {
            let stream = connect(endpoint, within)?;
            // Frames are whole messages, each of which the other side waits for. If that cannot be had, they are only later.
            let _ = stream.set_nodelay(true);
            let again = || stream.try_clone().map_err(|error| ControlError::Io("duplicating", error));
            Ok(Line { input: In::Tcp(again()?), closer: Closer::Tcp(again()?), out: Out::Tcp(stream) })
        }
        #[cfg(target_os = "hermit")]
        Control::Store => {
            let here = xen::here().ok_or(ControlError::NoStore(None))?;
            let (out, input) = mail::open(here).map_err(|error| ControlError::NoStore(Some(error)))?;
            Ok(Line { out: Out::Store(out), input: In::Store(input), closer: Closer::Nothing })
        }
        #[cfg(target_os = "hermit")]
        Control::Region => {
            let own = region::own().ok_or(ControlError::NoRegion(None))?;
            let turn = own.begin().map_err(|error| ControlError::NoRegion(Some(error)))?;
            let (out, input) = line::open(own, turn);
            Ok(Line { out: Out::Region(out), input: In::Region(input), closer: Closer::Nothing })
        }
        #[cfg(not(target_os = "hermit"))]
        Control::Store => Err(ControlError::NoStore(None)),
        #[cfg(not(target_os = "hermit"))]
        Control::Region => Err(ControlError::NoRegion(None)),
    }
}

impl Out {
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            #[cfg(target_os = "hermit")]
            Self::Store(mail) => mail.write_all(bytes),
            #[cfg(target_os = "hermit")]
            Self::Region(line) => line.write_all(bytes),
            Self::Nowhere => Ok(()),
        }
    }

    /// [`Self::write_all`] for a guest that is dying, of whose threads none may be waited for.
    pub(super) fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // The stream takes it, or blocks as before: it is nobody else's.
            Self::Tcp(stream) => stream.write_all(bytes),
            #[cfg(target_os = "hermit")]
            Self::Store(mail) => mail.write_last(bytes),
            #[cfg(target_os = "hermit")]
            Self::Region(line) => line.write_last(bytes),
            Self::Nowhere => Ok(()),
        }
    }

    /// Sees to it that the orchestrator takes note of what was written. False while that is not certain.
    pub(super) fn urge(&mut self) -> bool {
        match self {
            #[cfg(target_os = "hermit")]
            Self::Region(line) => line.urge(),
            _ => true,
        }
    }
}

impl In {
    /// Whether this error says that the guest goes on as another one.
    pub(super) fn is_reborn(&self, error: &io::Error) -> bool {
        match self {
            #[cfg(target_os = "hermit")]
            Self::Region(_) => error.kind() == io::ErrorKind::ConnectionReset,
            _ => {
                let _ = error;
                false
            }
        }
    }

    pub(super) fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(space),
            #[cfg(target_os = "hermit")]
            Self::Store(mail) => mail.read(space),
            #[cfg(target_os = "hermit")]
            Self::Region(line) => line.read(space),
            Self::Script(script) => script.read(space),
        }
    }
}

impl Closer {
    pub(super) fn close(&self) {
        match self {
            // That the stream is closed already is as good.
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Nothing => {}
        }
    }
}

/// Connects, again and again until it is too late.
fn connect(endpoint: Endpoint, within: Duration) -> Result<TcpStream, ControlError> {
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
