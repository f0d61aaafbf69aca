//! Frames that no guest may send, of 25 kinds; each kind's details are drawn from a seed.
//!
//! The hostile probe sends them through its own device, and `orchestrator/net/tests/storm.rs`, which takes this file as a module of its own, puts
//! them into the switch as a monitor would: many more of them, and without a guest.

use std::net::Ipv4Addr;

use fades_wire::address::{CONTROL_PORT, DATA_PORT, GATEWAY};

/// In every frame that has room for it, so that one that came through is known.
pub(crate) const MARK: &[u8] = b"fades-storm";
/// An address of nobody.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const BROADCAST: [u8; 6] = [255; 6];

/// The hardware address that the node gives with an address.
pub(crate) const fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [_, _, high, low] = address.octets();
    [0x02, 0xfa, 0xde, 0, high, low]
}

/// A length as headers have it.
fn half_of(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// What a function knows when it means harm.
pub(crate) struct Attack {
    own: Ipv4Addr,
    neighbour: Ipv4Addr,
    broker: Ipv4Addr,
    state: u64,
}

/// A kind: what it is, and one of it.
pub(crate) type Kind = (&'static str, fn(&mut Attack) -> Vec<u8>);

pub(crate) const KINDS: [Kind; 25] = [
    ("from the neighbour's hardware", |a| {
        a.frame(mac_of(a.neighbour), mac_of(a.broker), 0x0800, a.segment(a.own, a.broker, DATA_PORT))
    }),
    ("from the gateway's hardware", |a| {
        a.frame(mac_of(GATEWAY), mac_of(a.neighbour), 0x0800, a.segment(GATEWAY, a.neighbour, DATA_PORT))
    }),
    ("from hardware of everybody", |a| {
        a.frame(BROADCAST, BROADCAST, 0x0800, a.segment(a.own, a.broker, DATA_PORT))
    }),
    ("from any hardware", |a| {
        let mac = a.bytes();
        a.frame(mac, mac_of(a.broker), 0x0800, a.segment(a.own, a.broker, DATA_PORT))
    }),
    ("from the neighbour's address", |a| a.packet(a.segment(a.neighbour, a.broker, DATA_PORT), a.broker)),
    ("from the gateway's address", |a| a.packet(a.segment(GATEWAY, a.neighbour, DATA_PORT), a.neighbour)),
    ("from any address", |a| {
        let from = Ipv4Addr::from(a.bytes::<4>());
        a.packet(a.segment(from, a.broker, DATA_PORT), a.broker)
    }),
    ("to the neighbour", |a| {
        let port = a.port();
        a.packet(a.segment(a.own, a.neighbour, port), a.neighbour)
    }),
    ("to a port of the broker's that is none", |a| {
        let port = a.port();
        a.packet(a.segment(a.own, a.broker, port), a.broker)
    }),
    ("to a port of the gateway's that is none", |a| {
        let port = a.port();
        a.packet(a.segment(a.own, GATEWAY, port), GATEWAY)
    }),
    ("to the outside", |a| {
        let port = a.port();
        a.packet(a.segment(a.own, OUTSIDE, port), GATEWAY)
    }),
    ("an ARP answer in the broker's name", |a| a.arp(2, a.broker, a.neighbour)),
    ("an ARP question in the neighbour's name", |a| a.arp(1, a.neighbour, a.broker)),
    ("an ARP question for the neighbour", |a| a.arp(1, a.own, a.neighbour)),
    ("an ARP packet of other sizes", |a| {
        let mut frame = a.arp(1, a.own, a.broker);
        frame[18] = a.half().to_le_bytes()[0] | 8;
        frame
    }),
    ("a VLAN", |a| {
        let tag = a.half().to_be_bytes();
        a.tagged(0x8100, tag)
    }),
    ("a VLAN in a VLAN", |a| {
        let tag = a.half().to_be_bytes();
        a.tagged(0x88a8, tag)
    }),
    ("an IPv6 router's advertisement", |a| {
        a.frame(mac_of(a.own), [0x33, 0x33, 0, 0, 0, 1], 0x86dd, a.advertisement())
    }),
    ("a DHCP server's offer", |a| {
        a.packet(a.ip(a.own, Ipv4Addr::BROADCAST, 17, &a.datagram(67, 68)), Ipv4Addr::BROADCAST)
    }),
    ("a datagram", |a| {
        let port = a.port();
        a.packet(a.ip(a.own, a.broker, 17, &a.datagram(port, 53)), a.broker)
    }),
    ("an echo request", |a| {
        a.packet(a.ip(a.own, a.neighbour, 1, &[&[8, 0, 0, 0], MARK].concat()), a.neighbour)
    }),
    ("a fragment", |a| {
        let offset = (a.half() & 0x1fff) | 1;
        a.changed(|packet| packet[6..8].copy_from_slice(&(offset | 0x2000).to_be_bytes()))
    }),
    ("a packet with a lying length", |a| {
        let lie = a.half() | 0x4000;
        a.changed(|packet| packet[2..4].copy_from_slice(&lie.to_be_bytes()))
    }),
    ("a runt", |a| {
        let length = usize::from(a.half() % 14);
        vec![0xff; length]
    }),
    ("a giant", |a| {
        let length = 9_100 + usize::from(a.half() % 50_000);
        let mut frame = a.packet(a.segment(a.own, a.broker, DATA_PORT), a.broker);
        frame.resize(length, 0);
        frame
    }),
];

impl Attack {
    pub(crate) const fn new(own: Ipv4Addr, neighbour: Ipv4Addr, broker: Ipv4Addr, seed: u64) -> Self {
        Self { own, neighbour, broker, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn any(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn half(&mut self) -> u16 {
        let [low, high, ..] = self.any().to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.fill_with(|| self.any().to_le_bytes()[3]);
        // Never what is its own.
        bytes[0] |= 0x80;
        bytes
    }

    /// One on which nobody listens for functions.
    fn port(&mut self) -> u16 {
        let port = self.half();
        if [DATA_PORT, CONTROL_PORT].contains(&port) { 22 } else { port }
    }

    fn frame(&self, from: [u8; 6], to: [u8; 6], kind: u16, body: Vec<u8>) -> Vec<u8> {
        [&to[..], &from, &kind.to_be_bytes(), &body].concat()
    }

    fn packet(&self, packet: Vec<u8>, to: Ipv4Addr) -> Vec<u8> {
        self.frame(mac_of(self.own), if to.is_broadcast() { BROADCAST } else { mac_of(to) }, 0x0800, packet)
    }

    fn ip(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
        let length = half_of(20 + body.len()).to_be_bytes();
        let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(body);
        sum(&mut packet);
        packet
    }

    /// That opens a connection.
    fn segment(&self, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Vec<u8> {
        let port = port.to_be_bytes();
        let head = [0xc3, 0x50, port[0], port[1], 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
        self.ip(from, to, 6, &[&head[..], MARK].concat())
    }

    /// One that would do, but for this.
    fn changed(&self, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut packet = self.segment(self.own, self.broker, DATA_PORT);
        change(&mut packet);
        sum(&mut packet);
        self.packet(packet, self.broker)
    }

    fn datagram(&self, from: u16, to: u16) -> Vec<u8> {
        let length = half_of(8 + MARK.len());
        [from, to, length, 0].iter().flat_map(|half| half.to_be_bytes()).chain(MARK.iter().copied()).collect()
    }

    fn advertisement(&self) -> Vec<u8> {
        let head = [0x60, 0, 0, 0, 0, 27, 58, 255];
        let addresses = [
            [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
            [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ];
        [&head[..], &addresses.concat(), &[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], MARK].concat()
    }

    fn arp(&self, operation: u8, from: Ipv4Addr, about: Ipv4Addr) -> Vec<u8> {
        let head = [0, 1, 8, 0, 6, 4, 0, operation];
        let body = [&head[..], &mac_of(from), &from.octets(), &[0; 6], &about.octets(), MARK].concat();
        self.frame(mac_of(self.own), BROADCAST, 0x0806, body)
    }

    fn tagged(&self, kind: u16, tag: [u8; 2]) -> Vec<u8> {
        let inner = [&tag[..], &[8, 0], &self.segment(self.own, self.broker, DATA_PORT)].concat();
        self.frame(mac_of(self.own), mac_of(self.broker), kind, inner)
    }
}

/// Makes the checksum of an IPv4 header right.
fn sum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let halves = packet[..20].chunks(2).map(|half| u32::from(half[0]) << 8 | u32::from(half[1]));
    let mut sum: u32 = halves.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap_or_default()).to_be_bytes());
}
