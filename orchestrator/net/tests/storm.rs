//! THREATS G7 and G8: frames of 25 kinds that no guest may send, from two functions at once, while a neighbour reads from the broker.
//!
//! Each kind's details are drawn from a seed; `FADES_FRAMES` says how many of each, `FADES_SEED` what is drawn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::net::Ipv4Addr;
use std::thread;

use common::{SOON, digest, drain, eventually, pattern, pour, start};
use fades_core::Role;
use fades_net::testpeer::TestPeer;
use fades_net::{CONTROL_PORT, DATA_PORT, GATEWAY, mac_of};

const MIB: usize = 1 << 20;
/// In every frame that has room for it, so that one that came through is known.
const MARK: &[u8] = b"fades-storm";
/// Frames of each kind, if nobody says.
const EACH: u64 = 40_000;
/// An address of nobody.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const BROADCAST: [u8; 6] = [255; 6];

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// What a function knows when it means harm.
struct Attack {
    own: Ipv4Addr,
    neighbour: Ipv4Addr,
    broker: Ipv4Addr,
    state: u64,
}

type Kind = (&'static str, fn(&mut Attack) -> Vec<u8>);

const KINDS: [Kind; 25] = [
    ("from the neighbour's hardware", |a| {
        a.frame(mac_of(a.neighbour).0, mac_of(a.broker).0, 0x0800, a.segment(a.own, a.broker, DATA_PORT))
    }),
    ("from the gateway's hardware", |a| {
        a.frame(mac_of(GATEWAY).0, mac_of(a.neighbour).0, 0x0800, a.segment(GATEWAY, a.neighbour, DATA_PORT))
    }),
    ("from hardware of everybody", |a| {
        a.frame(BROADCAST, BROADCAST, 0x0800, a.segment(a.own, a.broker, DATA_PORT))
    }),
    ("from any hardware", |a| {
        let mac = a.bytes();
        a.frame(mac, mac_of(a.broker).0, 0x0800, a.segment(a.own, a.broker, DATA_PORT))
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
        a.frame(mac_of(a.own).0, [0x33, 0x33, 0, 0, 0, 1], 0x86dd, a.advertisement())
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
        self.frame(
            mac_of(self.own).0,
            if to.is_broadcast() { BROADCAST } else { mac_of(to).0 },
            0x0800,
            packet,
        )
    }

    fn ip(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
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
        let length = u16::try_from(8 + MARK.len()).unwrap();
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
        let body = [&head[..], &mac_of(from).0, &from.octets(), &[0; 6], &about.octets(), MARK].concat();
        self.frame(mac_of(self.own).0, BROADCAST, 0x0806, body)
    }

    fn tagged(&self, kind: u16, tag: [u8; 2]) -> Vec<u8> {
        let inner = [&tag[..], &[8, 0], &self.segment(self.own, self.broker, DATA_PORT)].concat();
        self.frame(mac_of(self.own).0, mac_of(self.broker).0, kind, inner)
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
    packet[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
}

#[test]
fn g7_of_25_kinds_of_frames_none_reaches_anybody() {
    let (each, seed) = (number("FADES_FRAMES", EACH), number("FADES_SEED", 1));
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let (good, bad) = (net.peer(Role::Function), [net.peer(Role::Function), net.peer(Role::Function)]);
    let mut stream = good.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    let storm = |attacker: &TestPeer, seed: u64| {
        let (own, neighbour, broker) = (attacker.address(), good.address(), broker.address());
        let mut attack =
            Attack { own, neighbour, broker, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
        let counters = net.net.port_counters(attacker.id()).unwrap();
        let dropped = || counters.drops().map(|(_, count)| count).sum::<u64>();
        let mut sent = 0;
        for _ in 0..each / 2 {
            for (name, make) in KINDS {
                attacker.send_frame(&make(&mut attack));
                sent += 1;
                // Which one came through is to be known.
                if sent % 500 == 0 {
                    eventually(
                        || dropped() >= sent,
                        || format!("{} of {sent} dropped, the last: {name}", dropped()),
                    );
                }
            }
        }
        eventually(|| dropped() == sent, || format!("{} of {sent} dropped", dropped()));
        assert_eq!(counters.forwarded(), 0, "seed {seed}");
        sent
    };
    let sent: u64 = thread::scope(|scope| {
        scope.spawn(|| pour(&mut served, &pattern(3, 8 * MIB)).unwrap());
        let reader = scope.spawn(|| drain(&mut stream).unwrap());
        let storms: Vec<_> =
            (seed..).zip(&bad).map(|(seed, bad)| scope.spawn(move || storm(bad, seed))).collect();
        assert_eq!(digest(&reader.join().unwrap()), digest(&pattern(3, 8 * MIB)));
        storms.into_iter().map(|storm| storm.join().unwrap()).sum()
    });
    let marked = |frame: &Vec<u8>| frame.windows(MARK.len()).any(|window| window == MARK);
    for peer in [&good, &broker, &bad[0], &bad[1]] {
        let through: Vec<_> = peer.frames().into_iter().filter(marked).collect();
        assert!(through.is_empty(), "came to {}: {through:x?}", peer.address());
    }
    println!("tried: {sent} | frames of {} kinds, seed {seed}", KINDS.len());
}
