//! The front end's side of a ring of requests and responses (`io/ring.h`).
//!
//! ```text
//! 0..4    req_prod    ours       how many requests were put in
//! 4..8    req_event   theirs     tell us when there are this many
//! 8..12   rsp_prod    theirs     how many responses were put in
//! 12..16  rsp_event   ours       tell us when there are this many
//! 64..    slots       both's     a request, until its response takes the place of some request
//! ```
//! All four count freely. Slots are read and written as words of 32 bits; what they mean is the device's.
//! `rsp_prod` is hostile: more responses than requests are a [`BadIndex`], after which the device is to be stopped.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::shared::{Overlay, PeerU32, PeerWord, Word};
use fades_ring::BadIndex;

/// The page of a ring with `N` slots (a power of two) of `WORDS` words.
#[repr(C)]
pub struct RingPage<const N: usize, const WORDS: usize> {
    pub(crate) requests: AtomicU32,
    pub(crate) request_event: AtomicU32,
    pub(crate) responses: PeerU32,
    pub(crate) response_event: AtomicU32,
    private: [AtomicU32; 12],
    slots: [[AtomicU32; WORDS]; N],
}
const _: () = assert!(offset_of!(RingPage<256, 3>, request_event) == 4);
const _: () = assert!(offset_of!(RingPage<256, 3>, responses) == 8);
const _: () = assert!(offset_of!(RingPage<256, 3>, response_event) == 12);
const _: () = assert!(offset_of!(RingPage<256, 3>, slots) == 64);
const _: () =
    assert!(size_of::<RingPage<256, 3>>() == 64 + 256 * 12 && size_of::<RingPage<256, 2>>() <= 4096);

// SAFETY: atomics only.
unsafe impl<const N: usize, const WORDS: usize> Overlay for RingPage<N, WORDS> {}

/// What a ring's memory must be able to do, so that a model checker can put its own in.
pub trait RingMemory {
    /// A request or a response as words.
    type Slot;
    /// A counter of ours.
    type Own: Word;
    /// A counter of theirs.
    type Peer: PeerWord;
    /// A counter of theirs that begins as we say.
    type PeerEvent: Word + PeerWord;

    /// How many slots there are: a power of two.
    fn slots(&self) -> u32;
    /// Ours: `req_prod`.
    fn requests(&self) -> &Self::Own;
    /// Theirs: `req_event`.
    fn request_event(&self) -> &Self::PeerEvent;
    /// Theirs: `rsp_prod`.
    fn responses(&self) -> &Self::Peer;
    /// Ours: `rsp_event`.
    fn response_event(&self) -> &Self::Own;
    /// Writes the slot that `index` falls on.
    fn put(&self, index: u32, slot: Self::Slot);
    /// Reads the slot that `index` falls on, each word once.
    fn get(&self, index: u32) -> Self::Slot;
}

impl<const N: usize, const WORDS: usize> RingMemory for RingPage<N, WORDS> {
    type Slot = [u32; WORDS];
    type Own = AtomicU32;
    type Peer = PeerU32;
    type PeerEvent = AtomicU32;

    fn slots(&self) -> u32 {
        const { assert!(N.is_power_of_two() && N <= 1 << 16) }
        u32::try_from(N).unwrap_or(1)
    }

    fn requests(&self) -> &AtomicU32 {
        &self.requests
    }

    fn request_event(&self) -> &AtomicU32 {
        &self.request_event
    }

    fn responses(&self) -> &PeerU32 {
        &self.responses
    }

    fn response_event(&self) -> &AtomicU32 {
        &self.response_event
    }

    fn put(&self, index: u32, slot: [u32; WORDS]) {
        for (to, word) in self.slots[index as usize % N].iter().zip(slot) {
            to.store(word, Ordering::Relaxed);
        }
    }

    fn get(&self, index: u32) -> [u32; WORDS] {
        let slot = &self.slots[index as usize % N];
        core::array::from_fn(|word| slot[word].load(Ordering::Relaxed))
    }
}

/// Our counters. They are never read back from the page.
///
/// ```text
/// taken <= seen <= published <= put,  put - taken <= slots
/// ```
#[derive(Debug)]
pub struct FrontRing {
    put: u32,
    published: u32,
    /// Responses that were there when last looked.
    seen: u32,
    taken: u32,
}

impl FrontRing {
    /// Makes an empty ring of a page of zeros that the back end does not know yet.
    pub fn new(memory: &impl RingMemory) -> Self {
        memory.requests().publish(0);
        // Each side wants to be told of the first entry.
        memory.request_event().publish(1);
        memory.response_event().publish(1);
        Self { put: 0, published: 0, seen: 0, taken: 0 }
    }

    /// How many requests can be put in.
    pub fn free(&self, memory: &impl RingMemory) -> u32 {
        memory.slots() - self.put.wrapping_sub(self.taken)
    }

    /// How many requests have no response yet that was taken.
    pub const fn outstanding(&self) -> u32 {
        self.put.wrapping_sub(self.taken)
    }

    /// The index that the next request gets.
    pub const fn next(&self) -> u32 {
        self.put
    }

    /// Puts a request in, for the next [`FrontRing::publish`]. False, and nothing done, if the ring is full.
    #[must_use]
    pub fn put<M: RingMemory>(&mut self, memory: &M, request: M::Slot) -> bool {
        let room = self.free(memory) > 0;
        if room {
            memory.put(self.put, request);
            self.put = self.put.wrapping_add(1);
        }
        room
    }

    /// Shows the back end what was put in. True if it has to be notified.
    #[must_use]
    pub fn publish<M: RingMemory>(&mut self, memory: &M) -> bool {
        let (old, new) = (self.published, self.put);
        if old == new {
            return false;
        }
        memory.requests().publish(new);
        self.published = new;
        // The back end sees the requests before we look whether it waits for them; it does the same the other way round.
        M::Own::barrier();
        let event = memory.request_event().take();
        new.wrapping_sub(event) < new.wrapping_sub(old)
    }

    /// Looks for responses, and tells how many can be taken.
    ///
    /// # Errors
    /// If there are more than requests that have none.
    pub fn look(&mut self, memory: &impl RingMemory) -> Result<u32, BadIndex> {
        let theirs = memory.responses().take();
        if theirs.wrapping_sub(self.taken) > self.published.wrapping_sub(self.taken)
            || theirs.wrapping_sub(self.taken) < self.seen.wrapping_sub(self.taken)
        {
            return Err(BadIndex { ours: self.published, theirs });
        }
        self.seen = theirs;
        Ok(self.unread())
    }

    /// How many responses can be taken of those that were there at the last [`FrontRing::look`].
    pub const fn unread(&self) -> u32 {
        self.seen.wrapping_sub(self.taken)
    }

    /// Whether there may be responses, without looking closely.
    pub fn has_news(&self, memory: &impl RingMemory) -> bool {
        memory.responses().take() != self.taken
    }

    /// Takes the next response that [`FrontRing::look`] saw, with its index.
    pub fn take<M: RingMemory>(&mut self, memory: &M) -> Option<(u32, M::Slot)> {
        if self.unread() == 0 {
            return None;
        }
        let index = self.taken;
        let slot = memory.get(index);
        self.taken = index.wrapping_add(1);
        Some((index, slot))
    }

    /// Has the back end notify us of the next response, and looks once more: true if there is one already, so
    /// that it is not waited for.
    ///
    /// # Errors
    /// As for [`FrontRing::look`].
    pub fn arm<M: RingMemory>(&mut self, memory: &M) -> Result<bool, BadIndex> {
        if self.unread() == 0 && self.look(memory)? == 0 {
            memory.response_event().publish(self.taken.wrapping_add(1));
            M::Own::barrier();
            self.look(memory)?;
        }
        Ok(self.unread() > 0)
    }

    /// The same after `count` more responses (at least 1), to be told less often.
    ///
    /// # Errors
    /// As for [`FrontRing::look`].
    pub fn arm_after<M: RingMemory>(&mut self, memory: &M, count: u32) -> Result<bool, BadIndex> {
        memory.response_event().publish(self.taken.wrapping_add(count.max(1)));
        M::Own::barrier();
        Ok(self.look(memory)? >= count)
    }
}

#[cfg(test)]
mod tests;
