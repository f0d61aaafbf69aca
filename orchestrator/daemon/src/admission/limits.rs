//! Limits before verification: per address, then per claimed key.

use std::net::IpAddr;

use fades_api::codes;
use fades_api::http::Problem;
use fades_envelope::KeyId;

use crate::config::RatesConfig;
use crate::rate::Limiter;
use crate::serve::Peer;

/// Names held at once; beyond it newcomers share one bucket.
const NAMES: usize = 8192;

/// The limiters that stand before every signature.
pub struct Limits {
    rates: RatesConfig,
    addresses: Limiter<IpAddr>,
    /// Per address *and* key: whoever only knows a key id cannot use up its owner's share from elsewhere. `None` is
    /// for all keys that the node does not know.
    keys: Limiter<(IpAddr, Option<KeyId>)>,
}

impl Limits {
    /// Full buckets.
    #[must_use]
    pub fn new(rates: RatesConfig) -> Self {
        Self { rates, addresses: Limiter::new(NAMES), keys: Limiter::new(NAMES) }
    }

    /// Counts one signed thing from `peer`. The local socket is not limited.
    ///
    /// # Errors
    /// A problem with how long to wait.
    pub fn address(&self, peer: Peer, now_us: u64) -> Result<(), Box<Problem>> {
        let Some(address) = peer.network() else { return Ok(()) };
        if self.addresses.take(&address, self.rates.address, now_us) {
            return Ok(());
        }
        let detail = format!("{} per minute are allowed from {address}", self.rates.address.per_minute);
        Err(Problem::new(codes::ADDRESS_RATE_LIMITED, detail).retry_after(self.rates.address.wait_s()).into())
    }

    /// Counts one signed thing under a claimed key; `known` says whether the node has that key.
    ///
    /// # Errors
    /// A problem with how long to wait.
    pub fn key(&self, peer: Peer, key: KeyId, known: bool, now_us: u64) -> Result<(), Box<Problem>> {
        let Some(address) = peer.network() else { return Ok(()) };
        if self.keys.take(&(address, known.then_some(key)), self.rates.key, now_us) {
            return Ok(());
        }
        let detail = format!("{} per minute are allowed under key {key}", self.rates.key.per_minute);
        Err(Problem::new(codes::KEY_RATE_LIMITED, detail).retry_after(self.rates.key.wait_s()).into())
    }
}
