//! `fades explain`: the catalogue of codes, offline.

use clap::Args;
use fades_api::codes::{self, Entry};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Table;

/// Arguments of `fades explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades explain E1203")]
pub(crate) struct Explain {
    /// The code, such as E1203; without it, all are listed.
    code: Option<String>,
}

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let Some(code) = &self.code else {
            let all: Vec<&Entry> = codes::entries().collect();
            return context.output().show(&all, |all| {
                let mut table = Table::new(&["code", "what"]);
                all.iter().for_each(|entry| table.row([entry.code.to_string(), entry.title.to_owned()]));
                table.text()
            });
        };
        let Some(entry) = codes::lookup(code) else {
            let failure = Failure::usage(format!("no code {code:?} in this version"));
            return Err(Failure { exit: Exit::NotFound, ..failure }.hint("`fades explain` alone lists all."));
        };
        context.output().show(entry, |entry| {
            let Entry { code, title, explanation, hint, .. } = entry;
            format!("{code}: {title}\n\n{explanation}\n\nWhat to do: {hint}\n")
        })
    }
}
