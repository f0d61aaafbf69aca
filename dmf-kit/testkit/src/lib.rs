//! Runs a function on the host.
//!
//! - [`run`]: a task as a service would write it, on the points of a [`Fixture`], through the real broker's logic: its query, its
//!   parser of InfluxDB's answer, its chunks and its flow control. Only sockets, guests and the network between them are missing.
//! - [`run_periods`]: the same with the periods of a task that recurs, each with what the one before it has kept.
//! - [`reduce`]: a few points, straight into the function, in batches of every size.
//! - [`program()`]: tasks for the command line.

#![forbid(unsafe_code)]

mod broker;
mod feed;
mod periods;
mod program;
mod recurring;
mod task;

pub use broker::{Read, Run, RunError, run};
pub use fades_points::{Fault, Fixture, FixtureError};
pub use feed::{Feed, reduce};
pub use periods::run_periods;
pub use program::program;
pub use recurring::period;
pub use task::{Task, TaskError};
