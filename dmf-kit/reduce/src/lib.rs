//! What a function is, without any I/O: the trait, one task of it, and what it can reduce points with.
//!
//! Authors see this through `dmf-kit`, which puts the unikernel around it; `dmf-testkit` puts the broker's logic around it.

#![forbid(unsafe_code)]

mod function;
mod groups;
mod moments;
pub mod recurring;
pub mod session;
mod time;

pub use function::{Batch, Description, Error, Function, NoParameters, Series};
pub use groups::{Group, Groups};
pub use moments::{Moments, Reading, Summary};
pub use recurring::Recurring;
pub use time::{duration_ns, rfc3339};
