//! Where a series is heading.

use schemars::JsonSchema;
use serde::Serialize;

use super::bivariate::Bivariate;
use crate::reducer::{NotFinite, Reducer, seconds};
use crate::time::rfc3339;

/// The straight line through a series' values for which the squares of their distances are least. What is not finite
/// is counted and kept out.
///
/// - **Formula**: `slope = Σ(t - t̄)(v - v̄) / Σ(t - t̄)²`, `value_at_first = v̄ - slope · t̄`, with t in seconds
///   from the first point; standard error of the slope `√((1 - r²) · Σ(v - v̄)² / Σ(t - t̄)² / (n - 2))`.
/// - **Units**: the values' own per second.
/// - **Error**: each sum is off by some `n·2⁻⁵³` relative to `√(Sxx · Syy)`; as times and values count from the first
///   point, neither their age nor an offset takes digits.
/// - **Memory**: 104 bytes.
/// - **Source**: least squares as in Chan, Golub, LeVeque 1979 and Bennett et al., CLUSTER 2009, for pairs of time
///   and value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trend {
    first: Option<i64>,
    last: i64,
    sums: Bivariate,
    left_out: NotFinite,
}

impl Reducer for Trend {
    type Output = Line;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let points = self.left_out.sift(points);
        let Some((time, _)) = points.clone().next() else { return };
        let first = *self.first.get_or_insert(time);
        self.sums.take(points.clone().map(|(time, value)| (seconds(first, time), value)));
        self.last = points.last().map_or(self.last, |(time, _)| time);
    }

    fn finish(self) -> Line {
        Line {
            count: self.sums.count,
            left_out: self.left_out,
            first: self.first.map(rfc3339),
            last: self.first.map(|_| rfc3339(self.last)),
            slope_per_second: self.sums.slope(),
            value_at_first: self.sums.intercept(),
            slope_error: self.sums.slope_error(),
            pearson: self.sums.pearson(),
        }
    }

    fn join(&mut self, later: &Self) -> bool {
        self.left_out.join(later.left_out);
        if let Some(theirs) = later.first {
            let ours = *self.first.get_or_insert(theirs);
            self.sums.join(&later.sums.later(seconds(ours, theirs)));
            self.last = later.last;
        }
        true
    }
}

/// A line through a series. Of fewer than two different times there is none, and its parts are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Line {
    /// Finite values.
    pub count: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
    /// Time of the first of them.
    pub first: Option<String>,
    /// Time of the last of them.
    pub last: Option<String>,
    /// How fast the values grow, per second.
    pub slope_per_second: Option<f64>,
    /// Where the line is at the first time.
    pub value_at_first: Option<f64>,
    /// Standard error of the slope; of three points or more.
    pub slope_error: Option<f64>,
    /// Correlation of value and time; 1 or -1 where all lie on the line.
    pub pearson: Option<f64>,
}
