//! Source proxies: a broker's SYN for a gateway port is held back until the connection with the source stands, so that
//! the guest sees a refusal as one.
//!
//! ```text
//! SYN --name--> resolving --answer--> allowed? --yes--> connecting --done--> SYN handed in, splice
//!   \--address----------------------------/ \--no, error, deadline--> SYN handed in without a socket: RST
//! ```

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fades_core::network::PortId;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::config::NetConfig;
use crate::counters::{Totals, add};
use crate::gateway::allow::{Host, Source};
use crate::gateway::quiet::Quiet;
use crate::gateway::resolve::Resolver;
use crate::gateway::splice::Splice;
use crate::gateway::stack::Stack;
use crate::report::{Report, ReportSink, SourceError};

/// One connection attempt of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    pub(crate) port: PortId,
    pub(crate) guest_port: u16,
    pub(crate) source_port: u16,
}

/// A connection that is being made.
struct Pending {
    source: Arc<Source>,
    /// The latest SYN of the guest.
    syn: Vec<u8>,
    deadline: Instant,
    /// Addresses still to be tried.
    candidates: VecDeque<SocketAddr>,
    /// The one being tried.
    connecting: Option<(TcpStream, SocketAddr, Token)>,
}

pub(crate) struct Proxies {
    sources: HashMap<u16, Arc<Source>>,
    pending: HashMap<FlowKey, Pending>,
    live: HashMap<Token, Splice>,
    resolver: Resolver,
    registry: Registry,
    reports: ReportSink,
    quiet: Quiet,
    totals: Arc<Totals>,
    next_token: usize,
    buffer: usize,
    limit: usize,
    connect_deadline: Duration,
}

impl Proxies {
    pub(crate) fn new(
        config: &NetConfig,
        resolver: Resolver,
        registry: Registry,
        reports: ReportSink,
        totals: Arc<Totals>,
    ) -> Self {
        Self {
            sources: HashMap::new(),
            pending: HashMap::new(),
            live: HashMap::new(),
            resolver,
            registry,
            reports,
            quiet: Quiet::new(Instant::now()),
            totals,
            next_token: 1,
            buffer: config.source_buffer,
            limit: config.source_connections,
            connect_deadline: config.connect_deadline,
        }
    }

    /// Opens a gateway port, or points it elsewhere; connections to where it pointed before end.
    pub(crate) fn open(&mut self, source_port: u16, source: Arc<Source>, stack: &mut Stack, now: Instant) {
        if self.sources.get(&source_port).is_some_and(|old| **old != *source) {
            self.close(source_port, stack, now);
        }
        self.sources.insert(source_port, source);
    }

    /// Closes a gateway port; its connections end.
    pub(crate) fn close(&mut self, source_port: u16, stack: &mut Stack, now: Instant) {
        self.sources.remove(&source_port);
        for splice in self.live.values().filter(|s| s.source_port == source_port) {
            stack.socket(splice.handle).abort();
        }
        let flows: Vec<FlowKey> =
            self.pending.keys().filter(|f| f.source_port == source_port).copied().collect();
        for flow in flows {
            self.fail(flow, SourceError::Unregistered, stack, now);
        }
        self.quiet.forget(source_port);
    }

    /// A port is gone, and its connections with it.
    pub(crate) fn remove_port(&mut self, port: PortId, stack: &mut Stack) {
        self.pending.retain(|flow, _| flow.port != port);
        for (_, splice) in self.live.extract_if(|_, splice| splice.port == port) {
            stack.sockets.remove(splice.handle);
        }
    }

    /// A SYN for a gateway port.
    pub(crate) fn syn(&mut self, flow: FlowKey, packet: &[u8], stack: &mut Stack, now: Instant) {
        if let Some(pending) = self.pending.get_mut(&flow) {
            pending.syn = packet.to_vec();
            return;
        }
        let Some(source) = self.sources.get(&flow.source_port).cloned() else {
            return stack.input(packet, now);
        };
        let known = self.live.values().any(|splice| {
            let guest_port = stack.socket(splice.handle).remote_endpoint().map(|remote| remote.port);
            splice.port == flow.port
                && splice.source_port == flow.source_port
                && guest_port == Some(flow.guest_port)
        });
        if known {
            return stack.input(packet, now);
        }
        let pending = Pending {
            source: Arc::clone(&source),
            syn: packet.to_vec(),
            deadline: now + self.connect_deadline,
            candidates: VecDeque::new(),
            connecting: None,
        };
        self.pending.insert(flow, pending);
        if self.live.len() + self.pending.len() > self.limit {
            return self.fail(flow, SourceError::TooMany { limit: self.limit }, stack, now);
        }
        match &source.host {
            Host::Literal(address) => {
                self.addresses(flow, vec![SocketAddr::new(*address, source.port)], stack, now);
            }
            Host::Name(name) => self.resolver.ask(flow, name.clone(), source.port),
        }
    }

    /// The resolver's answer.
    pub(crate) fn resolved(
        &mut self,
        flow: FlowKey,
        result: io::Result<Vec<SocketAddr>>,
        stack: &mut Stack,
        now: Instant,
    ) {
        self.resolver.answered();
        match (result, self.pending.get(&flow)) {
            (Ok(addresses), Some(_)) => self.addresses(flow, addresses, stack, now),
            (Err(source), Some(pending)) => {
                let host = pending.source.host_text();
                self.fail(flow, SourceError::Resolve { host, source }, stack, now);
            }
            (_, None) => {}
        }
    }

    fn addresses(&mut self, flow: FlowKey, addresses: Vec<SocketAddr>, stack: &mut Stack, now: Instant) {
        let Some(pending) = self.pending.get_mut(&flow) else { return };
        let host = pending.source.host_text();
        let mut refused = None;
        for address in addresses {
            match pending.source.allows(address.ip()) {
                Ok(()) => pending.candidates.push_back(address),
                Err(kind) => drop(refused.get_or_insert((address.ip(), kind))),
            }
        }
        if !pending.candidates.is_empty() {
            return self.connect_next(flow, SourceError::NoAddress { host }, stack, now);
        }
        let why = match refused {
            Some((address, kind)) => SourceError::AddressRefused { host, address, kind },
            None => SourceError::NoAddress { host },
        };
        self.fail(flow, why, stack, now);
    }

    /// Tries the next address; `why` is what to say when there is none.
    fn connect_next(&mut self, flow: FlowKey, mut why: SourceError, stack: &mut Stack, now: Instant) {
        let Some(pending) = self.pending.get_mut(&flow) else { return };
        pending.connecting = None;
        while let Some(address) = pending.candidates.pop_front() {
            // Odd numbers: even ones are ports.
            let token = Token(self.next_token);
            self.next_token += 2;
            let attempt = TcpStream::connect(address).and_then(|mut host| {
                self.registry.register(&mut host, token, Interest::READABLE | Interest::WRITABLE)?;
                Ok(host)
            });
            match attempt {
                Ok(host) => {
                    pending.connecting = Some((host, address, token));
                    return;
                }
                Err(source) => why = SourceError::Connect { address, source },
            }
        }
        self.fail(flow, why, stack, now);
    }

    /// What the system said about a host socket.
    pub(crate) fn ready(
        &mut self,
        token: Token,
        readable: bool,
        writable: bool,
        stack: &mut Stack,
        now: Instant,
    ) {
        if let Some(splice) = self.live.get_mut(&token) {
            splice.readable |= readable;
            splice.writable |= writable;
            return;
        }
        let flow = self
            .pending
            .iter()
            .find(|(_, p)| p.connecting.as_ref().is_some_and(|(_, _, t)| *t == token))
            .map(|(&flow, _)| flow);
        if let Some(flow) = flow {
            self.check_connected(flow, stack, now);
        }
    }

    fn check_connected(&mut self, flow: FlowKey, stack: &mut Stack, now: Instant) {
        let Some((host, address, _)) = self.pending.get(&flow).and_then(|p| p.connecting.as_ref()) else {
            return;
        };
        let address = *address;
        let state = match host.take_error() {
            Ok(None) => host.peer_addr().map(drop),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match state {
            Ok(()) => self.establish(flow, stack, now),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(source) => self.connect_next(flow, SourceError::Connect { address, source }, stack, now),
        }
    }

    fn establish(&mut self, flow: FlowKey, stack: &mut Stack, now: Instant) {
        let Some(Pending { connecting: Some((host, _, token)), syn, .. }) = self.pending.remove(&flow) else {
            return;
        };
        // Without it small requests wait; with an error they only do that.
        let _ = host.set_nodelay(true);
        add(&self.totals.source_connections, 1);
        if let Some(handle) = stack.accept(&syn, flow.source_port, self.buffer, now) {
            let FlowKey { port, source_port, .. } = flow;
            let (readable, writable, host_done, guest_done, gathers_until) = (true, true, false, false, None);
            let splice = Splice {
                port,
                source_port,
                handle,
                host,
                readable,
                writable,
                host_done,
                guest_done,
                gathers_until,
            };
            self.live.insert(token, splice);
        }
    }

    /// The guest gets RST, the daemon the words, unless it had many of this source already.
    fn fail(&mut self, flow: FlowKey, why: SourceError, stack: &mut Stack, now: Instant) {
        let Some(pending) = self.pending.remove(&flow) else { return };
        stack.input(&pending.syn, now);
        add(&self.totals.source_failures, 1);
        if let Some(kept_back) = self.quiet.tell(flow.source_port, now) {
            let source = pending.source.name.clone();
            (self.reports)(Report::SourceFailed { port: flow.port, source, why, kept_back });
        }
    }

    /// Moves bytes and gives up what has taken too long. Returns whether anything moved.
    pub(crate) fn pump(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let late: Vec<FlowKey> =
            self.pending.iter().filter(|(_, p)| now >= p.deadline).map(|(&flow, _)| flow).collect();
        for flow in late {
            let Some(pending) = self.pending.get(&flow) else { continue };
            let host = pending.source.host_text();
            self.fail(flow, SourceError::Deadline { host, after: self.connect_deadline }, stack, now);
        }
        let mut moved = false;
        for splice in self.live.values_mut() {
            moved |= splice.pump(stack.socket(splice.handle), now);
        }
        self.live.retain(|_, splice| {
            let over = splice.over(stack.socket(splice.handle));
            if over {
                stack.sockets.remove(splice.handle);
            }
            !over
        });
        moved
    }

    /// When the next attempt has taken too long, or a source has gathered enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let gathering = self.live.values().filter_map(Splice::deadline);
        self.pending.values().map(|p| p.deadline).chain(gathering).min()
    }

    /// Ends the helper threads.
    pub(crate) fn stop(&mut self) {
        self.resolver.stop();
    }
}
