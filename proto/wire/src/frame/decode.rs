//! Reading frames from a byte stream, whatever the pieces in which it comes.
//!
//! A body is read where it was received: [`Decoder::space`] lends room for a socket to fill, sized so that a
//! long body ends where the room ends, and only a header's worth of the next frame has to be moved.

use super::{
    BodyHash, Frame, FrameError, HEADER_LEN, Kind, MAGIC, MAX_CONTROL_BODY, MAX_DATA_BODY, Sequences,
    VERSION, checksum,
};
use alloc::vec::Vec;

/// Room for small frames: many of them come with one read.
const READ: usize = 16 * 1024;

/// Reads one direction of one connection.
///
/// Its memory is bounded by one frame of the longest kind, 16 KiB, and what is pushed at once.
#[derive(Clone, Debug)]
pub struct Decoder {
    checker: Checker,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Checks one direction of one connection, frame after frame, where the bytes lie.
#[derive(Clone, Debug)]
pub struct Checker {
    max_body: usize,
    sequences: Sequences,
    failed: Option<FrameError>,
}

/// A header whose fields make sense; its CRC is not checked yet.
struct Header {
    kind: Kind,
    stream: u32,
    length: usize,
    sequence: u64,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_LEN], max_body: usize) -> Result<Self, FrameError> {
        let (magic, version, flags) = (word(bytes, 0), bytes[4], bytes[5]);
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if flags != 0 {
            return Err(FrameError::Flags(flags));
        }
        let kind = Kind::from(u16::from_le_bytes(word(bytes, 6)));
        let stated = u32::from_le_bytes(word(bytes, 12));
        let length = usize::try_from(stated).unwrap_or(usize::MAX);
        if length > max_body {
            return Err(FrameError::Length { kind, length: u64::from(stated), max: max_body });
        }
        Ok(Self {
            kind,
            stream: u32::from_le_bytes(word(bytes, 8)),
            length,
            sequence: u64::from_le_bytes(word(bytes, 16)),
            crc: u32::from_le_bytes(word(bytes, 24)),
        })
    }
}

/// `N` bytes of a header from `at`; the callers' offsets are constants inside it.
fn word<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[at + i])
}

impl Decoder {
    /// For a control connection.
    #[must_use]
    pub fn control() -> Self {
        Self::new(MAX_CONTROL_BODY)
    }

    /// For a data connection.
    #[must_use]
    pub fn data() -> Self {
        Self::new(MAX_DATA_BODY)
    }

    /// With bodies of at most `max_body` bytes.
    #[must_use]
    pub fn new(max_body: usize) -> Self {
        Self { checker: Checker::new(max_body), buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Takes bytes that came. Call [`Self::next`] until it gives `None` before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Room to read into, never empty; tell how much of it was filled with [`Self::filled`].
    pub fn space(&mut self) -> &mut [u8] {
        let header = self.buffer[self.start..self.end].first_chunk::<HEADER_LEN>();
        let missing = match header.map(|bytes| Header::parse(bytes, self.checker.max_body)).transpose() {
            Ok(Some(header)) => (HEADER_LEN + header.length).saturating_sub(self.buffered()),
            // An error is told by `next`.
            Ok(None) | Err(_) => 0,
        };
        // A long body gets exactly the room it needs, and the next header's.
        let wanted = if missing > READ { missing + HEADER_LEN } else { READ };
        self.make_room(wanted);
        let end = self.end;
        &mut self.buffer[end..end + wanted]
    }

    /// Says that the first `count` bytes of [`Self::space`] were filled.
    ///
    /// # Panics
    /// `count` is more than the room there was.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.end, "{count} bytes do not fit in the room lent");
        self.end += count;
    }

    /// Bytes that came and were not given out as frames. Not 0 at the end of a connection: it broke off
    /// inside a frame.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// The next frame, if it is there in full.
    ///
    /// # Errors
    /// The bytes are not the next frame. The same error comes for ever after.
    #[expect(
        clippy::should_implement_trait,
        reason = "frames borrow from the decoder, iterators cannot lend"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        match self.checker.next(&self.buffer[self.start..self.end])? {
            Some(frame) => {
                self.start += frame.len();
                Ok(Some(frame))
            }
            None => Ok(None),
        }
    }

    /// Makes at least `count` bytes of room behind what is buffered.
    fn make_room(&mut self, count: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end >= count {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.buffered());
        if self.buffer.len() - self.end < count {
            self.buffer.resize(self.end + count, 0);
        }
    }
}

impl Checker {
    /// For a data connection.
    #[must_use]
    pub fn data() -> Self {
        Self::new(MAX_DATA_BODY)
    }

    /// With bodies of at most `max_body` bytes.
    #[must_use]
    pub fn new(max_body: usize) -> Self {
        Self { max_body, sequences: Sequences::default(), failed: None }
    }

    /// The frame that `bytes` begin with, if it is there in full; the next one begins [`Frame::len`] bytes further on.
    ///
    /// Each number of the header is read once, so bytes that somebody changes meanwhile can make a frame wrong, and not longer.
    ///
    /// # Errors
    /// The bytes are not the next frame. The same error comes for ever after.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.check(bytes).inspect_err(|error| self.failed = Some(*error)),
        }
    }

    fn check<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let Some(&header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let Header { kind, stream, length, sequence, crc: stated } = Header::parse(&header, self.max_body)?;
        let Some(body) = bytes[HEADER_LEN..].get(..length) else { return Ok(None) };
        let hash = BodyHash::of(body);
        let computed = checksum(&header[..24], hash);
        if computed != stated {
            return Err(FrameError::Crc { stream, sequence, computed, stated });
        }
        let expected = self.sequences.next(stream)?;
        if *expected != sequence {
            return Err(FrameError::Sequence { stream, expected: *expected, found: sequence });
        }
        *expected += 1;
        Ok(Some(Frame { kind, stream, sequence, body, hash }))
    }
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub const fn len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }
}
