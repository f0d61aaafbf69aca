//! `xl`, Xen's own program for domains, as a child process: bare arguments, an environment of its own, a deadline.

mod end;
mod error;
mod info;
mod monitor;
mod run;

pub use end::{End, Reason};
pub use error::XlError;
pub use info::{Info, Listed};
pub use monitor::Monitor;

use crate::config::FilePath;
use crate::{DomainConfig, DomainName, host};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where `xl` is looked for, and what it is given to find its own helpers by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The oldest Xen that this was made for: older ones have other names for PVH's options.
const OLDEST: (u32, u32) = (4, 14);
/// How long a command that builds nothing may take. Destroying waits for backends and their scripts.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `xl`.
#[derive(Debug, Clone)]
pub struct Xl {
    program: PathBuf,
    patience: Duration,
}

impl Xl {
    /// Finds `xl` on a host that is a Xen dom0, new enough, and able to run PVH domains.
    ///
    /// # Errors
    /// [`XlError::NotDom0`], [`XlError::Missing`], [`XlError::TooOld`], [`XlError::NoHvm`], or what running it gives.
    pub fn find() -> Result<(Self, Info), XlError> {
        host::check(Path::new("/"))?;
        let program = PATH.split(':').map(|folder| Path::new(folder).join("xl")).find(|path| path.is_file());
        let xl = Self::at(program.ok_or_else(|| XlError::Missing { looked: PATH.to_owned() })?);
        let info = xl.info()?;
        if info.version < OLDEST {
            return Err(XlError::TooOld { major: info.version.0, minor: info.version.1 });
        }
        if !info.has_hvm() {
            return Err(XlError::NoHvm { caps: info.caps });
        }
        Ok((xl, info))
    }

    /// The `xl` at this path, unchecked.
    #[must_use]
    pub fn at(program: PathBuf) -> Self {
        Self { program, patience: PATIENCE }
    }

    /// The same with another deadline for each command.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the host is and has.
    ///
    /// # Errors
    /// What running `xl info` gives.
    pub fn info(&self) -> Result<Info, XlError> {
        let output = self.run(&["info"])?;
        Info::parse(&output).map_err(|missing| XlError::Output { what: "xl info".to_owned(), missing })
    }

    /// All domains of the host, dom0 included.
    ///
    /// # Errors
    /// What running `xl list` gives.
    pub fn list(&self) -> Result<Vec<Listed>, XlError> {
        let output = self.run(&["list"])?;
        Listed::parse(&output).map_err(|missing| XlError::Output { what: "xl list".to_owned(), missing })
    }

    /// Destroys a domain now, whatever it does, and waits until it is gone. Whether there was one of this name.
    ///
    /// # Errors
    /// What running `xl destroy` gives.
    pub fn destroy(&self, name: &DomainName) -> Result<bool, XlError> {
        match self.run(&["destroy", name.as_str()]) {
            Ok(_) => Ok(true),
            // "NAME is an invalid domain identifier (rc=-6)": there is none of that name.
            Err(XlError::Failed { last, .. }) if last.contains("invalid domain identifier") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The command that builds the domain of the configuration at `config` and stays with it, for
    /// [`Monitor::spawn`]. Descriptors that the configuration names must be made heritable by whoever spawns it.
    #[must_use]
    pub fn create(&self, config: &FilePath) -> Command {
        let mut command = self.command();
        command.args(["create", "-F", "-q", "-f", config.as_str()]).stdin(Stdio::null());
        command
    }

    /// Why a domain was not built, from what its monitor said.
    #[must_use]
    pub fn refusal(&self, config: &DomainConfig, said: &str) -> XlError {
        let (name, last) = (config.name.to_string(), telling_line(said));
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if has(&[
            "failed to free memory for the domain",
            "not enough memory",
            "Cannot allocate memory",
            "Could not allocate memory",
            "allocate low memory",
            "Out of memory",
            "failed to allocate memory",
        ]) {
            // A host that cannot say what it has left has a worse trouble, which the next command tells.
            let free = self.info().ok().map(|info| info.free_mib);
            return XlError::Memory { name, wanted: config.memory.get(), free };
        }
        if has(&[
            "config parsing error",
            "Failed to parse config",
            "parse error",
            "Invalid parameter",
            "unrecognized argument",
        ]) {
            return XlError::Config { name, last };
        }
        XlError::Failed { what: format!("xl create of domain {name}"), last }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/");
        command
    }

    /// Runs a command to its end and gives what it printed.
    fn run(&self, arguments: &[&str]) -> Result<String, XlError> {
        let mut command = self.command();
        command.args(arguments);
        let what = || format!("xl {}", arguments.join(" "));
        let failed = |source| XlError::Run { program: self.program.clone(), source };
        let output = run::run(command, self.patience).map_err(failed)?;
        let output = output.ok_or_else(|| XlError::Slow { what: what(), after: self.patience })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let last = [&output.stderr, &output.stdout]
            .map(|text| last_line(text))
            .into_iter()
            .find(|line| !line.is_empty());
        Err(XlError::Failed { what: what(), last: last.unwrap_or_else(|| output.status.to_string()) })
    }
}

/// The line of what `xl` said that tells most: the first that names an error, as what follows is only how libxl clears
/// up behind it; or the last that says something. Cut at 300 characters.
#[must_use]
pub fn telling_line(said: &str) -> String {
    match said.lines().find(|line| line.contains("error")) {
        Some(line) => cut(line),
        None => last_line(said),
    }
}

/// The last line that says something.
fn last_line(text: &str) -> String {
    cut(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default())
}

fn cut(line: &str) -> String {
    line.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}
