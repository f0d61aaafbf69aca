//! `fades doctor`: looks at everything a node needs, and says what to do about what is missing.

mod building;
mod host;
mod mend;
mod node;

use std::path::PathBuf;

use clap::Args;
use fades_api::codes::Code;
use serde::Serialize;

use self::mend::Mend;
use crate::commands::dmf::KitOption;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Table;

/// Arguments of `fades doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades doctor ./edge-1")]
pub(crate) struct Doctor {
    /// The node's folder, where --node does not name it.
    dir: Option<PathBuf>,
    /// Mend what can be mended from here, without asking; what is run is shown first.
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    kit: KitOption,
}

/// How one thing looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Works, but not as well as it could.
    Warn,
    /// Keeps the node from working.
    Fail,
}

/// What was found of one thing.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// What to do; empty when all is well.
    #[serde(rename = "do", skip_serializing_if = "String::is_empty")]
    advice: String,
    /// What mends it, where that can be done from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<Mend>,
}

impl Finding {
    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, detail, "")
    }

    fn warn(what: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(what, Verdict::Warn, detail, advice)
    }

    fn fail(what: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fail, detail, advice)
    }

    /// A fault with the catalogue's advice.
    fn coded(what: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::fail(what, detail, code.hint()) }
    }

    fn new(
        what: impl Into<String>,
        verdict: Verdict,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            verdict,
            detail: detail.into(),
            code: None,
            advice: advice.into(),
            mend: None,
        }
    }
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    findings: Vec<Finding>,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let findings = self.examine(context)?;
        let commands = mend::commands(&findings, rustix::process::geteuid().is_root());
        // What was mended is looked at again; what was found before is no longer of interest.
        let findings = match mend::offer(context.output(), &commands, self.mend)? {
            true => self.examine(context)?,
            false => findings,
        };
        tell(context, findings)
    }

    fn examine(&self, context: &Context) -> Result<Vec<Finding>> {
        let folder = match &self.dir {
            Some(dir) => Some(dir.clone()),
            None => context.folder()?,
        };
        let settings = folder.as_deref().map(host::Settings::read).unwrap_or_default();
        let mut findings = host::examine(&settings);
        if let Some(folder) = &folder {
            findings.extend(host::folder(folder));
        }
        let address = match &self.dir {
            Some(dir) => context.address_in(dir)?,
            None => context.address()?,
        };
        findings.extend(context.run(async { Ok(node::examine(address).await) })?);
        findings.extend(building::examine(&self.kit));
        Ok(findings)
    }
}

fn tell(context: &Context, findings: Vec<Finding>) -> Result<()> {
    let faults: Vec<&str> =
        findings.iter().filter(|f| f.verdict == Verdict::Fail).map(|f| f.what.as_str()).collect();
    let words = format!("not ready: {}", faults.join(", "));
    let ready = faults.is_empty();
    let report = Report { ready, findings };
    context.output().show(&report, describe)?;
    if ready {
        return Ok(());
    }
    let code = report.findings.iter().filter(|f| f.verdict == Verdict::Fail).find_map(|finding| finding.code);
    Err(Failure { exit: Exit::NotReady, code, message: words, hint: String::new(), task: None })
}

fn describe(report: &Report) -> String {
    let mut table = Table::default();
    for Finding { what, verdict, detail, advice, .. } in &report.findings {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        table.row([verdict, what, detail]);
        if !advice.is_empty() {
            table.row(["", "", &format!("-> {advice}")]);
        }
    }
    table.text()
}
