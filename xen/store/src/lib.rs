//! The XenStore protocol, for guests and for the host.
//!
//! XenStore is a tree of small values that domains share. A client sends [`Request`]s and gets a reply to each,
//! in any order, and between them [`WatchEvent`]s. Everything is a [`Message`]: a [`Header`] of 16 bytes and a
//! payload of at most [`PAYLOAD_MAX`]. The protocol is fixed by Xen's public header `io/xs_wire.h` and by
//! `docs/misc/xenstore.txt`; its numbers are pinned in `tests/numbers.rs`.
//!
//! ```
//! use fades_xen_store::{Decoder, Path, Request, reply};
//!
//! let request = Request::Read { path: Path::new("domid")? };
//! let bytes = request.message(7, 0)?.encode();
//! # // What a store would answer.
//! # let answer = fades_xen_store::Message::new(request.kind(), 7, 0, b"3".to_vec())?.encode();
//! let (mut decoder, mut input) = (Decoder::new(), answer.as_slice());
//! while let Some(message) = decoder.push(&mut input)? {
//!     assert_eq!(message.header().request, 7);
//!     assert_eq!(reply::payload(request.kind(), &message)?, b"3");
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! To add a request: its number in [`Kind`], its form in [`Request`], its reply in [`reply`], and the number in
//! the pinned table. There is no I/O here, no dependency, and nothing that panics, whatever bytes come.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod decoder;
mod domain;
mod error;
mod event;
mod kind;
pub mod mailbox;
pub mod meeting;
mod message;
mod number;
mod path;
mod permission;
pub mod reply;
mod request;
mod token;

pub use decoder::Decoder;
pub use domain::{DomainError, DomainId};
pub use error::ErrorName;
pub use event::WatchEvent;
pub use kind::Kind;
pub use message::{HEADER_LEN, Header, Message, PAYLOAD_MAX, TooLong};
pub use path::{ABSOLUTE_MAX, Path, PathError, RELATIVE_MAX};
pub use permission::{Access, Permission, PermissionError, Permissions};
pub use reply::ReplyError;
pub use request::{Request, RequestError};
pub use token::{TOKEN_MAX, Token, TokenError};
