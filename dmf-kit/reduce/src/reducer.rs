//! What takes the points of one series and makes something small of them.

use fades_wire::batch::Batch;
use schemars::JsonSchema;
use serde::Serialize;

/// A reduction of the points of one series, in memory that does not grow with them.
///
/// ```
/// use dmf_reduce::{Moments, Pipe, Reducer, TopK, pipe};
///
/// // Two at once, of the same points.
/// let mut both = (Moments::default(), TopK::new(2)?);
/// both.points([(0, 20.0), (1, 25.0), (2, 21.0)].into_iter());
/// let (summary, top) = both.finish();
/// assert_eq!((summary.mean, top.largest[1].value), (Some(22.0), 21.0));
///
/// // And behind steps that change the points first.
/// let mut fahrenheit = pipe().filter(|_, celsius| celsius < 21.0).map(|celsius| celsius * 1.8 + 32.0).reduce(Moments::default());
/// fahrenheit.points([(0, 20.0), (1, 25.0), (2, 21.0)].into_iter());
/// assert_eq!(fahrenheit.finish().max, Some(68.0));
/// # Ok::<(), dmf_reduce::Error>(())
/// ```
///
/// A function keeps one per series, in [`Groups`](crate::Groups); a [`WindowFunction`](crate::WindowFunction) one per window.
pub trait Reducer: Sized {
    /// What is left of the points.
    type Output;

    /// Takes points: none earlier than those before them, here or in an earlier call. The iterator may be gone through more than
    /// once.
    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone);

    /// Gives what was made of them.
    fn finish(self) -> Self::Output;

    /// Adds what a later part of the same stream gave, in a state that was made as this one was. Says whether it could; where not,
    /// nothing has changed, and sliding windows keep a state each instead of sharing panes.
    #[must_use]
    fn join(&mut self, later: &Self) -> bool {
        let _ = later;
        false
    }

    /// Takes all points of a batch.
    fn batch(&mut self, batch: &Batch<'_>) {
        self.points(batch.points());
    }
}

/// Both, of the same points.
impl<A: Reducer + Clone, B: Reducer> Reducer for (A, B) {
    type Output = (A::Output, B::Output);

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        self.0.points(points.clone());
        self.1.points(points);
    }

    fn finish(self) -> Self::Output {
        (self.0.finish(), self.1.finish())
    }

    fn join(&mut self, later: &Self) -> bool {
        // Both or neither: the first is put back if the second cannot.
        let before = self.0.clone();
        let joined = self.0.join(&later.0) && self.1.join(&later.1);
        if !joined {
            self.0 = before;
        }
        joined
    }
}

/// Values that are no numbers to reckon with. Every reducer counts them and keeps them out of everything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotFinite {
    /// Values that were NaN, left out of everything else.
    pub nan: u64,
    /// Values that were infinite, left out of everything else.
    pub infinite: u64,
}

impl NotFinite {
    /// Counts those among the points, and gives the others.
    pub fn sift<P: Iterator<Item = (i64, f64)> + Clone>(
        &mut self,
        points: P,
    ) -> impl Iterator<Item = (i64, f64)> + Clone + use<P> {
        for (_, value) in points.clone() {
            self.nan += u64::from(value.is_nan());
            self.infinite += u64::from(value.is_infinite());
        }
        points.filter(|(_, value)| value.is_finite())
    }

    /// Adds others.
    pub const fn join(&mut self, other: Self) {
        self.nan += other.nan;
        self.infinite += other.infinite;
    }
}

/// A count as a number to reckon with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts stay below 2^53: that many points would take years to send"
)]
pub(crate) const fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Seconds from one instant to another, as exact as the result can be: the difference is taken before it is rounded.
#[expect(clippy::cast_precision_loss, reason = "rounded to a relative 2^-53, as said")]
pub(crate) const fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    (to_ns as i128 - from_ns as i128) as f64 / 1e9
}
