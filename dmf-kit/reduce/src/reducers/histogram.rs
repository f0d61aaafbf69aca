//! How many values lie where.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::function::Error;
use crate::reducer::{NotFinite, Reducer};

/// Most bins: 80 KiB of counts.
const MOST_BINS: usize = 10_000;

/// Counts of values by bins with given edges; what lies beyond them is counted apart. What is not finite is counted
/// and kept out.
///
/// - **Formula**: bin i takes `edge[i] <= v < edge[i + 1]`, the last one its upper edge as well.
/// - **Units**: edges have the values' own.
/// - **Error**: none.
/// - **Memory**: 8 bytes per bin, beside the edges, which all states of a task share; 10,000 bins at most.
/// - **Source**: the definition of numpy's `histogram`.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    edges: Arc<[f64]>,
    counts: Vec<u64>,
    below: u64,
    above: u64,
    left_out: NotFinite,
}

impl Histogram {
    /// With these edges, of which there is one more than bins.
    ///
    /// # Errors
    /// There are fewer than 2 or more than 10,001, or they do not ascend, or one is not finite.
    pub fn new(edges: &[f64]) -> Result<Self, Error> {
        if edges.len() < 2 || edges.len() > MOST_BINS + 1 {
            return Err(Error::new(format!("{} edges; a histogram has 2 to {}", edges.len(), MOST_BINS + 1)));
        }
        if let Some(wrong) = edges.iter().find(|edge| !edge.is_finite()) {
            return Err(Error::new(format!("edge {wrong} is not finite")));
        }
        if let Some(wrong) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::new(format!("edges do not ascend: {} comes before {}", wrong[0], wrong[1])));
        }
        let counts = vec![0; edges.len() - 1];
        Ok(Self { edges: edges.into(), counts, below: 0, above: 0, left_out: NotFinite::default() })
    }

    /// With so many bins of one width from `low` to `high`.
    ///
    /// # Errors
    /// As for [`Histogram::new`].
    pub fn even(low: f64, high: f64, bins: u16) -> Result<Self, Error> {
        let edge = |at: u16| low + (high - low) * (f64::from(at) / f64::from(bins));
        let mut edges: Vec<f64> = (0..bins).map(edge).collect();
        edges.push(high);
        Self::new(&edges)
    }
}

impl Reducer for Histogram {
    type Output = Bins;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let last = self.edges[self.edges.len() - 1];
        for (_, value) in self.left_out.sift(points) {
            // Edges that are not above it: none, then it lies below; all, then it lies above or is the last edge itself.
            let at = self.edges.partition_point(|edge| *edge <= value);
            if at == 0 {
                self.below += 1;
            } else if let Some(count) = self.counts.get_mut(at - 1) {
                *count += 1;
            } else if value == last {
                self.counts[at - 2] += 1;
            } else {
                self.above += 1;
            }
        }
    }

    fn finish(self) -> Bins {
        let Self { edges, counts, below, above, left_out } = self;
        Bins { edges: edges.to_vec(), counts, below, above, left_out }
    }

    fn join(&mut self, later: &Self) -> bool {
        if self.edges != later.edges {
            return false;
        }
        self.counts.iter_mut().zip(&later.counts).for_each(|(ours, theirs)| *ours += theirs);
        self.below += later.below;
        self.above += later.above;
        self.left_out.join(later.left_out);
        true
    }
}

/// How many values lie between which edges.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Bins {
    /// Edges, one more than counts.
    pub edges: Vec<f64>,
    /// Values from an edge to the next.
    pub counts: Vec<u64>,
    /// Values below the first edge.
    pub below: u64,
    /// Values above the last edge.
    pub above: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
}
