//! The gateway at 10.77.0.1: control endpoint and source proxies over one TCP stack.

pub(crate) mod allow;
mod control;
pub(crate) mod proxy;
mod quiet;
pub(crate) mod resolve;
mod splice;
mod stack;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fades_core::network::{NetEventSink, PortId};
use mio::{Registry, Token};
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use crate::address::CONTROL_PORT;
use crate::command::{CommandSender, ControlGauge};
use crate::config::NetConfig;
use crate::counters::Totals;
use crate::report::ReportSink;
use crate::switch::{GatewayInput, Switch};

pub(crate) use allow::Source;
pub use allow::{AddressKind, SourceRule};
pub(crate) use proxy::FlowKey;
pub use resolve::{Lookup, system_lookup};

use control::Control;
use proxy::Proxies;
use resolve::Resolver;
use stack::Stack;

/// Rounds of moving and sending in one turn, so that the switch has its share.
const ROUNDS: usize = 4;

/// Packets per socket and round.
const PACKETS: usize = 32;

/// Packets at once with which one port may provoke immediate answers (RST, repeated ACK). Beyond, that port is not heard until
/// the answers have gone: a flood must cost neither memory nor the others' time.
const ANSWERS: usize = 256;

pub(crate) struct Gateway {
    stack: Stack,
    control: Control,
    proxies: Proxies,
    /// The last turn has left something to do.
    busy: bool,
    now: Instant,
    /// Immediate answers by who provoked them, since all have gone.
    answers: HashMap<PortId, usize>,
}

impl Gateway {
    pub(crate) fn new(
        config: &NetConfig,
        sinks: (NetEventSink, ReportSink),
        resolving: (Lookup, CommandSender),
        registry: Registry,
        totals: &Arc<Totals>,
    ) -> Self {
        let ((events, reports), (lookup, answers)) = (sinks, resolving);
        let resolver = Resolver::new(lookup, answers);
        Self {
            stack: Stack::new(config.mtu, config.silence),
            control: Control::new(config, events, Arc::clone(totals)),
            proxies: Proxies::new(config, resolver, registry, reports, Arc::clone(totals)),
            busy: false,
            now: Instant::now(),
            answers: HashMap::new(),
        }
    }

    /// To be told before anything else in a turn.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// Moves bytes and packets, with a bound.
    pub(crate) fn turn(&mut self, switch: &mut Switch) {
        let now = self.now;
        for _ in 0..ROUNDS {
            let pumped = self.control.pump(&mut self.stack, now) | self.proxies.pump(&mut self.stack, now);
            let sent = self.send(switch, now);
            switch.flush();
            self.busy = pumped || sent;
            if !self.busy || switch.gateway_paused(now) {
                break;
            }
        }
    }

    fn send(&mut self, switch: &mut Switch, now: Instant) -> bool {
        let mut sent = false;
        for _ in 0..PACKETS {
            if switch.gateway_paused(now) {
                return sent;
            }
            if !self.stack.deliver(|to, frame| switch.send_from_gateway(to, frame, now)) {
                return sent;
            }
            self.answers.clear();
            if !self.stack.output(now) {
                return sent;
            }
            sent = true;
        }
        // Packets of the last pass.
        self.stack.deliver(|to, frame| switch.send_from_gateway(to, frame, now));
        sent
    }

    /// When there is something to do without any event.
    pub(crate) fn next_turn(&mut self, switch: &mut Switch, now: Instant) -> Option<Duration> {
        let deadline = [self.control.deadline(), self.proxies.deadline()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_duration_since(now));
        if switch.gateway_paused(now) {
            // The switch knows when the pause ends; the stack would say "now" until then.
            return deadline;
        }
        if self.busy {
            return Some(Duration::ZERO);
        }
        [deadline, self.stack.idle(now)].into_iter().flatten().min()
    }

    pub(crate) fn ready(&mut self, token: Token, readable: bool, writable: bool) {
        self.proxies.ready(token, readable, writable, &mut self.stack, self.now);
    }

    pub(crate) fn add_port(&mut self, port: PortId, gauge: Arc<ControlGauge>) {
        self.control.add_port(port, gauge);
    }

    pub(crate) fn link_lost(&mut self, port: PortId) {
        self.control.link_lost(port, &mut self.stack);
        self.proxies.remove_port(port, &mut self.stack);
    }

    pub(crate) fn remove_port(&mut self, port: PortId) {
        self.control.remove_port(port, &mut self.stack);
        self.proxies.remove_port(port, &mut self.stack);
    }

    pub(crate) fn send_control(&mut self, port: PortId, epoch: u64, gauge: &ControlGauge, bytes: &[u8]) {
        self.control.send(port, epoch, gauge, bytes);
    }

    pub(crate) fn close_control(&mut self, port: PortId) {
        self.control.close(port, &mut self.stack, self.now);
    }

    pub(crate) fn consumed(&mut self, port: PortId, bytes: usize) {
        self.control.consumed(port, bytes);
    }

    pub(crate) fn open_source(&mut self, port: u16, source: Arc<Source>) {
        self.proxies.open(port, source, &mut self.stack, self.now);
    }

    pub(crate) fn close_source(&mut self, port: u16) {
        self.proxies.close(port, &mut self.stack, self.now);
    }

    pub(crate) fn resolved(&mut self, flow: FlowKey, result: io::Result<Vec<SocketAddr>>) {
        self.proxies.resolved(flow, result, &mut self.stack, self.now);
    }

    pub(crate) fn stop(&mut self) {
        self.proxies.stop();
    }
}

impl GatewayInput for Gateway {
    fn packet(&mut self, from: PortId, packet: &[u8]) {
        if self.answers.get(&from).is_some_and(|&answers| answers >= ANSWERS) {
            return;
        }
        let waiting = self.stack.waiting();
        self.hand_in(from, packet);
        if self.stack.waiting() > waiting {
            *self.answers.entry(from).or_default() += 1;
        }
    }
}

impl Gateway {
    fn hand_in(&mut self, from: PortId, packet: &[u8]) {
        // The policy has parsed it already; what does not parse is not for us.
        let Ok(ip) = Ipv4Packet::new_checked(packet) else { return };
        let Ok(tcp) = TcpPacket::new_checked(ip.payload()) else { return };
        let opening = tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin();
        match tcp.dst_port() {
            CONTROL_PORT if opening => {
                self.control.syn(from, tcp.src_port(), packet, &mut self.stack, self.now);
            }
            source_port if opening && tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()) => {
                let flow = FlowKey { port: from, guest_port: tcp.src_port(), source_port };
                self.proxies.syn(flow, packet, &mut self.stack, self.now);
            }
            _ => self.stack.input(packet, self.now),
        }
    }
}
