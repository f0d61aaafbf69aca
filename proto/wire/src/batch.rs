//! Columnar batches: the body of a chunk, read without copying.
//!
//! ```text
//! 0..4   series  u32      all numbers little-endian
//! 4..8   count   u32
//! 8..    times   i64 * count, nanoseconds since 1970, UTC
//! ..     values  f64 * count
//! ```

use alloc::vec::Vec;

/// Bytes before the columns.
pub const BATCH_HEADER_LEN: usize = 8;
/// Bytes of a point in the columns.
pub const POINT_LEN: usize = 16;
/// Most points in a batch: 256 KiB of columns. Large enough that a frame's header and CRC vanish beside them,
/// small enough that a few streams' batches fit a 64 MiB guest and that a TCP buffer drains one quickly.
pub const MAX_POINTS_PER_BATCH: usize = 16_384;
/// Longest body of a chunk.
pub const MAX_BATCH_LEN: usize = BATCH_HEADER_LEN + MAX_POINTS_PER_BATCH * POINT_LEN;

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Shorter than its own header.
    #[error("batch of {0} bytes has no header")]
    Truncated(usize),
    /// A batch has at least one point.
    #[error("batch is empty")]
    Empty,
    /// More points than allowed.
    #[error("batch of {0} points is over {MAX_POINTS_PER_BATCH}")]
    TooMany(u32),
    /// The columns are not as long as the count says.
    #[error("batch of {count} points has {length} bytes")]
    Length {
        /// Points claimed.
        count: u32,
        /// Bytes of the whole body.
        length: usize,
    },
}

/// A view of a chunk's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    body: &'a [u8],
    series: u32,
    times: &'a [[u8; 8]],
    values: &'a [[u8; 8]],
}

impl<'a> Batch<'a> {
    /// Checks the lengths, once; nothing panics afterwards.
    ///
    /// # Errors
    /// The body is not exactly one batch of 1 to [`MAX_POINTS_PER_BATCH`] points.
    pub fn parse(body: &'a [u8]) -> Result<Self, BatchError> {
        let truncated = BatchError::Truncated(body.len());
        let (series, rest) = body.split_first_chunk::<4>().ok_or(truncated)?;
        let (count, columns) = rest.split_first_chunk::<4>().ok_or(truncated)?;
        let count = u32::from_le_bytes(*count);
        let points = usize::try_from(count).unwrap_or(usize::MAX);
        if points == 0 {
            return Err(BatchError::Empty);
        }
        if points > MAX_POINTS_PER_BATCH {
            return Err(BatchError::TooMany(count));
        }
        let (words, rest) = columns.as_chunks::<8>();
        if words.len() != 2 * points || !rest.is_empty() {
            return Err(BatchError::Length { count, length: body.len() });
        }
        let (times, values) = words.split_at(points);
        Ok(Self { body, series: u32::from_le_bytes(*series), times, values })
    }

    /// Number of the series on its stream.
    #[must_use]
    pub const fn series(&self) -> u32 {
        self.series
    }

    /// Points; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty batch does not exist")]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// The whole body, as digested.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Times in nanoseconds since 1970, UTC.
    pub fn times(&self) -> impl ExactSizeIterator<Item = i64> + DoubleEndedIterator + Clone + use<'a> {
        self.times.iter().map(|word| i64::from_le_bytes(*word))
    }

    /// Values; any bit pattern, NaN and infinities included.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> + DoubleEndedIterator + Clone + use<'a> {
        self.values.iter().map(|word| f64::from_le_bytes(*word))
    }

    /// Times and values together.
    pub fn points(
        &self,
    ) -> impl ExactSizeIterator<Item = (i64, f64)> + DoubleEndedIterator + Clone + use<'a> {
        self.times().zip(self.values())
    }

    /// The points of `from..to`, as far as they exist.
    pub fn points_within(
        &self,
        from: usize,
        to: usize,
    ) -> impl ExactSizeIterator<Item = (i64, f64)> + Clone + use<'a> {
        let to = to.min(self.times.len());
        let range = from.min(to)..to;
        let time = |word: &[u8; 8]| i64::from_le_bytes(*word);
        let value = |word: &[u8; 8]| f64::from_le_bytes(*word);
        self.times[range.clone()].iter().map(time).zip(self.values[range].iter().map(value))
    }

    /// The point at `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(i64, f64)> {
        Some((i64::from_le_bytes(*self.times.get(index)?), f64::from_le_bytes(*self.values.get(index)?)))
    }
}

/// Collects points of one series until a batch is full or due.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    series: u32,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl BatchBuilder {
    /// An empty builder for this series. Room is made as points come.
    #[must_use]
    pub const fn new(series: u32) -> Self {
        Self { series, times: Vec::new(), values: Vec::new() }
    }

    /// Starts over with another series, keeping the room.
    pub fn reset(&mut self, series: u32) {
        self.series = series;
        self.times.clear();
        self.values.clear();
    }

    /// Adds a point. Returns whether the batch is full now and must be written before the next one.
    ///
    /// # Panics
    /// The batch was full already.
    pub fn push(&mut self, time_ns: i64, value: f64) -> bool {
        assert!(self.times.len() < MAX_POINTS_PER_BATCH, "push into a full batch");
        self.times.push(time_ns);
        self.values.push(value);
        self.times.len() == MAX_POINTS_PER_BATCH
    }

    /// Number of the series.
    #[must_use]
    pub const fn series(&self) -> u32 {
        self.series
    }

    /// Points so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Bytes of the body that [`Self::write`] will append.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        BATCH_HEADER_LEN + POINT_LEN * self.times.len()
    }

    /// Appends the body to `out` and empties the builder, keeping series and room.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        out.reserve(self.body_len());
        out.extend_from_slice(&self.series.to_le_bytes());
        let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        append(out, &self.times, |time| time.to_le_bytes());
        append(out, &self.values, |value| value.to_le_bytes());
        self.times.clear();
        self.values.clear();
    }
}

/// Appends a column, as one copy where the machine is little-endian.
fn append<T: Copy>(out: &mut Vec<u8>, column: &[T], bytes: impl Fn(T) -> [u8; 8]) {
    let start = out.len();
    out.resize(start + 8 * column.len(), 0);
    for (word, item) in out[start..].as_chunks_mut::<8>().0.iter_mut().zip(column) {
        *word = bytes(*item);
    }
}
