//! The points of one series on their way into chunks.
//!
//! Like `fades_wire::batch::BatchBuilder`, but with a capacity of its own, all of whose memory is taken at once.

use fades_wire::batch::{BATCH_HEADER_LEN, POINT_LEN};

/// Two columns of fixed capacity.
#[derive(Debug)]
pub struct Columns {
    times: Vec<[u8; 8]>,
    values: Vec<[u8; 8]>,
    capacity: usize,
}

impl Columns {
    /// Empty columns with room for `capacity` points; all memory is taken now.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { times: Vec::with_capacity(capacity), values: Vec::with_capacity(capacity), capacity }
    }

    /// Bytes of memory that columns of this capacity take.
    #[must_use]
    pub const fn memory(capacity: usize) -> usize {
        capacity * POINT_LEN
    }

    /// Bytes of memory that these columns have taken.
    #[must_use]
    pub fn memory_taken(&self) -> usize {
        8 * (self.times.capacity() + self.values.capacity())
    }

    /// Points that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity - self.times.len()
    }

    /// Points that are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds a point. The caller has seen that there is [`room`](Self::room).
    #[inline]
    pub fn push(&mut self, time_ns: i64, value: f64) {
        debug_assert!(self.room() > 0, "push into full columns");
        self.times.push(time_ns.to_le_bytes());
        self.values.push(value.to_le_bytes());
    }

    /// The earliest and the latest time; of no points the last and the first that there is.
    #[must_use]
    pub fn range(&self) -> (i64, i64) {
        let times = self.times.iter().map(|word| i64::from_le_bytes(*word));
        times.fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(time), high.max(time)))
    }

    /// Appends the body of a chunk with all points, and empties the columns.
    pub fn write(&mut self, series: u32, out: &mut Vec<u8>) {
        out.reserve(BATCH_HEADER_LEN + POINT_LEN * self.len());
        out.extend_from_slice(&series.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(self.times.as_flattened());
        out.extend_from_slice(self.values.as_flattened());
        self.times.clear();
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fades_wire::batch::Batch;

    #[test]
    fn what_is_written_is_a_batch() {
        let mut columns = Columns::new(5);
        for index in 0..5_i32 {
            columns.push(i64::from(index), f64::from(index) / 2.0);
        }
        assert_eq!((columns.room(), columns.len()), (0, 5));
        let mut body = Vec::new();
        columns.write(7, &mut body);
        let batch = Batch::parse(&body).unwrap();
        assert_eq!((batch.series(), batch.len()), (7, 5));
        assert_eq!(batch.points().collect::<Vec<_>>(), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]);
        assert_eq!((columns.room(), columns.is_empty()), (5, true));
    }
}
