//! Why `xl` did not do what was asked, in words that a person can act on.

use std::path::PathBuf;
use std::time::Duration;

/// One variant for each thing that somebody would do something about.
#[derive(Debug, thiserror::Error)]
pub enum XlError {
    /// Domains are not controlled from here.
    #[error("this is not the control domain of a Xen host: {found}")]
    NotDom0 {
        /// What was found.
        found: &'static str,
    },
    /// There is no `xl`.
    #[error("Xen's toolstack is missing: no xl in {looked}; on Debian, install xen-utils")]
    Missing {
        /// Where it was looked for.
        looked: String,
    },
    /// The Xen that runs is older than what this was made for.
    #[error("Xen {major}.{minor} is too old: 4.14 or newer is needed")]
    TooOld {
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// The processor cannot run PVH domains, or Xen may not use what it has.
    #[error("this host cannot run PVH domains: no hardware virtualisation in its xen_caps ({caps})")]
    NoHvm {
        /// What it can run.
        caps: String,
    },
    /// There is not enough memory for a domain.
    #[error("no memory for domain {name}: it wants {wanted} MiB, {}", free_words(*free))]
    Memory {
        /// The domain.
        name: String,
        /// What it wants, in MiB.
        wanted: u32,
        /// What the host had free afterwards, in MiB, where known.
        free: Option<u64>,
    },
    /// `xl` does not take the configuration.
    #[error("xl refuses the configuration of domain {name}: {last}")]
    Config {
        /// The domain.
        name: String,
        /// The line of what `xl` said that tells most.
        last: String,
    },
    /// It took too long and was ended.
    #[error("{what} took longer than {} ms", after.as_millis())]
    Slow {
        /// What was run.
        what: String,
        /// How long it was given.
        after: Duration,
    },
    /// It failed in a way of its own.
    #[error("{what} failed: {last}")]
    Failed {
        /// What was run.
        what: String,
        /// What it said last, or first of errors when it built something.
        last: String,
    },
    /// What it wrote cannot be understood.
    #[error("output of {what} has no {missing}")]
    Output {
        /// What was run.
        what: String,
        /// What was looked for in it.
        missing: &'static str,
    },
    /// It could not be run.
    #[error("could not run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

fn free_words(free: Option<u64>) -> String {
    free.map_or_else(
        || "and the host has not that much".to_owned(),
        |free| format!("the host has {free} MiB free"),
    )
}
