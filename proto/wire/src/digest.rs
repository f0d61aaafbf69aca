//! Digest and counts of a stream: sender and receiver feed the same frames and must come to the same summary.

use crate::batch::{BATCH_HEADER_LEN, Batch, POINT_LEN};
use crate::data::StreamSummary;
use crate::frame::BodyHash;
use sha2::{Digest as _, Sha256};

/// How the digest is made, as receipts name it.
pub const ALGORITHM: &str = "sha256-rapidhash3";

/// Digest of everything that a stream says: series descriptions and chunks, in order.
///
/// SHA-256 over 13 bytes for each frame: a tag (1 series, 2 chunk), the body's length as u32, and its [`BodyHash`], numbers
/// little-endian. So no two streams share an input, and the bodies are looked at once for check and digest. It tells whether two
/// sides saw the same stream; as the hash of a body is not a cryptographic one, it does not keep somebody who chooses the data
/// from making another stream with the same digest.
#[derive(Clone, Debug, Default)]
pub struct StreamDigest(Sha256);

impl StreamDigest {
    fn item(&mut self, tag: u8, length: usize, hash: BodyHash) {
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        self.0.update([tag, a, b, c, d]);
        self.0.update(hash.to_bytes());
    }

    /// Takes the body of a series frame.
    pub fn series(&mut self, body: &[u8]) {
        self.item(1, body.len(), BodyHash::of(body));
    }

    /// Takes a chunk frame, whose body has this length and hash.
    pub fn chunk(&mut self, length: usize, hash: BodyHash) {
        self.item(2, length, hash);
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
    /// Points before the series that is under way, and the fewest of the series before it.
    before: u64,
    fewest: Option<u64>,
    range: Option<(i64, i64)>,
    digest: StreamDigest,
}

impl Meter {
    /// Takes the body of a series frame.
    pub fn series(&mut self, body: &[u8]) {
        self.fewest = self.fewest_so_far();
        self.before = self.points;
        self.series += 1;
        self.digest.series(body);
    }

    /// Takes a chunk.
    pub fn chunk(&mut self, batch: &Batch<'_>) {
        self.hashed_chunk(batch, BodyHash::of(batch.body()));
    }

    /// Takes a chunk whose hash is known of its frame.
    pub fn hashed_chunk(&mut self, batch: &Batch<'_>, hash: BodyHash) {
        let start = (i64::MAX, i64::MIN);
        let range = batch.times().fold(start, |(low, high), time| (low.min(time), high.max(time)));
        self.count(batch.len(), range, hash);
    }

    /// Takes a chunk of so many points, of which the earliest and the latest have these times.
    pub fn count(&mut self, points: usize, (first, last): (i64, i64), hash: BodyHash) {
        self.points += points as u64;
        self.chunks += 1;
        let (low, high) = self.range.unwrap_or((i64::MAX, i64::MIN));
        self.range = Some((low.min(first), high.max(last)));
        self.digest.chunk(BATCH_HEADER_LEN + points * POINT_LEN, hash);
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

    /// Points of the series that has fewest, the one under way among them; series come one after another. 0 without series.
    #[must_use]
    pub fn fewest(&self) -> u64 {
        self.fewest_so_far().unwrap_or(0)
    }

    fn fewest_so_far(&self) -> Option<u64> {
        let current = (self.series > 0).then(|| self.points - self.before)?;
        Some(self.fewest.map_or(current, |fewest| fewest.min(current)))
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
