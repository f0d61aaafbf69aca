//! The consumer's side.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::page::{OwnEnd, PeerEnd, Theirs, VERSION, is_size};
use super::{ChannelError, Granted, Leftover};
use crate::grant::{GrantRef, Grants};
use crate::hypercall::{Call, Domain, Hypercalls, Port, Ports};
use crate::page::{Foreign, Pages, PeerOnly, PlaceError};
use crate::shared::{PeerWord, PeerWords, ReadBytes, Word};
use fades_ring::BadIndex;
use fades_ring::Receiving;

/// The consumer's side of a channel.
#[derive(Debug)]
pub struct Receiver<P> {
    ports: P,
    port: Port,
    end: Granted<OwnEnd>,
    peer: Foreign<PeerEnd>,
    data: Vec<Foreign<PeerWords>>,
    flow: Receiving,
    broken: Option<BadIndex>,
}

/// Maps what `producer` granted in the place of a page from `pages`.
fn map<T: PeerOnly, C: Call>(
    xen: &Hypercalls<C>,
    pages: &impl Pages,
    producer: Domain,
    reference: GrantRef,
) -> Result<Foreign<T>, ChannelError> {
    let place = pages.take().ok_or(ChannelError::Memory)?;
    Foreign::map_read_only(xen, place, producer, reference).map_err(|(error, place)| {
        if let Some(place) = place {
            pages.give(place);
        }
        ChannelError::Place(error)
    })
}

/// Lets go of a page of the producer's. One that cannot be unmapped stays mapped, and its place is lost.
fn unmap<T: PeerOnly, C: Call>(
    foreign: Foreign<T>,
    xen: &Hypercalls<C>,
    pages: &impl Pages,
) -> Result<(), PlaceError> {
    match foreign.unmap(xen) {
        Ok(place) => {
            pages.give(place);
            Ok(())
        }
        Err((error, _)) => Err(error),
    }
}

impl<P: Ports> Receiver<P> {
    /// Joins the channel that `producer` offers with `reference` and `port`, if it has no more than `most` data pages, which are
    /// taken from our own.
    ///
    /// # Errors
    /// What the producer offers makes no sense, or something is missing; nothing is kept then.
    pub fn join<C: Call>(
        xen: &Hypercalls<C>,
        pages: &impl Pages,
        grants: &mut Grants,
        ports: P,
        producer: Domain,
        (reference, port): (GrantRef, Port),
        most: usize,
    ) -> Result<Self, ChannelError> {
        let peer = map(xen, pages, producer, reference)?;
        let mut data = Vec::new();
        match Self::take(xen, pages, grants, &ports, producer, port, (&peer, most), &mut data) {
            Ok((end, port)) => Ok(Self::with(ports, port, end, peer, data)),
            Err(error) => {
                // The first failure is what is told.
                for page in data {
                    let _ = unmap(page, xen, pages);
                }
                let _ = unmap(peer, xen, pages);
                Err(error)
            }
        }
    }

    /// Data pages into `data`, then our end page and the port.
    #[expect(clippy::too_many_arguments, reason = "it is `join` with what that has made so far")]
    fn take<C: Call>(
        xen: &Hypercalls<C>,
        pages: &impl Pages,
        grants: &mut Grants,
        ports: &P,
        producer: Domain,
        port: Port,
        (peer, most): (&PeerEnd, usize),
        data: &mut Vec<Foreign<PeerWords>>,
    ) -> Result<(Granted<OwnEnd>, Port), ChannelError> {
        for reference in references(peer, most)? {
            data.push(map(xen, pages, producer, reference)?);
        }
        let end = Granted::<OwnEnd>::new(pages, grants, producer)?;
        end.page.version.store(VERSION, Ordering::Release);
        match ports.bind_interdomain(producer, port) {
            Ok(port) => Ok((end, port)),
            Err(error) => {
                let mut leftover = Leftover::default();
                leftover.add(end);
                leftover.release(pages, grants);
                Err(ChannelError::Port(error))
            }
        }
    }

    pub(super) fn with(
        ports: P,
        port: Port,
        end: Granted<OwnEnd>,
        peer: Foreign<PeerEnd>,
        data: Vec<Foreign<PeerWords>>,
    ) -> Self {
        let flow = Receiving::new(&end.page.index);
        Self { ports, port, end, peer, data, flow, broken: None }
    }

    /// What the producer has to be told: the reference of our end page.
    pub const fn reference(&self) -> GrantRef {
        self.end.reference
    }

    /// The port on which the producer says what was waited for.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// How many bytes the channel holds.
    pub fn capacity(&self) -> usize {
        Theirs(&self.data).size()
    }

    /// Reads as many bytes as there are and as `bytes` holds, and tells how many; 0 if there are none now. `None` when
    /// the producer has closed and all was read.
    ///
    /// # Errors
    /// The channel is broken.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, ChannelError> {
        self.check()?;
        // Looked at first: what was written before it was set is seen afterwards.
        let closed = self.peer.closed.take() != 0;
        let end = &*self.end.page;
        let read = self.flow.read(&end.index, &self.peer.index, &self.peer.wake, &Theirs(&self.data), bytes);
        let (done, tell) = read.inspect_err(|error| self.broken = Some(*error))?;
        if tell {
            self.tell()?;
        }
        Ok(if done == 0 && closed && !bytes.is_empty() { None } else { Some(done) })
    }

    /// Has the producer tell us when there are `count` bytes (no more than the channel holds), or it has closed. True
    /// if that is so already: then it is not to be waited for.
    ///
    /// # Errors
    /// The channel is broken.
    pub fn arm(&mut self, count: usize) -> Result<bool, ChannelError> {
        self.check()?;
        let armed = self.flow.arm(&self.end.page.wake, &self.peer.index, &Theirs(&self.data), count);
        let there = armed.inspect_err(|error| self.broken = Some(*error))?;
        Ok(there || self.peer.closed.take() != 0)
    }

    /// Says that we want no more.
    ///
    /// # Errors
    /// If the producer could not be told; it sees it when it looks.
    pub fn close(&mut self) -> Result<(), ChannelError> {
        self.end.page.closed.publish(1);
        self.tell()
    }

    /// Ends the channel: lets go of the producer's pages, closes the port, and asks for our own back. The
    /// error is of the first of the producer's pages that stays mapped.
    pub fn finish<C: Call>(
        mut self,
        xen: &Hypercalls<C>,
        pages: &impl Pages,
    ) -> (Leftover, Result<(), PlaceError>) {
        self.end.page.closed.publish(1);
        let mut result = Ok(());
        for page in self.data.drain(..) {
            result = result.and(unmap(page, xen, pages));
        }
        result = result.and(unmap(self.peer, xen, pages));
        // The producer asks for its pages when it is told, so that comes after. It may be gone.
        let _ = self.ports.send(self.port);
        let _ = self.ports.close(self.port);
        let mut leftover = Leftover::default();
        leftover.add(self.end);
        (leftover, result)
    }

    fn check(&self) -> Result<(), ChannelError> {
        self.broken.map_or(Ok(()), |error| Err(ChannelError::Index(error)))
    }

    fn tell(&self) -> Result<(), ChannelError> {
        self.ports.send(self.port).map_err(ChannelError::Notify)
    }
}

/// The references that the producer's end page names, `most` at most, each read once.
pub(super) fn references(peer: &PeerEnd, most: usize) -> Result<Vec<GrantRef>, ChannelError> {
    let version = peer.version.take();
    if version != VERSION {
        return Err(ChannelError::Version(version));
    }
    let count = peer.pages.take();
    let pages = usize::try_from(count).ok().filter(|pages| is_size(*pages) && *pages <= most);
    let pages = pages.ok_or(ChannelError::Size(count))?;
    Ok(peer.references[..pages].iter().map(|place| GrantRef::from_number(place.take())).collect())
}
