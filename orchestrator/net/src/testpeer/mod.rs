//! A guest on the host: its own smoltcp behind the link that QEMU would have, with blocking streams for tests and benches.
//!
//! ```no_run
//! # use std::io::Write; use std::sync::Arc; use std::time::Duration;
//! # use fades_core::{Role, network::Network}; use fades_net::{NetConfig, VirtualNetwork, testpeer::TestPeer};
//! let net = VirtualNetwork::start(NetConfig::default(), Arc::new(|_| ()), Arc::new(|_| ()))?;
//! let broker = TestPeer::start(net.attach(Role::Broker)?)?;
//! let listener = broker.listen(fades_net::DATA_PORT)?;
//! let function = TestPeer::start(net.attach(Role::Function)?)?;
//! let mut stream = function.connect(broker.address(), fades_net::DATA_PORT)?;
//! stream.write_all(b"hello")?;
//! let accepted = listener.accept(Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod machine;
mod segment;
mod stream;

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fades_core::network::{Port, PortId};
use mio::{Events, Interest, Poll, Token};
use smoltcp::socket::tcp::State;

use machine::Machine;
pub use segment::{segment, syn};
pub use stream::{PeerListener, PeerStream};

const LINK: Token = Token(0);
const WAKER: Token = Token(1);

/// How long blocking calls wait unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The guest. Dropping it closes its link, as the end of a QEMU process does.
#[derive(Debug)]
pub struct TestPeer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    id: PortId,
    address: Ipv4Addr,
}

pub(crate) struct Shared {
    machine: Mutex<Machine>,
    changed: Condvar,
    waker: mio::Waker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the machine and lets it work on what came of it.
    fn with<R>(&self, f: impl FnOnce(&mut Machine) -> R) -> R {
        let mut machine = self.lock();
        let result = f(&mut machine);
        if machine.turn() {
            // The thread sleeps longer than the machine may wait now.
            let _ = self.waker.wake();
        }
        drop(machine);
        self.changed.notify_all();
        result
    }

    /// Tries until there is a result, or time is up.
    fn wait<R>(
        &self,
        deadline: Instant,
        mut attempt: impl FnMut(&mut Machine) -> Option<io::Result<R>>,
    ) -> io::Result<R> {
        let mut machine = self.lock();
        loop {
            if let Some(result) = attempt(&mut machine) {
                if machine.turn() {
                    let _ = self.waker.wake();
                }
                drop(machine);
                self.changed.notify_all();
                return result;
            }
            if machine.gone {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            machine = self.changed.wait_timeout(machine, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl TestPeer {
    /// Boots the guest of a port.
    ///
    /// # Errors
    /// When the system refuses an event queue or a thread.
    pub fn start(port: Port) -> io::Result<Self> {
        let link = UnixStream::from(port.link);
        link.set_nonblocking(true)?;
        let mut link = mio::net::UnixStream::from_std(link);
        let poll = Poll::new()?;
        poll.registry().register(&mut link, LINK, Interest::READABLE | Interest::WRITABLE)?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let machine = Machine::new(link, port.address, port.mac, port.mtu);
        let shared = Arc::new(Shared { machine: Mutex::new(machine), changed: Condvar::new(), waker });
        let threads = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("test-peer".into()).spawn(move || run(poll, &threads))?;
        Ok(Self { shared, thread: Some(thread), id: port.id, address: port.address })
    }

    /// The port's name.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.id
    }

    /// The guest's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Size in bytes of the buffers, per direction, of streams made from now on. 1 MiB unless set.
    pub fn set_buffer(&self, bytes: usize) {
        self.shared.lock().buffer = bytes;
    }

    /// Connects by TCP.
    ///
    /// # Errors
    /// `ConnectionRefused` on RST, `TimedOut` after [`PATIENCE`].
    pub fn connect(&self, address: Ipv4Addr, port: u16) -> io::Result<PeerStream> {
        self.connect_within(address, port, PATIENCE)
    }

    /// Connects by TCP within a time.
    ///
    /// # Errors
    /// `ConnectionRefused` on RST, `TimedOut` when time is up.
    pub fn connect_within(&self, address: Ipv4Addr, port: u16, within: Duration) -> io::Result<PeerStream> {
        let handle = self.shared.with(|machine| machine.connect(address, port))?;
        let stream = PeerStream::new(Arc::clone(&self.shared), handle);
        self.shared.wait(Instant::now() + within, |machine| match machine.socket(handle).state() {
            State::SynSent | State::SynReceived => None,
            State::Closed => Some(Err(io::ErrorKind::ConnectionRefused.into())),
            _ => Some(Ok(())),
        })?;
        Ok(stream)
    }

    /// Listens on a port.
    ///
    /// # Errors
    /// When the port is 0.
    pub fn listen(&self, port: u16) -> io::Result<PeerListener> {
        PeerListener::new(Arc::clone(&self.shared), port)
    }

    /// Sends a frame of any shape, length field included.
    pub fn send_frame(&self, frame: &[u8]) {
        self.shared.with(|machine| machine.send_raw(frame));
    }

    /// Sends bytes without framing them.
    pub fn send_bytes(&self, bytes: &[u8]) {
        self.shared.with(|machine| machine.outgoing.extend(bytes));
    }

    /// Takes the frames received since the last call; from the first call on, they are kept.
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.shared.lock().tap.replace(Vec::new()).unwrap_or_default()
    }

    /// Whether the guest reads its link. While it does not, what is sent to it piles up.
    pub fn set_reading(&self, reading: bool) {
        self.shared.with(|machine| machine.reading = reading);
    }

    /// Whether the switch has closed the link.
    #[must_use]
    pub fn link_closed(&self, within: Duration) -> bool {
        self.shared.wait(Instant::now() + within, |machine| machine.gone.then_some(Ok(()))).is_ok()
    }
}

impl Drop for TestPeer {
    fn drop(&mut self) {
        self.shared.lock().gone = true;
        let _ = self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.lock().hang_up();
        self.shared.changed.notify_all();
    }
}

fn run(mut poll: Poll, shared: &Shared) {
    let mut events = Events::with_capacity(4);
    let mut timeout = Some(Duration::ZERO);
    loop {
        if let Err(error) = poll.poll(&mut events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return;
        }
        let mut machine = shared.lock();
        machine.readable |= events.iter().any(|event| event.token() == LINK && event.is_readable());
        machine.writable |= events.iter().any(|event| event.token() == LINK && event.is_writable());
        machine.turn();
        if machine.gone {
            machine.hang_up();
            drop(machine);
            shared.changed.notify_all();
            return;
        }
        timeout = machine.plan();
        drop(machine);
        shared.changed.notify_all();
    }
}
