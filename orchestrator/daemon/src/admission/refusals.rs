//! Refusals are counted always and kept at a bounded rate.

use std::sync::Arc;

use fades_api::codes::Code;
use fades_envelope::KeyId;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::rate::{Limiter, Rate};
use crate::serve::Peer;
use crate::store::Store;
use crate::store::record::RefusalRecord;

/// Longest detail that is kept, in characters: it may quote what strangers sent.
const DETAIL: usize = 256;

/// What is known of who is refused.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The key id that the envelope claims.
    pub key: Option<KeyId>,
    /// The task id, once the payload was parsed.
    pub task: Option<String>,
}

/// Counts and keeps refusals.
pub struct Refusals {
    rate: Rate,
    limiter: Limiter<()>,
    metrics: Arc<Metrics>,
}

impl Refusals {
    /// Keeps at most at `rate`.
    #[must_use]
    pub fn new(rate: Rate, metrics: Arc<Metrics>) -> Self {
        Self { rate, limiter: Limiter::new(1), metrics }
    }

    /// Notes one refusal.
    pub fn note(
        &self,
        store: &Store,
        clock: &Clock,
        peer: Peer,
        evidence: &Evidence,
        code: Code,
        detail: &str,
    ) {
        self.metrics.refusals.add(&code.to_string());
        let record = RefusalRecord {
            at_us: clock.unix_us(),
            code: code.to_string(),
            peer: peer.to_string(),
            key_id: evidence.key.map(|key| key.to_string()),
            task: evidence.task.clone(),
            detail: detail.chars().take(DETAIL).collect(),
        };
        tracing::info!(code = record.code, peer = record.peer, detail = record.detail, "refused");
        if !self.limiter.take(&(), self.rate, clock.mono_us()) || !store.note_refusal(record) {
            self.metrics.refusals_dropped.add(1);
        }
    }
}
