//! The trait that a function implements, and what it is given.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use fades_wire::batch::Batch;

/// A data manipulation function: reduces a stream of points to a result.
///
/// One value lives for one task. [`Function::start`] is called once, then [`Function::batch`] for every batch in the order
/// of arrival, then [`Function::finish`] once, after every stream came whole. If anything fails in between, the value is
/// dropped and nothing is published.
///
/// Within a series, batches and the points in them come in the order of time, and points of one time in the order of their
/// source; series of one operation come one after another, in the order of their tags. A stream that does otherwise ends the task.
///
/// Memory must follow the state, not the data: a batch is gone when `batch` returns.
pub trait Function: Sized {
    /// What the wrapper's `dmf.parameters` must be; [`NoParameters`] if there are none. Its JSON Schema goes into the image's
    /// manifest, and a wrapper that does not fit is refused when it is submitted.
    type Parameters: DeserializeOwned + JsonSchema;
    /// The result. It becomes a JSON document; give it a `schema` field with a version.
    type Output: Serialize + JsonSchema;

    /// Whether batches of all operations come side by side, each operation's in order, instead of one operation after the other.
    /// The broker then serves them side by side, and [`Function::held`] decides which of them goes on. [`Joined`](crate::Joined)
    /// does all of this.
    const TOGETHER: bool = false;

    /// Makes the state for one task.
    ///
    /// # Errors
    /// When the parameters make no sense together; say which and why.
    fn start(parameters: Self::Parameters) -> Result<Self, Error>;

    /// Is told the task's operations by their ids, in the wrapper's order, once and before the first batch.
    ///
    /// # Errors
    /// When these are not what it can work on; the task fails with these words.
    fn operations(&mut self, ids: &[&str]) -> Result<(), Error> {
        let _ = ids;
        Ok(())
    }

    /// Takes the next batch of one series.
    ///
    /// # Errors
    /// When the function cannot go on; the task fails with these words.
    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error>;

    /// Is told that no more will come of an operation, by its place in the wrapper.
    ///
    /// # Errors
    /// As for [`Function::batch`].
    fn ended(&mut self, operation: usize) -> Result<(), Error> {
        let _ = operation;
        Ok(())
    }

    /// How many points of an operation it still holds. Asked only if [`Function::TOGETHER`]: a stream of which a window of points
    /// is held waits. One of which none is held always goes on, so a function that waits for a stream must hold none of it.
    fn held(&self, operation: usize) -> usize {
        let _ = operation;
        0
    }

    /// Gives the result, after the last batch of the last stream.
    ///
    /// # Errors
    /// When there is no result to give; the task fails with these words.
    fn finish(self) -> Result<Self::Output, Error>;
}

/// A series of points: one measurement and field of one operation, told apart by tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Number of the series in this task, counted from 0 over all operations: an index for a table of states.
    pub index: usize,
    /// The operation's id in the wrapper.
    pub operation: String,
    /// What was measured.
    pub measurement: String,
    /// Which field of it.
    pub field: String,
    /// The operation's `group_by` tags with their values, in its order.
    pub tags: Vec<(String, String)>,
}

/// Why a function cannot go on, in words for the one who wrote the wrapper.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// An error in these words: lower case, naming the value at fault.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// For functions without parameters: an empty object, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// What an image's manifest says of the function in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// JSON Schema (2020-12) of the wrapper's `dmf.parameters`.
    pub parameters: schemars::Schema,
    /// JSON Schema of the result.
    pub result: schemars::Schema,
    /// [`Function::TOGETHER`].
    pub together: bool,
}

impl Description {
    /// Of this function.
    #[must_use]
    pub fn of<F: Function>() -> Self {
        let schema = |settings: SchemaSettings| settings.into_generator();
        Self {
            parameters: schema(SchemaSettings::draft2020_12().for_deserialize())
                .into_root_schema_for::<F::Parameters>(),
            result: schema(SchemaSettings::draft2020_12().for_serialize())
                .into_root_schema_for::<F::Output>(),
            together: F::TOGETHER,
        }
    }
}
