//! Nonces of signed requests: each serves once.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use fades_envelope::KeyId;

/// Most nonces remembered. A request lives for two minutes, so this is some 500 requests a second.
const MOST: usize = 65_536;

type Name = (KeyId, [u8; 16]);

/// Remembers nonces until they have expired. In memory only: what was signed before the daemon started is refused
/// where it would change something, so nothing needs to be remembered over a restart.
#[derive(Default)]
pub struct Nonces(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    names: HashSet<Name>,
    by_end: BTreeSet<(i64, Name)>,
}

/// Whether a nonce may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For the first time.
    First,
    /// It was used before.
    Again,
    /// Too many are remembered already.
    Full,
}

impl Nonces {
    /// Uses a nonce that must be remembered until `until_us`. Times are microseconds of Unix time.
    pub fn take(&self, key: KeyId, nonce: [u8; 16], until_us: i64, now_us: i64) -> Use {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((end, name)) = seen.by_end.first().copied().filter(|(end, _)| *end < now_us) {
            seen.by_end.remove(&(end, name));
            seen.names.remove(&name);
        }
        if seen.names.contains(&(key, nonce)) {
            return Use::Again;
        }
        if seen.names.len() >= MOST {
            return Use::Full;
        }
        seen.names.insert((key, nonce));
        seen.by_end.insert((until_us, (key, nonce)));
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_serves_once_per_key_and_is_forgotten_after_its_time() {
        let nonces = Nonces::default();
        let (one, two) = (KeyId([1; 32]), KeyId([2; 32]));
        assert_eq!(nonces.take(one, [0; 16], 100, 0), Use::First);
        assert_eq!(nonces.take(one, [0; 16], 100, 100), Use::Again);
        assert_eq!(nonces.take(two, [0; 16], 100, 100), Use::First);
        assert_eq!(nonces.take(one, [0; 16], 300, 101), Use::First);
        assert_eq!(nonces.0.lock().unwrap().names.len(), 1);
    }
}
