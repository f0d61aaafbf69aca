//! A region: memory that one guest shares with its orchestrator, and a function's with its broker as well.
//!
//! ```text
//! 0        birth    what the orchestrator gives the guest before it starts or goes on        orchestrator writes
//! 4 KiB    held     per region of a function: its turn, while the broker has it open          broker writes (its own region)
//! 8 KiB    ends     of each channel: the producer's, then the consumer's, 64 bytes each
//! 64 KiB   down     orchestrator to guest, 64 KiB                                             channels: control frames,
//! 128 KiB  up       guest to orchestrator, 64 KiB                                             as over TCP
//! 192 KiB  asks     function to broker, 4 KiB                                                 data frames, as over TCP
//! half     data     broker to function, the latter half
//! ```
//! Who may write a word follows from the table and is not enforced: the guest maps all of it for writing. So nobody believes
//! what it finds there, its own words included: indices are kept outside, and the other side's are checked ([`fades_ring`]).
//!
//! A region serves one guest after another, each in its *turn*; in between the orchestrator fills it with zeros, and not before
//! the broker has let go of it: the broker shows in `held` which it has open, in memory that no function sees. Either the
//! broker sees that the turn is over, or the orchestrator sees that the broker holds it ([`Birth::turn`]).

mod birth;
mod channel;

pub use birth::{Birth, BirthError};
pub use channel::{Channel, ChannelError, Incoming, Memory, Outgoing};

/// Bytes of a region. QEMU wants a power of two, and the latter half is a ring.
pub const REGION_LEN: usize = 4 << 20;
/// Most regions of functions that a broker can have: what its QEMU is told of their bells at once has to fit into a socket. Its
/// bus has places for 224, and the kernel looks at as many.
pub const MAX_REGIONS: u16 = 120;

/// Where the broker shows what it holds: a word per region, by its number.
const HELD: usize = 4 << 10;

/// Peers of a guest, for its bell: who is woken.
pub mod peer {
    /// The guest itself.
    pub const OWN: u16 = 0;
    /// The orchestrator.
    pub const ORCHESTRATOR: u16 = 1;
    /// A function's broker.
    pub const BROKER: u16 = 2;
    /// A broker's functions: this and the number of their region.
    pub const FUNCTIONS: u16 = 2;
}

/// Where in a broker's own region the word of the region `number` is.
#[must_use]
pub const fn held_at(number: u16) -> Option<usize> {
    if number == 0 || number > MAX_REGIONS {
        return None;
    }
    Some(HELD + number as usize * 4)
}
