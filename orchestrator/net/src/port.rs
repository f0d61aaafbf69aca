//! One port: the switch's end of a guest's link.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use fades_core::network::PortId;
use mio::net::UnixStream;

use crate::counters::PortCounters;
use crate::framing::FrameReader;
use crate::policy::PortFacts;
use crate::queue::OutQueue;
use crate::report::LinkError;

/// Reading is off because this receiver's queue is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    pub(crate) receiver: PortId,
    pub(crate) until: Instant,
}

/// State of a port with a living link.
#[derive(Debug)]
pub(crate) struct PortState {
    pub(crate) facts: PortFacts,
    pub(crate) link: UnixStream,
    pub(crate) input: FrameReader,
    pub(crate) output: OutQueue,
    pub(crate) counters: Arc<PortCounters>,
    /// The link may have bytes for us (readiness is edge-triggered, so this is remembered).
    pub(crate) readable: bool,
    /// The link may take bytes.
    pub(crate) writable: bool,
    pub(crate) pause: Option<Pause>,
    /// Nothing can be written any more. What the guest sent before it went is still read.
    pub(crate) deaf: bool,
}

impl PortState {
    pub(crate) fn new(
        facts: PortFacts,
        link: UnixStream,
        output: OutQueue,
        counters: Arc<PortCounters>,
    ) -> Self {
        Self {
            facts,
            link,
            input: FrameReader::default(),
            output,
            counters,
            readable: true,
            writable: true,
            pause: None,
            deaf: false,
        }
    }

    /// Sends what is queued as far as it goes. Returns whether a waiting sender may go on.
    pub(crate) fn flush(&mut self) -> bool {
        let mut relieved = false;
        if !self.writable || self.deaf {
            return false;
        }
        match self.output.write_to(&mut self.link, &mut relieved) {
            Ok(()) => relieved,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                relieved
            }
            Err(_broken) => {
                // Reading tells the reason, after the last bytes that the guest has sent.
                self.deaf = true;
                self.output.clear();
                self.readable = true;
                true
            }
        }
    }

    /// Reads once. `Ok(false)`: nothing there now.
    pub(crate) fn fill(&mut self) -> Result<bool, LinkError> {
        loop {
            match self.input.fill(&mut self.link) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
