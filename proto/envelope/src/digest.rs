//! Thirty-two bytes shown as hex: SHA-256 digests and key ids.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Digest as _;
use std::{fmt, str::FromStr};

/// A SHA-256 digest. Shown, parsed and stored in JSON as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Name of a public key: SHA-256 over its 32 raw bytes. Shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 32]);

/// Text that is not 64 lower-case hex digits. Upper case is refused so that a value has one written form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// The text has another length.
    #[error("expected 64 hex digits, got {0} bytes")]
    Length(usize),
    /// A byte is not one of `0-9a-f`.
    #[error("byte {0} is not a lower-case hex digit")]
    Digit(usize),
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::of_parts(&[bytes])
    }

    /// SHA-256 of the concatenation of `parts`.
    pub fn of_parts(parts: &[&[u8]]) -> Digest {
        let mut hash = sha2::Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        Digest(hash.finalize().into())
    }
}

/// `bytes` as lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// The 32 bytes that 64 lower-case hex digits stand for.
pub(crate) fn from_hex(text: &str) -> Result<[u8; 32], HexError> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return Err(HexError::Length(text.len()));
    }
    let nibble = |at: usize| match text[at] {
        digit @ b'0'..=b'9' => Ok(digit - b'0'),
        digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HexError::Digit(at)),
    };
    let mut out = [0; 32];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = nibble(2 * index)? << 4 | nibble(2 * index + 1)?;
    }
    Ok(out)
}

macro_rules! shown_as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<Self, HexError> {
                from_hex(text).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

shown_as_hex!(Digest);
shown_as_hex!(KeyId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha256_and_reads_back() {
        let digest = Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(Digest::of_parts(&[b"a", b"", b"bc"]), digest);
    }

    #[test]
    fn only_one_written_form_is_read() {
        let text = Digest::of(b"abc").to_string();
        assert_eq!(text.to_uppercase().parse::<Digest>(), Err(HexError::Digit(0)));
        assert_eq!(text[1..].parse::<Digest>(), Err(HexError::Length(63)));
        assert_eq!(format!("{text}0").parse::<Digest>(), Err(HexError::Length(65)));
        assert_eq!(format!("{}g", &text[1..]).parse::<KeyId>(), Err(HexError::Digit(63)));
    }
}
