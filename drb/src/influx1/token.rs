//! One MessagePack token from the start of a buffer (the format's specification, section "Formats").

/// Longest text that is taken: names are shorter, and InfluxDB's error texts as well.
pub(super) const MAX_TEXT: usize = 4096;
/// No token is longer: a text with its header, or an extension with its type.
pub(super) const MAX_TOKEN: usize = MAX_TEXT + 32;

/// A scalar, or the header of something that holds other tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Only for what does not fit [`Token::Int`].
    Huge(u64),
    Float(f64),
    Text(&'a [u8]),
    /// Binary or an extension, its contents left out.
    Opaque,
    Array(u32),
    Map(u32),
}

impl Token<'_> {
    /// The kind, for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Huge(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Opaque => "binary",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

/// What no further bytes can repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// 0xC1 is never used.
    Reserved,
    /// A text or binary of this many bytes.
    TooLong(u32),
}

/// The first token of `input` and its length in bytes, or `None` while it is incomplete.
pub(super) fn token(input: &[u8]) -> Result<Option<(Token<'_>, usize)>, TokenError> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let whole = match first {
        0x00..=0x7f => Some((Token::Int(i64::from(first)), 0)),
        0x80..=0x8f => Some((Token::Map(u32::from(first & 15)), 0)),
        0x90..=0x9f => Some((Token::Array(u32::from(first & 15)), 0)),
        0xa0..=0xbf => return text(input, 1, u32::from(first & 31)),
        0xc0 => Some((Token::Nil, 0)),
        0xc1 => return Err(TokenError::Reserved),
        0xc2 | 0xc3 => Some((Token::Bool(first == 0xc3), 0)),
        0xc4..=0xc6 => return sized(input, rest, first - 0xc4, 0),
        0xc7..=0xc9 => return sized(input, rest, first - 0xc7, 1),
        0xca => fixed(rest).map(|bytes| (Token::Float(f64::from(f32::from_be_bytes(bytes))), 4)),
        0xcb => fixed(rest).map(|bytes| (Token::Float(f64::from_be_bytes(bytes)), 8)),
        0xcc => fixed(rest).map(|bytes| (Token::Int(i64::from(u8::from_be_bytes(bytes))), 1)),
        0xcd => fixed(rest).map(|bytes| (Token::Int(i64::from(u16::from_be_bytes(bytes))), 2)),
        0xce => fixed(rest).map(|bytes| (Token::Int(i64::from(u32::from_be_bytes(bytes))), 4)),
        0xcf => fixed(rest).map(|bytes| {
            let value = u64::from_be_bytes(bytes);
            (i64::try_from(value).map_or(Token::Huge(value), Token::Int), 8)
        }),
        0xd0 => fixed(rest).map(|bytes| (Token::Int(i64::from(i8::from_be_bytes(bytes))), 1)),
        0xd1 => fixed(rest).map(|bytes| (Token::Int(i64::from(i16::from_be_bytes(bytes))), 2)),
        0xd2 => fixed(rest).map(|bytes| (Token::Int(i64::from(i32::from_be_bytes(bytes))), 4)),
        0xd3 => fixed(rest).map(|bytes| (Token::Int(i64::from_be_bytes(bytes)), 8)),
        0xd4..=0xd8 => return opaque(input, 2 + (1 << (first - 0xd4))),
        0xd9 => {
            return Ok(fixed(rest)
                .map(|bytes| text(input, 2, u32::from(u8::from_be_bytes(bytes))))
                .transpose()?
                .flatten());
        }
        0xda => {
            return Ok(fixed(rest)
                .map(|bytes| text(input, 3, u32::from(u16::from_be_bytes(bytes))))
                .transpose()?
                .flatten());
        }
        0xdb => {
            return Ok(fixed(rest)
                .map(|bytes| text(input, 5, u32::from_be_bytes(bytes)))
                .transpose()?
                .flatten());
        }
        0xdc => fixed(rest).map(|bytes| (Token::Array(u32::from(u16::from_be_bytes(bytes))), 2)),
        0xdd => fixed(rest).map(|bytes| (Token::Array(u32::from_be_bytes(bytes)), 4)),
        0xde => fixed(rest).map(|bytes| (Token::Map(u32::from(u16::from_be_bytes(bytes))), 2)),
        0xdf => fixed(rest).map(|bytes| (Token::Map(u32::from_be_bytes(bytes)), 4)),
        0xe0..=0xff => Some((Token::Int(i64::from(first.cast_signed())), 0)),
    };
    Ok(whole.map(|(token, behind)| (token, 1 + behind)))
}

fn fixed<const N: usize>(rest: &[u8]) -> Option<[u8; N]> {
    rest.first_chunk().copied()
}

fn text(input: &[u8], header: usize, length: u32) -> Result<Option<(Token<'_>, usize)>, TokenError> {
    let end = header + bounded(length)?;
    Ok(input.get(header..end).map(|bytes| (Token::Text(bytes), end)))
}

/// Binary or an extension whose length has 1, 2 or 4 bytes, with `extra` bytes of type behind it.
fn sized<'a>(
    input: &'a [u8],
    rest: &[u8],
    width: u8,
    extra: usize,
) -> Result<Option<(Token<'a>, usize)>, TokenError> {
    let (length, bytes) = match width {
        0 => (fixed(rest).map(|bytes| u32::from(u8::from_be_bytes(bytes))), 1),
        1 => (fixed(rest).map(|bytes| u32::from(u16::from_be_bytes(bytes))), 2),
        _ => (fixed(rest).map(u32::from_be_bytes), 4),
    };
    let Some(length) = length else { return Ok(None) };
    opaque(input, 1 + bytes + extra + bounded(length)?)
}

fn opaque(input: &[u8], end: usize) -> Result<Option<(Token<'_>, usize)>, TokenError> {
    Ok(input.get(..end).map(|_| (Token::Opaque, end)))
}

fn bounded(length: u32) -> Result<usize, TokenError> {
    usize::try_from(length).ok().filter(|length| *length <= MAX_TEXT).ok_or(TokenError::TooLong(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_the_specification() {
        let cases: &[(&[u8], Token<'_>)] = &[
            (&[0x7f], Token::Int(127)),
            (&[0xe0], Token::Int(-32)),
            (&[0xcc, 200], Token::Int(200)),
            (&[0xcd, 1, 0], Token::Int(256)),
            (&[0xce, 0, 1, 0, 0], Token::Int(65_536)),
            (&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0], Token::Int(1 << 32)),
            (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], Token::Huge(u64::MAX)),
            (&[0xd0, 0x80], Token::Int(-128)),
            (&[0xd1, 0x80, 0], Token::Int(-32_768)),
            (&[0xd2, 0x80, 0, 0, 0], Token::Int(-(1 << 31))),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], Token::Int(i64::MIN)),
            (&[0xca, 0x3f, 0xc0, 0, 0], Token::Float(1.5)),
            (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Token::Float(1.5)),
            (&[0xc0], Token::Nil),
            (&[0xc2], Token::Bool(false)),
            (&[0xc3], Token::Bool(true)),
            (&[0xa2, b'h', b'i'], Token::Text(b"hi")),
            (&[0xd9, 2, b'h', b'i'], Token::Text(b"hi")),
            (&[0xda, 0, 2, b'h', b'i'], Token::Text(b"hi")),
            (&[0xdb, 0, 0, 0, 2, b'h', b'i'], Token::Text(b"hi")),
            (&[0x92], Token::Array(2)),
            (&[0xdc, 1, 2], Token::Array(258)),
            (&[0xdd, 1, 0, 0, 0], Token::Array(1 << 24)),
            (&[0x83], Token::Map(3)),
            (&[0xde, 1, 2], Token::Map(258)),
            (&[0xdf, 0, 0, 1, 2], Token::Map(258)),
            (&[0xc4, 1, 9], Token::Opaque),
            (&[0xc5, 0, 1, 9], Token::Opaque),
            (&[0xc6, 0, 0, 0, 1, 9], Token::Opaque),
            (&[0xc7, 1, 5, 9], Token::Opaque),
            (&[0xc8, 0, 1, 5, 9], Token::Opaque),
            (&[0xc9, 0, 0, 0, 1, 5, 9], Token::Opaque),
            (&[0xd4, 5, 9], Token::Opaque),
            (&[0xd8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Token::Opaque),
        ];
        for (bytes, expected) in cases {
            for cut in 0..bytes.len() {
                assert_eq!(token(&bytes[..cut]), Ok(None), "{bytes:x?} cut at {cut}");
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert_eq!(token(&longer), Ok(Some((*expected, bytes.len()))), "{bytes:x?}");
        }
    }

    #[test]
    fn claims_are_refused_before_their_bytes_come() {
        assert_eq!(token(&[0xc1]), Err(TokenError::Reserved));
        assert_eq!(token(&[0xdb, 255, 255, 255, 255]), Err(TokenError::TooLong(u32::MAX)));
        assert_eq!(token(&[0xc6, 255, 255, 255, 255]), Err(TokenError::TooLong(u32::MAX)));
        assert_eq!(token(&[0xda, 0x20, 0]), Err(TokenError::TooLong(0x2000)));
    }
}
