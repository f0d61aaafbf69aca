//! Sums of squares and products of pairs about their means.
//!
//! As in `moments`: within a run of pairs the means come first and the deviations second, and runs are joined pairwise (Chan, Golub,
//! LeVeque 1979; for products Bennett, Grout, Pébay, Roe, Thompson, "Numerically stable, single-pass, parallel statistics
//! algorithms", CLUSTER 2009, eq. III.6).

use crate::reducer::as_f64;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bivariate {
    pub(super) count: u64,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) xx: f64,
    pub(super) yy: f64,
    pub(super) xy: f64,
}

impl Bivariate {
    /// Of these pairs alone.
    pub(super) fn of(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let (mut count, mut x, mut y) = (0, 0.0, 0.0);
        for (a, b) in pairs.clone() {
            count += 1;
            x += a;
            y += b;
        }
        if count == 0 {
            return Self::default();
        }
        let (x, y) = (x / as_f64(count), y / as_f64(count));
        let mut part = Self { count, x, y, ..Self::default() };
        for (a, b) in pairs {
            let (a, b) = (a - x, b - y);
            part.xx += a * a;
            part.yy += b * b;
            part.xy += a * b;
        }
        part
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
        let (x, y, weight) = (other.x - self.x, other.y - self.y, n * m / (n + m));
        self.count += other.count;
        self.x += x * (m / (n + m));
        self.y += y * (m / (n + m));
        self.xx += other.xx + x * x * weight;
        self.yy += other.yy + y * y * weight;
        self.xy += other.xy + x * y * weight;
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
