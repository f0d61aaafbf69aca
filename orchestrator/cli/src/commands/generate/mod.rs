//! `fades generate`: what the package and the book have of the command line. Hidden, as people ask `--help`.

mod reference;

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use crate::Cli;
use crate::context::Context;
use crate::failure::{Failure, Result};

/// Subcommands of `fades generate`.
#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  fades generate completions bash > fades.bash")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write a man page per command into a folder.
    #[command(after_help = "Example:\n  fades generate man man1")]
    Man {
        /// The folder; made if it is not there.
        dir: PathBuf,
    },
    /// Print the book's reference of all commands, as Markdown.
    #[command(after_help = "Example:\n  fades generate reference > cli.md")]
    Reference,
}

impl Generate {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "fades", &mut script);
                context.output().raw(&script)
            }
            Self::Man { dir } => man(&dir),
            Self::Reference => context.output().raw(reference::of(Cli::command()).as_bytes()),
        }
    }
}

/// `fades.1`, `fades-image.1`, `fades-image-add.1` and so on.
fn man(dir: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure::system(dir.display(), &error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)
}
