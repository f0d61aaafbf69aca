//! The control endpoint: at most one living connection per port, whose identity is the port.
//!
//! ```text
//! SYN -> handshake -> announced --guest's FIN or close_control--> lingering -> gone
//!                         \--RST, silence, port gone--> gone
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fades_core::network::{NetEvent, NetEventSink, PortId};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::address::CONTROL_PORT;
use crate::command::ControlGauge;
use crate::config::NetConfig;
use crate::counters::{Totals, add};
use crate::gateway::stack::Stack;

/// A handshake is given this long before another SYN of the same port takes its place. Guests repeat a SYN after a second, so
/// an honest one loses nothing, and a flood of SYNs costs one socket.
const HANDSHAKE: Duration = Duration::from_millis(500);

/// How long a closed connection may take to say goodbye.
const LINGER: Duration = Duration::from_secs(10);

/// Most bytes of one data event.
const PIECE: usize = 64 << 10;

struct Connection {
    handle: SocketHandle,
    guest_port: u16,
    since: Instant,
    announced: bool,
    /// Bytes handed to the sink and not yet consumed.
    unread: usize,
    outgoing: VecDeque<u8>,
    gauge: Arc<ControlGauge>,
}

pub(crate) struct Control {
    gauges: HashMap<PortId, Arc<ControlGauge>>,
    connections: HashMap<PortId, Connection>,
    lingering: Vec<(SocketHandle, Instant)>,
    events: NetEventSink,
    totals: Arc<Totals>,
    next_epoch: u64,
    buffer: usize,
    unread_bound: usize,
}

impl Control {
    pub(crate) fn new(config: &NetConfig, events: NetEventSink, totals: Arc<Totals>) -> Self {
        Self {
            gauges: HashMap::new(),
            connections: HashMap::new(),
            lingering: Vec::new(),
            events,
            totals,
            next_epoch: 1,
            buffer: config.control_buffer,
            unread_bound: config.control_unread,
        }
    }

    pub(crate) fn add_port(&mut self, port: PortId, gauge: Arc<ControlGauge>) {
        self.gauges.insert(port, gauge);
    }

    /// A SYN for the endpoint. A second connection beside a living one gets RST; one that never finished its handshake makes way.
    pub(crate) fn syn(
        &mut self,
        port: PortId,
        guest_port: u16,
        packet: &[u8],
        stack: &mut Stack,
        now: Instant,
    ) {
        let Some(gauge) = self.gauges.get(&port).cloned() else { return };
        if let Some(old) = self.connections.get(&port) {
            if old.announced || old.guest_port == guest_port {
                return stack.input(packet, now);
            }
            if now < old.since + HANDSHAKE {
                return;
            }
            stack.sockets.remove(old.handle);
            self.connections.remove(&port);
        }
        if let Some(handle) = stack.accept(packet, CONTROL_PORT, self.buffer, now) {
            let outgoing = VecDeque::new();
            let new =
                Connection { handle, guest_port, since: now, announced: false, unread: 0, outgoing, gauge };
            self.connections.insert(port, new);
        }
    }

    /// Queues bytes for the connection of this number, if it still lives.
    pub(crate) fn send(&mut self, port: PortId, epoch: u64, gauge: &ControlGauge, bytes: &[u8]) {
        match self.connections.get_mut(&port) {
            Some(connection) if gauge.epoch.load(Ordering::Acquire) == epoch => {
                connection.outgoing.extend(bytes)
            }
            _ => drop(gauge.unsent.fetch_sub(bytes.len(), Ordering::AcqRel)),
        }
    }

    pub(crate) fn consumed(&mut self, port: PortId, bytes: usize) {
        if let Some(connection) = self.connections.get_mut(&port) {
            connection.unread = connection.unread.saturating_sub(bytes);
        }
    }

    /// Closes from our side; what fits into the connection's buffer still goes out.
    pub(crate) fn close(&mut self, port: PortId, stack: &mut Stack, now: Instant) {
        let Some(mut connection) = self.connections.remove(&port) else { return };
        connection.push(stack);
        stack.socket(connection.handle).close();
        self.lingering.push((connection.handle, now + LINGER));
        self.end(port, &connection);
    }

    /// The port's link is gone: what it sent before is delivered, whatever the bound, then its connection ends.
    pub(crate) fn link_lost(&mut self, port: PortId, stack: &mut Stack) {
        let Some(mut connection) = self.connections.remove(&port) else { return };
        self.announce(port, &mut connection, stack);
        if connection.announced {
            connection.pull(port, usize::MAX, stack, &self.events);
        }
        stack.sockets.remove(connection.handle);
        self.end(port, &connection);
    }

    /// The port is taken away.
    pub(crate) fn remove_port(&mut self, port: PortId, stack: &mut Stack) {
        self.gauges.remove(&port);
        if let Some(connection) = self.connections.remove(&port) {
            stack.sockets.remove(connection.handle);
            self.end(port, &connection);
        }
    }

    /// Moves bytes between sockets and the daemon and sees to ends. Returns whether anything moved.
    pub(crate) fn pump(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let mut moved = false;
        let ports: Vec<PortId> = self.connections.keys().copied().collect();
        for port in ports {
            let Some(mut connection) = self.connections.remove(&port) else { continue };
            self.announce(port, &mut connection, stack);
            if connection.announced {
                moved |= connection.pull(port, self.unread_bound, stack, &self.events);
            }
            moved |= connection.push(stack);
            let socket = stack.socket(connection.handle);
            let all_read = connection.announced && !socket.may_recv();
            if socket.state() == State::Closed || all_read {
                moved = true;
                socket.close();
                self.lingering.push((connection.handle, now + LINGER));
                self.end(port, &connection);
            } else {
                self.connections.insert(port, connection);
            }
        }
        self.see_off(stack, now);
        moved
    }

    /// When the next goodbye has taken too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lingering.iter().map(|&(_, deadline)| deadline).min()
    }

    fn announce(&mut self, port: PortId, connection: &mut Connection, stack: &mut Stack) {
        let state = stack.socket(connection.handle).state();
        if connection.announced || matches!(state, State::SynReceived | State::Closed) {
            return;
        }
        connection.announced = true;
        connection.gauge.epoch.store(self.next_epoch, Ordering::Release);
        self.next_epoch += 1;
        add(&self.totals.control_connections, 1);
        (self.events)(NetEvent::ControlConnected(port));
    }

    fn end(&self, port: PortId, connection: &Connection) {
        if connection.announced {
            connection.gauge.epoch.store(0, Ordering::Release);
            connection.gauge.unsent.fetch_sub(connection.outgoing.len(), Ordering::AcqRel);
            (self.events)(NetEvent::ControlClosed(port));
        }
    }

    fn see_off(&mut self, stack: &mut Stack, now: Instant) {
        self.lingering.retain(|&(handle, deadline)| {
            let socket = stack.socket(handle);
            // An aborted socket has its remote end until its RST is out.
            let gone = socket.state() == State::TimeWait
                || (socket.state() == State::Closed && socket.remote_endpoint().is_none())
                || now >= deadline;
            if gone {
                stack.sockets.remove(handle);
            } else if !socket.may_send() && socket.can_recv() {
                // Nobody reads this any more, and an unread buffer would hold the peer's FIN back.
                let _ = socket.recv(|bytes| (bytes.len(), ()));
            }
            !gone
        });
    }
}

impl Connection {
    /// Hands bytes of the guest to the sink, up to the bound.
    fn pull(&mut self, port: PortId, bound: usize, stack: &mut Stack, events: &NetEventSink) -> bool {
        let socket = stack.socket(self.handle);
        let mut moved = false;
        while self.unread < bound && socket.can_recv() {
            let room = (bound - self.unread).min(PIECE);
            let piece = socket.recv(|bytes| {
                let n = bytes.len().min(room);
                (n, bytes[..n].to_vec())
            });
            let Ok(piece) = piece else { break };
            self.unread += piece.len();
            moved = true;
            events(NetEvent::ControlData(port, piece));
        }
        moved
    }

    /// Puts queued bytes into the connection's buffer.
    fn push(&mut self, stack: &mut Stack) -> bool {
        let socket = stack.socket(self.handle);
        let mut moved = false;
        while !self.outgoing.is_empty() && socket.can_send() {
            let Ok(n) = socket.send_slice(self.outgoing.as_slices().0) else { break };
            self.outgoing.drain(..n);
            self.gauge.unsent.fetch_sub(n, Ordering::AcqRel);
            moved = true;
        }
        moved
    }
}
