//! Where answers go: data to stdout, as a table or as JSON; everything else to stderr.

mod table;
mod words;

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::context::Format;
use crate::failure::{Failure, Result};

pub(crate) use table::Table;
pub(crate) use words::{bytes, count, counted, micros, plain, short_digest};

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether programs read along.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether somebody watches stderr, so that progress is worth showing.
    pub(crate) fn shows_progress(self) -> bool {
        !self.is_json() && std::io::stderr().is_terminal()
    }

    /// Prints an answer: the value itself as JSON, or what `text` makes of it.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        match self.format {
            Format::Table => self.raw(text(value).as_bytes()),
            Format::Json => {
                let mut json = serde_json::to_vec_pretty(value)
                    .map_err(|error| Failure::system("the answer could not be written as JSON", &error))?;
                json.push(b'\n');
                self.raw(&json)
            }
        }
    }

    /// Prints one of many answers: a line of JSON, or what `text` makes of it.
    pub(crate) fn line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let mut line = match self.format {
            Format::Table => text(value),
            Format::Json => serde_json::to_string(value)
                .map_err(|error| Failure::system("the answer could not be written as JSON", &error))?,
        };
        line.push('\n');
        self.raw(line.as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // whoever read has seen enough
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| Failure::system("stdout", &error)),
        }
    }

    /// Says something that is not data.
    pub(crate) fn note(self, words: &str) {
        // nobody is left to tell when stderr is gone
        let _gone = writeln!(std::io::stderr().lock(), "{}", plain(words));
    }

    /// Shows a state that the next one overwrites; `None` clears the line. On a terminal only.
    pub(crate) fn progress(self, words: Option<&str>) {
        if self.shows_progress() {
            let mut stderr = std::io::stderr().lock();
            let _gone = write!(stderr, "\r\x1b[2K{}", plain(words.unwrap_or_default()));
            let _gone = stderr.flush();
        }
    }

    /// Says why a command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        self.progress(None);
        if self.is_json()
            && let Ok(json) = serde_json::to_string(&failure.document())
        {
            return self.note(&json);
        }
        match failure.code {
            Some(code) => self.note(&format!("fades: {code}: {}", failure.message)),
            None => self.note(&format!("fades: {}", failure.message)),
        }
        if !failure.hint.is_empty() {
            self.note(&format!("  {}", failure.hint));
        }
    }
}
