//! The switch: reads frames from links, asks the policy, and queues them where they may go.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fades_core::Role;
use fades_core::network::PortId;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol};

use crate::address::{GATEWAY, mac_of};
use crate::counters::{PortCounters, Reason, Totals};
use crate::framing::FrameReader;
use crate::policy::{ETHERNET_HEADER, PortFacts, Table, Verdict, classify};
use crate::port::{Pause, PortState};
use crate::queue::Offer;
use crate::report::LinkError;

/// The gateway as a sender in queues; no port has this number.
const GATEWAY_PORT: PortId = PortId(0);

/// How often one port is read in one turn before the others have theirs.
const READS_PER_TURN: usize = 2;

/// Takes IP packets that guests send to the gateway.
pub(crate) trait GatewayInput {
    /// One packet (without the Ethernet header) that has passed the policy.
    fn packet(&mut self, from: PortId, packet: &[u8]);
}

/// All ports with a living link.
pub(crate) struct Switch {
    pub(crate) table: Table,
    ports: HashMap<PortId, PortState>,
    dirty: HashSet<PortId>,
    totals: Arc<Totals>,
    gateway_pause: Option<Pause>,
}

impl Switch {
    pub(crate) fn new(mtu: usize, totals: Arc<Totals>) -> Self {
        Self {
            table: Table::new(mtu),
            ports: HashMap::new(),
            dirty: HashSet::new(),
            totals,
            gateway_pause: None,
        }
    }

    pub(crate) fn insert(&mut self, port: PortState) {
        self.table.insert(port.facts);
        self.ports.insert(port.facts.port, port);
    }

    /// Takes a port out; its address reaches nobody from now on.
    pub(crate) fn remove(&mut self, id: PortId) -> Option<PortState> {
        let port = self.ports.remove(&id)?;
        self.table.remove(port.facts.address);
        self.wake_senders_to(id);
        Some(port)
    }

    /// Ties a function to a broker.
    pub(crate) fn assign(&mut self, function: PortId, broker: PortId) {
        if let Some(port) = self.ports.get_mut(&function)
            && port.facts.role == Role::Function
        {
            port.facts.broker = Some(broker);
            self.table.insert(port.facts);
        }
    }

    /// Remembers what the system said about a link.
    pub(crate) fn ready(&mut self, id: PortId, readable: bool, writable: bool) {
        if let Some(port) = self.ports.get_mut(&id) {
            port.readable |= readable;
            if writable {
                port.writable = true;
                self.dirty.insert(id);
            }
        }
    }

    /// Reads from every port that has something, with a bound on each. Ports whose links are gone are returned.
    pub(crate) fn turn(&mut self, now: Instant, gateway: &mut impl GatewayInput) -> Vec<(PortId, LinkError)> {
        self.flush();
        let mut lost = Vec::new();
        let ready: Vec<PortId> =
            self.ports.values().filter(|p| runnable(p, now)).map(|p| p.facts.port).collect();
        for id in ready {
            if let Err(why) = self.serve(id, now, gateway) {
                lost.push((id, why));
            }
            self.flush();
        }
        lost
    }

    /// When there is something to do without any event: at once, at the end of a pause, or never.
    pub(crate) fn next_turn(&self, now: Instant) -> Option<Duration> {
        let pauses = self.ports.values().filter_map(|p| p.pause).chain(self.gateway_pause);
        let soonest = pauses.map(|pause| pause.until.saturating_duration_since(now)).min();
        if self.ports.values().any(|p| p.pause.is_none() && p.readable) {
            Some(Duration::ZERO)
        } else {
            soonest
        }
    }

    fn serve(&mut self, id: PortId, now: Instant, gateway: &mut impl GatewayInput) -> Result<(), LinkError> {
        for read in 0..=READS_PER_TURN {
            let Some(port) = self.ports.get_mut(&id) else { return Ok(()) };
            let (facts, counters) = (port.facts, Arc::clone(&port.counters));
            let mut input = mem::take(&mut port.input);
            let paused = self.drain(&facts, &counters, &mut input, now, gateway);
            let Some(port) = self.ports.get_mut(&id) else { return Ok(()) };
            port.input = input;
            port.pause = paused?;
            // Frames of the last read are worked off; what the link has beyond it waits for the next turn.
            if port.pause.is_some() || !port.readable || read == READS_PER_TURN || !port.fill()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Works off buffered frames until there are none, or a receiver asks to wait.
    fn drain(
        &mut self,
        facts: &PortFacts,
        counters: &PortCounters,
        input: &mut FrameReader,
        now: Instant,
        gateway: &mut impl GatewayInput,
    ) -> Result<Option<Pause>, LinkError> {
        while let Some(frame) = input.frame()? {
            let length = frame.len();
            let verdict = classify(frame, facts, &self.table);
            match verdict {
                Verdict::Forward(to) | Verdict::Open(to) => {
                    if verdict == Verdict::Open(to) {
                        self.introduce(facts.address, to, now);
                    }
                    match self.offer(facts.port, to, most_queued(facts.role), frame, now) {
                        Offer::Taken => self.count_forwarded(counters, length),
                        Offer::Refused => self.count_drop(counters, Reason::ReceiverStalled),
                        Offer::Wait(until) => {
                            counters.count_pause();
                            return Ok(Some(Pause { receiver: to, until }));
                        }
                    }
                }
                Verdict::Gateway => {
                    self.count_forwarded(counters, length);
                    gateway.packet(facts.port, &frame[ETHERNET_HEADER..]);
                }
                Verdict::AnswerArp(target) => {
                    counters.count_arp();
                    self.introduce(target, facts.port, now);
                    if let Some(broker) =
                        facts.broker.and_then(|id| self.ports.get(&id)).map(|p| p.facts.address)
                    {
                        self.introduce(broker, facts.port, now);
                    }
                }
                Verdict::Drop(reason) => self.count_drop(counters, reason),
            }
            input.advance(length);
        }
        Ok(None)
    }

    /// Tells a guest a hardware address: because it has asked, or before it has to. Guests' stacks ask at most once per second,
    /// whoever they ask for, so a function that has just asked for the gateway would wait a second before it asks for its
    /// broker, and a broker would before it answers its second function.
    fn introduce(&mut self, who: Ipv4Addr, to: PortId, now: Instant) {
        let Some(asker) = self.ports.get(&to).map(|port| port.facts) else { return };
        // A guest that does not read has no use for it either.
        let _ = self.offer(GATEWAY_PORT, to, usize::MAX, &arp_answer(who, &asker), now);
    }

    /// Sends a packet of the gateway. `frame` has room for the Ethernet header in front. False: not now, offer it again.
    pub(crate) fn send_from_gateway(&mut self, to: Ipv4Addr, frame: &mut [u8], now: Instant) -> bool {
        let Some(&facts) = self.table.at(to) else { return true };
        ethernet_header(frame, mac_of(GATEWAY), facts.mac(), EthernetProtocol::Ipv4);
        match self.offer(GATEWAY_PORT, facts.port, usize::MAX, frame, now) {
            Offer::Taken => self.totals.all.count_forwarded(frame.len()),
            Offer::Refused => self.totals.all.count_drop(Reason::ReceiverStalled),
            // A function has windows far below its queue: one that fills it does not deserve that others wait.
            Offer::Wait(_) if facts.role == Role::Function => {
                self.totals.all.count_drop(Reason::ReceiverStalled);
            }
            Offer::Wait(until) => {
                self.gateway_pause = Some(Pause { receiver: facts.port, until });
                return false;
            }
        }
        true
    }

    /// Whether the gateway is to hold its packets back. Ends the pause when its time has come.
    pub(crate) fn gateway_paused(&mut self, now: Instant) -> bool {
        if self.gateway_pause.is_some_and(|pause| now >= pause.until) {
            self.gateway_pause = None;
        }
        self.gateway_pause.is_some()
    }

    fn offer(&mut self, from: PortId, to: PortId, most: usize, frame: &[u8], now: Instant) -> Offer {
        let Some(port) = self.ports.get_mut(&to).filter(|port| !port.deaf) else { return Offer::Refused };
        let offer = port.output.offer(from, most, frame, now);
        if offer == Offer::Taken {
            port.counters.count_received();
            self.dirty.insert(to);
        }
        offer
    }

    /// Writes to every link that has something queued.
    pub(crate) fn flush(&mut self) {
        for id in mem::take(&mut self.dirty) {
            if self.ports.get_mut(&id).is_some_and(PortState::flush) {
                self.wake_senders_to(id);
            }
        }
    }

    fn wake_senders_to(&mut self, receiver: PortId) {
        for port in
            self.ports.values_mut().filter(|p| p.pause.is_some_and(|pause| pause.receiver == receiver))
        {
            port.pause = None;
            // What is buffered has to be looked at even if the link has no more.
            port.readable = true;
        }
        if self.gateway_pause.is_some_and(|pause| pause.receiver == receiver) {
            self.gateway_pause = None;
        }
    }

    fn count_forwarded(&self, counters: &PortCounters, bytes: usize) {
        counters.count_forwarded(bytes);
        self.totals.all.count_forwarded(bytes);
    }

    fn count_drop(&self, counters: &PortCounters, reason: Reason) {
        counters.count_drop(reason);
        self.totals.all.count_drop(reason);
    }
}

/// How much of another's queue a guest may hold. A function sends requests and credit, and what it queues at the broker delays
/// the other functions' requests, so it gets little.
const fn most_queued(role: Role) -> usize {
    match role {
        Role::Broker => usize::MAX,
        Role::Function => 128 << 10,
    }
}

/// Has something to read, or frames buffered whose pause is over.
fn runnable(port: &PortState, now: Instant) -> bool {
    port.pause.map_or(port.readable, |pause| now >= pause.until)
}

fn ethernet_header(frame: &mut [u8], from: EthernetAddress, to: EthernetAddress, kind: EthernetProtocol) {
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    ethernet.set_src_addr(from);
    ethernet.set_dst_addr(to);
    ethernet.set_ethertype(kind);
}

fn arp_answer(target: Ipv4Addr, asker: &PortFacts) -> Vec<u8> {
    let answer = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: mac_of(target),
        source_protocol_addr: target,
        target_hardware_addr: asker.mac(),
        target_protocol_addr: asker.address,
    };
    let mut frame = vec![0; ETHERNET_HEADER + answer.buffer_len()];
    ethernet_header(&mut frame, mac_of(target), asker.mac(), EthernetProtocol::Arp);
    answer.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_HEADER..]));
    frame
}
