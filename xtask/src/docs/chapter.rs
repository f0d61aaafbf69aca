//! What a chapter of the book has people do, out of its blocks of code.
//!
//! | block | what a test does with it |
//! |---|---|
//! | `console` | runs each line that begins with `$ `, with the lines after it that begin with `> ` |
//! | `console background="WORDS"` | runs it beside, and goes on when it has said these words |
//! | `console ignore="WHY"` | nothing |
//! | any with `file="NAME"` | writes it into this file |
//! | `diff apply` | applies it with `patch -p1` |
//!
//! `step="NAME"` gives its time a name, and `exit=N` is the exit code of each of its commands, where it is not 0.

use anyhow::{Context, Result, bail, ensure};

/// A block that has something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its line in the chapter, counted from 1.
    pub line: usize,
    /// The name that its time has.
    pub step: Option<String>,
    /// What is to be done.
    pub deed: Deed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Run these in the first terminal, each to end with this code.
    Run {
        /// In their order.
        commands: Vec<String>,
        /// Of each.
        exit: i32,
    },
    /// Run this in a terminal of its own.
    Beside {
        /// It stays.
        command: String,
        /// It has come up when it has said this.
        says: String,
    },
    /// Write a file.
    Write {
        /// From the folder that the first terminal is in.
        file: String,
        /// All of it.
        text: String,
    },
    /// Change files by a difference.
    Apply(String),
    /// Leave it, for a reason.
    Leave(String),
}

/// The blocks of a chapter in their order; code that is only shown is not among them.
///
/// # Errors
/// A block cannot be read: its line says which.
pub fn blocks(chapter: &str) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    let mut lines = chapter.lines().zip(1..);
    while let Some((line, at)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut text = String::new();
        loop {
            let (line, _) = lines.next().with_context(|| format!("line {at}: the block has no end"))?;
            if line == "```" {
                break;
            }
            text += line;
            text.push('\n');
        }
        let read = block(info, text).with_context(|| format!("line {at}"))?;
        found.extend(read.map(|(step, deed)| Block { line: at, step, deed }));
    }
    Ok(found)
}

fn block(info: &str, text: String) -> Result<Option<(Option<String>, Deed)>> {
    let mut words = words(info)?.into_iter();
    let kind = words.next().map(|(key, _)| key).unwrap_or_default();
    let (mut step, mut exit, mut file, mut says, mut leave, mut apply) =
        (None, None, None, None, None, false);
    for (key, value) in words {
        match (key.as_str(), value) {
            ("step", value @ Some(_)) => step = value,
            ("exit", Some(value)) => exit = Some(value.parse().context("exit is a number")?),
            ("file", value @ Some(_)) => file = value,
            ("background", value @ Some(_)) => says = value,
            ("ignore", value @ Some(_)) => leave = value,
            ("apply", None) => apply = true,
            (key, _) => bail!("a block has no attribute {key}, or not like this"),
        }
    }
    let deed = match (kind.as_str(), file, leave, says) {
        ("console", None, Some(why), None) => Deed::Leave(why),
        ("console", None, None, says) => {
            let mut commands = commands(&text)?;
            match says {
                None => Deed::Run { commands, exit: exit.unwrap_or(0) },
                Some(says) => {
                    ensure!(commands.len() == 1, "{} commands for one terminal", commands.len());
                    Deed::Beside { command: commands.remove(0), says }
                }
            }
        }
        ("diff", None, None, None) if apply => Deed::Apply(text),
        (_, Some(file), None, None) => Deed::Write { file, text },
        // An attribute that nobody heeds would be a promise that nobody keeps.
        _ => {
            ensure!(step.is_none() && exit.is_none(), "a block that is only shown has no attributes");
            return Ok(None);
        }
    };
    Ok(Some((step, deed)))
}

/// Words of an info string: `key`, `key=value` or `key="some value"`.
fn words(info: &str) -> Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    let mut rest = info.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            None => (None, after),
            Some(after) => match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, after) = quoted.split_once('"').context("a quote has no end")?;
                    (Some(value), after)
                }
                None => {
                    let (value, after) = after.split_at(after.find(' ').unwrap_or(after.len()));
                    (Some(value), after)
                }
            },
        };
        found.push((key.to_owned(), value.map(str::to_owned)));
        rest = after.trim_start();
    }
    Ok(found)
}

fn commands(text: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut shown = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(command.to_owned());
            shown = false;
        } else if let (Some(more), Some(last), false) = (line.strip_prefix("> "), found.last_mut(), shown) {
            last.push('\n');
            last.push_str(more);
        } else {
            // what it prints, or some of it
            shown = true;
        }
    }
    ensure!(!found.is_empty(), "it has no line that begins with `$ `");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeds(chapter: &str) -> Vec<Deed> {
        blocks(chapter).unwrap().into_iter().map(|block| block.deed).collect()
    }

    #[test]
    fn blocks_are_read_as_they_are_written() {
        let chapter = "# A\n\n```console step=\"one two\" exit=3\n$ a b\nsaid\n$ c \\\n> d\nsaid\n```\ntext\n```toml file=\"x.toml\"\nk = 1\n```\n\
                       ```console background=\"up now\"\n$ serve\n```\n```rust\nfn main() {}\n```\n```diff apply\n-a\n+b\n```\n\
                       ```console ignore=\"no root\"\n$ sudo x\n```\n";
        let run = Deed::Run { commands: vec!["a b".into(), "c \\\nd".into()], exit: 3 };
        assert_eq!(
            deeds(chapter),
            [
                run,
                Deed::Write { file: "x.toml".into(), text: "k = 1\n".into() },
                Deed::Beside { command: "serve".into(), says: "up now".into() },
                Deed::Apply("-a\n+b\n".into()),
                Deed::Leave("no root".into()),
            ]
        );
        let first = &blocks(chapter).unwrap()[0];
        assert_eq!((first.line, first.step.as_deref()), (3, Some("one two")));
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_line() {
        for (chapter, words) in [
            ("\n```console\nno prompt\n```\n", "line 2"),
            ("```console\n$ a\n", "has no end"),
            ("```console exti=1\n$ a\n```\n", "no attribute exti"),
            ("```console background=x\n$ a\n$ b\n```\n", "2 commands"),
            ("```rust step=x\n```\n", "only shown"),
            ("```console step=\"x\n$ a\n```\n", "quote"),
        ] {
            let error = format!("{:#}", blocks(chapter).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
