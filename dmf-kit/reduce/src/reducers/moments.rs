//! Count, sum, mean, extremes and spread of a stream of values.
//!
//! Within a batch the mean comes first and the squared deviations from it second; batches are joined by the pairwise form of Welford's update.
//! That is as stable as Welford point by point and needs one division per batch instead of one per point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reducer::{Reducer, as_f64};
use crate::time::rfc3339;

/// Count, sum, mean, extremes and spread. NaN and infinities are counted and kept out of everything else.
///
/// - **Formula**: `x̄ = Σx / n`; sample deviation `s = √(Σ(x - x̄)² / (n - 1))`.
/// - **Units**: the values' own.
/// - **Error**: of sum and mean a relative `n·2⁻⁵³` of the mean magnitude at worst; of the deviation a relative
///   `n·κ·2⁻⁵³` with `κ = √(1 + (x̄ - x₁)²/s²)` and x₁ the first value: values are taken as differences from it, so
///   that a large offset takes no digits.
/// - **Memory**: 120 bytes.
/// - **Source**: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
///   1979, eq. 2.1; the same, "Algorithms for computing the sample variance: analysis and recommendations", Am. Stat.
///   37(3), 1983 (shifted data).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    nan: u64,
    infinite: u64,
    sum: f64,
    /// The first value that was taken here.
    origin: f64,
    /// As a difference from it.
    mean: f64,
    /// Sum of squared deviations from the mean.
    deviation: f64,
    min: f64,
    max: f64,
    first: Option<(i64, f64)>,
    last: Option<(i64, f64)>,
}

impl Reducer for Moments {
    type Output = Summary;

    /// Reads the points twice. Of equal times the point that came first is kept as first and the one that came last as last.
    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let mut part =
            Self { min: f64::INFINITY, max: f64::NEG_INFINITY, origin: self.origin, ..Self::default() };
        if self.count == 0 {
            part.origin = points.clone().find(|(_, value)| value.is_finite()).map_or(0.0, |(_, value)| value);
        }
        for (time, value) in points.clone() {
            if !value.is_finite() {
                part.nan += u64::from(value.is_nan());
                part.infinite += u64::from(value.is_infinite());
                continue;
            }
            part.count += 1;
            part.sum += value;
            part.mean += value - part.origin;
            part.min = if value < part.min { value } else { part.min };
            part.max = if value > part.max { value } else { part.max };
            if part.first.is_none_or(|(first, _)| time < first) {
                part.first = Some((time, value));
            }
            if part.last.is_none_or(|(last, _)| time >= last) {
                part.last = Some((time, value));
            }
        }
        if part.count > 0 {
            part.mean /= as_f64(part.count);
            let squared = |value: f64| {
                let off = value - part.origin - part.mean;
                off * off
            };
            part.deviation =
                points.filter(|(_, value)| value.is_finite()).map(|(_, value)| squared(value)).sum();
        }
        self.add(&part);
    }

    fn finish(self) -> Summary {
        self.summary()
    }

    fn join(&mut self, later: &Self) -> bool {
        self.add(later);
        true
    }
}

impl Moments {
    fn add(&mut self, later: &Self) {
        self.nan += later.nan;
        self.infinite += later.infinite;
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self { nan: self.nan, infinite: self.infinite, ..*later };
            return;
        }
        let (n, m) = (as_f64(self.count), as_f64(later.count));
        let delta = later.mean - self.mean + (later.origin - self.origin);
        self.count += later.count;
        self.sum += later.sum;
        self.mean += delta * (m / (n + m));
        self.deviation += later.deviation + delta * delta * (n * m / (n + m));
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.first = earliest(self.first, later.first);
        self.last = latest(self.last, later.last);
    }

    /// Finite values seen.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// What is known, in the form that results carry.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let some = |value: f64| (self.count > 0).then_some(value);
        Summary {
            count: self.count,
            nan: self.nan,
            infinite: self.infinite,
            sum: some(self.sum),
            mean: some(self.sum / as_f64(self.count.max(1))),
            min: some(self.min),
            max: some(self.max),
            stddev: (self.count > 1).then(|| (self.deviation / as_f64(self.count - 1)).sqrt()),
            first: self.first.map(Reading::from),
            last: self.last.map(Reading::from),
        }
    }
}

fn earliest(held: Option<(i64, f64)>, other: Option<(i64, f64)>) -> Option<(i64, f64)> {
    match (held, other) {
        (Some(held), Some(other)) => Some(if other.0 < held.0 { other } else { held }),
        (held, other) => held.or(other),
    }
}

fn latest(held: Option<(i64, f64)>, other: Option<(i64, f64)>) -> Option<(i64, f64)> {
    match (held, other) {
        (Some(held), Some(other)) => Some(if other.0 >= held.0 { other } else { held }),
        (held, other) => held.or(other),
    }
}

/// A group's numbers in a result. Of no values there is no sum, and of one value no spread: these are `null`; so is a number
/// that overflowed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// Finite values.
    pub count: u64,
    /// Values that were NaN, left out of everything else.
    pub nan: u64,
    /// Values that were infinite, left out of everything else.
    pub infinite: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Sample standard deviation, divisor `count - 1`.
    pub stddev: Option<f64>,
    /// Earliest value.
    pub first: Option<Reading>,
    /// Latest value.
    pub last: Option<Reading>,
}

/// One reading.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// RFC 3339, UTC, to the nanosecond.
    pub time: String,
    /// The value.
    pub value: f64,
}

impl From<(i64, f64)> for Reading {
    fn from((time, value): (i64, f64)) -> Self {
        Self { time: rfc3339(time), value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64], cut: usize) -> Moments {
        let points: Vec<(i64, f64)> = values.iter().zip(0..).map(|(&value, time)| (time, value)).collect();
        let (head, tail) = points.split_at(cut.min(points.len()));
        let mut moments = Moments::default();
        moments.points(head.iter().copied());
        moments.points(tail.iter().copied());
        moments
    }

    #[test]
    fn small_spread_on_a_large_offset_survives() {
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect();
        let summary = of(&values, 333).summary();
        // Half zeros, half ones on the offset: sample variance n/4 / (n-1).
        let expected = (1000.0f64 / 4.0 / 999.0).sqrt();
        assert!((summary.stddev.unwrap() / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nan_and_infinities_are_counted_and_kept_out() {
        let summary = of(&[f64::NAN, 1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY], 2).summary();
        assert_eq!((summary.count, summary.nan, summary.infinite), (2, 1, 2));
        assert_eq!((summary.mean, summary.min, summary.max), (Some(2.0), Some(1.0), Some(3.0)));
        let none = of(&[f64::NAN], 0).summary();
        assert_eq!((none.count, none.nan, none.sum, none.stddev), (0, 1, None, None));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_equals_the_definition(values in prop::collection::vec(-1e6f64..1e6, 2..400), cut in 0usize..400) {
            let summary = of(&values, cut).summary();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            prop_assert_eq!(summary.count, values.len() as u64);
            prop_assert!((summary.mean.unwrap() - mean).abs() <= 1e-9 * mean.abs().max(1e-3));
            prop_assert!((summary.stddev.unwrap() - variance.sqrt()).abs() <= 1e-9 * variance.sqrt().max(1e-3));
            prop_assert_eq!(summary.min.unwrap(), values.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(summary.max.unwrap(), values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
    }
}
