//! `fadesd` as a library: a node that takes signed tasks over HTTP, stores them, runs them in guests, and signs what
//! comes out.
//!
//! To start reading: [`daemon::run`] puts it together; [`admission`] is the way of a task to the store, [`runtime`] its way
//! through the guests, [`serve`] the door, [`store`] the memory. [`node_dir`] describes the folder it all lives in.
//!
//! This crate decides little: what may run is `fades_core::admit`'s, what happens next `fades_core::engine`'s. It knows
//! concrete backends in [`wiring`] alone.

pub mod admission;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod defences;
mod ending;
pub mod images;
pub mod live;
pub mod metrics;
pub mod node;
pub mod node_dir;
mod probe;
pub mod rate;
pub mod reply;
pub mod routes;
pub mod runtime;
pub mod schema;
pub mod serve;
pub mod sources;
pub mod store;
pub mod trust;
mod tsc;
pub mod wiring;

pub use daemon::{Daemon, DaemonError, run};
pub use ending::words;

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
