//! Table-driven: every rule with a frame that just passes and frames that just do not; then any bytes at all.

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, Ipv4Repr, TcpControl, TcpRepr, TcpSeqNumber};

use super::*;

const BROKER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const FUNCTION: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const ORPHAN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const SOURCE: u16 = 20_000;

fn facts(port: u64, role: Role, address: Ipv4Addr, broker: Option<u64>) -> PortFacts {
    PortFacts { port: PortId(port), role, address, broker: broker.map(PortId) }
}

fn table() -> Table {
    let mut table = Table::new(1500);
    table.insert(facts(1, Role::Broker, BROKER, None));
    table.insert(facts(2, Role::Function, FUNCTION, Some(1)));
    table.insert(facts(3, Role::Function, OTHER, Some(1)));
    table.insert(facts(4, Role::Function, ORPHAN, Some(77)));
    table.open_source(SOURCE);
    table
}

fn ethernet(from: EthernetAddress, to: EthernetAddress, kind: u16, payload: &[u8]) -> Vec<u8> {
    [to.as_bytes(), from.as_bytes(), &kind.to_be_bytes(), payload].concat()
}

/// A TCP segment, right in every field.
fn tcp(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), control: TcpControl, ack: bool) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: ports.0,
        dst_port: ports.1,
        control,
        seq_number: TcpSeqNumber(1),
        ack_number: ack.then_some(TcpSeqNumber(2)),
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"hello",
    };
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Tcp,
        payload_len: segment.buffer_len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 20 + segment.buffer_len()];
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &sums);
    let (a, b) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
    segment.emit(&mut TcpPacket::new_unchecked(&mut packet[20..]), &a, &b, &sums);
    ethernet(mac_of(from), mac_of(to), 0x0800, &packet)
}

fn syn(from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Vec<u8> {
    tcp(from, to, (50_000, port), TcpControl::Syn, false)
}

fn arp(operation: ArpOperation, from: Ipv4Addr, asked: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac_of(from),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: asked,
    };
    let mut packet = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut packet));
    ethernet(mac_of(from), EthernetAddress::BROADCAST, 0x0806, &packet)
}

/// Changes bytes of the frame and makes the IPv4 header checksum right again.
fn patched(mut frame: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut frame);
    if frame[12..14] == [8, 0] {
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    }
    frame
}

fn padded(mut frame: Vec<u8>, to: usize) -> Vec<u8> {
    frame.resize(to, 0);
    frame
}

fn verdict(role: Role, frame: &[u8]) -> Verdict {
    let from = match role {
        Role::Broker => facts(1, role, BROKER, None),
        Role::Function => facts(2, role, FUNCTION, Some(1)),
    };
    classify(frame, &from, &table())
}

#[test]
fn what_passes() {
    use Role::{Broker, Function};
    let request = ArpOperation::Request;
    for (name, role, frame, expected) in [
        ("function asks for gateway", Function, arp(request, FUNCTION, GATEWAY), Verdict::AnswerArp(GATEWAY)),
        ("function asks for broker", Function, arp(request, FUNCTION, BROKER), Verdict::AnswerArp(BROKER)),
        ("padded", Function, padded(arp(request, FUNCTION, BROKER), 60), Verdict::AnswerArp(BROKER)),
        ("broker asks for function", Broker, arp(request, BROKER, OTHER), Verdict::AnswerArp(OTHER)),
        ("function to data", Function, syn(FUNCTION, BROKER, DATA_PORT), Verdict::Open(PortId(1))),
        (
            "function goes on",
            Function,
            tcp(FUNCTION, BROKER, (50_000, DATA_PORT), TcpControl::Psh, true),
            Verdict::Forward(PortId(1)),
        ),
        ("function to control", Function, syn(FUNCTION, GATEWAY, CONTROL_PORT), Verdict::Gateway),
        ("padded", Function, padded(syn(FUNCTION, GATEWAY, CONTROL_PORT), 60), Verdict::Gateway),
        ("broker to control", Broker, syn(BROKER, GATEWAY, CONTROL_PORT), Verdict::Gateway),
        ("broker to source", Broker, syn(BROKER, GATEWAY, SOURCE), Verdict::Gateway),
        (
            "broker answers",
            Broker,
            tcp(BROKER, FUNCTION, (DATA_PORT, 50_000), TcpControl::Syn, true),
            Verdict::Forward(PortId(2)),
        ),
        (
            "broker sends",
            Broker,
            tcp(BROKER, OTHER, (DATA_PORT, 50_000), TcpControl::Psh, true),
            Verdict::Forward(PortId(3)),
        ),
    ] {
        assert_eq!(verdict(role, &frame), expected, "{name}");
    }
}

#[test]
fn g7_what_does_not_pass_and_why() {
    use Role::{Broker, Function};
    let good = || syn(FUNCTION, BROKER, DATA_PORT);
    let request = || arp(ArpOperation::Request, FUNCTION, GATEWAY);
    for (name, role, frame, reason) in [
        ("empty", Function, Vec::new(), Reason::Runt),
        ("13 bytes", Function, good()[..13].to_vec(), Reason::Runt),
        ("giant", Function, padded(good(), 1515), Reason::Giant),
        ("trailing", Function, padded(good(), 61), Reason::Trailing),
        ("ARP with a tail", Function, padded(request(), 61), Reason::Trailing),
        ("foreign MAC", Function, patched(good(), |f| f[11] ^= 1), Reason::SourceMac),
        ("broker's MAC", Function, syn(BROKER, GATEWAY, CONTROL_PORT), Reason::SourceMac),
        ("foreign IP", Function, patched(good(), |f| f[29] ^= 7), Reason::SourceIp),
        ("broker's IP", Function, patched(good(), |f| f[29] = 2), Reason::SourceIp),
        ("foreign ARP MAC", Function, patched(request(), |f| f[27] ^= 1), Reason::ArpSender),
        ("foreign ARP IP", Function, patched(request(), |f| f[31] = 2), Reason::ArpSender),
        ("ARP probe", Function, patched(request(), |f| f[28..32].fill(0)), Reason::ArpSender),
        ("gratuitous ARP", Function, arp(ArpOperation::Request, FUNCTION, FUNCTION), Reason::ArpTarget),
        ("ARP for a function", Function, arp(ArpOperation::Request, FUNCTION, OTHER), Reason::ArpTarget),
        ("ARP for nobody", Function, arp(ArpOperation::Request, FUNCTION, NOBODY), Reason::ArpTarget),
        ("ARP for outside", Function, arp(ArpOperation::Request, FUNCTION, OUTSIDE), Reason::ArpTarget),
        ("broker for an orphan", Broker, arp(ArpOperation::Request, BROKER, ORPHAN), Reason::ArpTarget),
        ("unasked reply", Function, arp(ArpOperation::Reply, FUNCTION, BROKER), Reason::ArpReply),
        ("odd ARP", Function, arp(ArpOperation::Unknown(9), FUNCTION, BROKER), Reason::ArpMalformed),
        ("ARP of 27 bytes", Function, request()[..41].to_vec(), Reason::ArpMalformed),
        ("ARP of IPv6 length", Function, patched(request(), |f| f[19] = 16), Reason::ArpMalformed),
        ("VLAN", Function, patched(good(), |f| f[12..14].copy_from_slice(&[0x81, 0])), Reason::Vlan),
        ("QinQ", Function, patched(good(), |f| f[12..14].copy_from_slice(&[0x88, 0xa8])), Reason::Vlan),
        ("IPv6", Function, patched(good(), |f| f[12..14].copy_from_slice(&[0x86, 0xdd])), Reason::Ipv6),
        ("LLDP", Function, patched(good(), |f| f[12..14].copy_from_slice(&[0x88, 0xcc])), Reason::EtherType),
        (
            "802.3 length",
            Function,
            patched(good(), |f| f[12..14].copy_from_slice(&[0, 46])),
            Reason::EtherType,
        ),
        ("header cut", Function, good()[..33].to_vec(), Reason::Ipv4Malformed),
        ("version 6", Function, patched(good(), |f| f[14] = 0x65), Reason::Ipv4Malformed),
        ("length lies", Function, patched(good(), |f| f[17] += 1), Reason::Ipv4Malformed),
        (
            "bad checksum",
            Function,
            {
                let mut f = good();
                f[24] ^= 1;
                f
            },
            Reason::Ipv4Malformed,
        ),
        ("options", Function, patched(good(), |f| f[14] = 0x46), Reason::Ipv4Options),
        ("more fragments", Function, patched(good(), |f| f[20] = 0x20), Reason::Fragment),
        ("last fragment", Function, patched(good(), |f| f[21] = 1), Reason::Fragment),
        ("UDP (DHCP, DNS)", Function, patched(good(), |f| f[23] = 17), Reason::Protocol),
        ("ICMP", Function, patched(good(), |f| f[23] = 1), Reason::Protocol),
        ("IP broadcast", Function, patched(good(), |f| f[30..34].fill(255)), Reason::Broadcast),
        ("network broadcast", Function, patched(good(), |f| f[32..34].fill(255)), Reason::Broadcast),
        ("IP multicast", Function, patched(good(), |f| f[30] = 224), Reason::Broadcast),
        ("MAC broadcast", Function, patched(good(), |f| f[..6].fill(255)), Reason::Broadcast),
        ("another's MAC", Function, patched(good(), |f| f[5] ^= 1), Reason::DestinationMac),
        ("a function", Function, syn(FUNCTION, OTHER, DATA_PORT), Reason::Destination),
        ("itself", Function, syn(FUNCTION, FUNCTION, DATA_PORT), Reason::Destination),
        ("nobody", Function, syn(FUNCTION, NOBODY, DATA_PORT), Reason::Destination),
        ("outside", Function, syn(FUNCTION, OUTSIDE, 80), Reason::Destination),
        ("the host", Function, syn(FUNCTION, Ipv4Addr::LOCALHOST, 80), Reason::Destination),
        ("broker's other port", Function, syn(FUNCTION, BROKER, 22), Reason::TcpPort),
        ("broker's control", Function, syn(FUNCTION, BROKER, CONTROL_PORT), Reason::TcpPort),
        ("gateway's other port", Function, syn(FUNCTION, GATEWAY, 80), Reason::TcpPort),
        ("a source", Function, syn(FUNCTION, GATEWAY, SOURCE), Reason::TcpPort),
        ("data at the gateway", Function, syn(FUNCTION, GATEWAY, DATA_PORT), Reason::TcpPort),
        ("source not registered", Broker, syn(BROKER, GATEWAY, SOURCE + 1), Reason::TcpPort),
        ("broker to outside", Broker, syn(BROKER, OUTSIDE, 8086), Reason::Destination),
        (
            "broker to an orphan",
            Broker,
            tcp(BROKER, ORPHAN, (DATA_PORT, 9), TcpControl::None, true),
            Reason::Destination,
        ),
        (
            "broker connects",
            Broker,
            tcp(BROKER, FUNCTION, (DATA_PORT, 9), TcpControl::Syn, false),
            Reason::ServerSyn,
        ),
        (
            "broker's other port",
            Broker,
            tcp(BROKER, FUNCTION, (80, 9), TcpControl::None, true),
            Reason::TcpPort,
        ),
        ("TCP cut", Function, patched(good()[..48].to_vec(), |f| f[17] = 34), Reason::TcpMalformed),
        ("TCP offset lies", Function, patched(good(), |f| f[46] = 0xf0), Reason::TcpMalformed),
        ("TCP offset short", Function, patched(good(), |f| f[46] = 0x40), Reason::TcpMalformed),
    ] {
        assert_eq!(verdict(role, &frame), Verdict::Drop(reason), "{name}");
    }
}

#[test]
fn a_function_without_a_broker_reaches_the_gateway_only() {
    let alone = facts(2, Role::Function, FUNCTION, None);
    assert_eq!(classify(&syn(FUNCTION, GATEWAY, CONTROL_PORT), &alone, &table()), Verdict::Gateway);
    let dropped = Verdict::Drop(Reason::Destination);
    assert_eq!(classify(&syn(FUNCTION, BROKER, DATA_PORT), &alone, &table()), dropped);
}

/// A good frame with some bytes changed, cut or lengthened: closer to the edges than random bytes.
fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop_oneof![
        Just(syn(FUNCTION, BROKER, DATA_PORT)),
        Just(syn(FUNCTION, GATEWAY, CONTROL_PORT)),
        Just(arp(ArpOperation::Request, FUNCTION, GATEWAY)),
    ];
    let changes = proptest::collection::vec((0usize..70, any::<u8>()), 0..6);
    (seeds, changes, 0usize..90, any::<bool>()).prop_map(|(mut frame, changes, length, resize)| {
        for (at, byte) in changes {
            if let Some(slot) = frame.get_mut(at) {
                *slot = byte;
            }
        }
        if resize {
            frame.resize(length, 0);
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn g7_any_bytes_have_a_verdict(frame in proptest::collection::vec(any::<u8>(), 0..200), role in any::<bool>()) {
        let _ = verdict(if role { Role::Broker } else { Role::Function }, &frame);
    }

    /// Whatever passes carries the sender's own addresses and goes to one of the two places a function may reach.
    #[test]
    fn what_passes_is_honest(frame in mutant()) {
        let from = facts(2, Role::Function, FUNCTION, Some(1));
        match verdict(Role::Function, &frame) {
            Verdict::Drop(_) => {}
            Verdict::AnswerArp(address) => {
                prop_assert!(address == GATEWAY || address == BROKER);
                prop_assert_eq!(&frame[28..32], &FUNCTION.octets());
            }
            passes => {
                prop_assert_eq!(&frame[6..12], &from.mac().0);
                prop_assert_eq!(&frame[26..30], &FUNCTION.octets());
                let (to, port) = if passes == Verdict::Gateway { (GATEWAY, CONTROL_PORT) } else { (BROKER, DATA_PORT) };
                prop_assert_eq!(&frame[30..34], &to.octets());
                prop_assert_eq!(&frame[36..38], &port.to_be_bytes());
            }
        }
    }
}
