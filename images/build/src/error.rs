//! Why something could not be built.

use std::io;
use std::path::PathBuf;

/// A build that failed, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No toolchain has the sources of the standard library.
    #[error(
        "guests need a Rust toolchain of version {minimum} or later with the sources of its standard library: \
         run `rustup component add rust-src`, or on Debian `apt-get install rustc-web cargo-web rust-web-src`"
    )]
    NoToolchain {
        /// Oldest version that will do.
        minimum: &'static str,
    },
    /// A program is not there.
    #[error("program {program} is needed to build guests: on Debian `apt-get install {package}`")]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// A program ended with an error.
    #[error("{what} failed ({status}){}", said(output))]
    Failed {
        /// What it was to do.
        what: String,
        /// How it ended.
        status: String,
        /// The end of what it said; nothing if that was shown as it came.
        output: String,
    },
    /// A program could not be started.
    #[error("cannot run {program}")]
    Run {
        /// Its path.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Cargo reported something that is not what cargo reports.
    #[error("cargo's report on {what} is not understood")]
    Report {
        /// What was asked.
        what: String,
        /// Why, where it was not even JSON.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A folder has no function in it.
    #[error("{path} holds no function: {why}", path = path.display())]
    NoFunction {
        /// The folder, or its manifest.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The folder named by `HERMIT_KERNEL_DIR` holds no kernel.
    #[error("HERMIT_KERNEL_DIR is {path}, which is no checkout of the kernel: it has no Cargo.toml")]
    NoCheckout {
        /// The folder.
        path: PathBuf,
    },
    /// What was linked is not an ELF file.
    #[error("{path} is not an ELF file")]
    NotElf {
        /// The file.
        path: PathBuf,
    },
}

impl BuildError {
    /// For `map_err`: what was done to which path.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() { "; what it said is above".to_owned() } else { format!(":\n{output}") }
}
