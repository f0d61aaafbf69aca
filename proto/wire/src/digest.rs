//! Digest and counts of a stream: sender and receiver feed the same frames and must come to the same summary.

use crate::batch::{Batch, POINT_LEN};
use crate::data::StreamSummary;
use sha2::{Digest as _, Sha256};

/// Digest of everything that a stream says: series descriptions and chunks, in order.
///
/// Each frame's body is preceded by one byte (1 series, 2 chunk) and its length as u32, so that no two
/// streams share an input.
#[derive(Clone, Debug, Default)]
pub struct StreamDigest(Sha256);

impl StreamDigest {
    fn item(&mut self, tag: u8, body: &[u8]) {
        let [a, b, c, d] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.0.update([tag, a, b, c, d]);
        self.0.update(body);
    }

    /// Takes the body of a series frame.
    pub fn series(&mut self, body: &[u8]) {
        self.item(1, body);
    }

    /// Takes the body of a chunk frame.
    pub fn chunk(&mut self, body: &[u8]) {
        self.item(2, body);
    }

    /// The 32 bytes so far.
    #[must_use]
    pub fn value(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// Counts and digests one stream.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    points: u64,
    chunks: u64,
    series: u32,
    range: Option<(i64, i64)>,
    digest: StreamDigest,
}

impl Meter {
    /// Takes the body of a series frame.
    pub fn series(&mut self, body: &[u8]) {
        self.series += 1;
        self.digest.series(body);
    }

    /// Takes a chunk.
    pub fn chunk(&mut self, batch: &Batch<'_>) {
        self.points += batch.len() as u64;
        self.chunks += 1;
        let start = self.range.unwrap_or((i64::MAX, i64::MIN));
        self.range = Some(batch.times().fold(start, |(low, high), time| (low.min(time), high.max(time))));
        self.digest.chunk(batch.body());
    }

    /// Points so far.
    #[must_use]
    pub const fn points(&self) -> u64 {
        self.points
    }

    /// Column bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.points * POINT_LEN as u64
    }

    /// Series so far; also the id that the next series must have.
    #[must_use]
    pub const fn series_count(&self) -> u32 {
        self.series
    }

    /// The summary so far, for the operation of this index.
    #[must_use]
    pub fn summary(&self, operation: u16) -> StreamSummary {
        StreamSummary {
            operation,
            points: self.points,
            bytes: self.bytes(),
            chunks: self.chunks,
            series: self.series,
            first_ns: self.range.map(|(first, _)| first),
            last_ns: self.range.map(|(_, last)| last),
            digest: self.digest.value(),
        }
    }
}
