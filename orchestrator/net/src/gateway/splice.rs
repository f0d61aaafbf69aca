//! One connection through the gateway: the guest's TCP on one side, a host socket on the other. The stack's buffers are
//! the only ones between them.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use fades_core::network::PortId;
use mio::net::TcpStream;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

/// How long a source that sends little at a time is left to gather more. Each piece costs a guest a wake-up and some TCP, which is
/// more than its bytes are: an InfluxDB sends 2 KB at a time, ten and more in a millisecond.
const GATHER: Duration = Duration::from_millis(1);
/// What is not little.
const MUCH: usize = 32 << 10;

/// A spliced connection.
#[derive(Debug)]
pub(crate) struct Splice {
    pub(crate) port: PortId,
    /// The gateway port that the guest connected to.
    pub(crate) source_port: u16,
    pub(crate) handle: SocketHandle,
    pub(crate) host: TcpStream,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) host_done: bool,
    pub(crate) guest_done: bool,
    /// The source gathers.
    pub(crate) gathers_until: Option<Instant>,
}

impl Splice {
    /// Moves what can be moved, ends included. Returns whether anything was.
    pub(crate) fn pump(&mut self, socket: &mut Socket<'static>, now: Instant) -> bool {
        let moved = self.pump_to_guest(socket, now);
        self.pump_to_host(socket) || moved
    }

    /// When it is to be pumped though nothing has happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.gathers_until.filter(|_| self.readable && !self.host_done)
    }

    /// Whether it is over on both sides.
    pub(crate) fn over(&self, socket: &Socket<'static>) -> bool {
        match socket.state() {
            State::Closed => socket.remote_endpoint().is_none(),
            State::TimeWait => self.guest_done,
            _ => false,
        }
    }

    fn pump_to_guest(&mut self, socket: &mut Socket<'static>, now: Instant) -> bool {
        if self.gathers_until.is_some_and(|until| now < until) {
            return false;
        }
        self.gathers_until = None;
        let (mut moved, mut bytes) = (false, 0);
        while self.readable && !self.host_done && socket.can_send() {
            let host = &mut self.host;
            let read = socket.send(|room| match host.read(room) {
                Ok(n) => (n, Ok(n)),
                Err(error) => (0, Err(error)),
            });
            match read {
                Ok(Ok(0)) => {
                    self.host_done = true;
                    socket.close();
                }
                Ok(Ok(read)) => bytes += read,
                Ok(Err(error)) => {
                    if self.fails(&error, socket) {
                        return true;
                    }
                    continue;
                }
                Err(_closed) => break,
            }
            moved = true;
        }
        if (1..MUCH).contains(&bytes) {
            self.gathers_until = Some(now + GATHER);
        }
        moved
    }

    fn pump_to_host(&mut self, socket: &mut Socket<'static>) -> bool {
        let mut moved = false;
        while self.writable && socket.can_recv() {
            let host = &mut self.host;
            let written = socket.recv(|bytes| match host.write(bytes) {
                Ok(n) => (n, Ok(n)),
                Err(error) => (0, Err(error)),
            });
            match written {
                Ok(Ok(_)) => moved = true,
                Ok(Err(error)) => {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.writable = false;
                    } else if self.fails(&error, socket) {
                        return true;
                    }
                }
                Err(_finished) => break,
            }
        }
        let finished = !socket.may_recv() && !matches!(socket.state(), State::SynReceived | State::Closed);
        if finished && !self.guest_done {
            self.guest_done = true;
            moved = true;
            // It fails only when the host side is gone, which reading will tell.
            let _ = self.host.shutdown(Shutdown::Write);
        }
        moved
    }

    /// A host error: waits, retries, or tells the guest by RST. Returns whether it is the end.
    fn fails(&mut self, error: &io::Error, socket: &mut Socket<'static>) -> bool {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.readable = false,
            io::ErrorKind::Interrupted => {}
            _ => {
                socket.abort();
                (self.readable, self.writable) = (false, false);
                return true;
            }
        }
        false
    }
}
