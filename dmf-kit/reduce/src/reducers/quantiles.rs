//! Quantiles of a stream that is never held.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sketches_ddsketch::{Config, DDSketch};

use crate::function::Error;
use crate::reducer::{NotFinite, Reducer};

/// Most bins of a sketch, per sign. Enough that magnitudes from [`Quantiles::SMALLEST`] to 1e15 keep the bound at the finest accuracy
/// allowed: ln(1e24) / (2 * 0.001) = 27,632. Beyond it low bins are joined.
const BINS: u32 = 32_768;
/// Accuracies that make sense: a finer sketch is as large as the data, a coarser one says nothing.
const ACCURACY: RangeInclusive<f64> = 0.001..=0.25;
/// Most quantiles of one state.
const MOST: usize = 100;

/// Values below which given shares of the points lie, by a sketch. What is not finite is counted and kept out.
///
/// - **Formula**: the quantile q is the value of rank `⌊q · (n - 1)⌋`, counted from 0: numpy's `lower`.
/// - **Units**: the values' own.
/// - **Error**: each is within `relative_accuracy` times itself of the value of that rank; magnitudes below
///   [`Quantiles::SMALLEST`] count as zero.
/// - **Memory**: 8 bytes per bin; `ln(max / min) / (2 · accuracy)` of them for the smallest and largest magnitude, at
///   most 32,768 per sign.
/// - **Source**: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
///   guarantees", VLDB 2019.
#[derive(Clone)]
pub struct Quantiles {
    asked: Arc<[f64]>,
    values: DDSketch,
    left_out: NotFinite,
}

impl Quantiles {
    /// Magnitudes below this are taken for zero.
    pub const SMALLEST: f64 = 1e-9;

    /// For these quantiles, from 0 to 1, as exact as this.
    ///
    /// # Errors
    /// There are none or more than 100 quantiles, one is not within 0 to 1, or the accuracy is not within 0.001 to 0.25.
    pub fn new(quantiles: &[f64], relative_accuracy: f64) -> Result<Self, Error> {
        if !ACCURACY.contains(&relative_accuracy) {
            return Err(Error::new(format!(
                "relative_accuracy {relative_accuracy} is not within {ACCURACY:?}"
            )));
        }
        if quantiles.is_empty() || quantiles.len() > MOST {
            return Err(Error::new(format!("{} quantiles asked for; ask for 1 to {MOST}", quantiles.len())));
        }
        if let Some(wrong) = quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            return Err(Error::new(format!("quantile {wrong} is not within 0..=1")));
        }
        let values = DDSketch::new(Config::new(relative_accuracy, BINS, Self::SMALLEST));
        Ok(Self { asked: quantiles.into(), values, left_out: NotFinite::default() })
    }
}

impl Reducer for Quantiles {
    type Output = QuantileList;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (_, value) in self.left_out.sift(points) {
            self.values.add(value);
        }
    }

    fn finish(self) -> QuantileList {
        // Errors are of quantiles beyond 0 to 1 alone, which `new` has refused.
        let value = |quantile: f64| self.values.quantile(quantile).ok().flatten();
        QuantileList {
            count: self.values.count() as u64,
            left_out: self.left_out,
            min: self.values.min(),
            max: self.values.max(),
            quantiles: self
                .asked
                .iter()
                .map(|&quantile| Quantile { quantile, value: value(quantile) })
                .collect(),
        }
    }

    fn join(&mut self, later: &Self) -> bool {
        let joined = self.values.merge(&later.values).is_ok();
        if joined {
            self.left_out.join(later.left_out);
        }
        joined
    }
}

/// By what it would say: the sketch itself cannot be compared.
impl PartialEq for Quantiles {
    fn eq(&self, other: &Self) -> bool {
        self.clone().finish() == other.clone().finish()
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Quantiles").field(&self.clone().finish()).finish()
    }
}

/// What was asked for, of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct QuantileList {
    /// Finite values.
    pub count: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// The quantiles, as they were asked for.
    pub quantiles: Vec<Quantile>,
}

/// One quantile.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Quantile {
    /// The share of values that lie below, from 0 to 1.
    pub quantile: f64,
    /// The value; of no values none.
    pub value: Option<f64>,
}
