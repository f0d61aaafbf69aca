//! Bytes both ways between this domain and another of the same host, through granted pages: a channel each way.
//!
//! One domain offers and the other answers; what they tell each other for that, and where, is
//! [`fades_xen_store::meeting`]. What the other side writes there, and later into its pages, is foreign input.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use fades_wire::failure::Code;
use fades_xen_pv::channel::{ChannelError, Offer, Receiver, Sender};
use fades_xen_pv::grant::GrantRef;
use fades_xen_pv::hypercall::{self, Hypercalls, Port, Ports};
use fades_xen_store::meeting::{self, ANSWER, OFFER};
use fades_xen_store::{DomainId, Path};

use super::here::{Here, Watched};
use super::{OwnPages, here};

/// Frames of the grant table for a domain that sends much, to some sixty others at once.
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
        peer: DomainId,
        /// What failed.
        #[source]
        source: ChannelError,
    },
    /// The other one wrote something else than numbers.
    #[error("domain {peer} says nonsense in {node}")]
    Nonsense {
        /// The other one.
        peer: DomainId,
        /// Where.
        node: String,
    },
    /// The other one did not come, or not all the way.
    #[error("domain {peer} showed no {missing} in {} ms", after.as_millis())]
    Silent {
        /// The other one.
        peer: DomainId,
        /// What was waited for.
        missing: &'static str,
        /// How long.
        after: Duration,
    },
}

impl MeetError {
    /// What it is for who is told of it: the other side's fault, our own want, or perhaps only a sign of something else.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Nonsense { .. }
            | Self::Channel { source: ChannelError::Size(_) | ChannelError::Version(_), .. } => {
                Code::Protocol
            }
            Self::Channel { source: ChannelError::Memory | ChannelError::Grant(_), .. } => Code::Memory,
            Self::NoDomain => Code::Unsupported,
            Self::Own(_) | Self::Channel { .. } | Self::Silent { .. } => Code::PeerSilent,
        }
    }
}

/// A connection to another domain. It never blocks: [`ErrorKind::WouldBlock`] says that an event will come when it is worth
/// another try. Dropped, it is closed, and its pages go back when the other side lets go of them; that takes requests to
/// XenStore.
pub struct Link {
    ends: Ends,
}

/// Two domains on their way to a [`Link`].
pub struct Meeting {
    ends: Ends,
    theirs: Path,
    watched: Watched,
    begun: Instant,
    patience: Duration,
}

/// What became of a look at a meeting.
pub enum Look {
    /// Both channels stand.
    Met(Link),
    /// The other side has not come, or not all the way.
    NotYet(Meeting),
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Offers,
    Answers,
}

/// What is to be cleared up, however far it came.
struct Ends {
    here: &'static Here,
    peer: DomainId,
    role: Role,
    /// What we send through, and what we take at most.
    pages: (usize, usize),
    offer: Option<Offer<Hypercalls>>,
    receiver: Option<Receiver<Hypercalls>>,
    sender: Option<Sender<Hypercalls>>,
}

impl Meeting {
    /// Offers the domain `peer` to meet, which answers within `patience`. What is sent to it goes through `pages.0` pages, a
    /// power of two up to 256; what comes from it through no more than `pages.1`. What was told for it stays where it is, as
    /// the other side may not have read it when this side is done.
    ///
    /// # Errors
    /// There is nothing to offer.
    pub fn offer(peer: u16, pages: (usize, usize), patience: Duration) -> Result<Self, MeetError> {
        let mut meeting = Self::new(Role::Offers, peer, pages, patience)?;
        let (reference, port) = meeting.ends.offer()?;
        meeting.ends.show(OFFER, &[reference, port])?;
        Ok(meeting)
    }

    /// Answers the domain `peer` once it offers to meet; else as [`Self::offer`]. Nothing is spent before.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn answer(peer: u16, pages: (usize, usize), patience: Duration) -> Result<Self, MeetError> {
        Self::new(Role::Answers, peer, pages, patience)
    }

    fn new(role: Role, peer: u16, pages: (usize, usize), patience: Duration) -> Result<Self, MeetError> {
        let here = here().ok_or(MeetError::NoDomain)?;
        let peer = DomainId::new(peer).map_err(io::Error::other)?;
        let theirs = meeting::of(peer, here.number()?);
        let watched = here.watch(&theirs)?;
        let ends = Ends { here, peer, role, pages, offer: None, sender: None, receiver: None };
        Ok(Self { ends, theirs, watched, begun: Instant::now(), patience })
    }

    /// When patience ends.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.begun + self.patience
    }

    /// Goes as far as the other side has come.
    ///
    /// # Errors
    /// They do not meet; nothing is kept but what the other one still has mapped.
    pub fn look(mut self) -> Result<Look, MeetError> {
        if self.watched.has_fired()? {
            let met = match self.ends.role {
                Role::Offers => self.answered(),
                Role::Answers => self.offered(),
            };
            if met? {
                return Ok(Look::Met(Link { ends: self.ends }));
            }
        }
        if Instant::now() < self.until() {
            return Ok(Look::NotYet(self));
        }
        let missing = if self.ends.receiver.is_none() { OFFER } else { ANSWER };
        Err(MeetError::Silent { peer: self.ends.peer, missing, after: self.patience })
    }

    /// Looks again and again until they have met.
    ///
    /// # Errors
    /// See [`Self::look`].
    pub fn wait(mut self) -> Result<Link, MeetError> {
        loop {
            self = match self.look()? {
                Look::Met(link) => return Ok(link),
                Look::NotYet(meeting) => meeting,
            };
            self.watched.pause(self.until());
        }
    }

    /// For who offered: whether the other side has answered, and then both channels stand.
    fn answered(&mut self) -> Result<bool, MeetError> {
        let Some([reference, port, answer]) = self.shown(OFFER)? else { return Ok(false) };
        let own = self.ends.join(GrantRef::from_number(reference), Port(port))?;
        self.ends.accept(GrantRef::from_number(answer))?;
        self.ends.show(ANSWER, &[own])?;
        Ok(true)
    }

    /// For who answers: whether the other side has taken the answer, and then both channels stand.
    fn offered(&mut self) -> Result<bool, MeetError> {
        if self.ends.receiver.is_none() {
            let Some([reference, port]) = self.shown(OFFER)? else { return Ok(false) };
            let answer = self.ends.join(GrantRef::from_number(reference), Port(port))?;
            let (reference, port) = self.ends.offer()?;
            self.ends.show(OFFER, &[reference, port, answer])?;
        }
        let Some([reference]) = self.shown(ANSWER)? else { return Ok(false) };
        self.ends.accept(GrantRef::from_number(reference))?;
        Ok(true)
    }

    /// What the other side shows, if it does.
    fn shown<const COUNT: usize>(&self, name: &str) -> Result<Option<[u32; COUNT]>, MeetError> {
        let node = self.theirs.join(name).map_err(io::Error::other)?;
        let Some(value) = self.ends.here.read(&node)? else { return Ok(None) };
        let numbers = meeting::decode(&value);
        numbers.map(Some).ok_or_else(|| MeetError::Nonsense { peer: self.ends.peer, node: node.to_string() })
    }
}

impl Ends {
    /// Frames of the grant table: who sends much does so to many at once.
    const fn frames(&self) -> u32 {
        if self.pages.0 > 1 { BROKERS_FRAMES } else { 1 }
    }

    const fn domain(&self) -> hypercall::Domain {
        hypercall::Domain(self.peer.get())
    }

    fn show(&self, name: &str, numbers: &[u32]) -> Result<(), MeetError> {
        let node = meeting::own(self.peer).join(name).map_err(io::Error::other)?;
        Ok(self.here.show(&node, meeting::encode(numbers).as_bytes(), self.peer)?)
    }

    /// Makes the channel that we write. What the other side has to know of it: its reference and its port.
    fn offer(&mut self) -> Result<(u32, u32), MeetError> {
        let (calls, domain, pages) = (self.here.calls(), self.domain(), self.pages.0);
        let offer = self
            .here
            .with_grants(self.frames(), |grants| Offer::new(&OwnPages, grants, calls, domain, pages))?;
        let offer =
            self.offer.insert(offer.map_err(|source| MeetError::Channel { peer: self.peer, source })?);
        Ok((offer.reference().number(), offer.port().0))
    }

    /// Joins the channel that the other side writes. What it has to know of that: our reference.
    fn join(&mut self, reference: GrantRef, port: Port) -> Result<u32, MeetError> {
        let (calls, domain, most) = (self.here.calls(), self.domain(), self.pages.1);
        let receiver = self.here.with_grants(self.frames(), |grants| {
            Receiver::join(&calls, &OwnPages, grants, calls, domain, (reference, port), most)
        })?;
        let receiver =
            self.receiver.insert(receiver.map_err(|source| MeetError::Channel { peer: self.peer, source })?);
        Ok(receiver.reference().number())
    }

    fn accept(&mut self, reference: GrantRef) -> Result<(), MeetError> {
        let Some(offer) = self.offer.take() else { return Ok(()) };
        match offer.accept(&self.here.calls(), &OwnPages, reference) {
            Ok(sender) => {
                self.sender = Some(sender);
                Ok(())
            }
            Err((source, offer)) => {
                self.offer = Some(offer);
                Err(MeetError::Channel { peer: self.peer, source })
            }
        }
    }

    /// What is said where nothing can be done now: that an event will come, which the port must let through for that. One
    /// that came meanwhile comes at once.
    fn later(&self, port: Port) -> io::Error {
        match self.here.calls().unmask(port) {
            Ok(()) => ErrorKind::WouldBlock.into(),
            Err(error) => io::Error::other(error),
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
        if self.role == Role::Answers {
            let _ = self.here.remove(&meeting::own(self.peer));
        }
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
                let port = receiver.port();
                return Err(self.ends.later(port));
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
                let port = sender.port();
                return Err(self.ends.later(port));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
