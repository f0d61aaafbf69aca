//! `fades`: the command line. Data goes to stdout, everything else to stderr; the exit code says what came of it.
//!
//! One file per group of commands under [`commands`], each with its arguments, what it asks a node, and how it
//! shows the answer. To add a command: its arguments and `run` there, its line in [`commands::Command`].

#![forbid(unsafe_code)]

mod commands;
mod context;
mod exit;
mod failure;
mod files;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::context::{Context, Options};

/// Fine-grained edge offloading: sign small tasks, send them to where the data is, check what comes back.
#[derive(Debug, Parser)]
#[command(name = "fades", version, max_term_width = 110, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let context = Context::new(options);
    match command.run(&context) {
        Ok(()) => exit::Exit::Done.into(),
        Err(failure) => {
            context.output().failure(&failure);
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    /// Walks the tree of commands: `--help` of each one that does something ends with an example.
    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path}{}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(|sub| walk(sub, &format!("{path} ")));
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("fades "), "{path} has no example");
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty(), "{path} does not say what it does");
            }
        }
        walk(&Cli::command(), "");
    }

    #[test]
    fn examples_in_help_parse() {
        fn walk(command: &clap::Command, seen: &mut usize) {
            for sub in command.get_subcommands() {
                walk(sub, seen);
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter_map(|line| line.trim().strip_prefix("fades "));
            for example in examples {
                let words = example.split(" > ").next().unwrap_or_default().split_whitespace();
                let parsed = Cli::try_parse_from(std::iter::once("fades").chain(words));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                *seen += 1;
            }
        }
        let mut seen = 0;
        walk(&Cli::command(), &mut seen);
        assert!(seen > 15, "{seen}");
    }

    /// What the catalogue of codes tells people to type exists.
    #[test]
    fn commands_in_the_catalogue_exist() {
        let mut seen = 0;
        for entry in fades_api::codes::entries() {
            let text = format!("{} {}", entry.hint, entry.explanation);
            for quoted in
                text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("fades "))
            {
                let mut command = Cli::command();
                for word in quoted.split_whitespace() {
                    if !command.has_subcommands() || word.starts_with('-') {
                        break;
                    }
                    let found = command.find_subcommand(word).cloned();
                    command = found.unwrap_or_else(|| panic!("{}: no `fades {quoted}`", entry.code));
                }
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn misuse_exits_with_2() {
        for words in [
            &["fades", "tsak"][..],
            &["fades", "task", "get"],
            &["fades", "-o", "xml", "status"],
            &["fades", "task", "get", "not-a-ulid"],
            &["fades", "--node", "ftp://x", "status"],
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
