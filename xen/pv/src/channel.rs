//! A stream of bytes from one guest to another, with no third one in between.
//!
//! ```text
//! producer's memory, granted read-only to the consumer:   its end page    data pages
//!                                                          index           a ring of bytes
//!                                                          wake, closed
//!                                                          references of the data pages
//! consumer's memory, granted read-only to the producer:   its end page
//!                                                          index
//!                                                          wake, closed
//! ```
//! Neither side ever writes the other's memory. All pages are granted once. Indices count bytes freely; each side
//! keeps its own, so the other cannot move it, and an impossible one of the other's breaks the channel for good. An
//! event is sent only when an index passes the place at which the other side said, in `wake`, that it waits, and
//! when a side closes.
//!
//! ```text
//! producer                                   consumer
//! Offer::new     -> reference and port  ->   Receiver::join
//! Offer::accept  <- reference           <-   Receiver::reference
//! Sender::write ... close                    Receiver::read ... None
//! Sender::finish                             Receiver::finish
//! ```
//! The two messages of the beginning go through XenStore. At the end each side asks for its pages back; what the
//! other side still has mapped is told ([`Leftover`]), and stays granted until the other domain lets go or is gone.
//! Let the consumer finish first. A domain that is gone tells nothing, so wait with a deadline.

mod errors;
mod page;
mod receiver;
mod sender;

use alloc::vec::Vec;

pub use errors::ChannelError;
pub use page::{OwnEnd, PAGES_MAX, PeerEnd};
pub use receiver::Receiver;
pub use sender::{Offer, Sender};

use crate::grant::{GrantRef, Grants};
use crate::hypercall::{Access, Domain};
use crate::page::Pages;
use crate::shared::{Overlay, OwnPage, Shared};

/// A page of ours that the other side may read.
#[derive(Debug)]
struct Granted<T: Overlay> {
    page: Shared<T>,
    reference: GrantRef,
}

impl<T: Overlay> Granted<T> {
    fn new(pages: &impl Pages, grants: &mut Grants, domain: Domain) -> Result<Self, ChannelError> {
        let page = pages.take().ok_or(ChannelError::Memory)?;
        match grants.grant(domain, page.frame(), Access::ReadOnly) {
            Ok(reference) => Ok(Self { page: page.share(), reference }),
            Err(error) => {
                pages.give(page);
                Err(ChannelError::Grant(error))
            }
        }
    }
}

/// Pages of a channel that is over, which are given back as the other side lets go of them.
#[derive(Debug, Default)]
#[must_use = "what the other side still has mapped has to be asked for again"]
pub struct Leftover(Vec<(OwnPage, GrantRef)>);

impl Leftover {
    fn add<T: Overlay>(&mut self, granted: Granted<T>) {
        self.0.push((granted.page.into_page(), granted.reference));
    }

    /// Takes back what can be taken back, and tells how many pages the other side still has mapped.
    pub fn release(&mut self, pages: &impl Pages, grants: &mut Grants) -> usize {
        for (page, reference) in core::mem::take(&mut self.0) {
            match grants.revoke(reference) {
                Ok(()) => pages.give(page),
                Err(_) => self.0.push((page, reference)),
            }
        }
        self.0.len()
    }
}

#[cfg(test)]
mod tests;
