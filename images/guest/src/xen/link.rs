//! Bytes both ways between this domain and another of the same host, through granted pages: a channel each way.
//!
//! Each side offers a channel and joins the other's. What they have to tell each other for that stands in XenStore, below
//! a node of the writer's own that only the other one may read:
//!
//! ```text
//! OWN/data/fades/link/PEER/offer    reference and port of the channel that this side writes
//! OWN/data/fades/link/PEER/answer   reference of this side's end of the one that it reads
//! ```
//! Both do the same in any order. What the other side writes there, and later into its pages, is foreign input.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use fades_xen_pv::channel::{ChannelError, Offer, Receiver, Sender};
use fades_xen_pv::grant::GrantRef;
use fades_xen_pv::hypercall::{self, Hypercalls, Port, Ports};
use fades_xen_store::Path;

use super::here::{Here, path};
use super::{OwnPages, here};

/// Room for what a broker shares with some sixty functions at once.
const BROKERS_FRAMES: u32 = 8;

/// Why two domains did not meet.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// There is no Xen under this guest.
    #[error("this guest is no Xen domain")]
    NoDomain,
    /// The store, or the table of grants.
    #[error("the domain's own means failed")]
    Own(#[from] io::Error),
    /// A channel could not be made.
    #[error("no channel with domain {peer}")]
    Channel {
        /// The other one.
        peer: u16,
        /// What failed.
        #[source]
        source: ChannelError,
    },
    /// The other one wrote something else than numbers.
    #[error("domain {peer} says nonsense in {node}")]
    Nonsense {
        /// The other one.
        peer: u16,
        /// Where.
        node: String,
    },
    /// The other one did not come, or not all the way.
    #[error("domain {peer} made no {missing} in {} ms", after.as_millis())]
    Silent {
        /// The other one.
        peer: u16,
        /// What was waited for.
        missing: &'static str,
        /// How long.
        after: Duration,
    },
}

/// A connection to another domain. It never blocks: [`ErrorKind::WouldBlock`] says that an event will come when it is worth
/// another try. Dropped, it is closed, and its pages go back when the other side lets go of them.
pub struct Link {
    ends: Ends,
}

/// What is to be cleared up, however far it came.
struct Ends {
    here: &'static Here,
    peer: u16,
    /// Our node for this peer.
    own: Path,
    /// What we send through, and what we take at most.
    pages: (usize, usize),
    offer: Option<Offer<Hypercalls>>,
    sender: Option<Sender<Hypercalls>>,
    receiver: Option<Receiver<Hypercalls>>,
}

impl Link {
    /// Meets the domain `peer`, which does the same with us, within `patience`. What is sent to it goes through `pages.0`
    /// pages, a power of two up to 256; what comes from it through no more than `pages.1`.
    ///
    /// # Errors
    /// They did not meet; nothing is kept but what the other one still has mapped.
    pub fn meet(peer: u16, pages: (usize, usize), patience: Duration) -> Result<Self, MeetError> {
        let here = here().ok_or(MeetError::NoDomain)?;
        here.reclaim();
        let own = path(&format!("data/fades/link/{peer}"))?;
        let theirs = path(&format!("/local/domain/{peer}/data/fades/link/{}", here.number()?))?;
        let watched = here.watch(&theirs)?;
        let mut ends = Ends { here, peer, own, pages, offer: None, sender: None, receiver: None };
        ends.offer()?;
        let until = Instant::now() + patience;
        while !ends.step(&theirs)? {
            if !watched.next(Some(until))? {
                let missing = if ends.receiver.is_none() { "offer" } else { "answer" };
                return Err(MeetError::Silent { peer, missing, after: patience });
            }
        }
        Ok(Self { ends })
    }
}

impl Ends {
    fn channel(&self, source: ChannelError) -> MeetError {
        MeetError::Channel { peer: self.peer, source }
    }

    /// Frames of the grant table: who sends much does so to many at once.
    const fn frames(&self) -> u32 {
        if self.pages.0 > 1 { BROKERS_FRAMES } else { 1 }
    }

    fn domain(&self) -> hypercall::Domain {
        hypercall::Domain(self.peer)
    }

    fn show(&self, name: &str, numbers: &[u32]) -> Result<(), MeetError> {
        let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let node = self.own.join(name).map_err(io::Error::other)?;
        Ok(self.here.show(&node, words.join(" ").as_bytes(), self.peer)?)
    }

    /// What the other side shows, if it does.
    fn shown<const COUNT: usize>(
        &self,
        theirs: &Path,
        name: &str,
    ) -> Result<Option<[u32; COUNT]>, MeetError> {
        let node = theirs.join(name).map_err(io::Error::other)?;
        let Some(value) = self.here.read(&node)? else { return Ok(None) };
        let numbers = std::str::from_utf8(&value)
            .ok()
            .and_then(|text| text.split(' ').map(|word| word.parse().ok()).collect::<Option<Vec<u32>>>());
        match numbers.map(<[u32; COUNT]>::try_from) {
            Some(Ok(numbers)) => Ok(Some(numbers)),
            _ => Err(MeetError::Nonsense { peer: self.peer, node: node.to_string() }),
        }
    }

    fn offer(&mut self) -> Result<(), MeetError> {
        let (calls, domain, pages) = (self.here.calls(), self.domain(), self.pages.0);
        let offer = self
            .here
            .with_grants(self.frames(), |grants| Offer::new(&OwnPages, grants, calls, domain, pages))?;
        let offer = offer.map_err(|source| self.channel(source))?;
        let numbers = [offer.reference().number(), offer.port().0];
        self.offer = Some(offer);
        self.show("offer", &numbers)
    }

    /// Goes as far as the other side has come; true when both channels stand.
    fn step(&mut self, theirs: &Path) -> Result<bool, MeetError> {
        if self.receiver.is_none()
            && let Some([reference, port]) = self.shown(theirs, "offer")?
        {
            self.join(GrantRef::from_number(reference), Port(port))?;
        }
        if self.sender.is_none()
            && let Some([reference]) = self.shown(theirs, "answer")?
        {
            self.accept(GrantRef::from_number(reference))?;
        }
        Ok(self.receiver.is_some() && self.sender.is_some())
    }

    fn join(&mut self, reference: GrantRef, port: Port) -> Result<(), MeetError> {
        let (calls, domain, most) = (self.here.calls(), self.domain(), self.pages.1);
        let receiver = self.here.with_grants(self.frames(), |grants| {
            Receiver::join(&calls, &OwnPages, grants, calls, domain, (reference, port), most)
        })?;
        let receiver = receiver.map_err(|source| self.channel(source))?;
        let (reference, port) = (receiver.reference().number(), receiver.port());
        self.receiver = Some(receiver);
        calls.unmask(port).map_err(|error| self.channel(ChannelError::Port(error)))?;
        self.show("answer", &[reference])
    }

    fn accept(&mut self, reference: GrantRef) -> Result<(), MeetError> {
        let calls = self.here.calls();
        let Some(offer) = self.offer.take() else { return Ok(()) };
        match offer.accept(&calls, &OwnPages, reference) {
            Ok(sender) => {
                let port = sender.port();
                self.sender = Some(sender);
                calls.unmask(port).map_err(|error| self.channel(ChannelError::Port(error)))
            }
            Err((source, offer)) => {
                self.offer = Some(offer);
                Err(self.channel(source))
            }
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let calls = self.here.calls();
        // The consumer first: then the other side gets its pages back with one try. A page that cannot be unmapped is lost to
        // this domain; nobody could do anything about it.
        if let Some(receiver) = self.receiver.take() {
            self.here.keep(receiver.finish(&calls, &OwnPages).0);
        }
        if let Some(sender) = self.sender.take() {
            self.here.keep(sender.finish(&calls, &OwnPages).0);
        }
        if let Some(offer) = self.offer.take() {
            self.here.keep(offer.withdraw());
        }
        // With the domain at the latest.
        let _ = self.here.remove(&self.own);
    }
}

impl Read for Link {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let receiver = self.ends.receiver.as_mut().ok_or(ErrorKind::NotConnected)?;
        loop {
            match receiver.read(space).map_err(io::Error::other)? {
                None => return Ok(0),
                Some(0) if !space.is_empty() => {}
                Some(count) => return Ok(count),
            }
            if !receiver.arm(1).map_err(io::Error::other)? {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sender = self.ends.sender.as_mut().ok_or(ErrorKind::NotConnected)?;
        loop {
            match sender.write(bytes) {
                Ok(0) if !bytes.is_empty() => {}
                Ok(count) => return Ok(count),
                Err(ChannelError::Closed) => return Err(ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(io::Error::other(error)),
            }
            // Told at half, not at every byte.
            let half = sender.capacity() / 2;
            if !sender.arm(bytes.len().min(half)).map_err(io::Error::other)? {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
