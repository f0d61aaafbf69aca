//! A netback on the same pages, which checks what it reads.

use core::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::shared::{Frame, OwnPage, WriteBytes};

/// A ring's page as words, and the back end's counters of it.
struct Ring {
    page: Shared<[AtomicU64; 512]>,
    words: usize,
    taken: u32,
    put: u32,
}

impl Ring {
    fn word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        assert!(crate::shared::ReadBytes::read(&*self.page, at * 4, &mut bytes));
        u32::from_le_bytes(bytes)
    }

    fn set(&self, at: usize, word: u32) {
        assert!(self.page.write(at * 4, &word.to_le_bytes()));
    }

    fn slot(&self, index: u32) -> usize {
        16 + (index as usize % 256) * self.words
    }

    fn next(&mut self) -> Option<usize> {
        if self.word(0) == self.taken {
            return None;
        }
        self.taken = self.taken.wrapping_add(1);
        Some(self.slot(self.taken.wrapping_sub(1)))
    }

    /// Puts a response in; true if the front end wants to be told.
    fn answer(&mut self, words: &[u32]) -> bool {
        let slot = self.slot(self.put);
        for (at, word) in words.iter().enumerate() {
            self.set(slot + at, *word);
        }
        self.put = self.put.wrapping_add(1);
        self.set(2, self.put);
        self.put == self.word(3)
    }
}

pub(super) struct BackEnd {
    guest: Guest,
    send: Ring,
    receive: Ring,
    /// Requests to send that are not answered yet.
    pub(super) unanswered: Vec<u16>,
}

impl BackEnd {
    /// `send` and `receive` are the frames of the rings' pages.
    pub(super) fn new(guest: Guest, [send, receive]: [Frame; 2]) -> Self {
        let ring =
            |frame, words| Ring { page: OwnPage::share(guest.memory.again(frame)), words, taken: 0, put: 0 };
        let (send, receive) = (ring(send, 3), ring(receive, 2));
        Self { guest, send, receive, unanswered: Vec::new() }
    }

    /// Takes a frame that was sent, piece by piece, and asks to be told of the next.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let (mut frame, mut total) = (Vec::new(), 0);
        loop {
            let Some(slot) = self.send.next() else {
                assert!(frame.is_empty(), "a frame is shown whole");
                self.send.set(1, self.send.taken.wrapping_add(1));
                return None;
            };
            let [reference, place, what] = core::array::from_fn(|word| self.send.word(slot + word));
            let (offset, flags) = (place as usize & 0xffff, place >> 16);
            let size = what as usize >> 16;
            self.unanswered.push((what & 0xffff) as u16);
            if frame.is_empty() {
                total = size;
            }
            let more = flags == 4;
            assert!(more || flags == 0, "flags {flags}");
            let here = if frame.is_empty() && more { 4096 } else { size };
            let page = self.guest.memory.again(self.guest.granted(reference, false));
            let mut part = std::vec![0; here];
            assert!(crate::shared::ReadBytes::read(&*page.share::<[AtomicU64; 512]>(), offset, &mut part));
            frame.extend(part);
            if !more {
                assert_eq!(frame.len(), total);
                return Some(frame);
            }
        }
    }

    /// Answers the request of this identifier with this status; true if the front end wants to be told.
    pub(super) fn answer(&mut self, id: u16, status: i16) -> bool {
        self.send.answer(&[u32::from(id) | u32::from(status.cast_unsigned()) << 16])
    }

    /// The page that the next request to receive gives, and its identifier.
    pub(super) fn request(&mut self) -> Option<(u16, Shared<[AtomicU64; 512]>)> {
        let slot = self.receive.next()?;
        let frame = self.guest.granted(self.receive.word(slot + 1), true);
        Some(((self.receive.word(slot) & 0xffff) as u16, self.guest.memory.again(frame).share()))
    }

    /// Answers a request to receive; true if the front end wants to be told.
    pub(super) fn respond(&mut self, id: u16, offset: u16, flags: u16, status: i16) -> bool {
        let halves = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        self.receive.answer(&[halves(id, offset), halves(flags, status.cast_unsigned())])
    }

    /// Puts an extra segment in.
    pub(super) fn extra(&mut self, kind: u8, flags: u8) {
        self.request().unwrap();
        self.receive.answer(&[u32::from_le_bytes([kind, flags, 0xee, 0xee]), 0xeeee_eeee]);
    }

    /// Delivers a frame in fragments of `chunk` bytes, from `offset` of each page. True if the front end wants
    /// to be told. `extra` segments follow the first fragment.
    pub(super) fn deliver(&mut self, frame: &[u8], chunk: usize, offset: u16, extra: u8) -> bool {
        let mut tell = false;
        let mut chunks = frame.chunks(chunk).peekable();
        let mut first = true;
        while let Some(part) = chunks.next() {
            let (id, page) = self.request().unwrap();
            assert!(page.write(offset.into(), part));
            let more = if chunks.peek().is_some() { 4 } else { 0 };
            let extras = if first && extra > 0 { 8 } else { 0 };
            tell |= self.respond(id, offset, more | extras, i16::try_from(part.len()).unwrap());
            for left in (0..extra).rev().filter(|_| first) {
                self.extra(1, u8::from(left > 0));
            }
            first = false;
        }
        tell
    }

    /// Moves the producer index of responses (`send` ring or the other) as only a hostile one would.
    pub(super) fn claim(&mut self, send: bool, responses: u32) {
        if send { &self.send } else { &self.receive }.set(2, responses);
    }

    /// Writes anything anywhere in a ring's page.
    pub(super) fn scribble(&self, send: bool, at: usize, word: u64) {
        let ring = if send { &self.send } else { &self.receive };
        ring.page[at].store(word, Ordering::Relaxed);
    }
}

/// Both rings' frames.
pub(super) fn rings<P>(front: &Netfront<P>) -> [Frame; 2] {
    [front.transmit.page.frame(), front.receive.page.frame()]
}
