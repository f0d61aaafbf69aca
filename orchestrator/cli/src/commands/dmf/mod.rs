//! `fades dmf`: from an idea to a function that a node runs.
//!
//! ```text
//! new --> (cargo test, dev) --> run: the real unikernel on a node of its own --> build: an image for others' nodes
//! ```

mod asked;
mod build;
mod dev;
mod ending;
mod host;
mod new;
mod plan;
mod project;
mod replay;
mod run;
mod test;
mod trial;

pub(crate) use build::packed;
pub(crate) use project::{KitOption, Where, built};

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Result;

/// Subcommands of `fades dmf`.
#[derive(Debug, Subcommand)]
pub(crate) enum Dmf {
    /// Make the crate of a new function, which compiles and passes its tests as it is.
    New(new::New),
    /// Run the function on this machine again at every change.
    Dev(dev::Dev),
    /// Run the task through the real unikernel, on a node that lives for it, and compare with this machine.
    Run(run::Run),
    /// Run the crate's tests, and recorded data on the backends that are named; the results must be equal.
    Test(test::Test),
    /// Tell what a task would read and take on a node, and whether the node would take it; nothing runs.
    Plan(plan::Plan),
    /// Build the image: signed, the same bytes from whatever folder.
    Build(build::Build),
}

impl Dmf {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::New(command) => command.run(context),
            Self::Dev(command) => command.run(context),
            Self::Run(command) => command.run(context),
            Self::Test(command) => command.run(context),
            Self::Plan(command) => command.run(context),
            Self::Build(command) => command.run(context),
        }
    }
}
