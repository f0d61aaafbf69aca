//! Sums of squares and products of pairs about their means.
//!
//! As in `moments`: within a run of pairs the means come first and the deviations second, and runs are joined pairwise (Chan, Golub,
//! LeVeque 1979; for products Bennett, Grout, Pébay, Roe, Thompson, "Numerically stable, single-pass, parallel statistics
//! algorithms", CLUSTER 2009, eq. III.6). Both are taken as differences from the first pair, so that large offsets take no digits.

use crate::reducer::as_f64;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bivariate {
    pub(super) count: u64,
    /// The first pair.
    origin: (f64, f64),
    /// The means, as differences from it.
    x: f64,
    y: f64,
    pub(super) xx: f64,
    pub(super) yy: f64,
    pub(super) xy: f64,
}

impl Bivariate {
    /// Takes pairs, which are read twice.
    pub(super) fn take(&mut self, pairs: impl Iterator<Item = (f64, f64)> + Clone) {
        let Some(first) = pairs.clone().next() else { return };
        let origin = if self.count == 0 { first } else { self.origin };
        let pairs = pairs.map(|(x, y)| (x - origin.0, y - origin.1));
        let mut part = Self { origin, ..Self::default() };
        for (x, y) in pairs.clone() {
            part.count += 1;
            part.x += x;
            part.y += y;
        }
        part.x /= as_f64(part.count);
        part.y /= as_f64(part.count);
        for (x, y) in pairs {
            let (x, y) = (x - part.x, y - part.y);
            part.xx += x * x;
            part.yy += y * y;
            part.xy += x * y;
        }
        self.join(&part);
    }

    /// Takes one pair.
    pub(super) fn pair(&mut self, x: f64, y: f64) {
        if self.count == 0 {
            self.origin = (x, y);
        }
        let (x, y) = (x - self.origin.0, y - self.origin.1);
        self.count += 1;
        let n = as_f64(self.count);
        let (a, b) = (x - self.x, y - self.y);
        self.x += a / n;
        self.y += b / n;
        self.xx += a * (x - self.x);
        self.yy += b * (y - self.y);
        self.xy += a * (y - self.y);
    }

    /// Adds others.
    pub(super) fn join(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (as_f64(self.count), as_f64(other.count));
        let x = other.x - self.x + (other.origin.0 - self.origin.0);
        let y = other.y - self.y + (other.origin.1 - self.origin.1);
        let weight = n * m / (n + m);
        self.count += other.count;
        self.x += x * (m / (n + m));
        self.y += y * (m / (n + m));
        self.xx += other.xx + x * x * weight;
        self.yy += other.yy + y * y * weight;
        self.xy += other.xy + x * y * weight;
    }

    /// The same with every x so much larger.
    pub(super) fn later(self, by: f64) -> Self {
        Self { origin: (self.origin.0 + by, self.origin.1), ..self }
    }

    /// Where the line through the pairs is at x = 0.
    pub(super) fn intercept(&self) -> Option<f64> {
        self.slope().map(|slope| self.origin.1 + (self.y - slope * (self.origin.0 + self.x)))
    }

    /// Slope of the line through the pairs for which the squares of y's distances are least; of fewer than two different x none.
    pub(super) fn slope(&self) -> Option<f64> {
        (self.xx > 0.0).then(|| self.xy / self.xx)
    }

    /// Pearson's r; none where x or y do not vary.
    pub(super) fn pearson(&self) -> Option<f64> {
        (self.xx > 0.0 && self.yy > 0.0).then(|| {
            // The roots one by one: the product may overflow. Rounding may lead beyond 1 by a last digit.
            (self.xy / self.xx.sqrt() / self.yy.sqrt()).clamp(-1.0, 1.0)
        })
    }

    /// Standard error of the slope, `√((1 - r²) · Syy / Sxx / (n - 2))`.
    pub(super) fn slope_error(&self) -> Option<f64> {
        let r = self.pearson().filter(|_| self.count > 2)?;
        Some(((1.0 - r * r) * self.yy / self.xx / as_f64(self.count - 2)).sqrt())
    }
}
