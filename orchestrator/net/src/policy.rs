//! Who may send what to whom. Pure: bytes and facts in, a verdict out; it distrusts every byte of the frame.
//!
//! ```text
//! function --ARP request for gateway or its broker--> answered by the switch
//! function --TCP--> gateway:CONTROL_PORT, its broker:DATA_PORT
//! broker   --ARP request for gateway or a function of its own--> answered by the switch
//! broker   --TCP--> gateway:CONTROL_PORT, gateway:source ports; from DATA_PORT to its functions, answers only
//! ```
//! Everything else is dropped with its reason. No guest ever sees an ARP packet of another one: the switch knows all
//! addresses, so it answers itself, and an ARP reply from a guest has nothing to answer.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use fades_core::Role;
use fades_core::network::PortId;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Packet, TcpPacket,
};

use crate::address::{CONTROL_PORT, DATA_PORT, GATEWAY, mac_of};
use crate::counters::Reason;

/// Ethernet pads short frames to this (without the check sequence), so bytes behind a packet are fine up to here.
const PADDED_FRAME: usize = 60;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_HEADER: usize = 14;

/// What the switch knows of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFacts {
    /// Its name.
    pub port: PortId,
    /// What its guest is for.
    pub role: Role,
    /// The one address that may be in its packets.
    pub address: Ipv4Addr,
    /// For a function: the broker it belongs to, if there is one.
    pub broker: Option<PortId>,
}

impl PortFacts {
    /// The one hardware address that may be in its frames.
    #[must_use]
    pub fn mac(&self) -> EthernetAddress {
        mac_of(self.address)
    }
}

/// What the switch knows of everybody.
#[derive(Debug, Clone, Default)]
pub struct Table {
    ports: HashMap<Ipv4Addr, PortFacts>,
    sources: HashSet<u16>,
    mtu: usize,
}

impl Table {
    /// An empty table for links with this MTU (bytes of an IP packet).
    #[must_use]
    pub fn new(mtu: usize) -> Self {
        Self { mtu, ..Self::default() }
    }

    /// Adds a port, or changes what is known of it.
    pub fn insert(&mut self, facts: PortFacts) {
        self.ports.insert(facts.address, facts);
    }

    /// Forgets the port at an address.
    pub fn remove(&mut self, address: Ipv4Addr) {
        self.ports.remove(&address);
    }

    /// The port at an address.
    #[must_use]
    pub fn at(&self, address: Ipv4Addr) -> Option<&PortFacts> {
        self.ports.get(&address)
    }

    /// Opens a gateway port for brokers.
    pub fn open_source(&mut self, port: u16) {
        self.sources.insert(port);
    }

    /// Closes a gateway port.
    pub fn close_source(&mut self, port: u16) {
        self.sources.remove(&port);
    }

    /// The most bytes of a frame.
    #[must_use]
    pub fn largest_frame(&self) -> usize {
        self.mtu + ETHERNET_HEADER
    }

    fn peer(&self, from: &PortFacts, address: Ipv4Addr) -> Option<Peer> {
        if address == GATEWAY {
            return Some(Peer::Gateway);
        }
        let to = self.ports.get(&address)?;
        match (from.role, to.role) {
            (Role::Function, Role::Broker) if from.broker == Some(to.port) => Some(Peer::Broker(to.port)),
            (Role::Broker, Role::Function) if to.broker == Some(from.port) => Some(Peer::Function(to.port)),
            _ => None,
        }
    }
}

/// What is to be done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Goes to this port.
    Forward(PortId),
    /// Goes to this port as well, and opens a connection there.
    Open(PortId),
    /// Goes to the gateway.
    Gateway,
    /// The switch answers: this address has its hardware address.
    AnswerArp(Ipv4Addr),
    /// Goes nowhere.
    Drop(Reason),
}

enum Peer {
    Gateway,
    Broker(PortId),
    Function(PortId),
}

/// Decides on one frame from one port. Never panics, whatever the bytes.
#[must_use]
pub fn classify(frame: &[u8], from: &PortFacts, table: &Table) -> Verdict {
    check(frame, from, table).unwrap_or_else(Verdict::Drop)
}

fn check(frame: &[u8], from: &PortFacts, table: &Table) -> Result<Verdict, Reason> {
    if frame.len() > table.largest_frame() {
        return Err(Reason::Giant);
    }
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Err(Reason::Runt) };
    if ethernet.src_addr() != from.mac() {
        return Err(Reason::SourceMac);
    }
    match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(&ethernet, from, table),
        EthernetProtocol::Ipv4 => ipv4(&ethernet, from, table),
        EthernetProtocol::Ipv6 => Err(Reason::Ipv6),
        EthernetProtocol::Unknown(0x8100 | 0x88a8 | 0x9100) => Err(Reason::Vlan),
        EthernetProtocol::Unknown(_) => Err(Reason::EtherType),
    }
}

fn arp(ethernet: &EthernetFrame<&[u8]>, from: &PortFacts, table: &Table) -> Result<Verdict, Reason> {
    let Ok(packet) = ArpPacket::new_checked(ethernet.payload()) else { return Err(Reason::ArpMalformed) };
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    }) = ArpRepr::parse(&packet)
    else {
        return Err(Reason::ArpMalformed);
    };
    if source_hardware_addr != from.mac() || source_protocol_addr != from.address {
        return Err(Reason::ArpSender);
    }
    match operation {
        ArpOperation::Request => {}
        ArpOperation::Reply => return Err(Reason::ArpReply),
        ArpOperation::Unknown(_) => return Err(Reason::ArpMalformed),
    }
    if ethernet.as_ref().len() > PADDED_FRAME {
        return Err(Reason::Trailing);
    }
    if table.peer(from, target_protocol_addr).is_none() {
        return Err(Reason::ArpTarget);
    }
    if !ethernet.dst_addr().is_broadcast() && ethernet.dst_addr() != mac_of(target_protocol_addr) {
        return Err(Reason::DestinationMac);
    }
    Ok(Verdict::AnswerArp(target_protocol_addr))
}

fn ipv4(ethernet: &EthernetFrame<&[u8]>, from: &PortFacts, table: &Table) -> Result<Verdict, Reason> {
    let Ok(packet) = Ipv4Packet::new_checked(ethernet.payload()) else { return Err(Reason::Ipv4Malformed) };
    if packet.version() != 4 || !packet.verify_checksum() {
        return Err(Reason::Ipv4Malformed);
    }
    if packet.src_addr() != from.address {
        return Err(Reason::SourceIp);
    }
    if usize::from(packet.header_len()) != smoltcp::wire::IPV4_HEADER_LEN {
        return Err(Reason::Ipv4Options);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Reason::Fragment);
    }
    let frame_end = ETHERNET_HEADER + usize::from(packet.total_len());
    if ethernet.as_ref().len() > frame_end.max(PADDED_FRAME) {
        return Err(Reason::Trailing);
    }
    if !ethernet.dst_addr().is_unicast() || !packet.dst_addr().is_unicast_address() {
        return Err(Reason::Broadcast);
    }
    if packet.next_header() != IpProtocol::Tcp {
        return Err(Reason::Protocol);
    }
    let Some(peer) = table.peer(from, packet.dst_addr()) else { return Err(Reason::Destination) };
    if ethernet.dst_addr() != mac_of(packet.dst_addr()) {
        return Err(Reason::DestinationMac);
    }
    let Ok(tcp) = TcpPacket::new_checked(packet.payload()) else { return Err(Reason::TcpMalformed) };
    ports(&tcp, from.role, &peer, table)
}

fn ports(tcp: &TcpPacket<&[u8]>, role: Role, peer: &Peer, table: &Table) -> Result<Verdict, Reason> {
    match *peer {
        Peer::Gateway if tcp.dst_port() == CONTROL_PORT => Ok(Verdict::Gateway),
        Peer::Gateway if role == Role::Broker && table.sources.contains(&tcp.dst_port()) => {
            Ok(Verdict::Gateway)
        }
        Peer::Broker(port) if tcp.dst_port() == DATA_PORT && tcp.syn() => Ok(Verdict::Open(port)),
        Peer::Broker(port) if tcp.dst_port() == DATA_PORT => Ok(Verdict::Forward(port)),
        Peer::Function(_) if tcp.src_port() == DATA_PORT && tcp.syn() && !tcp.ack() => Err(Reason::ServerSyn),
        Peer::Function(port) if tcp.src_port() == DATA_PORT => Ok(Verdict::Forward(port)),
        _ => Err(Reason::TcpPort),
    }
}

/// Unicast in the sense of the policy: an address that one host can have.
trait Unicast {
    fn is_unicast_address(&self) -> bool;
}

impl Unicast for Ipv4Addr {
    fn is_unicast_address(&self) -> bool {
        let [a, b, c, d] = self.octets();
        !(self.is_broadcast()
            || self.is_multicast()
            || self.is_unspecified()
            || [a, b, c, d] == [10, 77, 255, 255])
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
