//! Functions that run again and again, and what they keep from one period to the next.
//!
//! Each period of a persistent task is a run of a fresh function. Its state is bytes to everybody else: postcard, which gives back
//! every number exactly, with the function's own version of their form. The node keeps them with the period's result,
//! in one transaction, and gives them to the next one.

use fades_wire::control::{MAX_STATE, StateHead};
use fades_wire::failure::{Code, Failure};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::function::{Error, Function};
use crate::session::parameters;

/// A [`Function`] with a state that outlives a run of it: a long baseline, what was seen last.
///
/// In each period [`Recurring::resume`] is called instead of [`Function::start`], with the state of the last period that gave
/// one; then [`Function::batch`] for every batch; then [`Recurring::keep`] and [`Function::finish`]. If anything fails in
/// between, the period fails, and the next one gets the state that this one got.
///
/// The state is at most 256 KiB (the issuer's policy may allow less): bound what it grows with. It is written by postcard, so no
/// `#[serde(flatten)]`, `untagged` or `skip_serializing_if` in it.
///
/// ```
/// use dmf_reduce::{Batch, Error, Function, NoParameters, Recurring, Series};
///
/// /// The highest value of all periods.
/// struct Highest(f64);
///
/// impl Function for Highest {
///     type Parameters = NoParameters;
///     type Output = f64;
///     fn start(parameters: NoParameters) -> Result<Self, Error> {
///         Self::resume(parameters, None)
///     }
///     fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
///         self.0 = batch.values().fold(self.0, f64::max);
///         Ok(())
///     }
///     fn finish(self) -> Result<f64, Error> {
///         Ok(self.0)
///     }
/// }
///
/// impl Recurring for Highest {
///     type State = f64;
///     const STATE_VERSION: u32 = 1;
///     fn resume(_: NoParameters, state: Option<f64>) -> Result<Self, Error> {
///         Ok(Self(state.unwrap_or(f64::NEG_INFINITY)))
///     }
///     fn keep(&self) -> f64 {
///         self.0
///     }
/// }
/// // dmf_kit::main!(recurring Highest);
/// ```
pub trait Recurring: Function {
    /// What is kept.
    type State: Serialize + DeserializeOwned;
    /// Version of its form: another number, and a state of this one is refused, never misread.
    const STATE_VERSION: u32;

    /// Makes the function for one period; `state` is `None` in the first one, and as long as no period gave any.
    ///
    /// # Errors
    /// When the parameters make no sense together, or with the state; say which and why.
    fn resume(parameters: Self::Parameters, state: Option<Self::State>) -> Result<Self, Error>;

    /// What the next period shall get. After the last batch, before [`Function::finish`].
    fn keep(&self) -> Self::State;
}

/// A state as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The function's version of its form.
    pub version: u32,
    /// The state itself.
    pub bytes: Vec<u8>,
}

impl Kept {
    /// What is told of it beside its bytes.
    #[must_use]
    pub const fn head(&self) -> StateHead {
        StateHead { version: self.version, len: self.bytes.len() as u64 }
    }

    /// The state of `function`, if it is within `limit` bytes.
    ///
    /// # Errors
    /// [`Code::State`]: too large, or not to be written.
    pub fn of<F: Recurring>(function: &F, limit: u64) -> Result<Self, Failure> {
        let bytes = postcard::to_allocvec(&function.keep())
            .map_err(|error| Failure::new(Code::State, format!("the state cannot be written: {error}")))?;
        let limit = limit.min(MAX_STATE);
        if bytes.len() as u64 > limit {
            let words = format!("the state has {} bytes, and the task allows {limit}", bytes.len());
            return Err(Failure::new(Code::State, words));
        }
        Ok(Self { version: F::STATE_VERSION, bytes })
    }
}

/// Makes a function for one period, out of its parameters and what was kept.
///
/// # Errors
/// [`Code::Parameters`] with the place in the parameters that is wrong; [`Code::State`] for a state of another version, or one
/// that does not read.
pub fn resume<F: Recurring>(text: &str, kept: Option<&Kept>) -> Result<F, Failure> {
    let state = kept.map(|kept| {
        if kept.version != F::STATE_VERSION {
            let words = format!(
                "the state kept is of version {}, this function's is {}",
                kept.version,
                F::STATE_VERSION
            );
            return Err(Failure::new(Code::State, words));
        }
        read(&kept.bytes)
            .map_err(|error| Failure::new(Code::State, format!("the state kept does not read: {error}")))
    });
    F::resume(parameters(text)?, state.transpose()?)
        .map_err(|error| Failure::new(Code::Parameters, format!("parameters: {error}")))
}

/// Not the wire's strict reading: a state may hold a hash map, which has many byte forms.
fn read<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// Puts the parts of a kept state together.
#[derive(Debug)]
pub struct Parts {
    head: StateHead,
    next: u32,
    bytes: Vec<u8>,
}

impl Parts {
    /// For a state of which this was told.
    ///
    /// # Errors
    /// [`Code::Protocol`] when it is larger than any can be.
    pub fn new(head: StateHead) -> Result<Self, Failure> {
        if head.len > MAX_STATE {
            let words = format!("a state of {} bytes, {MAX_STATE} are allowed", head.len);
            return Err(Failure::new(Code::Protocol, words));
        }
        Ok(Self { head, next: 0, bytes: Vec::new() })
    }

    /// Whether all of it is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.head.len
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// [`Code::Protocol`] when it is not the next one, brings nothing, or more than was told.
    pub fn take(&mut self, index: u32, bytes: &[u8]) -> Result<(), Failure> {
        let whole = self.bytes.len() as u64 + bytes.len() as u64;
        if index != self.next || bytes.is_empty() || whole > self.head.len {
            let words = format!(
                "part {index} of the state, {} bytes, where part {} of {} bytes at most was expected",
                bytes.len(),
                self.next,
                self.head.len - self.bytes.len() as u64
            );
            return Err(Failure::new(Code::Protocol, words));
        }
        self.next += 1;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The state.
    #[must_use]
    pub fn into_kept(self) -> Kept {
        Kept { version: self.head.version, bytes: self.bytes }
    }
}

#[cfg(test)]
#[path = "recurring_tests.rs"]
mod tests;
