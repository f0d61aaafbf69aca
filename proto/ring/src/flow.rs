//! When the two sides tell each other: the part that a model checker looks at.
//!
//! A side that waits publishes in `wake` the other's index at which it wants to go on, and then looks again. The other
//! side publishes its index and then looks at `wake`. With a full barrier between the two steps on both sides, at
//! least one of them sees what the other did.

use crate::bytes::{BadIndex, Reader, Writer};
use crate::words::{PeerWord, ReadBytes, Word, WriteBytes};

/// Whether an index that moved from `old` to `new` has got to `wake`.
const fn reached(old: u32, new: u32, wake: u32) -> bool {
    new.wrapping_sub(wake) < new.wrapping_sub(old)
}

/// `count` as an index counts; a channel is never so long that this matters.
fn distance(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The producer's side. The default one begins at 0.
#[derive(Debug, Default)]
pub struct Sending(Writer);

impl Sending {
    /// Goes on where `index` stands.
    pub fn new(index: &impl Word) -> Self {
        Self(Writer::attach(index))
    }

    /// Puts in what there is room for. How much that is, and whether the consumer has to be told.
    ///
    /// # Errors
    /// The consumer's index is impossible, for good.
    pub fn write<W: Word>(
        &mut self,
        index: &W,
        their_index: &impl PeerWord,
        their_wake: &impl PeerWord,
        data: &(impl WriteBytes + ?Sized),
        bytes: &[u8],
    ) -> Result<(usize, bool), BadIndex> {
        let old = self.0.index();
        let done = self.0.write(index, their_index, data, bytes)?;
        if done == 0 {
            return Ok((0, false));
        }
        W::barrier();
        Ok((done, reached(old, self.0.index(), their_wake.take())))
    }

    /// Says that we wait for room for `count` bytes (at most `size`, the ring's). True if there is already.
    ///
    /// # Errors
    /// The consumer's index is impossible, for good.
    pub fn arm<W: Word>(
        &self,
        wake: &W,
        their_index: &impl PeerWord,
        size: usize,
        count: usize,
    ) -> Result<bool, BadIndex> {
        let count = count.clamp(1, size);
        wake.publish(self.0.index().wrapping_sub(distance(size - count)));
        W::barrier();
        Ok(self.0.room(their_index, size)? >= count)
    }
}

/// The consumer's side. The default one begins at 0.
#[derive(Debug, Default)]
pub struct Receiving(Reader);

impl Receiving {
    /// Goes on where `index` stands.
    pub fn new(index: &impl Word) -> Self {
        Self(Reader::attach(index))
    }

    /// Takes out what there is and what `bytes` holds. How much that is, and whether the producer has to be told.
    ///
    /// # Errors
    /// The producer's index is impossible, for good.
    pub fn read<W: Word>(
        &mut self,
        index: &W,
        their_index: &impl PeerWord,
        their_wake: &impl PeerWord,
        data: &(impl ReadBytes + ?Sized),
        bytes: &mut [u8],
    ) -> Result<(usize, bool), BadIndex> {
        let old = self.0.index();
        let done = self.0.read(index, their_index, data, bytes)?;
        if done == 0 {
            return Ok((0, false));
        }
        W::barrier();
        Ok((done, reached(old, self.0.index(), their_wake.take())))
    }

    /// Where the next byte lies in the ring, and how many there are to be read from there, in a ring without a seam.
    ///
    /// # Errors
    /// The producer's index is impossible, for good.
    pub fn look(
        &self,
        their_index: &impl PeerWord,
        data: &(impl ReadBytes + ?Sized),
    ) -> Result<(usize, usize), BadIndex> {
        let count = self.0.available(their_index, data)?;
        Ok((self.0.index() as usize & data.size().wrapping_sub(1), count))
    }

    /// Takes out `count` bytes that were looked at. Whether the producer has to be told.
    pub fn skip<W: Word>(&mut self, index: &W, their_wake: &impl PeerWord, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        let old = self.0.index();
        self.0.skip(index, count);
        W::barrier();
        reached(old, self.0.index(), their_wake.take())
    }

    /// Says that we wait for `count` bytes (at most as many as the ring holds). True if they are there already.
    ///
    /// # Errors
    /// The producer's index is impossible, for good.
    pub fn arm<W: Word>(
        &self,
        wake: &W,
        their_index: &impl PeerWord,
        data: &(impl ReadBytes + ?Sized),
        count: usize,
    ) -> Result<bool, BadIndex> {
        let count = count.clamp(1, data.size());
        wake.publish(self.0.index().wrapping_add(distance(count)));
        W::barrier();
        Ok(self.0.available(their_index, data)? >= count)
    }
}

#[cfg(test)]
mod tests;
