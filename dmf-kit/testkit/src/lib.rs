//! Runs a function on the host.

mod feed;
mod program;
mod recurring;

pub use feed::{Feed, reduce};
pub use program::program;
pub use recurring::period;
