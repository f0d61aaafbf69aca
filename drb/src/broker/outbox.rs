//! Frames on their way to one function: one half is being sent while the other is being filled.

use fades_wire::frame::{BodyHash, Encoder, FrameError, Kind};

/// Two halves of fixed size, and the numbering of the frames in them.
#[derive(Debug)]
pub(super) struct Outbox {
    encoder: Encoder,
    front: Vec<u8>,
    sent: usize,
    back: Vec<u8>,
    half: usize,
    /// Bytes that were ever put in, and that ever went out: positions in the connection's stream of bytes.
    put_total: u64,
    sent_total: u64,
}

impl Outbox {
    /// An outbox that takes no memory until [`Self::open`].
    pub(super) fn new() -> Self {
        Self {
            encoder: Encoder::data(),
            front: Vec::new(),
            sent: 0,
            back: Vec::new(),
            half: 0,
            put_total: 0,
            sent_total: 0,
        }
    }

    /// Makes both halves `half` bytes large.
    pub(super) fn open(&mut self, half: usize) {
        self.half = half;
        self.front.reserve_exact(half);
        self.back.reserve_exact(half);
    }

    /// Bytes that can be put in now.
    pub(super) fn room(&self) -> usize {
        self.half.saturating_sub(self.back.len())
    }

    /// Adds a frame, and gives its body's hash. The caller has seen that there is [`Self::room`], or adds the last one of all.
    pub(super) fn put(
        &mut self,
        kind: Kind,
        stream: u16,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<BodyHash, FrameError> {
        let before = self.back.len();
        let hash = self.encoder.frame_with(kind, u32::from(stream), &mut self.back, write)?;
        self.put_total += (self.back.len() - before) as u64;
        self.turn();
        Ok(hash)
    }

    /// What is to be sent next; empty if there is nothing.
    pub(super) fn output(&self) -> &[u8] {
        &self.front[self.sent..]
    }

    /// Says that the first `count` bytes of [`Self::output`] were sent.
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.front.len() - self.sent);
        self.sent += count;
        self.sent_total += count as u64;
        self.turn();
    }

    fn turn(&mut self) {
        if self.sent == self.front.len() {
            self.front.clear();
            self.sent = 0;
            core::mem::swap(&mut self.front, &mut self.back);
        }
    }

    /// Position behind the last byte that was put in.
    pub(super) fn put_total(&self) -> u64 {
        self.put_total
    }

    /// Position behind the last byte that was sent.
    pub(super) fn sent_total(&self) -> u64 {
        self.sent_total
    }

    /// Memory taken, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.front.capacity() + self.back.capacity()
    }

    /// Gives memory back that is not needed for what is still to be sent.
    pub(super) fn shrink(&mut self) {
        self.half = 0;
        self.front.shrink_to_fit();
        self.back.shrink_to_fit();
    }
}
