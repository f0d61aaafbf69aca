//! The producer's side.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::page::{Ours, OwnEnd, PeerEnd, VERSION, is_size};
use super::{ChannelError, Granted, Leftover};
use crate::grant::{GrantRef, Grants};
use crate::hypercall::{Call, Domain, Hypercalls, Port, Ports};
use crate::page::{Foreign, Pages, PlaceError};
use crate::shared::{PAGE_SIZE, PeerWord, Word, Words};
use fades_ring::BadIndex;
use fades_ring::Sending;

/// A channel that waits for its consumer.
#[derive(Debug)]
pub struct Offer<P> {
    ports: P,
    port: Port,
    consumer: Domain,
    end: Granted<OwnEnd>,
    data: Vec<Granted<Words>>,
}

impl<P: Ports> Offer<P> {
    /// A channel to `consumer` whose ring has `data_pages` pages, a power of two up to
    /// [`PAGES_MAX`](super::PAGES_MAX).
    ///
    /// # Errors
    /// [`ChannelError::Size`], or what is missing; nothing is kept then.
    pub fn new(
        pages: &impl Pages,
        grants: &mut Grants,
        ports: P,
        consumer: Domain,
        data_pages: usize,
    ) -> Result<Self, ChannelError> {
        let count = u32::try_from(data_pages).unwrap_or(u32::MAX);
        if !is_size(data_pages) {
            return Err(ChannelError::Size(count));
        }
        let mut data = Vec::with_capacity(data_pages);
        match Self::fill(pages, grants, &ports, consumer, data_pages, &mut data) {
            Ok((end, port)) => {
                for (place, page) in end.page.references.iter().zip(&data) {
                    place.store(page.reference.number(), Ordering::Relaxed);
                }
                end.page.pages.store(count, Ordering::Relaxed);
                end.page.version.store(VERSION, Ordering::Release);
                Ok(Self { ports, port, consumer, end, data })
            }
            Err(error) => {
                let mut leftover = Leftover::default();
                data.into_iter().for_each(|page| leftover.add(page));
                // Nobody knows the references yet.
                leftover.release(pages, grants);
                Err(error)
            }
        }
    }

    /// Data pages into `data`, then the end page and the port.
    fn fill(
        pages: &impl Pages,
        grants: &mut Grants,
        ports: &P,
        consumer: Domain,
        data_pages: usize,
        data: &mut Vec<Granted<Words>>,
    ) -> Result<(Granted<OwnEnd>, Port), ChannelError> {
        for _ in 0..data_pages {
            data.push(Granted::new(pages, grants, consumer)?);
        }
        let end = Granted::new(pages, grants, consumer)?;
        match ports.alloc_unbound(consumer) {
            Ok(port) => Ok((end, port)),
            Err(error) => {
                let mut leftover = Leftover::default();
                leftover.add(end);
                leftover.release(pages, grants);
                Err(ChannelError::Port(error))
            }
        }
    }

    /// What the consumer has to be told: the reference of our end page.
    pub const fn reference(&self) -> GrantRef {
        self.end.reference
    }

    /// What the consumer has to be told: the port to bind to.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// Begins, with the consumer's end page mapped in the place of a page from `pages`.
    ///
    /// # Errors
    /// With the offer as it was.
    pub fn accept<C: Call>(
        self,
        xen: &Hypercalls<C>,
        pages: &impl Pages,
        theirs: GrantRef,
    ) -> Result<Sender<P>, (ChannelError, Self)> {
        let Some(place) = pages.take() else {
            return Err((ChannelError::Memory, self));
        };
        match Foreign::map_read_only(xen, place, self.consumer, theirs) {
            Ok(peer) => self.begin(peer, xen, pages),
            Err((error, place)) => {
                if let Some(place) = place {
                    pages.give(place);
                }
                Err((ChannelError::Place(error), self))
            }
        }
    }

    fn begin<C: Call>(
        self,
        peer: Foreign<PeerEnd>,
        xen: &Hypercalls<C>,
        pages: &impl Pages,
    ) -> Result<Sender<P>, (ChannelError, Self)> {
        let version = peer.version.take();
        if version != VERSION {
            if let Ok(place) = peer.unmap(xen) {
                pages.give(place);
            }
            return Err((ChannelError::Version(version), self));
        }
        Ok(self.with(peer))
    }

    pub(super) fn with(self, peer: Foreign<PeerEnd>) -> Sender<P> {
        let flow = Sending::new(&self.end.page.index);
        Sender { offer: self, peer, flow, broken: None }
    }

    /// Ends what nobody accepted.
    pub fn withdraw(self) -> Leftover {
        // A port that cannot be closed is closed with the domain.
        let _ = self.ports.close(self.port);
        let mut leftover = Leftover::default();
        self.data.into_iter().for_each(|page| leftover.add(page));
        leftover.add(self.end);
        leftover
    }
}

/// The producer's side of a channel.
#[derive(Debug)]
pub struct Sender<P> {
    offer: Offer<P>,
    peer: Foreign<PeerEnd>,
    flow: Sending,
    broken: Option<BadIndex>,
}

impl<P: Ports> Sender<P> {
    /// The port on which the consumer says what was waited for.
    pub const fn port(&self) -> Port {
        self.offer.port
    }

    /// The reference of our end page, as the consumer was told.
    pub const fn reference(&self) -> GrantRef {
        self.offer.end.reference
    }

    /// How many bytes the channel holds.
    pub fn capacity(&self) -> usize {
        self.offer.data.len() * PAGE_SIZE
    }

    /// Writes as many of `bytes` as there is room for, and tells how many; 0 if there is none.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if the consumer wants no more, or we have closed; else the channel is broken.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        self.check()?;
        let end = &*self.offer.end.page;
        if end.closed.current() != 0 || self.peer.closed.take() != 0 {
            return Err(ChannelError::Closed);
        }
        let data = Ours(&self.offer.data);
        let wrote = self.flow.write(&end.index, &self.peer.index, &self.peer.wake, &data, bytes);
        let (done, tell) = wrote.inspect_err(|error| self.broken = Some(*error))?;
        if tell {
            self.tell()?;
        }
        Ok(done)
    }

    /// Has the consumer tell us when there is room for `count` bytes (no more than the channel holds), or it wants no
    /// more. True if that is so already: then it is not to be waited for.
    ///
    /// # Errors
    /// The channel is broken.
    pub fn arm(&mut self, count: usize) -> Result<bool, ChannelError> {
        self.check()?;
        let end = &*self.offer.end.page;
        let armed = self.flow.arm(&end.wake, &self.peer.index, self.capacity(), count);
        let room = armed.inspect_err(|error| self.broken = Some(*error))?;
        Ok(room || self.peer.closed.take() != 0)
    }

    /// Says that nothing comes any more. What was written can still be read.
    ///
    /// # Errors
    /// If the consumer could not be told; it sees it when it looks.
    pub fn close(&mut self) -> Result<(), ChannelError> {
        // With release: who sees it sees all that was written.
        self.offer.end.page.closed.publish(1);
        self.tell()
    }

    /// Ends the channel: lets go of the consumer's page, closes the port, and asks for our pages back. The
    /// error is of the consumer's page, which then stays mapped.
    pub fn finish<C: Call>(
        mut self,
        xen: &Hypercalls<C>,
        pages: &impl Pages,
    ) -> (Leftover, Result<(), PlaceError>) {
        // It is told by the page as well, and may be gone.
        let _ = self.close();
        let unmapped = match self.peer.unmap(xen) {
            Ok(place) => {
                pages.give(place);
                Ok(())
            }
            Err((error, _)) => Err(error),
        };
        (self.offer.withdraw(), unmapped)
    }

    fn check(&self) -> Result<(), ChannelError> {
        self.broken.map_or(Ok(()), |error| Err(ChannelError::Index(error)))
    }

    fn tell(&self) -> Result<(), ChannelError> {
        self.offer.ports.send(self.offer.port).map_err(ChannelError::Notify)
    }
}
