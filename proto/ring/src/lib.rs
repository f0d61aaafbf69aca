//! Rings of bytes in memory that two sides share and neither trusts: XenStore's, the console's, those between two domains,
//! and those of a region that a guest shares with its orchestrator and its broker.
//!
//! Pure: what the memory is, and how one side wakes the other, is the user's affair. [`Word`], [`PeerWord`], [`ReadBytes`]
//! and [`WriteBytes`] are all that is asked of it.
//!
//! | part | what it decides |
//! |---|---|
//! | [`Writer`], [`Reader`] | what may be written and read, by indices of which the other side's is hostile |
//! | [`Sending`], [`Receiving`] | when the two sides wake each other |
#![no_std]

#[cfg(test)]
extern crate std;

mod bytes;
mod flow;
#[cfg(test)]
mod modelled;
mod words;

pub use bytes::{BadIndex, Reader, Writer};
pub use flow::{Receiving, Sending};
pub use words::{PeerU32, PeerU64, PeerWord, ReadBytes, Word, WriteBytes};
