//! The gateway's TCP: a smoltcp interface whose wire is the switch.
//!
//! There is never a socket waiting in `Listen`: a socket is made for one SYN, at the moment that SYN is handed in. So
//! what the owner has not asked for is answered with RST by the stack itself.
//!
//! Checksums are verified on receipt and computed on sending (the stack's default), as nothing else on the way does.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Packet};

use crate::address::{GATEWAY, MASK_BITS};
use crate::policy::ETHERNET_HEADER;

/// Packets that may wait for the switch; then sockets wait.
const OUTBOX: usize = 64;

/// Buffers kept for reuse.
const SPARE: usize = 64;

pub(crate) struct Stack {
    interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    wire: Wire,
    started: Instant,
    silence: Duration,
}

/// What the stack sends and receives through. Outgoing packets have room for an Ethernet header in front.
struct Wire {
    mtu: usize,
    incoming: Option<Vec<u8>>,
    outbox: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Stack {
    pub(crate) fn new(mtu: u16, silence: Duration) -> Self {
        let mut wire =
            Wire { mtu: usize::from(mtu), incoming: None, outbox: VecDeque::new(), spare: Vec::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = RandomState::new().build_hasher().finish();
        let mut interface = Interface::new(config, &mut wire, StackTime::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list is empty and holds at least one.
            let _ = addresses.push(IpCidr::new(GATEWAY.into(), MASK_BITS));
        });
        Self { interface, sockets: SocketSet::new(Vec::new()), wire, started: Instant::now(), silence }
    }

    fn time(&self, now: Instant) -> StackTime {
        let micros = now.saturating_duration_since(self.started).as_micros();
        StackTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Hands one packet to the sockets.
    pub(crate) fn input(&mut self, packet: &[u8], now: Instant) {
        let time = self.time(now);
        self.wire.incoming = Some(packet.to_vec());
        self.interface.poll_ingress_single(time, &mut self.wire, &mut self.sockets);
    }

    /// Answers a SYN: a connection with buffers of this size. None when the stack does not like the packet.
    pub(crate) fn accept(
        &mut self,
        syn: &[u8],
        port: u16,
        buffer: usize,
        now: Instant,
    ) -> Option<SocketHandle> {
        let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(ring(), ring());
        socket.set_timeout(Some(self.silence.into()));
        socket.set_keep_alive(Some((self.silence / 4).into()));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.listen((GATEWAY, port)).ok()?;
        let handle = self.sockets.add(socket);
        self.input(syn, now);
        if self.socket(handle).state() == State::SynReceived {
            return Some(handle);
        }
        self.sockets.remove(handle);
        None
    }

    /// Packets that wait for the switch.
    pub(crate) fn waiting(&self) -> usize {
        self.wire.outbox.len()
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Lets each socket make at most one packet. Returns whether any did.
    pub(crate) fn output(&mut self, now: Instant) -> bool {
        let time = self.time(now);
        let result = self.interface.poll_egress(time, &mut self.wire, &mut self.sockets);
        result == PollResult::SocketStateChanged
    }

    /// Offers waiting packets to `send` in order, until it says no. Returns whether all went.
    pub(crate) fn deliver(&mut self, mut send: impl FnMut(Ipv4Addr, &mut [u8]) -> bool) -> bool {
        while let Some(frame) = self.wire.outbox.front_mut() {
            let to = Ipv4Packet::new_unchecked(&frame[ETHERNET_HEADER..]).dst_addr();
            if !send(to, frame) {
                return false;
            }
            if let Some(frame) = self.wire.outbox.pop_front() {
                self.wire.recycle(frame);
            }
        }
        true
    }

    /// How long the stack can be left alone; none: until something comes in.
    pub(crate) fn idle(&mut self, now: Instant) -> Option<Duration> {
        let time = self.time(now);
        self.interface.poll_delay(time, &self.sockets).map(Into::into)
    }
}

impl Wire {
    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }
}

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: StackTime) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.take()?;
        Some((Incoming(packet), Outgoing(self)))
    }

    fn transmit(&mut self, _: StackTime) -> Option<Outgoing<'_>> {
        (self.outbox.len() < OUTBOX).then_some(Outgoing(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Incoming(Vec<u8>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Wire);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = self.0.spare.pop().unwrap_or_default();
        // Zeroed anew: what the stack leaves untouched must not carry bytes of another guest.
        frame.clear();
        frame.resize(ETHERNET_HEADER + length, 0);
        let result = f(&mut frame[ETHERNET_HEADER..]);
        self.0.outbox.push_back(frame);
        result
    }
}
