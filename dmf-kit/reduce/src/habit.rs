//! What a function does about its state: nothing, or what [`Recurring`] says. The unikernel and the testkit run functions by this, so
//! that a period is the same in both.

use fades_wire::failure::{Code, Failure};

use crate::function::Function;
use crate::recurring::{Kept, Recurring, resume};
use crate::session::start;

/// What a function does about its state.
pub trait Habit<F> {
    /// Makes the function for one task.
    ///
    /// # Errors
    /// [`Code::Parameters`], or [`Code::State`] when what was kept is not for it.
    fn begin(parameters: &str, kept: Option<&Kept>) -> Result<F, Failure>;

    /// What it wants kept, within so many bytes.
    ///
    /// # Errors
    /// [`Code::State`]: too large, or not to be written.
    fn keep(function: &F, limit: u64) -> Result<Option<Kept>, Failure>;
}

/// It has none; it may be run again and again all the same.
#[derive(Debug)]
pub enum Forgets {}

impl<F: Function> Habit<F> for Forgets {
    fn begin(parameters: &str, kept: Option<&Kept>) -> Result<F, Failure> {
        match kept {
            None => start(parameters),
            Some(_) => Err(Failure::new(Code::State, "there is a state, and this function keeps none")),
        }
    }

    fn keep(_: &F, _: u64) -> Result<Option<Kept>, Failure> {
        Ok(None)
    }
}

/// It has one.
#[derive(Debug)]
pub enum Remembers {}

impl<F: Recurring> Habit<F> for Remembers {
    fn begin(parameters: &str, kept: Option<&Kept>) -> Result<F, Failure> {
        resume(parameters, kept)
    }

    fn keep(function: &F, limit: u64) -> Result<Option<Kept>, Failure> {
        Kept::of(function, limit).map(Some)
    }
}
