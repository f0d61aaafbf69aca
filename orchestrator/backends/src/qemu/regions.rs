//! Regions: memory that guests of QEMU share with this process, and functions with their broker (`fades_wire::region`).
//!
//! ```text
//!               ivshmem-doorbell            ivshmem-plain, one per seat
//! function ---- region of its seat ------------------------------------ broker ---- region of its own
//!     \              | control part                                      /               |
//!      `--bells------+------------------ this process ------------------'                |
//! ```
//! A *seat* is a region with its bells. All are made at the start and serve one function after another, each in its turn; the
//! broker's QEMU maps all of them, a function's its own only, and this process the part of each that is about control. A bell is
//! an eventfd: QEMU writes it when its guest rings, and interrupts its guest when it is written. So the broker wakes a function
//! without this process; a function wakes the broker through it, which hears each no more often than its pace lets it.
//!
//! | part | what it does |
//! |---|---|
//! | `seat` | one region: file, bells, what of it is mapped here |
//! | `table` | whose turn it is where; no seat is given on before the broker has let go of it |
//! | `server` | what a QEMU is told of its region and bells |
//! | `bells` | what guests ring, each only so often |
//! | `post` | control messages of all guests, on one thread |
//! | `alone` | a region that no broker sees: of a function that boots only to be saved |

mod alone;
mod bells;
mod post;
mod seat;
mod server;
mod table;
#[cfg(test)]
mod tests;

pub(super) use alone::Alone;
pub use post::RegionPost;
pub(super) use table::{Seated, Table};
