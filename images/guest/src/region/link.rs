//! A broker's end of a function's region. It never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::Ordering;

use fades_wire::region::{Birth, Channel, Incoming, Memory as _, Outgoing, held_at, peer};

use super::line::over;
use super::{Own, Region, of_function, own};

/// A connection to a function, through its region. [`ErrorKind::WouldBlock`] says that the bell will ring when it is worth
/// another try. Dropped, it is closed, and the region let go of.
#[derive(Debug)]
pub struct Link {
    own: &'static Own,
    region: Region,
    number: u16,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Link {
    /// Opens the region of this number for the turn that it is in.
    ///
    /// # Errors
    /// There is no such region, or another's turn has come in it.
    pub fn open(number: u16, turn: u32) -> io::Result<Self> {
        let own = own().ok_or(ErrorKind::Unsupported)?;
        let region = of_function(number)
            .ok_or_else(|| io::Error::other(format!("this broker has no region {number}")))?;
        let held = held_at(number).ok_or(ErrorKind::InvalidInput)?;
        let held = own.region.own(held);
        // First held, then looked at: if its turn is over, either this look sees it, or the orchestrator sees it held.
        if held.compare_exchange(0, turn, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Err(io::Error::other(format!("region {number} is open already")));
        }
        let found = region.own(Birth::TURN_AT).load(Ordering::SeqCst);
        if found != turn {
            held.store(0, Ordering::SeqCst);
            return Err(io::Error::other(format!("region {number} is in its turn {found}, not {turn}")));
        }
        let incoming = Incoming::open(&region, Channel::Asks);
        let outgoing = Outgoing::open(&region, Channel::Data);
        Ok(Self { own, region, number, incoming, outgoing })
    }

    fn ring(&self, wake: bool) {
        if wake {
            self.own.ring(peer::FUNCTIONS + self.number);
        }
    }
}

impl Read for Link {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.incoming.read(&self.region, space).map_err(over)? {
                None => return Ok(0),
                Some((0, _)) if !self.incoming.arm(&self.region, 1).map_err(over)? => {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Some((0, _)) => {}
                Some((done, wake)) => {
                    self.ring(wake);
                    return Ok(done);
                }
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.outgoing.write(&self.region, bytes).map_err(over)? {
                (0, _) if !bytes.is_empty() => {
                    // Not for every few bytes that the function is done with.
                    let worthwhile = bytes.len().min(Channel::Data.bytes().len() / 4);
                    if !self.outgoing.arm(&self.region, worthwhile).map_err(over)? {
                        return Err(ErrorKind::WouldBlock.into());
                    }
                }
                (done, wake) => {
                    self.ring(wake);
                    return Ok(done);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.incoming.close(&self.region);
        self.outgoing.close(&self.region);
        self.ring(true);
        if let Some(held) = held_at(self.number) {
            // With release: nothing of the above comes after it.
            self.own.region.own(held).store(0, Ordering::SeqCst);
        }
    }
}
