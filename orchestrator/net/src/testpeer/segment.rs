//! Frames made by hand, for benches and hostile guests.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use crate::address::mac_of;
use crate::policy::ETHERNET_HEADER;

/// One TCP data segment with right checksums, as an Ethernet frame.
#[must_use]
pub fn segment(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    build(from, to, TcpControl::Psh, Some(TcpSeqNumber(1)), payload)
}

/// One SYN, as an Ethernet frame.
#[must_use]
pub fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    build(from, to, TcpControl::Syn, None, &[])
}

fn build(
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    control: TcpControl,
    ack_number: Option<TcpSeqNumber>,
    payload: &[u8],
) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: from.1,
        dst_port: to.1,
        control,
        seq_number: TcpSeqNumber(1),
        ack_number,
        window_len: u16::MAX,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let ip = Ipv4Repr {
        src_addr: from.0,
        dst_addr: to.0,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let tcp_start = ETHERNET_HEADER + ip.buffer_len();
    let mut frame = vec![0; tcp_start + tcp.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_src_addr(mac_of(from.0));
    ethernet.set_dst_addr(mac_of(to.0));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]), &sums);
    let mut packet = TcpPacket::new_unchecked(&mut frame[tcp_start..]);
    tcp.emit(&mut packet, &from.0.into(), &to.0.into(), &sums);
    frame
}
