//! What the orchestrator tells a guest before it starts, or before it goes on as another one.

use super::REGION_LEN;

/// What a region begins with: `FRG1`.
const MAGIC: [u8; 4] = *b"FRG1";

/// The first bytes of a region.
///
/// ```text
/// 0..4    magic "FRG1"
/// 4..8    turn, from 1; the last is only that of guests that are saved
/// 8..16   microseconds since 1970, UTC
/// 16..48  seed of the guest's randomness
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Which use of this region it is. A guest that finds another one than before was saved, and goes on as somebody else.
    pub turn: u32,
    /// The node's clock.
    pub time_unix_us: u64,
    /// Fresh for each guest.
    pub seed: [u8; 32],
}

/// A region does not begin as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region begins with {0:02x?} instead of \"FRG1\"")]
pub struct BirthError([u8; 4]);

impl Birth {
    /// Its bytes.
    pub const LEN: usize = 48;
    /// The turn of a guest that boots only to be saved. No region that is given out comes to it, so whoever goes on finds another one.
    pub const SAVED: u32 = u32::MAX;
    /// Where the turn is, for who only looks whether it has changed.
    pub const TURN_AT: usize = 4;

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.turn.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time_unix_us.to_le_bytes());
        bytes[16..].copy_from_slice(&self.seed);
        bytes
    }

    /// Reads them.
    ///
    /// # Errors
    /// They are not those of a region.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, BirthError> {
        let (magic, rest) = bytes.split_first_chunk::<4>().unwrap_or((&MAGIC, &[]));
        if *magic != MAGIC {
            return Err(BirthError(*magic));
        }
        let mut birth = Self { turn: 0, time_unix_us: 0, seed: [0; 32] };
        if let Some((turn, rest)) = rest.split_first_chunk::<4>()
            && let Some((time, rest)) = rest.split_first_chunk::<8>()
            && let Some((seed, [])) = rest.split_first_chunk::<32>()
        {
            birth = Self {
                turn: u32::from_le_bytes(*turn),
                time_unix_us: u64::from_le_bytes(*time),
                seed: *seed,
            };
        }
        Ok(birth)
    }
}

const _: () = assert!(Birth::LEN <= REGION_LEN);
