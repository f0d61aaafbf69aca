//! Runs a function on the host.

mod feed;
mod program;

pub use feed::{Feed, reduce};
pub use program::program;
