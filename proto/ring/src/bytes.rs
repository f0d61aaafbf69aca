//! Rings of bytes, as XenStore and the console have them: two free-running indices of 32 bits, a power of two
//! of bytes.
//!
//! A ring has one [`Writer`] and one [`Reader`]. Each keeps its own index for itself and only publishes it, so that
//! the other side cannot move it. The other side's index is hostile: with it, no more than the ring's size may be
//! inside, else the ring is dead ([`BadIndex`]). The bytes are read once, so what is decoded from them does not change
//! any more.

use core::fmt;

use crate::words::{PeerWord, ReadBytes, Word, WriteBytes};

/// The other side's index says that more is in the ring than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex {
    /// Our index.
    pub ours: u32,
    /// The other side's.
    pub theirs: u32,
}

impl fmt::Display for BadIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the other side's ring index {} does not go with ours, {}", self.theirs, self.ours)
    }
}

impl core::error::Error for BadIndex {}

/// `size` of a ring as an index counts. What does not fit has no ring: nothing goes in or out.
fn count(size: usize) -> u32 {
    u32::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(0)
}

/// Splits `len` bytes at `index` of a ring of `size` into what lies before its end and what wraps: offset
/// and length of the first part.
fn split(index: u32, len: usize, size: u32) -> (usize, usize) {
    let at = (index & (size - 1)) as usize;
    (at, len.min(size as usize - at))
}

/// The side that puts bytes in. The default one begins at 0.
#[derive(Debug, Default)]
pub struct Writer {
    produced: u32,
}

impl Writer {
    /// Goes on where the ring's producer index stands.
    pub fn attach(own: &impl Word) -> Self {
        Self { produced: own.current() }
    }

    /// How many bytes were put in, ever; counts freely.
    pub const fn index(&self) -> u32 {
        self.produced
    }

    /// How many bytes there is room for now, in a ring of `size` bytes.
    ///
    /// # Errors
    /// If the other side's index is impossible.
    pub fn room(&self, peer: &impl PeerWord, size: usize) -> Result<usize, BadIndex> {
        let consumed = peer.take();
        let room = count(size).checked_sub(self.produced.wrapping_sub(consumed));
        room.map(|room| room as usize).ok_or(BadIndex { ours: self.produced, theirs: consumed })
    }

    /// Puts in as many of `bytes` as there is room for now, and tells how many. The other side has to be notified
    /// if any.
    ///
    /// # Errors
    /// If the other side's index is impossible. It will not get better.
    pub fn write(
        &mut self,
        own: &impl Word,
        peer: &impl PeerWord,
        data: &(impl WriteBytes + ?Sized),
        bytes: &[u8],
    ) -> Result<usize, BadIndex> {
        let size = count(data.size());
        // With acquire: what the other side says it has read, it has read before we overwrite it.
        let room = self.room(peer, data.size())?;
        let bytes = &bytes[..bytes.len().min(room)];
        if bytes.is_empty() {
            return Ok(0);
        }
        let (at, first) = split(self.produced, bytes.len(), size);
        let (before, wrapped) = bytes.split_at(first);
        if !(data.write(at, before) && data.write(0, wrapped)) {
            return Ok(0);
        }
        // At most the ring's size, which fits.
        self.produced = self.produced.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
        own.publish(self.produced);
        Ok(bytes.len())
    }
}

/// The side that takes bytes out. The default one begins at 0.
#[derive(Debug, Default)]
pub struct Reader {
    consumed: u32,
}

impl Reader {
    /// Goes on where the ring's consumer index stands.
    pub fn attach(own: &impl Word) -> Self {
        Self { consumed: own.current() }
    }

    /// How many bytes were taken out, ever; counts freely.
    pub const fn index(&self) -> u32 {
        self.consumed
    }

    /// How many bytes could be read now.
    ///
    /// # Errors
    /// If the other side's index is impossible.
    pub fn available(
        &self,
        peer: &impl PeerWord,
        data: &(impl ReadBytes + ?Sized),
    ) -> Result<usize, BadIndex> {
        let produced = peer.take();
        let inside = produced.wrapping_sub(self.consumed);
        if inside > count(data.size()) {
            return Err(BadIndex { ours: self.consumed, theirs: produced });
        }
        Ok(inside as usize)
    }

    /// Takes out `count` bytes that were read where they lie; no more than there are known to be.
    pub fn skip(&mut self, own: &impl Word, count: usize) {
        self.consumed = self.consumed.wrapping_add(u32::try_from(count).unwrap_or(0));
        // With release: the bytes are read before the other side learns that it may overwrite them.
        own.publish(self.consumed);
    }

    /// Takes as many bytes as there are and as `bytes` holds, and tells how many. The other side has to
    /// be notified if any.
    ///
    /// # Errors
    /// If the other side's index is impossible. It will not get better.
    pub fn read(
        &mut self,
        own: &impl Word,
        peer: &impl PeerWord,
        data: &(impl ReadBytes + ?Sized),
        bytes: &mut [u8],
    ) -> Result<usize, BadIndex> {
        let len = self.available(peer, data)?.min(bytes.len());
        if len == 0 {
            return Ok(0);
        }
        let (at, first) = split(self.consumed, len, count(data.size()));
        let (before, wrapped) = bytes[..len].split_at_mut(first);
        if !(data.read(at, before) && data.read(0, wrapped)) {
            return Ok(0);
        }
        self.skip(own, len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
