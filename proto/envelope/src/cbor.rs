//! The few pieces of deterministic CBOR (RFC 8949 §4.2.1) that the envelope is made of, written and read strictly.
//!
//! Why not a library: coset and ciborium read several byte forms of one message and then need a second encoding to
//! tell; they also build values of any depth and size before we can look. This reader knows one head at a time, never
//! allocates, never recurses, and refuses at the first byte that is not the only possible one.

use crate::error::EnvelopeError;

/// Major types of CBOR (RFC 8949 §3.1), the top three bits of a head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Major {
    Unsigned = 0,
    Negative = 1,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
}

/// Appends a head in its shortest form.
pub(crate) fn write_head(out: &mut Vec<u8>, major: Major, argument: u64) {
    let top = (major as u8) << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => out.push(top | bytes[7]),
        24..0x100 => out.extend([top | 24, bytes[7]]),
        0x100..0x1_0000 => {
            out.push(top | 25);
            out.extend(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(top | 26);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(top | 27);
            out.extend(bytes);
        }
    }
}

/// Appends a byte string.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_head(out, Major::Bytes, bytes.len() as u64);
    out.extend(bytes);
}

/// Appends a text string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, Major::Text, text.len() as u64);
    out.extend(text.as_bytes());
}

/// A place in the input, and how to go on from it.
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0 }
    }

    /// The next `count` bytes. A count beyond the input is refused before anything is done with it.
    fn take(&mut self, count: u64) -> Result<&'a [u8], EnvelopeError> {
        let rest = &self.input[self.at..];
        match usize::try_from(count) {
            Ok(count) if count <= rest.len() => {
                self.at += count;
                Ok(&rest[..count])
            }
            _ => Err(EnvelopeError::Truncated { at: self.at, wanted: count, left: rest.len() }),
        }
    }

    /// One head of the wanted type, in its shortest form; its argument.
    pub(crate) fn head(&mut self, major: Major, expected: &'static str) -> Result<u64, EnvelopeError> {
        let at = self.at;
        let initial = self.take(1)?[0];
        if initial >> 5 != major as u8 {
            return Err(EnvelopeError::Shape { at, expected, found: initial });
        }
        let (argument, least) = match initial & 31 {
            short @ 0..24 => return Ok(u64::from(short)),
            24 => (self.big_endian(1)?, 24),
            25 => (self.big_endian(2)?, 0x100),
            26 => (self.big_endian(4)?, 0x1_0000),
            27 => (self.big_endian(8)?, 0x1_0000_0000),
            31 => return Err(EnvelopeError::Indefinite { at }),
            _ => return Err(EnvelopeError::Shape { at, expected, found: initial }),
        };
        if argument < least { Err(EnvelopeError::NotMinimal { at, argument }) } else { Ok(argument) }
    }

    fn big_endian(&mut self, count: u64) -> Result<u64, EnvelopeError> {
        Ok(self.take(count)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A head whose argument must be `argument` as well (an array of four, tag 18).
    pub(crate) fn exactly(
        &mut self,
        major: Major,
        argument: u64,
        expected: &'static str,
    ) -> Result<(), EnvelopeError> {
        let at = self.at;
        let found = self.head(major, expected)?;
        if found == argument { Ok(()) } else { Err(EnvelopeError::Count { at, expected, found }) }
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self, expected: &'static str) -> Result<&'a [u8], EnvelopeError> {
        let length = self.head(Major::Bytes, expected)?;
        self.take(length)
    }

    /// A text string, as bytes: the caller compares it with texts that it knows.
    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a [u8], EnvelopeError> {
        let length = self.head(Major::Text, expected)?;
        self.take(length)
    }

    /// An integer of either sign. CBOR's reach from -2^64 to 2^64-1, hence the wide type.
    pub(crate) fn integer(&mut self, expected: &'static str) -> Result<i128, EnvelopeError> {
        let negative = self.input.get(self.at).is_some_and(|byte| byte >> 5 == Major::Negative as u8);
        if negative {
            Ok(-1 - i128::from(self.head(Major::Negative, expected)?))
        } else {
            Ok(i128::from(self.head(Major::Unsigned, expected)?))
        }
    }

    /// A byte string of a fixed length.
    pub(crate) fn array<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<&'a [u8; N], EnvelopeError> {
        let at = self.at;
        let bytes = self.bytes(expected)?;
        let found = bytes.len() as u64;
        bytes.first_chunk().filter(|_| bytes.len() == N).ok_or(EnvelopeError::Count { at, expected, found })
    }

    /// The end of the input, and nothing before it.
    pub(crate) fn end(&self) -> Result<(), EnvelopeError> {
        match self.input.len() - self.at {
            0 => Ok(()),
            count => Err(EnvelopeError::Trailing { at: self.at, count }),
        }
    }
}
