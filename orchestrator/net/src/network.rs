//! The handle: what other threads use. It gives out addresses and ports itself and sends the rest to the network's thread.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use fades_core::Role;
use fades_core::network::{
    NetEventSink, Network, NetworkCounters, NetworkError, Port, PortId, SourceAddress, SourceEndpoint,
};
use fades_wire::address::{CONTROL_PORT, Control, Endpoint};
use mio::Poll;

use crate::address::{AddressPool, FIRST_SOURCE_PORT, GATEWAY};
use crate::command::{Command, CommandSender, ControlGauge};
use crate::config::{NetConfig, SMALLEST_MTU};
use crate::counters::{PortCounters, Totals};
use crate::gateway::{Gateway, Lookup, Source, system_lookup};
use crate::policy::PortFacts;
use crate::report::ReportSink;
use crate::switch::Switch;
use crate::worker::{WAKER, Worker};

/// The virtual network. Dropping it stops it.
pub struct VirtualNetwork {
    commands: CommandSender,
    book: Mutex<Book>,
    pool: Arc<Mutex<AddressPool>>,
    totals: Arc<Totals>,
    thread: Mutex<Option<JoinHandle<()>>>,
    config: NetConfig,
}

/// What has been given out.
#[derive(Default)]
struct Book {
    ports: HashMap<PortId, Entry>,
    last_port: u64,
    /// The broker that new functions belong to.
    broker: Option<PortId>,
    sources: HashMap<String, u16>,
    last_source_port: u16,
}

struct Entry {
    address: Ipv4Addr,
    counters: Arc<PortCounters>,
    gauge: Arc<ControlGauge>,
}

fn io_error(action: &str) -> impl FnOnce(std::io::Error) -> NetworkError {
    let action = action.to_owned();
    move |source| NetworkError::Io { action, source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualNetwork {
    /// Starts the network's thread. Both sinks are called on it and must not block.
    ///
    /// # Errors
    /// When the system refuses an event queue or a thread. An MTU below [`SMALLEST_MTU`] is raised to it.
    pub fn start(config: NetConfig, events: NetEventSink, reports: ReportSink) -> Result<Self, NetworkError> {
        Self::start_with(config, events, reports, system_lookup())
    }

    /// [`Self::start`] with another way to resolve names.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(
        mut config: NetConfig,
        events: NetEventSink,
        reports: ReportSink,
        lookup: Lookup,
    ) -> Result<Self, NetworkError> {
        config.mtu = config.mtu.max(SMALLEST_MTU);
        let poll = Poll::new().map_err(io_error("make an event queue"))?;
        let waker = mio::Waker::new(poll.registry(), WAKER).map_err(io_error("make a waker"))?;
        let registry = poll.registry().try_clone().map_err(io_error("share the event queue"))?;
        let (sender, receiver) = mpsc::channel();
        let commands = CommandSender::new(sender, waker);
        let totals = Arc::new(Totals::default());
        let pool = Arc::new(Mutex::new(AddressPool::new()));
        let gateway = Gateway::new(
            &config,
            (events, Arc::clone(&reports)),
            (lookup, commands.clone()),
            registry,
            &totals,
        );
        let worker = Worker {
            poll,
            commands: receiver,
            switch: Switch::new(usize::from(config.mtu), Arc::clone(&totals)),
            gateway,
            pool: Arc::clone(&pool),
            totals: Arc::clone(&totals),
            reports,
            config: config.clone(),
            addresses: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("fades-net".into())
            .spawn(move || worker.run())
            .map_err(io_error("start the network's thread"))?;
        let book = Mutex::new(Book { last_source_port: FIRST_SOURCE_PORT - 1, ..Book::default() });
        Ok(Self { commands, book, pool, totals, thread: Mutex::new(Some(thread)), config })
    }

    /// Ends all connections and the thread, and waits for it. No event comes after this, later calls find the network stopped.
    /// Names that are being resolved are waited for, at most two seconds.
    pub fn shutdown(&self) {
        self.commands.send(Command::Stop);
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has printed why and left nothing.
            let _ = thread.join();
        }
    }

    /// Tells that bytes of [`fades_core::network::NetEvent::ControlData`] have been dealt with. Without it, a guest that has
    /// sent [`NetConfig::control_unread`] bytes finds its window closed.
    pub fn consumed(&self, port: PortId, bytes: usize) {
        self.commands.send(Command::Consumed(port, bytes));
    }

    /// Lets a function reach this broker from now on, and no other. At [`Network::attach`] it is the newest living one.
    pub fn assign(&self, function: PortId, broker: PortId) {
        self.commands.send(Command::Assign { function, broker });
    }

    /// The counters of a living port.
    #[must_use]
    pub fn port_counters(&self, port: PortId) -> Option<Arc<PortCounters>> {
        lock(&self.book).ports.get(&port).map(|entry| Arc::clone(&entry.counters))
    }

    /// Dropped frames by reason, over all ports that ever were.
    #[must_use]
    pub fn drops(&self) -> Vec<(crate::Reason, u64)> {
        self.totals.all.drops().collect()
    }

    /// Turns of the event loop since start.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.totals.turns.load(Ordering::Relaxed)
    }

    fn command(&self, command: Command) -> Result<(), NetworkError> {
        if self.commands.try_send(command) { Ok(()) } else { Err(NetworkError::Stopped) }
    }
}

impl Book {
    /// The next free gateway port, so that one that was closed is not soon another source's.
    fn free_source_port(&mut self, name: &str) -> Result<u16, NetworkError> {
        let used: std::collections::HashSet<u16> = self.sources.values().copied().collect();
        let after = (self.last_source_port + 1)..=u16::MAX - 1;
        let free = after.chain(FIRST_SOURCE_PORT..=self.last_source_port).find(|port| !used.contains(port));
        let port = free.ok_or_else(|| NetworkError::NoSourcePort { name: name.to_owned() })?;
        self.last_source_port = port;
        Ok(port)
    }
}

impl Network for VirtualNetwork {
    fn attach(&self, role: Role) -> Result<Port, NetworkError> {
        let (ours, guests) = UnixStream::pair().map_err(io_error("make a socket pair"))?;
        ours.set_nonblocking(true).map_err(io_error("make a socket nonblocking"))?;
        let mut book = lock(&self.book);
        let address = lock(&self.pool).take().ok_or(NetworkError::NoAddress)?;
        let id = PortId(book.last_port + 1);
        let broker = if role == Role::Function { book.broker } else { None };
        let facts = PortFacts { port: id, role, address, broker };
        let (counters, gauge) = (Arc::new(PortCounters::default()), Arc::new(ControlGauge::default()));
        let entry = Entry { address, counters: Arc::clone(&counters), gauge: Arc::clone(&gauge) };
        if let Err(stopped) = self.command(Command::Attach { facts, link: ours, counters, gauge }) {
            lock(&self.pool).give_back(address);
            return Err(stopped);
        }
        book.last_port = id.0;
        book.ports.insert(id, entry);
        if role == Role::Broker {
            book.broker = Some(id);
        }
        let control = Control::Network(Endpoint::new(GATEWAY, CONTROL_PORT));
        Ok(Port { id, address, mac: facts.mac().0, mtu: self.config.mtu, link: guests.into(), control })
    }

    fn detach(&self, port: PortId) {
        let mut book = lock(&self.book);
        if book.ports.remove(&port).is_none() {
            return;
        }
        if book.broker == Some(port) {
            book.broker = None;
        }
        self.commands.send(Command::Detach(port));
    }

    fn register_source(&self, name: &str, endpoint: SourceEndpoint) -> Result<SourceAddress, NetworkError> {
        let source = Arc::new(Source::new(name, endpoint)?);
        let mut book = lock(&self.book);
        let port = match book.sources.get(name) {
            Some(&port) => port,
            None => book.free_source_port(name)?,
        };
        self.command(Command::OpenSource { port, source })?;
        book.sources.insert(name.to_owned(), port);
        Ok(SourceAddress { address: GATEWAY, port })
    }

    fn leads(&self, endpoint: SourceEndpoint, address: IpAddr) -> Result<(), NetworkError> {
        let name = endpoint.host.clone();
        Source::new(&name, endpoint)?.allows(address).map_err(|kind| {
            let reason = format!("{address} is {kind}, where it may not lead; --allow-private lets a name mean a private address");
            NetworkError::BadSource { name, reason }
        })
    }

    fn unregister_source(&self, name: &str) {
        let mut book = lock(&self.book);
        if let Some(port) = book.sources.remove(name) {
            self.commands.send(Command::CloseSource { port });
        }
    }

    fn send_control(&self, port: PortId, bytes: Vec<u8>) -> Result<(), NetworkError> {
        let gauge = {
            let book = lock(&self.book);
            let entry = book.ports.get(&port).ok_or(NetworkError::UnknownPort(port))?;
            Arc::clone(&entry.gauge)
        };
        let epoch = gauge.epoch.load(Ordering::Acquire);
        if epoch == 0 {
            return Err(NetworkError::NotConnected(port));
        }
        let (added, bound) = (bytes.len(), self.config.control_unsent);
        let queued = gauge.unsent.fetch_add(added, Ordering::AcqRel);
        if queued + added > bound {
            gauge.unsent.fetch_sub(added, Ordering::AcqRel);
            return Err(NetworkError::Congested { port, queued, bound });
        }
        self.command(Command::Send { port, epoch, gauge, bytes })
    }

    fn close_control(&self, port: PortId) {
        self.commands.send(Command::CloseControl(port));
    }

    fn counters(&self) -> NetworkCounters {
        self.totals.snapshot()
    }
}

impl Drop for VirtualNetwork {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for VirtualNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let book = lock(&self.book);
        let addresses: Vec<Ipv4Addr> = book.ports.values().map(|entry| entry.address).collect();
        f.debug_struct("VirtualNetwork").field("addresses", &addresses).finish_non_exhaustive()
    }
}
