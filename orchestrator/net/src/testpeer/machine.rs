//! The guest's insides: link, frames, interface and sockets. Whoever holds the lock may let it work.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::{EthernetAddress, IpCidr};

use crate::address::MASK_BITS;
use crate::framing::FrameReader;
use crate::policy::ETHERNET_HEADER;

/// Unsent bytes at which sockets wait.
const OUTGOING: usize = 512 << 10;

/// Bytes read in one turn, so that others get the lock.
const READS: usize = 4;

pub(crate) struct Machine {
    link: Option<UnixStream>,
    input: FrameReader,
    interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    mtu: usize,
    started: Instant,
    planned: Option<Instant>,
    next_port: u16,
    pub(crate) outgoing: VecDeque<u8>,
    pub(crate) tap: Option<Vec<Vec<u8>>>,
    pub(crate) buffer: usize,
    pub(crate) reading: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) gone: bool,
}

/// The stack's device for one call.
struct Wire<'a> {
    mtu: usize,
    frame: Option<&'a [u8]>,
    outgoing: &'a mut VecDeque<u8>,
}

impl Machine {
    pub(crate) fn new(link: UnixStream, address: Ipv4Addr, mac: [u8; 6], mtu: u16) -> Self {
        let mtu = usize::from(mtu);
        let mut outgoing = VecDeque::new();
        let mut config = Config::new(EthernetAddress(mac).into());
        config.random_seed = RandomState::new().build_hasher().finish();
        let mut wire = Wire { mtu, frame: None, outgoing: &mut outgoing };
        let mut interface = Interface::new(config, &mut wire, StackTime::ZERO);
        interface.update_ip_addrs(|list| {
            let _ = list.push(IpCidr::new(address.into(), MASK_BITS));
        });
        Self {
            link: Some(link),
            input: FrameReader::default(),
            interface,
            sockets: SocketSet::new(Vec::new()),
            mtu,
            started: Instant::now(),
            planned: None,
            next_port: 49_152,
            outgoing,
            tap: None,
            buffer: 1 << 20,
            reading: true,
            readable: true,
            writable: true,
            gone: false,
        }
    }

    fn time(&self) -> StackTime {
        StackTime::from_micros(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(crate) fn new_socket(&self) -> tcp::Socket<'static> {
        let ring = || tcp::SocketBuffer::new(vec![0; self.buffer]);
        let mut socket = tcp::Socket::new(ring(), ring());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket
    }

    pub(crate) fn connect(&mut self, address: Ipv4Addr, port: u16) -> io::Result<SocketHandle> {
        let mut socket = self.new_socket();
        let local = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
        socket
            .connect(self.interface.context(), (address, port), local)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(self.sockets.add(socket))
    }

    pub(crate) fn send_raw(&mut self, frame: &[u8]) {
        push(&mut self.outgoing, frame);
    }

    pub(crate) fn hang_up(&mut self) {
        self.gone = true;
        self.link = None;
    }

    /// Reads, processes, sends. Returns whether the thread has to plan anew.
    pub(crate) fn turn(&mut self) -> bool {
        let mut reads = 0;
        while self.reading && self.link.is_some() && !self.gone {
            self.process();
            self.send();
            reads += 1;
            if !self.readable || reads > READS || !self.read() {
                break;
            }
        }
        self.send();
        let next = self.delay().map(|delay| Instant::now() + delay);
        match (next, self.planned) {
            (Some(next), Some(planned)) => next < planned,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// How long the thread may sleep.
    pub(crate) fn plan(&mut self) -> Option<Duration> {
        let delay = self.delay().map(|d| if d.is_zero() { d } else { d.max(Duration::from_millis(1)) });
        self.planned = delay.map(|delay| Instant::now() + delay);
        delay
    }

    fn delay(&mut self) -> Option<Duration> {
        if self.reading && self.readable {
            return Some(Duration::ZERO);
        }
        if !self.outgoing.is_empty() {
            return None;
        }
        let time = self.time();
        self.interface.poll_delay(time, &self.sockets).map(Into::into)
    }

    fn read(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        match self.input.fill(link) {
            Ok(0) => self.gone = true,
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(_) => self.gone = true,
        }
        false
    }

    fn process(&mut self) {
        let time = self.time();
        while let Ok(Some(frame)) = self.input.frame() {
            let length = frame.len();
            if let Some(tap) = &mut self.tap {
                tap.push(frame.to_vec());
            }
            let mut wire = Wire { mtu: self.mtu, frame: Some(frame), outgoing: &mut self.outgoing };
            self.interface.poll_ingress_single(time, &mut wire, &mut self.sockets);
            self.input.advance(length);
        }
    }

    fn send(&mut self) {
        let time = self.time();
        loop {
            let mut wire = Wire { mtu: self.mtu, frame: None, outgoing: &mut self.outgoing };
            let more = self.interface.poll_egress(time, &mut wire, &mut self.sockets);
            self.write();
            if more == PollResult::None || self.outgoing.len() >= OUTGOING {
                return;
            }
        }
    }

    fn write(&mut self) {
        let Some(link) = &mut self.link else { return };
        while self.writable && !self.outgoing.is_empty() {
            match link.write(self.outgoing.as_slices().0) {
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                // Reading tells.
                Err(_) => self.outgoing.clear(),
            }
        }
    }
}

fn push(outgoing: &mut VecDeque<u8>, frame: &[u8]) {
    outgoing.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes());
    outgoing.extend(frame);
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sent<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackTime) -> Option<(Received<'_>, Sent<'_>)> {
        let frame = self.frame.take()?;
        Some((Received(frame), Sent(self.outgoing)))
    }

    fn transmit(&mut self, _: StackTime) -> Option<Sent<'_>> {
        (self.outgoing.len() < OUTGOING).then_some(Sent(self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
        capabilities
    }
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Sent<'a>(&'a mut VecDeque<u8>);

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        push(self.0, &frame);
        result
    }
}
