//! Blocking TCP streams and listeners of a test peer.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State};

use super::{PATIENCE, Shared};

/// Connections that may wait for `accept`.
const BACKLOG: usize = 8;

/// A TCP stream of a guest. Dropping it closes it; its last bytes are still sent.
#[derive(Debug)]
pub struct PeerStream {
    shared: Arc<Shared>,
    handle: SocketHandle,
    patience: Duration,
}

impl PeerStream {
    pub(crate) fn new(shared: Arc<Shared>, handle: SocketHandle) -> Self {
        Self { shared, handle, patience: PATIENCE }
    }

    /// How long reads and writes wait before they fail with `TimedOut`.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&self) {
        self.shared.with(|machine| machine.socket(self.handle).close());
    }

    /// Sends RST.
    pub fn abort(&self) {
        self.shared.with(|machine| machine.socket(self.handle).abort());
    }

    /// A second handle of the same stream; the stream closes when the first of them is dropped.
    #[must_use]
    pub fn reader(&self) -> PeerReader {
        PeerReader { shared: Arc::clone(&self.shared), handle: self.handle, patience: self.patience }
    }
}

/// The reading half of a [`PeerStream`], which it must not outlive.
#[derive(Debug)]
pub struct PeerReader {
    shared: Arc<Shared>,
    handle: SocketHandle,
    patience: Duration,
}

fn read(shared: &Shared, handle: SocketHandle, patience: Duration, into: &mut [u8]) -> io::Result<usize> {
    shared.wait(Instant::now() + patience, |machine| {
        let socket = machine.socket(handle);
        if socket.can_recv() {
            return Some(Ok(socket.recv_slice(into).unwrap_or(0)));
        }
        match (socket.recv_slice(into), socket.state()) {
            (Err(RecvError::Finished), _) => Some(Ok(0)),
            (_, State::Closed) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            _ => None,
        }
    })
}

impl Read for PeerReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read(&self.shared, self.handle, self.patience, into)
    }
}

impl Read for PeerStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read(&self.shared, self.handle, self.patience, into)
    }
}

impl Write for PeerStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.wait(Instant::now() + self.patience, |machine| {
            let socket = machine.socket(self.handle);
            if socket.can_send() {
                return Some(Ok(socket.send_slice(bytes).unwrap_or(0)));
            }
            (!socket.may_send()).then(|| Err(io::ErrorKind::BrokenPipe.into()))
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        self.shutdown_write();
    }
}

/// A listening port of a guest.
#[derive(Debug)]
pub struct PeerListener {
    shared: Arc<Shared>,
    waiting: std::sync::Mutex<Vec<SocketHandle>>,
    port: u16,
}

impl PeerListener {
    pub(crate) fn new(shared: Arc<Shared>, port: u16) -> io::Result<Self> {
        let mut waiting = Vec::new();
        for _ in 0..BACKLOG {
            waiting.push(listening(&shared, port)?);
        }
        Ok(Self { shared, waiting: std::sync::Mutex::new(waiting), port })
    }

    /// The next connection.
    ///
    /// # Errors
    /// `TimedOut` when none comes in time.
    pub fn accept(&self, within: Duration) -> io::Result<PeerStream> {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = self.shared.wait(Instant::now() + within, |machine| {
            waiting
                .iter()
                .position(|&handle| {
                    !matches!(machine.socket(handle).state(), State::Listen | State::SynReceived)
                })
                .map(Ok)
        })?;
        let handle = std::mem::replace(&mut waiting[index], listening(&self.shared, self.port)?);
        Ok(PeerStream::new(Arc::clone(&self.shared), handle))
    }
}

fn listening(shared: &Shared, port: u16) -> io::Result<SocketHandle> {
    shared.with(|machine| {
        let mut socket = machine.new_socket();
        socket
            .listen(port)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(machine.sockets.add(socket))
    })
}
