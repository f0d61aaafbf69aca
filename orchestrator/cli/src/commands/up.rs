//! `fades up`: becomes `fadesd`, so that signals and the terminal are the daemon's.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use fades_api::codes;

use crate::context::SOCKET;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The daemon's program.
const PROGRAM: &str = "fadesd";

/// Arguments of `fades up`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades up ./edge-1")]
pub(crate) struct Up {
    /// The node's folder.
    dir: PathBuf,
}

impl Up {
    pub(super) fn run(self) -> Result<()> {
        if !self.dir.join("fades.toml").is_file() {
            let message = format!("{} has no fades.toml", self.dir.display());
            return Err(Failure::new(codes::NOT_A_NODE_FOLDER, message));
        }
        let socket = self.dir.join(SOCKET);
        // only to say it better: what keeps a second daemon out is its own lock on the folder
        if UnixStream::connect(&socket).is_ok() {
            let message = format!("a fadesd answers at {} already", socket.display());
            return Err(Failure::new(codes::NODE_RUNNING_ALREADY, message));
        }
        let program = beside(PROGRAM).unwrap_or_else(|| PathBuf::from(PROGRAM));
        let error = Command::new(&program).arg(&self.dir).exec();
        let failure = Failure::system(format!("{} could not be started", program.display()), &error);
        Err(Failure { exit: Exit::NotReady, ..failure }.hint("Put fadesd beside fades, or into PATH."))
    }
}

/// A program in the folder of this one.
pub(crate) fn beside(program: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own.parent().map(Path::to_owned)?.join(program);
    path.is_file().then_some(path)
}
