//! What the orchestrator decides, and nothing that it does: no I/O, no clock, no runtime, no file system, no randomness.
//!
//! Time and random bytes come in as values; what shall happen goes out as values. The daemon is the shell around it.

#![forbid(unsafe_code)]

pub mod admit;
pub mod backend;
pub mod engine;
pub mod fault;
pub mod forecast;
pub mod garbage;
pub mod ids;
pub mod limits;
pub mod network;
pub mod periods;
pub mod policy;
pub mod queue;
pub mod task;
pub mod terms;
pub mod timings;

pub use ids::{GuestId, Role, TaskId};
