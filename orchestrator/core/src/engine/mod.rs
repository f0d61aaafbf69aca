//! The engine: supervises the broker, runs tasks, decides how they end.

mod port;

pub use port::{Effect, Fault, GuestInput, GuestOrder, Input, Now, Outcome, Success};
