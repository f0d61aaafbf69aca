//! A function's end of its stream from the broker: frames are looked at where the broker wrote them.

use std::io;

use fades_wire::frame::{Checker, Frame, Kind};
use fades_wire::region::{Channel, Incoming, Outgoing, peer};

use super::line::over;
use super::{Bell, Own, own};
use crate::data::Received;

/// The connection to the broker.
pub struct Data {
    own: &'static Own,
    incoming: Incoming,
    outgoing: Outgoing,
    checker: Checker,
    bell: Bell,
    /// A small frame's body, out of the broker's reach.
    copy: Vec<u8>,
}

impl Data {
    /// Takes up this guest's end. The broker need not be there yet: what is said waits.
    ///
    /// # Errors
    /// There is no region, or it is in another turn than this guest was told.
    pub fn open(turn: u32) -> io::Result<Self> {
        let own = own().ok_or(io::ErrorKind::Unsupported)?;
        if own.turn() != turn {
            return Err(io::Error::other(format!("told of turn {turn} in turn {}", own.turn())));
        }
        let incoming = Incoming::open(&own.region, Channel::Data);
        let outgoing = Outgoing::open(&own.region, Channel::Asks);
        let (checker, bell) = (Checker::data(), own.bell());
        Ok(Self { own, incoming, outgoing, checker, bell, copy: Vec::new() })
    }

    /// Waits for frames and has them dealt with, up to the first chunk: between two of them is time to grant credit.
    ///
    /// # Errors
    /// The broker counts wrong.
    pub fn receive<E>(
        &mut self,
        mut deal: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> io::Result<Received<E>> {
        loop {
            let Some((at, count)) = self.incoming.look(&self.own.region).map_err(over)? else {
                return Ok(Received::Closed);
            };
            // SAFETY: the broker leaves it alone until it is skipped below. Of what it could change all the same, a frame's header
            // and the bodies of all frames but chunks are copied before they are read, and a chunk's body is numbers, of which any
            // will do; its counts are read once (`Batch::parse`).
            let Some(mut bytes) = (unsafe { self.own.region.piece(at, count) }) else {
                return Ok(Received::Closed);
            };
            let mut done = 0;
            loop {
                let frame = match self.checker.next(bytes) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(error) => return Ok(Received::Wrong(error)),
                };
                let length = frame.len();
                let dealt = if frame.kind == Kind::Chunk {
                    deal(&frame)
                } else {
                    self.copy.clear();
                    self.copy.extend_from_slice(frame.body);
                    deal(&Frame { body: &self.copy, ..frame })
                };
                if let Err(failure) = dealt {
                    return Ok(Received::Failed(failure));
                }
                let chunk = frame.kind == Kind::Chunk;
                bytes = &bytes[length..];
                done += length;
                if self.incoming.skip(&self.own.region, length) {
                    self.own.ring(peer::BROKER);
                }
                if chunk {
                    break;
                }
            }
            if done > 0 {
                return Ok(Received::Some);
            }
            if !self.incoming.arm(&self.own.region, count + 1).map_err(over)? {
                self.bell.pause(None);
            } else if self.incoming.look(&self.own.region).map_err(over)?.is_none_or(|(_, now)| now == count)
            {
                // It is not to be waited for, and no more has come: the broker has closed within a frame.
                return Ok(Received::Closed);
            }
        }
    }

    /// Writes all of it; blocks while the broker does not read.
    ///
    /// # Errors
    /// The broker has closed, or counts wrong.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let (done, wake) = self.outgoing.write(&self.own.region, bytes).map_err(over)?;
            if wake {
                self.own.ring(peer::BROKER);
            }
            bytes = &bytes[done..];
            if bytes.is_empty() {
                return Ok(());
            }
            if !self.outgoing.arm(&self.own.region, 1).map_err(over)? {
                self.bell.pause(None);
            }
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.incoming.close(&self.own.region);
        self.outgoing.close(&self.own.region);
        self.own.ring(peer::BROKER);
    }
}
