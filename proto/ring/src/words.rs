//! Words and bytes in memory that two sides share, and who writes which.
//!
//! A word that the other side writes is a [`PeerWord`]: it can only be read, once, and is hostile until checked. [`PeerU32`] and
//! [`PeerU64`] are what such memory is described with where it is mapped: with the one kind of load that the language also
//! allows on pages that are mapped read-only.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A 32-bit word that we write and the other side reads.
pub trait Word {
    /// Stores `value`; who then sees it sees everything that we wrote before.
    fn publish(&self, value: u32);

    /// Reads back what lies there. Only for taking a ring over: the other side may have written it as well.
    fn current(&self) -> u32;

    /// Orders what this program stored before against what it loads afterwards.
    fn barrier();
}

/// A 32-bit word that the other side writes: hostile until checked.
pub trait PeerWord {
    /// Reads it once; what the other side wrote before it wrote this value can be read afterwards.
    fn take(&self) -> u32;
}

impl<W: Word> Word for &W {
    fn publish(&self, value: u32) {
        W::publish(self, value);
    }

    fn current(&self) -> u32 {
        W::current(self)
    }

    fn barrier() {
        W::barrier();
    }
}

impl<W: PeerWord> PeerWord for &W {
    fn take(&self) -> u32 {
        W::take(self)
    }
}

impl Word for AtomicU32 {
    fn publish(&self, value: u32) {
        self.store(value, Ordering::Release);
    }

    fn current(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    fn barrier() {
        fence(Ordering::SeqCst);
    }
}

/// For a word that we write before the other side knows it, and never after.
impl PeerWord for AtomicU32 {
    fn take(&self) -> u32 {
        let value = self.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }
}

/// A word of 32 bits that only the other side writes.
#[repr(transparent)]
#[derive(Debug)]
pub struct PeerU32(AtomicU32);

impl PeerWord for PeerU32 {
    fn take(&self) -> u32 {
        // A relaxed load, and a fence: no other kind of atomic load may be used where a page is read-only.
        let value = self.0.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }
}

impl PeerU32 {
    /// One with this value, for tests that play the other side.
    #[cfg(any(test, feature = "testing"))]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// The other side's write.
    #[cfg(any(test, feature = "testing"))]
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }

    /// The other side's look at its own word.
    #[cfg(any(test, feature = "testing"))]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Eight bytes that only the other side writes.
#[repr(transparent)]
#[derive(Debug)]
pub struct PeerU64(AtomicU64);

impl PeerU64 {
    /// The other side's write.
    #[cfg(any(test, feature = "testing"))]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Bytes that can be read while others write them. Each is read once.
pub trait ReadBytes {
    /// How many there are.
    fn size(&self) -> usize;

    /// Copies those from `at` on. False, and nothing done, if they do not all lie inside.
    #[must_use]
    fn read(&self, at: usize, bytes: &mut [u8]) -> bool;
}

/// Bytes that this side alone writes, while others read them.
pub trait WriteBytes {
    /// How many there are.
    fn size(&self) -> usize;

    /// Writes `bytes` from `at` on. False, and nothing done, if they would not all lie inside.
    #[must_use]
    fn write(&self, at: usize, bytes: &[u8]) -> bool;
}

fn inside(at: usize, len: usize, size: usize) -> bool {
    at.checked_add(len).is_some_and(|end| end <= size)
}

/// Reads `bytes.len()` bytes from offset `at` by words; `load` gives the word of an index.
fn gather(load: impl Fn(usize) -> u64, at: usize, bytes: &mut [u8]) {
    let head = (8 - at % 8) % 8;
    let (mut word, head) = (at / 8, head.min(bytes.len()));
    let (first, rest) = bytes.split_at_mut(head);
    if !first.is_empty() {
        let (from, value) = (at % 8, load(word).to_le_bytes());
        first.copy_from_slice(&value[from..from + head]);
        word += 1;
    }
    let mut chunks = rest.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.copy_from_slice(&load(word).to_le_bytes());
        word += 1;
    }
    let tail = chunks.into_remainder();
    if !tail.is_empty() {
        let value = load(word).to_le_bytes();
        tail.copy_from_slice(&value[..tail.len()]);
    }
}

impl<const N: usize> ReadBytes for [AtomicU64; N] {
    fn size(&self) -> usize {
        N * 8
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        let good = inside(at, bytes.len(), N * 8);
        if good {
            gather(|word| self[word].load(Ordering::Relaxed), at, bytes);
        }
        good
    }
}

impl<const N: usize> ReadBytes for [PeerU64; N] {
    fn size(&self) -> usize {
        N * 8
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        let good = inside(at, bytes.len(), N * 8);
        if good {
            gather(|word| self[word].0.load(Ordering::Relaxed), at, bytes);
        }
        good
    }
}

impl<const N: usize> WriteBytes for [AtomicU64; N] {
    fn size(&self) -> usize {
        N * 8
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        if !inside(at, bytes.len(), N * 8) {
            return false;
        }
        // The other bytes of a word at an edge are written back as they are: only this side writes them.
        let patch = |word: usize, from: usize, part: &[u8]| {
            let mut value = self[word].load(Ordering::Relaxed).to_le_bytes();
            value[from..from + part.len()].copy_from_slice(part);
            self[word].store(u64::from_le_bytes(value), Ordering::Relaxed);
        };
        let head = ((8 - at % 8) % 8).min(bytes.len());
        let (first, rest) = bytes.split_at(head);
        let mut word = at / 8;
        if !first.is_empty() {
            patch(word, at % 8, first);
            word += 1;
        }
        let (whole, tail) = rest.as_chunks::<8>();
        for chunk in whole {
            self[word].store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
            word += 1;
        }
        if !tail.is_empty() {
            patch(word, 0, tail);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> [AtomicU64; 8] {
        core::array::from_fn(|index| AtomicU64::new(0x0101_0101_0101_0101 * index as u64))
    }

    proptest! {
        #[test]
        fn bytes_land_where_they_belong_and_nowhere_else(at in 0_usize..70, len in 0_usize..70) {
            let memory = words();
            let mut model: [u8; 64] = core::array::from_fn(|index| u8::try_from(index / 8).unwrap());
            let bytes: std::vec::Vec<u8> = (0x80..).take(len).collect();
            let fits = at + len <= 64;
            prop_assert_eq!(memory.write(at, &bytes), fits);
            if fits {
                model[at..at + len].copy_from_slice(&bytes);
                let mut back = std::vec![0; len];
                prop_assert!(ReadBytes::read(&memory, at, &mut back));
                prop_assert_eq!(back, bytes);
            }
            let mut all = [0; 64];
            prop_assert!(ReadBytes::read(&memory, 0, &mut all));
            prop_assert_eq!(all, model);
        }

        #[test]
        fn reading_outside_gives_nothing(at in 0_usize.., len in 0_usize..70) {
            let mut bytes = std::vec![7; len];
            let good = ReadBytes::read(&words(), at, &mut bytes);
            prop_assert_eq!(good, at.checked_add(len).is_some_and(|end| end <= 64));
            if !good {
                prop_assert!(bytes.iter().all(|byte| *byte == 7));
            }
        }
    }
}
