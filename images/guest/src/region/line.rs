//! The control channel's bytes through this guest's own region.

use std::io::{self, ErrorKind};

use fades_wire::region::{Channel, ChannelError, Incoming, Outgoing, peer};

use super::{Bell, Own};

/// The way to the orchestrator.
pub struct LineOut {
    own: &'static Own,
    outgoing: Outgoing,
    bell: Bell,
}

/// The way from it.
pub struct LineIn {
    own: &'static Own,
    incoming: Incoming,
    bell: Bell,
    turn: u32,
}

/// Opens both for this turn.
#[must_use]
pub fn open(own: &'static Own, turn: u32) -> (LineOut, LineIn) {
    let (outgoing, incoming) =
        (Outgoing::open(&own.region, Channel::Up), Incoming::open(&own.region, Channel::Down));
    let out = LineOut { own, outgoing, bell: own.bell() };
    (out, LineIn { own, incoming, bell: own.bell(), turn })
}

impl LineOut {
    /// Writes all of it; blocks while the orchestrator does not read.
    ///
    /// # Errors
    /// The orchestrator has closed, or counts wrong.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let rest = self.write(bytes)?;
        let mut rest = &bytes[rest..];
        while !rest.is_empty() {
            if !self.outgoing.arm(&self.own.region, 1).map_err(over)? {
                // A broker's one thread that looks around may be this one.
                self.own.listen();
                self.bell.pause(None);
            }
            rest = &rest[self.write(rest)?..];
        }
        Ok(())
    }

    /// Writes as much of it as there is room for, all or nothing of use.
    ///
    /// # Errors
    /// There is no room for all of it.
    pub fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.write(bytes)? == bytes.len() { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    /// Rings again while the orchestrator has not read all: a monitor that has just started knows its guest's peers a moment
    /// later than the guest runs. True if it has.
    pub fn urge(&mut self) -> bool {
        let all = Channel::Up.bytes().len();
        let read = self.outgoing.arm(&self.own.region, all).unwrap_or(true);
        if !read {
            self.own.ring(peer::ORCHESTRATOR);
        }
        read
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (done, wake) = self.outgoing.write(&self.own.region, bytes).map_err(over)?;
        if wake {
            self.own.ring(peer::ORCHESTRATOR);
        }
        Ok(done)
    }
}

impl LineIn {
    /// Waits for bytes and gives as many as there are and as `space` holds; 0 at the end.
    ///
    /// # Errors
    /// The orchestrator counts wrong, or this guest goes on as another one ([`ErrorKind::ConnectionReset`]).
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.own.turn() != self.turn {
                return Err(ErrorKind::ConnectionReset.into());
            }
            match self.incoming.read(&self.own.region, space).map_err(over)? {
                None => return Ok(0),
                Some((0, _)) => {}
                Some((done, wake)) => {
                    if wake {
                        self.own.ring(peer::ORCHESTRATOR);
                    }
                    return Ok(done);
                }
            }
            if !self.incoming.arm(&self.own.region, 1).map_err(over)? {
                self.bell.pause(None);
            }
        }
    }
}

pub(super) fn over(error: ChannelError) -> io::Error {
    match error {
        ChannelError::Closed => ErrorKind::BrokenPipe.into(),
        ChannelError::Index(_) => io::Error::new(ErrorKind::InvalidData, error.to_string()),
    }
}
