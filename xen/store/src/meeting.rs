//! How two domains find each other: what each has to know of the other's channel, in nodes that only the other may read.
//!
//! One offers and the other answers, each with the channel that it writes itself:
//!
//! ```text
//! offering      /local/domain/A/data/fades/link/B/offer  = REFERENCE PORT           its channel
//! answering     /local/domain/B/data/fades/link/A/offer  = REFERENCE PORT ANSWER    its channel, and its end of the first
//! offering      /local/domain/A/data/fades/link/B/answer = REFERENCE                its end of the second
//! ```
//! Who answers spends nothing before there is an offer, and shows one node only: that it shows one, and that it removes it in the
//! end, are events for the other domain, and a store does no more for a domain of whose events others leave 20 unread.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{DomainId, Path, number};

/// The channel that its writer writes.
pub const OFFER: &str = "offer";
/// The writer's end of the channel that it reads.
pub const ANSWER: &str = "answer";

/// What a domain shows `peer`, by its name below the own home.
#[must_use]
pub fn own(peer: DomainId) -> Path {
    Path::of_checked(alloc::format!("data/fades/link/{peer}"))
}

/// What `peer` shows the domain `own`.
#[must_use]
pub fn of(peer: DomainId, own: DomainId) -> Path {
    Path::of_checked(alloc::format!("{}/data/fades/link/{own}", peer.home()))
}

/// Numbers as they stand in a node.
#[must_use]
pub fn encode(numbers: &[u32]) -> String {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// As many numbers as are wanted; `None` if the node has something else, in whatever way.
#[must_use]
pub fn decode<const COUNT: usize>(value: &[u8]) -> Option<[u32; COUNT]> {
    let text = core::str::from_utf8(value).ok()?;
    let mut numbers = [0; COUNT];
    let mut words = text.split(' ');
    for number in &mut numbers {
        *number = number::parse(words.next()?)?;
    }
    words.next().is_none().then_some(numbers)
}
