//! Periods of a function with a state: give a state in, get the next one out.
//!
//! A period is a task like any other, so it goes the way of [`reduce`]: a function around the author's, whose parameters bring the
//! state with them and whose result carries the next one.

use dmf_reduce::recurring::{Kept, resume};
use dmf_reduce::{Batch, Error, Function, Recurring, Series};
use fades_wire::control::MAX_STATE;
use fades_wire::failure::{Code, Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Feed, reduce};

/// Runs one period of a function on `feeds`, with what an earlier one has kept; its result, and what it wants kept.
///
/// # Errors
/// As the orchestrator would see it.
pub fn period<F: Recurring>(
    parameters: &str,
    feeds: &[Feed],
    kept: Option<&Kept>,
) -> Result<(serde_json::Value, Kept), Failure> {
    // Told before the run, as by the guest; within it, it would be words about parameters.
    drop(resume::<F>(parameters, kept)?);
    let given = serde_json::json!({ "parameters": parameters, "kept": kept });
    let gave = reduce::<Around<F>>(&given.to_string(), feeds)?;
    let Gave { result, kept } =
        serde_json::from_value(gave).map_err(|error| Failure::new(Code::Function, error.to_string()))?;
    match kept {
        Ok(kept) => Ok((result, kept)),
        Err(words) => Err(Failure::new(Code::State, words)),
    }
}

/// A function that is given its state and gives it back.
struct Around<F>(F);

#[derive(Deserialize, JsonSchema)]
struct Given {
    parameters: String,
    kept: Option<Kept>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Gave {
    result: serde_json::Value,
    kept: Result<Kept, String>,
}

impl<F: Recurring> Function for Around<F> {
    type Parameters = Given;
    type Output = Gave;

    const TOGETHER: bool = F::TOGETHER;

    fn start(given: Given) -> Result<Self, Error> {
        resume(&given.parameters, given.kept.as_ref())
            .map(Self)
            .map_err(|failure| Error::new(failure.message))
    }

    fn operations(&mut self, ids: &[&str]) -> Result<(), Error> {
        self.0.operations(ids)
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.0.batch(series, batch)
    }

    fn ended(&mut self, operation: usize) -> Result<(), Error> {
        self.0.ended(operation)
    }

    fn held(&self, operation: usize) -> usize {
        self.0.held(operation)
    }

    fn finish(self) -> Result<Gave, Error> {
        let kept = Kept::of(&self.0, MAX_STATE).map_err(|failure| failure.message);
        let result = serde_json::to_value(self.0.finish()?)
            .map_err(|error| Error::new(format!("the result is not JSON: {error}")))?;
        Ok(Gave { result, kept })
    }
}
