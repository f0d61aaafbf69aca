//! Frames that come in.

use alloc::vec::Vec;

use super::slots::{extra, fragment, receive_request};
use super::{Buffer, MAX_FRAME, NetError, SLOTS};
use crate::front_ring::{FrontRing, RingPage};
use crate::shared::{PAGE_SIZE, PeerWords, ReadBytes, Shared};

pub(super) type Ring = RingPage<SLOTS, 2>;

/// Extra segments in a frame: one of each type at most.
const EXTRAS_MAX: u8 = 4;

/// What the next response is.
///
/// ```text
/// Fragment --extra--> Extra --last--> Fragment (of the same frame if `more`, else of the next)
/// ```
#[derive(Clone, Copy, Debug)]
enum Next {
    Fragment,
    Extra { seen: u8, more: bool },
}

/// The ring, and the pages that are received into. The request in slot `n` always names page `n` and has `n` as its
/// identifier: a back end answers in order and in the same slots (`netif.h` demands it because of extra segments, which
/// have no identifier).
#[derive(Debug)]
pub(super) struct Receive {
    pub(super) page: Shared<Ring>,
    ring: FrontRing,
    pub(super) buffers: Vec<Buffer<PeerWords>>,
    next: Next,
    frame: Vec<u8>,
    /// The frame will not be shown: a part is missing, or it is too long.
    bad: bool,
    pub(super) received: u64,
    pub(super) failures: u64,
}

impl Receive {
    /// Requests all `buffers` to be filled, of which there are at most [`SLOTS`].
    pub(super) fn new(page: Shared<Ring>, buffers: Vec<Buffer<PeerWords>>) -> Self {
        let ring = FrontRing::new(&*page);
        let frame = Vec::with_capacity(MAX_FRAME);
        let (next, bad) = (Next::Fragment, false);
        let mut receive = Self { page, ring, buffers, next, frame, bad, received: 0, failures: 0 };
        for _ in 0..receive.buffers.len() {
            receive.request();
        }
        // The back end is notified when it is told of the ring.
        let _ = receive.ring.publish(&*receive.page);
        receive
    }

    /// Requests the page of the next slot.
    fn request(&mut self) {
        let slot = self.ring.next() as usize % SLOTS;
        if let (Some(buffer), Ok(id)) = (self.buffers.get(slot), u16::try_from(slot)) {
            // There is room: a response was taken out before.
            let _ = self.ring.put(&*self.page, receive_request(buffer.reference, id));
        }
    }

    /// Shows the back end the requests. True if it has to be notified.
    pub(super) fn publish(&mut self) -> bool {
        self.ring.publish(&*self.page)
    }

    pub(super) fn has_news(&self) -> bool {
        self.ring.has_news(&*self.page)
    }

    pub(super) fn arm(&mut self) -> Result<bool, NetError> {
        Ok(self.ring.arm(&*self.page)?)
    }

    /// Takes responses until a frame is complete, but not more than were there. True if [`Receive::frame`] is one.
    pub(super) fn advance(&mut self) -> Result<bool, NetError> {
        if self.ring.unread() == 0 {
            self.ring.look(&*self.page)?;
        }
        while let Some((index, response)) = self.ring.take(&*self.page) {
            let last = match self.next {
                Next::Fragment => self.add(index, response)?,
                Next::Extra { seen, more } => self.skip(response, seen, more)?,
            };
            self.request();
            if last {
                if !self.bad && !self.frame.is_empty() {
                    self.received += 1;
                    return Ok(true);
                }
                self.failures += 1;
                self.next_frame();
            }
        }
        Ok(false)
    }

    /// The frame that [`Receive::advance`] completed.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Forgets it.
    pub(super) fn next_frame(&mut self) {
        self.frame.clear();
        self.bad = false;
        self.next = Next::Fragment;
    }

    /// Adds a fragment to the frame. True if it is the last.
    fn add(&mut self, index: u32, response: [u32; 2]) -> Result<bool, NetError> {
        let fragment = fragment(response);
        let slot = index as usize % SLOTS;
        let buffer = self.buffers.get(slot).filter(|_| usize::from(fragment.id) == slot);
        let buffer = buffer.ok_or(NetError::Id(fragment.id))?;
        if let Some(size) = fragment.size {
            let (offset, len) = (usize::from(fragment.offset), usize::from(size));
            if offset + len > PAGE_SIZE {
                return Err(NetError::Bounds { offset: fragment.offset, size });
            }
            let before = self.frame.len();
            if before + len > MAX_FRAME {
                self.bad = true;
            } else if !self.bad {
                self.frame.resize(before + len, 0);
                // Inside: checked above.
                self.bad |= !buffer.page.read(offset, &mut self.frame[before..]);
            }
        } else {
            self.bad = true;
        }
        if fragment.extra {
            self.next = Next::Extra { seen: 0, more: fragment.more };
        }
        Ok(!fragment.more && !fragment.extra)
    }

    /// Goes past an extra segment. True if the frame ends with it.
    fn skip(&mut self, response: [u32; 2], seen: u8, more: bool) -> Result<bool, NetError> {
        let another = extra(response).map_err(NetError::Extra)?;
        if !another {
            self.next = Next::Fragment;
            return Ok(!more);
        }
        if seen + 1 >= EXTRAS_MAX {
            return Err(NetError::Extra(EXTRAS_MAX));
        }
        self.next = Next::Extra { seen: seen + 1, more };
        Ok(false)
    }
}
