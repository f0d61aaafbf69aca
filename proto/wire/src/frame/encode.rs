//! Writing frames.

use super::{
    BodyHash, FrameError, HEADER_LEN, Kind, MAGIC, MAX_CONTROL_BODY, MAX_DATA_BODY, Sequences, VERSION,
    checksum,
};
use alloc::vec::Vec;

/// Appends one frame to `out`.
///
/// # Errors
/// The body is over [`MAX_CONTROL_BODY`].
pub fn encode(
    kind: Kind,
    stream: u32,
    sequence: u64,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    encode_with(kind, stream, sequence, out, |out| out.extend_from_slice(body))
}

/// Appends one frame to `out`, whose body `write` appends in place: a chunk is then copied once only.
///
/// # Errors
/// The body is over [`MAX_CONTROL_BODY`]; `out` is then as it was.
pub fn encode_with(
    kind: Kind,
    stream: u32,
    sequence: u64,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameError> {
    append(kind, stream, sequence, MAX_CONTROL_BODY, out, write).map(drop)
}

fn append(
    kind: Kind,
    stream: u32,
    sequence: u64,
    max: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<BodyHash, FrameError> {
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    write(out);
    let length = out.len() - start - HEADER_LEN;
    let too_long = FrameError::Length { kind, length: length as u64, max };
    let (Ok(stated), true) = (u32::try_from(length), length <= max) else {
        out.truncate(start);
        return Err(too_long);
    };
    let (header, body) = out[start..].split_at_mut(HEADER_LEN);
    header[0..4].copy_from_slice(&MAGIC);
    header[4] = VERSION;
    header[6..8].copy_from_slice(&u16::from(kind).to_le_bytes());
    header[8..12].copy_from_slice(&stream.to_le_bytes());
    header[12..16].copy_from_slice(&stated.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    let hash = BodyHash::of(body);
    let crc = checksum(&header[..24], hash);
    header[24..28].copy_from_slice(&crc.to_le_bytes());
    Ok(hash)
}

/// Writes one direction of one connection: numbers the frames of each stream.
#[derive(Clone, Debug)]
pub struct Encoder {
    max_body: usize,
    sequences: Sequences,
}

impl Encoder {
    /// For a control connection.
    #[must_use]
    pub fn control() -> Self {
        Self { max_body: MAX_CONTROL_BODY, sequences: Sequences::default() }
    }

    /// For a data connection.
    #[must_use]
    pub fn data() -> Self {
        Self { max_body: MAX_DATA_BODY, sequences: Sequences::default() }
    }

    /// Appends the next frame of `stream` to `out`. Gives the body's hash.
    ///
    /// # Errors
    /// The body is too long for this connection, or the stream is one too many. Nothing is appended then, and
    /// the number is still free.
    pub fn frame(
        &mut self,
        kind: Kind,
        stream: u32,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<BodyHash, FrameError> {
        self.frame_with(kind, stream, out, |out| out.extend_from_slice(body))
    }

    /// Likewise, with a body that `write` appends in place.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn frame_with(
        &mut self,
        kind: Kind,
        stream: u32,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<BodyHash, FrameError> {
        let next = self.sequences.next(stream)?;
        let hash = append(kind, stream, *next, self.max_body, out, write)?;
        *next += 1;
        Ok(hash)
    }
}
