//! How two series go together, of pairs that a join has made.

use schemars::JsonSchema;
use serde::Serialize;

use super::bivariate::Bivariate;
use crate::reducer::{NotFinite, as_f64};

/// Pearson's correlation, covariance, and the line through pairs of values. A pair of which one is not finite is
/// counted and kept out.
///
/// - **Formula**: `r = Sxy / √(Sxx · Syy)` with `Sxy = Σ(x - x̄)(y - ȳ)`; sample covariance `Sxy / (n - 1)`; least
///   squares `y = slope · x + intercept`; standard error of the slope `√((1 - r²) · Syy / Sxx / (n - 2))`.
/// - **Units**: r has none, the covariance that of x times y, the slope that of y per x.
/// - **Error**: each sum is off by some `n·2⁻⁵³` relative to `√(Sxx · Syy)`, so that r is off by that absolutely;
///   large offsets do no harm, as values are taken as differences from the first.
/// - **Memory**: 80 bytes.
/// - **Source**: Pearson 1895; the update of Welford, "Note on a method for calculating corrected sums of squares and
///   products", Technometrics 4(3), 1962; joined as in Bennett, Grout, Pébay, Roe, Thompson, "Numerically stable,
///   single-pass, parallel statistics algorithms", CLUSTER 2009.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Correlation {
    sums: Bivariate,
    left_out: NotFinite,
}

impl Correlation {
    /// Takes a pair.
    pub fn pair(&mut self, x: f64, y: f64) {
        if !(x.is_finite() && y.is_finite()) {
            let nan = x.is_nan() || y.is_nan();
            self.left_out.join(NotFinite { nan: u64::from(nan), infinite: u64::from(!nan) });
            return;
        }
        self.sums.pair(x, y);
    }

    /// Adds what other pairs gave.
    pub fn join(&mut self, other: &Self) {
        self.sums.join(&other.sums);
        self.left_out.join(other.left_out);
    }

    /// What is known.
    #[must_use]
    pub fn fit(&self) -> Fit {
        let sums = &self.sums;
        Fit {
            count: sums.count,
            left_out: self.left_out,
            pearson: sums.pearson(),
            covariance: (sums.count > 1).then(|| sums.xy / as_f64(sums.count - 1)),
            slope: sums.slope(),
            intercept: sums.intercept(),
            slope_error: sums.slope_error(),
        }
    }
}

/// How y goes with x. What cannot be said of so few or such equal values is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fit {
    /// Pairs.
    pub count: u64,
    /// Pairs that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
    /// Pearson's r, from -1 to 1.
    pub pearson: Option<f64>,
    /// Sample covariance, divisor `count - 1`.
    pub covariance: Option<f64>,
    /// Slope of the line by which y follows x: y per x.
    pub slope: Option<f64>,
    /// Its y where x is 0.
    pub intercept: Option<f64>,
    /// Standard error of the slope.
    pub slope_error: Option<f64>,
}
