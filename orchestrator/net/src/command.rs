//! What other threads ask the network's thread to do.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, mpsc};

use fades_core::network::PortId;

use crate::counters::PortCounters;
use crate::gateway::{FlowKey, Source};
use crate::policy::PortFacts;

/// The control connection of one port, as both sides see it.
#[derive(Debug, Default)]
pub(crate) struct ControlGauge {
    /// Number of the living connection; 0: none.
    pub(crate) epoch: AtomicU64,
    /// Bytes accepted and not yet in the connection's buffer. Each is taken off once, sent or not.
    pub(crate) unsent: AtomicUsize,
}

/// Commands are carried out in the order in which they were sent.
#[derive(Debug)]
pub(crate) enum Command {
    Attach { facts: PortFacts, link: UnixStream, counters: Arc<PortCounters>, gauge: Arc<ControlGauge> },
    Detach(PortId),
    Assign { function: PortId, broker: PortId },
    OpenSource { port: u16, source: Arc<Source> },
    CloseSource { port: u16 },
    Send { port: PortId, epoch: u64, gauge: Arc<ControlGauge>, bytes: Vec<u8> },
    CloseControl(PortId),
    Consumed(PortId, usize),
    Resolved { flow: FlowKey, result: io::Result<Vec<SocketAddr>> },
    Stop,
}

/// Sends commands and wakes the thread.
#[derive(Debug, Clone)]
pub(crate) struct CommandSender {
    sender: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
}

impl CommandSender {
    pub(crate) fn new(sender: mpsc::Sender<Command>, waker: mio::Waker) -> Self {
        Self { sender, waker: Arc::new(waker) }
    }

    /// Sends; a network that has stopped ignores it.
    pub(crate) fn send(&self, command: Command) {
        self.try_send(command);
    }

    /// Sends. False when the thread has ended.
    pub(crate) fn try_send(&self, command: Command) -> bool {
        self.sender.send(command).is_ok() && self.waker.wake().is_ok()
    }
}
