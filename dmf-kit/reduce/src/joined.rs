//! Functions that look at several operations at once.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::{Batch, Error, Function, Series};
use crate::merge::{Align, Merge, Tags};
use crate::reducer::NotFinite;

/// A function that reduces rows: at one time, in one group, a value of each operation.
///
/// `dmf_kit::main!(Joined<Mine>)` makes a program of it. The wrapper's operations all need the same `group_by`. The first one leads: each of its points
/// is a row if every other operation has a point in the same group that [`Align`] takes for it; other points are left out, and counted.
///
/// Memory: of each operation no more points than its stream's window, which is the task's divided by the operations and at least 512 KiB,
/// and the tags of the groups that these are of. The streams are read side by side: one that is ahead of the others waits at its source.
pub trait JoinFunction: Sized {
    /// As [`Function::Parameters`].
    type Parameters: DeserializeOwned + JsonSchema;
    /// As [`Function::Output`].
    type Output: Serialize + JsonSchema;

    /// Makes the state for one task.
    ///
    /// # Errors
    /// When the parameters make no sense together; say which and why.
    fn start(parameters: Self::Parameters) -> Result<Self, Error>;

    /// Which points go together. Asked once, after `start`.
    fn align(&self) -> Align;

    /// Is told the operations by their ids: the order of the values in a row.
    ///
    /// # Errors
    /// When these are not what it can work on; the task fails with these words.
    fn operations(&mut self, ids: &[&str]) -> Result<(), Error> {
        let _ = ids;
        Ok(())
    }

    /// Takes a row. Groups come one after another, and within a group rows in the order of time.
    ///
    /// # Errors
    /// When the function cannot go on; the task fails with these words.
    fn row(&mut self, row: Row<'_>) -> Result<(), Error>;

    /// Gives the result.
    ///
    /// # Errors
    /// When there is no result to give; the task fails with these words.
    fn finish(self, unused: Vec<Unused>) -> Result<Self::Output, Error>;
}

/// Values of one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// Number of the group in this task, counted from 0.
    pub group: usize,
    /// The `group_by` tags and their values, by their sorted names.
    pub tags: &'a [(String, String)],
    /// Time of the first operation's point, in nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// A value of each operation, in the wrapper's order; all finite.
    pub values: &'a [f64],
}

/// Points of an operation that are in no row.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Unused {
    /// The operation's id in the wrapper.
    pub operation: String,
    /// Points for which another operation had none, or which none was taken for.
    pub unmatched: u64,
    /// Values that were left out before.
    #[serde(flatten)]
    pub left_out: NotFinite,
}

/// A [`JoinFunction`] as a [`Function`].
pub struct Joined<F> {
    function: F,
    merge: Merge,
    operations: Vec<(String, NotFinite)>,
    /// Number of the series that came last of each operation, and its tags by their sorted names.
    current: Vec<Option<(usize, Tags)>>,
    group: Option<(usize, Tags)>,
}

impl<F: JoinFunction> Joined<F> {
    fn rows(&mut self) -> Result<(), Error> {
        let Self { function, merge, group, .. } = self;
        merge.rows(|tags, time_ns, values| {
            if group.as_ref().is_none_or(|(_, current)| current != tags) {
                let number = group.as_ref().map_or(0, |(number, _)| number + 1);
                *group = Some((number, tags.clone()));
            }
            let number = group.as_ref().map_or(0, |(number, _)| *number);
            function.row(Row { group: number, tags, time_ns, values })
        })
    }
}

impl<F: JoinFunction> Function for Joined<F> {
    type Parameters = F::Parameters;
    type Output = F::Output;

    const TOGETHER: bool = true;

    fn start(parameters: F::Parameters) -> Result<Self, Error> {
        let function = F::start(parameters)?;
        let merge = Merge::new(function.align(), 0);
        Ok(Self { function, merge, operations: Vec::new(), current: Vec::new(), group: None })
    }

    fn operations(&mut self, ids: &[&str]) -> Result<(), Error> {
        if ids.len() < 2 {
            return Err(Error::new(format!("{} operations; a join needs two or more", ids.len())));
        }
        self.merge = Merge::new(self.function.align(), ids.len());
        self.operations = ids.iter().map(|id| ((*id).to_owned(), NotFinite::default())).collect();
        self.current = vec![None; ids.len()];
        self.function.operations(ids)
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        let place = self.operations.iter().position(|(id, _)| *id == series.operation);
        let place = place.ok_or_else(|| Error::new(format!("no operation {:?}", series.operation)))?;
        let current = &mut self.current[place];
        if current.as_ref().is_none_or(|(index, _)| *index != series.index) {
            let mut tags = series.tags.clone();
            tags.sort();
            *current = Some((series.index, tags));
        }
        if let Some((_, tags)) = current {
            self.merge.take(place, tags, self.operations[place].1.sift(batch.points()))?;
        }
        self.rows()
    }

    fn ended(&mut self, operation: usize) -> Result<(), Error> {
        self.merge.end(operation);
        self.rows()
    }

    fn held(&self, operation: usize) -> usize {
        self.merge.held(operation)
    }

    fn finish(self) -> Result<F::Output, Error> {
        let unmatched = self.merge.left_out();
        let unused = self
            .operations
            .into_iter()
            .zip(unmatched)
            .map(|((operation, left_out), unmatched)| Unused { operation, unmatched, left_out })
            .collect();
        self.function.finish(unused)
    }
}

#[cfg(test)]
#[path = "joined_tests.rs"]
mod tests;
