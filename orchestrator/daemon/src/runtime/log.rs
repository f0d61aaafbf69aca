//! What guests say in their log, in ours: bounded in size and rate, and never trusted to be harmless text.

use fades_core::limits::Bucket;
use fades_wire::control::Log;

/// Lines of one guest per minute, and at once.
const PER_MINUTE: u32 = 600;
const BURST: u32 = 100;

/// One guest's log.
pub(super) struct GuestLog {
    bucket: Bucket,
    dropped: u64,
}

impl GuestLog {
    pub(super) fn new(now_us: u64) -> Self {
        Self { bucket: Bucket::new(PER_MINUTE, BURST, now_us), dropped: 0 }
    }

    /// Writes one line, if the guest has not written too many.
    pub(super) fn write(&mut self, guest: &str, log: &Log, now_us: u64) {
        if !self.bucket.take(now_us) {
            self.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut self.dropped);
        // As a debug string: control characters of a guest must not reach a terminal.
        match log.level {
            0 | 1 => tracing::warn!(guest, dropped, text = ?log.text, "guest log"),
            2 => tracing::info!(guest, dropped, text = ?log.text, "guest log"),
            _ => tracing::debug!(guest, dropped, text = ?log.text, "guest log"),
        }
    }
}
