//! How much a series grew.

use schemars::JsonSchema;
use serde::Serialize;

use crate::reducer::{NotFinite, Reducer, seconds};

/// The increase from the first point to the last, and how much that is per second. What is not finite is counted and
/// kept out.
///
/// - **Formula**: of a gauge `last - first`. Of a counter, which only grows and begins at 0 again when its device
///   does, `Σ (v[i] - v[i-1])`, where a value below the one before it counts whole; what it grew between its last
///   reading and a reset is not known and not counted.
/// - **Units**: the values' own, and the same per second.
/// - **Error**: of a gauge one rounding; of a counter n roundings, a relative `n·2⁻⁵³` at worst.
/// - **Memory**: 88 bytes.
/// - **Source**: Prometheus' `increase` and `rate` (breaks in monotonicity are adjusted for), without their
///   extrapolation to the ends of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    counter: bool,
    count: u64,
    first: Option<(i64, f64)>,
    last: (i64, f64),
    increase: f64,
    resets: u64,
    left_out: NotFinite,
}

impl Rate {
    const fn new(counter: bool) -> Self {
        let left_out = NotFinite { nan: 0, infinite: 0 };
        Self { counter, count: 0, first: None, last: (0, 0.0), increase: 0.0, resets: 0, left_out }
    }

    /// Of what rises and falls.
    #[must_use]
    pub const fn gauge() -> Self {
        Self::new(false)
    }

    /// Of what only grows, but for resets.
    #[must_use]
    pub const fn counter() -> Self {
        Self::new(true)
    }

    fn step(&mut self, to: (i64, f64)) {
        if self.counter && to.1 < self.last.1 {
            self.resets += 1;
            self.increase += to.1;
        } else if self.counter {
            self.increase += to.1 - self.last.1;
        }
        self.last = to;
    }
}

impl Reducer for Rate {
    type Output = Increase;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for point in self.left_out.sift(points) {
            self.count += 1;
            if self.first.is_none() {
                (self.first, self.last) = (Some(point), point);
            }
            self.step(point);
        }
    }

    fn finish(self) -> Increase {
        let first = self.first.filter(|_| self.count > 1);
        let increase = first.map(|first| if self.counter { self.increase } else { self.last.1 - first.1 });
        let seconds = first.map(|first| seconds(first.0, self.last.0));
        let per_second =
            increase.zip(seconds).filter(|(_, s)| *s > 0.0).map(|(increase, seconds)| increase / seconds);
        let Self { count, resets, left_out, .. } = self;
        Increase { count, left_out, increase, seconds, per_second, resets }
    }

    fn join(&mut self, later: &Self) -> bool {
        if self.counter != later.counter {
            return false;
        }
        let left_out = self.left_out;
        match (self.first, later.first) {
            (_, None) => {}
            (None, Some(_)) => *self = *later,
            (Some(_), Some(first)) => {
                self.step(first);
                self.last = later.last;
                self.increase += later.increase;
                self.resets += later.resets;
                self.count += later.count;
            }
        }
        self.left_out = left_out;
        self.left_out.join(later.left_out);
        true
    }
}

/// How much a series grew. Of fewer than two points nothing is known, which is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Increase {
    /// Finite values.
    pub count: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
    /// From the first to the last.
    pub increase: Option<f64>,
    /// Time from the first to the last, in seconds.
    pub seconds: Option<f64>,
    /// Increase per second; `null` if both came at one time.
    pub per_second: Option<f64>,
    /// How often a counter began anew.
    pub resets: u64,
}
