//! QEMU's stream framing: a big-endian `u32` length, then one Ethernet frame.

use std::io::{self, Read};

/// Bytes of the length field.
pub(crate) const PREFIX: usize = 4;

/// QEMU never has a larger frame (its `NET_BUFSIZE`), so a larger length is a lie and the stream cannot be trusted any more.
pub const LARGEST_CLAIM: usize = 4096 + 65_536;

/// Bytes read at once: what a socket buffer holds at the usual kernel limits, plus one unfinished frame.
const BUFFER: usize = 256 * 1024;

/// The peer claims a frame of a length that no frame has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frame of {0} bytes claimed, the bound is {LARGEST_CLAIM}")]
pub struct LyingLength(pub u32);

/// Cuts a byte stream into frames. Bounded; allocates at the first byte.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameReader {
    /// Reads once. `Ok(0)` is the end of the stream. To be called when [`Self::frame`] has nothing left.
    ///
    /// # Errors
    /// The source's.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.start < PREFIX + LARGEST_CLAIM {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = source.read(&mut self.buffer[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// The next whole frame, which stays until [`Self::advance`].
    ///
    /// # Errors
    /// A length that no frame has: the stream is at its end.
    pub fn frame(&self) -> Result<Option<&[u8]>, LyingLength> {
        let Some((prefix, rest)) = self.buffer[self.start..self.end].split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let claimed = u32::from_be_bytes(*prefix);
        match usize::try_from(claimed) {
            Ok(length) if length <= LARGEST_CLAIM => Ok(rest.get(..length)),
            _ => Err(LyingLength(claimed)),
        }
    }

    /// Leaves the frame that [`Self::frame`] showed, of this length.
    pub fn advance(&mut self, length: usize) {
        self.start = (self.start + PREFIX + length).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        bodies.iter().flat_map(|b| [&u32::try_from(b.len()).unwrap().to_be_bytes()[..], b].concat()).collect()
    }

    /// Gives out at most `step` bytes per read.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn frames_come_out_whole_whatever_the_reads() {
        let bodies: Vec<Vec<u8>> =
            [0usize, 1, 13, 14, 60, 9014, LARGEST_CLAIM, 5, 60_000, 60_000, 60_000, 60_000, 60_000]
                .iter()
                .enumerate()
                .map(|(i, &n)| vec![u8::try_from(i).unwrap(); n])
                .collect();
        let bytes = framed(&bodies);
        for step in [1, 3, 4, 5, 1000, 70_000, 1 << 20] {
            let mut source = Dribble(&bytes, step);
            let mut reader = FrameReader::default();
            let mut seen = Vec::new();
            loop {
                while let Some(frame) = reader.frame().unwrap() {
                    seen.push(frame.to_vec());
                    let n = seen.last().unwrap().len();
                    reader.advance(n);
                }
                if reader.fill(&mut source).unwrap() == 0 {
                    break;
                }
            }
            assert!(seen == bodies, "step {step}");
        }
    }

    #[test]
    fn a_lying_length_is_an_error_at_once() {
        let lie = u32::try_from(LARGEST_CLAIM).unwrap() + 1;
        for claimed in [lie, u32::MAX] {
            let mut reader = FrameReader::default();
            reader.fill(&mut &claimed.to_be_bytes()[..]).unwrap();
            assert_eq!(reader.frame(), Err(LyingLength(claimed)));
        }
    }
}
