//! `fades task submit`: hand a wrapper to a node and, if asked, stay until its end.

use std::path::{Path, PathBuf};

use clap::Args;
use fades_api::client::Client;
use fades_api::http::{Accepted, ResultDocument};
use fades_api::task::TaskDraft;
use fades_envelope::SigningKey;
use jiff::SignedDuration;

use super::draft::{Completing, Input, read_input, seal};
use super::{follow, result, span};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::Table;

/// Arguments of `fades task submit`.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The task as TOML or JSON, or an envelope that is signed already.
    file: PathBuf,
    /// The issuer's key. It signs the task, unless the file is signed already, and over TCP the requests of --wait.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Stay until the task ends, and print what it gave. Its end decides the exit code.
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this long; the task goes on.
    #[arg(long, value_name = "SPAN", requires = "wait", value_parser = span)]
    timeout: Option<SignedDuration>,
    #[command(flatten)]
    completing: Completing,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let envelope = self.envelope(context)?;
        let client = context.signing_client(self.key.as_deref())?;
        if !self.wait {
            let accepted = context.run(async { Ok(client.submit(envelope).await?) })?;
            return context.output().show(&accepted, |Accepted { task, state, .. }| {
                Table::facts([("task", task.to_string()), ("state", state.to_string())]).text()
            });
        }
        let document = context.run(wait(context, &client, envelope, self.timeout))?;
        result::show(context.output(), &document)
    }

    fn envelope(&self, context: &Context) -> Result<Vec<u8>> {
        match read_input(&self.file)? {
            Input::Envelope(envelope) => Ok(envelope),
            Input::Draft(draft) => {
                let Some(path) = &self.key else {
                    return Err(
                        Failure::usage("a draft must be signed").hint("Give the issuer's key: --key FILE.")
                    );
                };
                let key = SigningKey::read(path)?;
                let wrapper = self.completing.complete(context, &draft, &key, path)?;
                seal(&key, &wrapper)
            }
        }
    }
}

/// Signs a draft, submits it, and waits for what it gives.
pub(crate) fn carry_out(
    context: &Context,
    draft: &TaskDraft,
    key_path: &Path,
    completing: &Completing,
) -> Result<ResultDocument> {
    let key = SigningKey::read(key_path)?;
    let wrapper = completing.complete(context, draft, &key, key_path)?;
    let client = context.signing_client(Some(key_path))?;
    context.run(wait(context, &client, seal(&key, &wrapper)?, None))
}

async fn wait(
    context: &Context,
    client: &Client,
    envelope: Vec<u8>,
    timeout: Option<SignedDuration>,
) -> Result<ResultDocument> {
    let output = context.output();
    let Accepted { task, .. } = client.submit(envelope).await?;
    // at once: whatever becomes of this process, the task goes on under this id
    output.note(&format!("task {task} is accepted"));
    let result = async {
        let ended = follow::to_the_end(output, client, task, timeout).await?;
        follow::verdict(&ended)?;
        Ok(client.result(task).await?)
    };
    result.await.map_err(|failure: Failure| failure.after_accepting(task))
}
