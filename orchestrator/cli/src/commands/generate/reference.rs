//! The book's chapter of commands, out of the tree that reads them.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command};

/// The whole chapter.
pub(super) fn of(mut root: Command) -> String {
    root.build();
    let mut page = "# Commands\n\nAs `--help` says it; made of the same table.\n".to_owned();
    let everywhere = root.get_arguments().filter(|arg| arg.is_global_set() && !arg.is_hide_set());
    page += "\nEvery command takes these, and `-h` or `--help`:\n\n";
    everywhere.for_each(|arg| page += &argument(arg));
    if let Some(words) = root.get_after_help() {
        let _ = writeln!(page, "\n{words}");
    }
    root.get_subcommands().for_each(|command| section(command, "fades", &mut page));
    page
}

/// A command with all that is below it.
fn section(command: &Command, above: &str, page: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let path = format!("{above} {}", command.get_name());
    let depth = "#".repeat(path.split(' ').count().min(4));
    // writing to a String does not fail
    let _ = writeln!(page, "\n{depth} {path}\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(page, "{}", prose(about));
    }
    if !command.has_subcommands() {
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    }
    let own = command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help" && arg.get_id() != "version"
    });
    own.for_each(|arg| *page += &argument(arg));
    if let Some(after) = command.get_after_help() {
        let _ = writeln!(page, "\n```text\n{}\n```", after.to_string().trim_end());
    }
    command.get_subcommands().for_each(|sub| section(sub, &path, page));
}

/// A line of a list: the argument, what it means, what holds without it.
fn argument(arg: &Arg) -> String {
    // As `--help` shows it; a flag that may be repeated or left out has that in its usage.
    let name = arg.to_string();
    let mut line = format!("- `{name}`");
    if let Some(short) = arg.get_short().filter(|_| arg.get_long().is_some()) {
        let _ = write!(line, ", `-{short}`");
    }
    if let Some(help) = arg.get_long_help().or(arg.get_help()) {
        let _ = write!(line, ": {}", prose(help));
    }
    let named = arg.get_possible_values();
    let named: Vec<&str> =
        named.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    if !named.is_empty() && arg.get_action().takes_values() {
        let _ = write!(line, " One of `{}`.", named.join("`, `"));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(line, " Default: `{}`.", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(line, " Also by the variable `{}`.", variable.display());
    }
    line.push('\n');
    line
}

/// Help as Markdown: what Markdown would read as its own is escaped, outside of backquotes.
fn prose(help: &StyledStr) -> String {
    let text = help.to_string().replace('\n', " ");
    let mut out = String::with_capacity(text.len());
    for (at, piece) in text.split('`').enumerate() {
        if at > 0 {
            out.push('`');
        }
        for letter in piece.chars() {
            if at % 2 == 0 && matches!(letter, '<' | '*' | '_' | '[' | ']') {
                out.push('\\');
            }
            out.push(letter);
        }
    }
    if !out.ends_with('.') {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_that_is_shown_has_its_place() {
        fn walk(command: &Command, above: &str, page: &str, seen: &mut usize) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            {
                let path = format!("{above} {}", sub.get_name());
                assert!(page.contains(&format!("# {path}\n")), "{path}");
                for arg in sub.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set()) {
                    if let Some(long) = arg.get_long().filter(|long| *long != "help") {
                        assert!(page.contains(&format!("`--{long}")), "{path} --{long}");
                    }
                }
                *seen += 1;
                walk(sub, &path, page, seen);
            }
        }
        let page = of(crate::Cli::command());
        let mut seen = 0;
        walk(&crate::Cli::command(), "fades", &page, &mut seen);
        assert!(seen > 30, "{seen}");
        assert!(!page.contains("fades generate"), "hidden");
    }

    #[test]
    fn markdown_is_escaped_outside_of_backquotes() {
        assert_eq!(prose(&"a_b <c> `d_e`".into()), "a\\_b \\<c> `d_e`.");
    }
}
