//! Values that do not fit those before them.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;

use crate::function::Error;
use crate::reducer::{NotFinite, Reducer};
use crate::time::rfc3339;

/// Windows that make sense: fewer values have no median to speak of, more cost a function's time.
const WINDOW: std::ops::RangeInclusive<usize> = 4..=4096;
/// Most anomalies that are kept: the strongest. All are counted.
const MOST: usize = 1_000;
/// `1 / Φ⁻¹(3/4)`: what makes the median absolute deviation of a normal distribution its standard deviation.
const NORMAL: f64 = 1.482_602_218_505_602;

/// Anomalies by the robust z-score of each value among those before it. What is not finite is counted and kept out.
///
/// The first `window` values are not judged. An anomaly is part of the window of those after it; half of the window
/// may be anomalies before the scores of the others suffer.
///
/// - **Formula**: `z = (v - median) / max(1.4826 · MAD, resolution)` with median and median absolute deviation of the
///   `window` finite values before v; v is an anomaly if `|z| > threshold` (3.5 is usual). The resolution is the
///   spread below which nothing counts, say the sensor's own: without it a series that stood still would make an
///   anomaly of every digit.
/// - **Units**: z has none; the resolution has the values' own.
/// - **Error**: exact over the window, but for rounding.
/// - **Memory**: 16 bytes per value of the window, 32 per anomaly, of which the 1,000 strongest are kept. Time: a
///   move of some 8·window bytes and 2·log₂(window) comparisons per point.
/// - **Source**: Iglewicz and Hoaglin, "How to detect and handle outliers", ASQC 1993 (modified z-score); the window
///   as in Hampel's filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomalies {
    window: usize,
    threshold: f64,
    resolution: f64,
    /// The values before, as they came, and in order.
    recent: VecDeque<f64>,
    sorted: Vec<f64>,
    judged: u64,
    anomalies: u64,
    /// The strongest, the weakest of them last.
    kept: Vec<Found>,
    left_out: NotFinite,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    time: i64,
    value: f64,
    median: f64,
    z: f64,
}

impl Anomalies {
    /// Judges each value by the `window` values before it.
    ///
    /// # Errors
    /// The window is not within 4 to 4,096, or threshold or resolution is not a finite number above 0.
    pub fn new(window: usize, threshold: f64, resolution: f64) -> Result<Self, Error> {
        if !WINDOW.contains(&window) {
            return Err(Error::new(format!("a window of {window} values is not within {WINDOW:?}")));
        }
        for (what, value) in [("threshold", threshold), ("resolution", resolution)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::new(format!("{what} {value} is not a finite number above 0")));
            }
        }
        Ok(Self {
            window,
            threshold,
            resolution,
            recent: VecDeque::with_capacity(window),
            sorted: Vec::with_capacity(window),
            judged: 0,
            anomalies: 0,
            kept: Vec::new(),
            left_out: NotFinite::default(),
        })
    }

    fn judge(&mut self, time: i64, value: f64) {
        self.judged += 1;
        let median = median(&self.sorted);
        let scale = (NORMAL * deviation(&self.sorted, median)).max(self.resolution);
        let z = (value - median) / scale;
        if z.abs() > self.threshold {
            self.anomalies += 1;
            let full = self.kept.len() == MOST;
            if full && self.kept.last().is_some_and(|least| z.abs() <= least.z.abs()) {
                return;
            }
            let place = self.kept.partition_point(|found| found.z.abs() >= z.abs());
            if full {
                self.kept.pop();
            }
            self.kept.insert(place, Found { time, value, median, z });
        }
    }

    /// Puts a value into the window, and the oldest out of it.
    fn shift(&mut self, value: f64) {
        if self.recent.len() == self.window
            && let Some(oldest) = self.recent.pop_front()
        {
            let place = self.sorted.partition_point(|held| *held < oldest);
            self.sorted.remove(place);
        }
        let place = self.sorted.partition_point(|held| *held < value);
        self.sorted.insert(place, value);
        self.recent.push_back(value);
    }
}

impl Reducer for Anomalies {
    type Output = Outliers;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (time, value) in self.left_out.sift(points) {
            if self.recent.len() == self.window {
                self.judge(time, value);
            }
            self.shift(value);
        }
    }

    fn finish(mut self) -> Outliers {
        self.kept.sort_by_key(|found| found.time);
        let anomaly = |found: &Found| Anomaly {
            time: rfc3339(found.time),
            value: found.value,
            median: found.median,
            z: found.z,
        };
        Outliers {
            judged: self.judged,
            anomalies: self.anomalies,
            strongest: self.kept.iter().map(anomaly).collect(),
            left_out: self.left_out,
        }
    }
}

/// Of values in order; the mean of the two in the middle if their number is even.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The median of the distances from `center`, which is the median of the values.
///
/// The distances of those below it and of those from it on are two lists in order, of which those of the middle ranks are
/// found by halving.
fn deviation(sorted: &[f64], center: f64) -> f64 {
    let split = sorted.partition_point(|value| *value < center);
    let (below, above) = sorted.split_at(split);
    let half = sorted.len() / 2;
    let upper = distance(below, above, center, half);
    if sorted.len() % 2 == 1 { upper } else { f64::midpoint(distance(below, above, center, half - 1), upper) }
}

/// The distance of this rank, from 0, among both sides': `below` has its nearest last, `above` its nearest first.
fn distance(below: &[f64], above: &[f64], center: f64, rank: usize) -> f64 {
    let left = |at: usize| center - below[below.len() - 1 - at];
    let right = |at: usize| above[at] - center;
    // How many of the `rank + 1` nearest lie below: the least number for which what follows below is no nearer.
    let (mut low, mut high) = ((rank + 1).saturating_sub(above.len()), below.len().min(rank + 1));
    while low < high {
        let middle = usize::midpoint(low, high);
        // With `middle` from below, `rank - middle` is the last one from above.
        if left(middle) < right(rank - middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let from_below = if low > 0 { left(low - 1) } else { f64::NEG_INFINITY };
    let from_above = if low <= rank { right(rank - low) } else { f64::NEG_INFINITY };
    from_below.max(from_above)
}

/// What did not fit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outliers {
    /// Values that were judged.
    pub judged: u64,
    /// How many of them are anomalies.
    pub anomalies: u64,
    /// The strongest of these, in the order of time.
    pub strongest: Vec<Anomaly>,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
}

/// A value that does not fit those before it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Anomaly {
    /// When.
    pub time: String,
    /// The value.
    pub value: f64,
    /// The median of those before it.
    pub median: f64,
    /// How far off, in robust standard deviations.
    pub z: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_deviation_is_the_median_of_the_distances(values in prop::collection::vec(-20i32..20, 1..60)) {
            let mut sorted: Vec<f64> = values.into_iter().map(f64::from).collect();
            sorted.sort_by(f64::total_cmp);
            let center = median(&sorted);
            let mut distances: Vec<f64> = sorted.iter().map(|value| (value - center).abs()).collect();
            distances.sort_by(f64::total_cmp);
            prop_assert_eq!(deviation(&sorted, center), median(&distances));
        }
    }
}
