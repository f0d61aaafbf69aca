//! The commands, one file per group.

mod dmf;
mod doctor;
mod explain;
mod generate;
mod image;
pub(crate) mod init;
mod issuer;
mod key;
mod source;
mod status;
mod task;
pub(crate) mod up;

use clap::Subcommand;

use crate::context::{Context, without_node};
use crate::failure::Result;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the folder of a node: settings, key, places for what it keeps.
    #[command(arg = without_node())]
    Init(init::Init),
    /// Make and list keys.
    #[command(subcommand, arg = without_node())]
    Key(key::Key),
    /// Say who may ask the node for what (on the node).
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Register where data comes from (on the node).
    #[command(subcommand)]
    Source(source::Source),
    /// Add and look at images.
    #[command(subcommand)]
    Image(image::Image),
    /// Sign, submit and follow tasks.
    #[command(subcommand)]
    Task(task::Task),
    /// Write functions: make, try, build.
    #[command(subcommand, arg = without_node())]
    Dmf(dmf::Dmf),
    /// Show what a node is and does.
    Status(status::Status),
    /// Look for what keeps this machine from running a node, and say what to do. Exits with 7 when it is not ready.
    Doctor(doctor::Doctor),
    /// Run a node in the foreground.
    #[command(arg = without_node())]
    Up(up::Up),
    /// Say what a code means.
    #[command(arg = without_node())]
    Explain(explain::Explain),
    /// Make completions, man pages and the book's reference.
    #[command(subcommand, hide = true, arg = without_node())]
    Generate(generate::Generate),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Issuer(command) => command.run(context),
            Self::Source(command) => command.run(context),
            Self::Image(command) => command.run(context),
            Self::Task(command) => command.run(context),
            Self::Dmf(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Up(command) => command.run(),
            Self::Explain(command) => command.run(context),
            Self::Generate(command) => command.run(context),
        }
    }
}
