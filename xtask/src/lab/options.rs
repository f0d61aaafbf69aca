//! How a lab is asked for: `NAME [--limit SECONDS] [--linux] [--shell | -- COMMAND]`.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Lab, Run};

/// What is run, where, and for how long at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub(super) lab: Lab,
    pub(super) run: Run,
    /// The whole life of the machine; without it a limit of the lab's own, and none for a console.
    pub(super) limit: Option<Duration>,
    /// Whether a Linux guest is put in, for figures.
    pub(super) linux: bool,
}

impl Options {
    /// All tests of a lab.
    #[must_use]
    pub const fn tests(lab: Lab) -> Self {
        Self { lab, run: Run::Tests, limit: None, linux: false }
    }

    /// Reads them.
    ///
    /// # Errors
    /// There is no such lab, or an option is unknown.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let Some((name, mut words)) = words.split_first() else { bail!("which lab?") };
        let mut options = Self::tests(Lab::named(name).with_context(|| format!("there is no lab {name}"))?);
        loop {
            match words {
                [] => return Ok(options),
                ["--limit", seconds, rest @ ..] => {
                    let limit = seconds.parse().with_context(|| format!("--limit {seconds} is no number"))?;
                    options.limit = Some(Duration::from_secs(limit));
                    words = rest;
                }
                ["--linux", rest @ ..] => {
                    options.linux = true;
                    words = rest;
                }
                ["--shell"] => {
                    options.run = Run::Shell;
                    return Ok(options);
                }
                ["--", command @ ..] if !command.is_empty() => {
                    options.run = Run::Command(command.join(" "));
                    return Ok(options);
                }
                [other, ..] => {
                    bail!("a lab has --limit SECONDS, --linux and --shell or -- COMMAND, and no {other}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_measures_gets_the_programs_as_they_are_shipped() {
        let command = |words: &str| Run::Command(words.to_owned());
        assert!(command("xtask machines 3; xtask figures stages --mib 1.5").measures());
        assert!(!command("xtask machines 3").measures() && !Run::Tests.measures());
    }

    #[test]
    fn options_are_read_and_strict() {
        let tests = Options::tests(Lab::Kvm);
        assert_eq!(Options::parse(&["kvm"]).unwrap(), tests);
        let limit = Some(Duration::from_secs(9));
        let all = Options { run: Run::Command("sleep 1".to_owned()), limit, linux: true, ..tests };
        assert_eq!(Options::parse(&["kvm", "--limit", "9", "--linux", "--", "sleep", "1"]).unwrap(), all);
        for wrong in
            [&[][..], &["vax"], &["kvm", "--limit"], &["kvm", "--limit", "x"], &["kvm", "--"], &["kvm", "ls"]]
        {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
