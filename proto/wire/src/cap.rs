//! Caps on what a message may hold, checked before anything is allocated, when encoding as when decoding.
//!
//! Used as `#[serde(with = "cap::Text::<64>")]` on a `String`, `cap::List::<16>` on a `Vec<T>` and
//! `cap::Bytes::<65536>` on a `Vec<u8>`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A `String` of at most `MAX` bytes.
pub struct Text<const MAX: usize>;

impl<const MAX: usize> Text<MAX> {
    /// Writes the text, or fails if it is over the cap.
    pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        if text.len() > MAX {
            return Err(S::Error::custom("text over its cap"));
        }
        serializer.serialize_str(text)
    }

    /// Reads a text; its length is checked before it is copied.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(Self)
    }
}

impl<const MAX: usize> Visitor<'_> for Text<MAX> {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes of text")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        if text.len() > MAX { Err(E::invalid_length(text.len(), &self)) } else { Ok(text.to_owned()) }
    }
}

/// A `Vec<u8>` of at most `MAX` bytes, copied in one piece.
pub struct Bytes<const MAX: usize>;

impl<const MAX: usize> Bytes<MAX> {
    /// Writes the bytes, or fails if they are over the cap.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if bytes.len() > MAX {
            return Err(S::Error::custom("bytes over their cap"));
        }
        serializer.serialize_bytes(bytes)
    }

    /// Reads bytes; their count is checked before they are copied.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(Self)
    }
}

impl<const MAX: usize> Visitor<'_> for Bytes<MAX> {
    type Value = Vec<u8>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }
    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() > MAX { Err(E::invalid_length(bytes.len(), &self)) } else { Ok(bytes.to_vec()) }
    }
}

/// A `Vec<T>` of at most `MAX` elements, each of which takes at least one byte on the wire.
pub struct List<const MAX: usize>;

impl<const MAX: usize> List<MAX> {
    /// Writes the list, or fails if it is over the cap.
    pub fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        if list.len() > MAX {
            return Err(S::Error::custom("list over its cap"));
        }
        serializer.collect_seq(list)
    }

    /// Reads a list; its count is checked before room for it is made.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        const { assert!(size_of::<T>() > 0, "zero-sized elements would cost nothing on the wire") };
        deserializer.deserialize_seq(ListVisitor::<T, MAX>(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let claimed = elements.size_hint().unwrap_or(0);
        if claimed > MAX {
            return Err(A::Error::invalid_length(claimed, &self));
        }
        // The claim is capped but may still be a lie: room grows with what is really there.
        let mut list = Vec::with_capacity(claimed.min(16));
        while let Some(element) = elements.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}
