//! What is done beside the poll, as it would block: connecting, accepting, waiting for orders.

use fades_drb::broker::SourceId;
#[cfg(target_os = "hermit")]
use fades_guest::xen::link::Link;
use fades_wire::address::Endpoint;
use fades_wire::control::ToGuest;
#[cfg(target_os = "hermit")]
use fades_wire::failure::Failure;
use mio::{Registry, Token, Waker};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Stack of each helper: none goes deep. Guests get stacks as real memory.
const STACK: usize = 64 * 1024;
/// Events that wait to be read; whoever has another waits then. A flood of connections waits in the kernel, which has few
/// places for it.
const WAITING: usize = 16;
/// Pause after a failed accept, so that a lasting failure does not take all of the processor.
const PAUSE: Duration = Duration::from_millis(50);

/// What happened beside the poll.
pub(crate) enum Event {
    /// The orchestrator said something.
    Control(ToGuest),
    /// A function connected, from there.
    Function(TcpStream, SocketAddr),
    /// A connection to a source came about, or did not.
    Connected(SourceId, io::Result<TcpStream>),
    /// A function's domain was met, or was not, for a reason.
    #[cfg(target_os = "hermit")]
    Met(u16, Result<Link, Failure>),
}

/// The queue of events; who puts one in wakes the poll.
pub(crate) struct Mailbox {
    poster: Poster,
    events: Receiver<Event>,
}

#[derive(Clone)]
pub(crate) struct Poster {
    queue: SyncSender<Event>,
    waker: Arc<Waker>,
}

impl Poster {
    /// Says whether there still is somebody to read it.
    pub(crate) fn post(&self, event: Event) -> bool {
        self.queue.send(event).is_ok() && self.wake()
    }

    /// Has the poll look around. Says whether there still is one.
    pub(crate) fn wake(&self) -> bool {
        self.waker.wake().is_ok()
    }
}

impl Mailbox {
    /// A mailbox that wakes the poll of this registry.
    pub(crate) fn new(registry: &Registry) -> io::Result<Self> {
        let waker = Arc::new(Waker::new(registry, Token(0))?);
        let (queue, events) = sync_channel(WAITING);
        Ok(Self { poster: Poster { queue, waker }, events })
    }

    /// For others who have events.
    #[cfg(target_os = "hermit")]
    pub(crate) const fn poster(&self) -> &Poster {
        &self.poster
    }

    /// The next event, if there is one.
    pub(crate) fn next(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Passes on what the orchestrator says.
    pub(crate) fn forward(&self, orders: Receiver<ToGuest>) -> io::Result<()> {
        let poster = self.poster.clone();
        spawn("orders", move || {
            for order in orders {
                if !poster.post(Event::Control(order)) {
                    return;
                }
            }
        })
    }

    /// Accepts functions. Gives the address where they are accepted.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr().unwrap_or(address);
        let poster = self.poster.clone();
        spawn("accept", move || {
            loop {
                match listener.accept().and_then(|(stream, from)| Ok((unblocked(stream)?, from))) {
                    Ok((stream, from)) => {
                        if !poster.post(Event::Function(stream, from)) {
                            return;
                        }
                    }
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        })?;
        Ok(address)
    }

    /// Connects to a source.
    pub(crate) fn connect(&self, source: SourceId, endpoint: Endpoint) -> io::Result<()> {
        let poster = self.poster.clone();
        spawn("connect", move || {
            let result = TcpStream::connect(SocketAddr::V4(SocketAddrV4::from(endpoint))).and_then(unblocked);
            poster.post(Event::Connected(source, result));
        })
    }
}

/// From here on nobody waits for this connection, not even who drops it: Hermit's kernel has a blocking one wait for its
/// peer then, which may be gone.
fn unblocked(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    Ok(stream)
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work).map(drop)
}
