//! The contract between host and guests: what crosses the virtual network, and nothing else.
//!
//! Two kinds of connection exist. Each guest has one to the orchestrator ([`control`]); each function has one to its broker
//! ([`data`]): by TCP, through memory that both share ([`region`]), or between domains of Xen. Both carry [`frame`]s. A frame's body is a
//! strict postcard [`message`], or, for chunks, a columnar [`batch`].
//!
//! To change the contract: give the new message a number of its own in [`frame::Kind`], never reuse or
//! renumber one, extend the pinned tables in `tests/numbers.rs`, and raise [`PROTOCOL`] when an older peer
//! could not go on without it. Guests say their version in `Hello`; a host refuses another one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod batch;
pub mod boot;
pub mod cap;
pub mod control;
pub mod data;
pub mod digest;
pub mod exit;
pub mod failure;
pub mod flow;
pub mod frame;
pub mod ids;
pub mod message;
pub mod region;

/// Version of the messages, told in [`control::Hello`].
pub const PROTOCOL: u16 = 6;
