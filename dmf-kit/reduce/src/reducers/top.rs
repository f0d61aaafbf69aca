//! The largest values.

use schemars::JsonSchema;
use serde::Serialize;

use super::moments::Reading;
use crate::function::Error;
use crate::reducer::{NotFinite, Reducer};

/// Most values that may be asked for: 16 KB per state.
const MOST: usize = 1_000;

/// The k largest values, with their times; of equal values the earliest. For the smallest, `pipe().map(|v| -v)`. What
/// is not finite is counted and kept out.
///
/// - **Formula**: the definition.
/// - **Units**: the values' own.
/// - **Error**: none.
/// - **Memory**: 16 bytes for each of the k; 1,000 at most.
/// - **Source**: the definition.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    most: usize,
    /// The largest first, and of equal values the earliest.
    held: Vec<(i64, f64)>,
    left_out: NotFinite,
}

impl TopK {
    /// For so many.
    ///
    /// # Errors
    /// None or more than 1,000 are asked for.
    pub fn new(most: usize) -> Result<Self, Error> {
        if most == 0 || most > MOST {
            return Err(Error::new(format!("{most} values asked for; ask for 1 to {MOST}")));
        }
        Ok(Self { most, held: Vec::with_capacity(most), left_out: NotFinite::default() })
    }

    fn offer(&mut self, time: i64, value: f64) {
        let full = self.held.len() == self.most;
        // One that comes later must be larger than the last of those that are held.
        if full && self.held.last().is_some_and(|(_, least)| value <= *least) {
            return;
        }
        let place = self.held.partition_point(|(_, held)| *held >= value);
        if full {
            self.held.pop();
        }
        self.held.insert(place, (time, value));
    }
}

impl Reducer for TopK {
    type Output = Top;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (time, value) in self.left_out.sift(points) {
            self.offer(time, value);
        }
    }

    fn finish(self) -> Top {
        Top { largest: self.held.into_iter().map(Reading::from).collect(), left_out: self.left_out }
    }

    fn join(&mut self, later: &Self) -> bool {
        if self.most != later.most {
            return false;
        }
        later.held.iter().for_each(|(time, value)| self.offer(*time, *value));
        self.left_out.join(later.left_out);
        true
    }
}

/// The largest values of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Top {
    /// The largest first, and of equal values the earliest.
    pub largest: Vec<Reading>,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
}
