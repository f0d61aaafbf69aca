//! Frames that go out.

use alloc::vec::Vec;

use super::slots::{send_request, send_response};
use super::{Buffer, NetError, SLOTS};
use crate::front_ring::{FrontRing, RingPage};
use crate::shared::{Shared, Words, WriteBytes};

pub(super) const PAGE: usize = crate::shared::PAGE_SIZE;

pub(super) type Ring = RingPage<SLOTS, 3>;

/// The ring, and the pages that are sent. A page's index is the identifier of its request. Responses may come in any
/// order.
#[derive(Debug)]
pub(super) struct Transmit {
    pub(super) page: Shared<Ring>,
    ring: FrontRing,
    pub(super) buffers: Vec<Buffer<Words>>,
    free: Vec<u16>,
    /// By identifier: the back end has it.
    away: [bool; SLOTS],
    pub(super) failures: u64,
}

impl Transmit {
    /// At most [`SLOTS`] of `buffers` are used.
    pub(super) fn new(page: Shared<Ring>, buffers: Vec<Buffer<Words>>) -> Self {
        let ring = FrontRing::new(&*page);
        let free = (0..u16::try_from(buffers.len().min(SLOTS)).unwrap_or(0)).rev().collect();
        Self { page, ring, buffers, free, away: [false; SLOTS], failures: 0 }
    }

    /// Whether `slots` requests can be put in now. If not, the back end will notify us when it has answered.
    pub(super) fn make_room(&mut self, slots: usize) -> Result<bool, NetError> {
        loop {
            // Taking responses back costs little, but a look at the other side's cache line for each frame would.
            if self.free.len() >= slots {
                return Ok(true);
            }
            self.reclaim()?;
            if self.free.len() >= slots {
                return Ok(true);
            }
            if !self.ring.arm(&*self.page)? {
                return Ok(false);
            }
        }
    }

    fn reclaim(&mut self) -> Result<(), NetError> {
        self.ring.look(&*self.page)?;
        while let Some((_, response)) = self.ring.take(&*self.page) {
            let (id, sent) = send_response(response);
            let Some(away @ true) = self.away.get_mut(usize::from(id)) else {
                return Err(NetError::Id(id));
            };
            *away = false;
            self.free.push(id);
            self.failures += u64::from(!sent);
        }
        Ok(())
    }

    /// Puts a frame in, for which there is room ([`Transmit::make_room`]). True if the back end has to be notified.
    /// What does not find room is left out.
    pub(super) fn send(&mut self, frame: &[u8]) -> Result<bool, NetError> {
        let mut chunks = frame.chunks(PAGE).enumerate().peekable();
        while let Some((index, chunk)) = chunks.next() {
            let Some(id) = self.free.pop() else { break };
            let (Some(buffer), Some(away)) =
                (self.buffers.get(usize::from(id)), self.away.get_mut(usize::from(id)))
            else {
                break;
            };
            let size = if index == 0 { frame.len() } else { chunk.len() };
            let size = u16::try_from(size).unwrap_or(u16::MAX);
            let request = send_request(buffer.reference, id, size, chunks.peek().is_some());
            // Both cannot fail: a chunk is at most a page, and requests are as many as pages at most.
            if !(buffer.page.write(0, chunk) && self.ring.put(&*self.page, request)) {
                break;
            }
            *away = true;
        }
        Ok(self.ring.publish(&*self.page))
    }
}
