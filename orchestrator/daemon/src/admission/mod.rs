//! From received bytes to a stored task, and from a signed request to its caller.
//!
//! The order is that of the design, cheapest first and nothing trusted before it is checked: size → rate per address
//! and claimed key → state of the key → strict verification of the received bytes → parsing those very bytes →
//! audience, epoch, times, replay, policy → what it names exists → one fsynced transaction → 202.

mod caller;
mod codes;
mod limits;
mod nonces;
mod plan;
mod refusals;
mod seats;
mod submit;

pub use caller::{Caller, authorize};
pub use codes::{envelope_code, proof_code};
pub use limits::Limits;
pub use nonces::Nonces;
pub use plan::foresee;
pub use refusals::{Evidence, Refusals};
pub use seats::Seats;
pub use submit::submit;
