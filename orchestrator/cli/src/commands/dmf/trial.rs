//! A node that lives for a few tasks: made, filled, asked and ended by the same programs that an operator uses.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use fades_api::codes::{self, Code};
use fades_api::http::{PeriodList, PeriodState};
use fades_envelope::{SigningKey, prove};
use fades_image_build::Architecture;
use fades_pack::{Description, MAX_IMAGE, Role};
use fades_points::Fixture;
use serde_json::Value;

use super::asked::Question;
use super::build::Packed;
use super::ending::Ending;
use super::project::{Project, built};
use super::replay;
use crate::commands::init::Backend;
use crate::commands::task::{DebugReport, debug_text};
use crate::commands::up::beside;
use crate::context::SOCKET;
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::files;

/// Time for daemon and broker to come up, emulated, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time for a guest that has failed its task to end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of a node's log that are shown when it fails.
const LAST_LINES: usize = 8;
/// Least memory of the broker, MiB, as its shipped image has it.
const BROKER_MIB: u32 = 64;
/// What the one issuer may do: everything that a node can give.
const POLICY: &str = "memory_mib = 1024\ntimeout_ms = 3600000\npriority = 9\nresult_bytes = 4194304\noperations = 64\n\
                      range_s = 3153600000\nlife_s = 86400\ntasks = 16\nper_minute = 6000\nburst = 1000\n\
                      periods = 1000000\nstate_bytes = 262144\n";

/// How long a task may take, all its periods together; within the policy's `life_s`.
const VALID: &str = "23h";

/// A running node in a folder of its own; ended and removed when dropped.
pub(super) struct Trial {
    ending: Ending,
    folder: PathBuf,
    image: String,
    /// The debug file of its function.
    debug: PathBuf,
}

/// What a task gave.
pub(super) struct Outcome {
    /// One, or one of each period.
    pub(super) answers: Vec<Answer>,
    pub(super) backend: String,
    pub(super) memory_mib: u64,
    /// Most bytes on the function's heap at once, where it counts them.
    pub(super) heap_peak_bytes: Option<u64>,
    /// Of the last one.
    pub(super) timings_us: Value,
}

impl Outcome {
    /// What was read in all.
    pub(super) fn points(&self) -> u64 {
        self.answers.iter().map(|answer| answer.points).sum()
    }
}

/// A result, and of how many points it is: what must be the same everywhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) result: Value,
    pub(super) points: u64,
}

impl Answer {
    /// Out of a node's document.
    fn of(document: &Value) -> Self {
        let points = document["operations"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|operation| operation["points"].as_u64());
        Self { result: document["result"].clone(), points: points.sum() }
    }
}

impl Trial {
    /// Starts one with a broker that `key` has signed.
    pub(super) fn start(
        project: &Project,
        backend: Backend,
        key: &SigningKey,
        ending: &Ending,
    ) -> Result<Self> {
        let builder = project.builder(false);
        let read = |path: PathBuf| files::read(&path, MAX_IMAGE);
        let loader = read(builder.loader().map_err(|error| built(&error))?)?;
        let broker = read(builder.guest("fades-drb").map_err(|error| built(&error))?)?;
        let (ending, folder) = (ending.clone(), ending.folder()?);
        let trial = Self { ending, folder, image: String::new(), debug: PathBuf::new() };
        let node = trial.path("node");
        let word = backend.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        trial.own(None, &["init", text(&node)?, "--name", "trial", "--local-only", "--backend", &word])?;
        set(project.target, &node)?;
        trial.daemon(&node)?;
        trial.answers()?;
        trial.broker((&loader, &broker), project, key)?;
        Ok(trial)
    }

    fn broker(
        &self,
        (loader, application): (&[u8], &[u8]),
        project: &Project,
        key: &SigningKey,
    ) -> Result<()> {
        let refused =
            |error: &dyn std::error::Error| Failure::usage(format!("the broker's image: {}", chain(error)));
        let description = Description {
            name: "drb".parse().map_err(|error: fades_pack::NameError| refused(&error))?,
            version: env!("CARGO_PKG_VERSION")
                .parse()
                .map_err(|error: fades_pack::VersionError| refused(&error))?,
            role: Role::Drb,
            architecture: project.packed_for(),
            minimum_memory_mib: BROKER_MIB,
            function: None,
        };
        let image =
            fades_pack::pack(&description, loader, application, key).map_err(|error| refused(&error))?;
        let proof = prove(key, "trial").map_err(|error| Failure::system("the key's proof", &error))?;
        files::create(&self.path("signer.pub"), &proof, 0o644)?;
        self.add("drb", &image)
    }

    fn add(&self, name: &str, image: &[u8]) -> Result<()> {
        let file = self.path(&format!("{name}.img"));
        files::create(&file, image, 0o600)?;
        self.fades(&["image", "add", text(&file)?, "--trust", text(&self.path("signer.pub"))?]).map(drop)
    }

    /// Gives it the function that tasks are for, and an issuer who may ask for it.
    pub(super) fn function(&mut self, name: &str, image: &Packed) -> Result<()> {
        self.add(name, &image.bytes)?;
        name.clone_into(&mut self.image);
        self.debug.clone_from(&image.debug);
        self.fades(&["key", "new", text(&self.path("issuer.key"))?, "--name", "trial.example"])?;
        self.wait(
            "have its broker ready",
            |trial| Ok(trial.fades(&["status"])?["broker"]["state"] == "ready"),
        )
    }

    /// Submits the task with these readings as each of its sources, in the place of any before, and waits for its end. If its guest dies, the failure says where
    /// in the source, by the image's debug file.
    pub(super) fn submit(&self, question: &Question, data: &Path) -> Result<Outcome> {
        let wrapper = &question.wrapper;
        if wrapper.dmf.image.name.as_str() != self.image {
            let message = format!(
                "{} asks for image {}, and this function is {}",
                question.task.display(),
                wrapper.dmf.image.name,
                self.image
            );
            return Err(Failure::usage(message).hint("Correct `image` under [dmf]."));
        }
        let fixture = Fixture::read(data).map_err(|error| Failure::usage(chain(&error)))?;
        let port = replay::serve(fixture)?;
        let mut policy = format!("images = [{:?}]\n{POLICY}", self.image);
        let mut sources: Vec<&str> =
            wrapper.drb.operations.iter().map(|operation| operation.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            let url = format!("http://{port}");
            self.fades(&["source", "add", source, "influxdb1", &url, "--database", "fixture"])?;
            policy += &format!("[sources.{source:?}]\neverything = true\n");
        }
        let (file, key) = (self.path("policy.toml"), self.path("issuer.key"));
        std::fs::write(&file, policy).map_err(|error| Failure::system(file.display(), &error))?;
        let public = files::proof_path(&key);
        self.fades(&["issuer", "add", text(&public)?, "--policy", text(&file)?])?;
        let task = self.path("task.json");
        std::fs::write(&task, question.draft.to_json())
            .map_err(|error| Failure::system(task.display(), &error))?;
        let words = ["task", "submit", text(&task)?, "--key", text(&key)?, "--valid", VALID, "--wait"];
        let done = self.fades(&words);
        let documents = match question.recurs() {
            None => done.map(|document| vec![document]),
            Some(count) => self.periods(count, done.err()),
        };
        let documents = documents.map_err(|failure| self.explained(failure))?;
        let status = self.fades(&["status"])?;
        Ok(Outcome {
            answers: documents.iter().map(Answer::of).collect(),
            backend: status["backend"]["kind"].as_str().unwrap_or_default().to_owned(),
            memory_mib: wrapper.dmf.resources.memory_mib.into(),
            heap_peak_bytes: documents
                .iter()
                .filter_map(|document| document["heap_peak_bytes"].as_u64())
                .max(),
            timings_us: documents.last().map(|document| document["timings_us"].clone()).unwrap_or_default(),
        })
    }

    /// The documents of so many periods; `failed` is how the task ended, if not well. The first period that gave nothing is the
    /// failure.
    fn periods(&self, count: u64, failed: Option<Failure>) -> Result<Vec<Value>> {
        if let Some(failure) = failed.filter(|failure| failure.code != Some(codes::PERIODS_WITHOUT_RESULT)) {
            return Err(failure);
        }
        let id = self.latest()?;
        let list = self.fades(&["task", "periods", &id, "--limit", &count.to_string()])?;
        let list = serde_json::from_value(list)
            .map_err(|error| Failure::system("what became of the periods", &error))?;
        if let Some(failure) = first_without(&list) {
            return Err(failure);
        }
        (0..count)
            .map(|number| self.fades(&["task", "result", &id, "--period", &number.to_string()]))
            .collect()
    }

    /// The id of the task that was submitted last.
    fn latest(&self) -> Result<String> {
        let tasks = self.fades(&["task", "ls"])?;
        Ok(tasks["tasks"][0]["task"].as_str().unwrap_or_default().to_owned())
    }

    /// A failure with what is known of the guest that died, if one did.
    fn explained(&self, failure: Failure) -> Failure {
        let report = || -> Result<DebugReport> {
            let id = self.latest()?;
            let report = self.fades(&["task", "debug", &id, "--elf", text(&self.debug)?])?;
            serde_json::from_value(report).map_err(|error| Failure::system("what is known of it", &error))
        };
        // The task has failed by its function's word; the guest's console is kept when the guest has ended, which is a little later.
        let begun = Instant::now();
        while failure.exit == Exit::GuestCrashed && begun.elapsed() < LAST_WORDS {
            if let Ok(report) = report()
                && report.speaks()
            {
                let message = format!("{}\n\n{}", failure.message, debug_text(&report));
                return Failure { message, ..failure };
            }
            std::thread::sleep(LOOK);
        }
        failure
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One of our own commands on this node.
    fn fades(&self, words: &[&str]) -> Result<Value> {
        self.own(Some(&self.path("node")), words)
    }

    /// This program again, asked for JSON.
    fn own(&self, node: Option<&Path>, words: &[&str]) -> Result<Value> {
        let program =
            std::env::current_exe().map_err(|error| Failure::system("this program's own path", &error))?;
        let mut command = Command::new(program);
        command.args(["-o", "json"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(node) = node {
            command.arg("--node").arg(node);
        }
        let output = self.ending.output(&mut command);
        answer(words, &output.map_err(|error| Failure::system("this program again", &error))?)
    }

    fn daemon(&self, node: &Path) -> Result<()> {
        let program = beside("fadesd").unwrap_or_else(|| PathBuf::from("fadesd"));
        let log = self.path("fadesd.log");
        let file = File::create(&log).map_err(|error| Failure::system(log.display(), &error))?;
        let copy = file.try_clone().map_err(|error| Failure::system(log.display(), &error))?;
        let mut command = Command::new(&program);
        // A killed program ends nothing, so the daemon watches it.
        command.arg("--parent").arg(std::process::id().to_string()).arg(node);
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        self.ending.daemon(&mut command).map_err(|error| {
            let failure = Failure::system(format!("{} could not be started", program.display()), &error);
            Failure { exit: Exit::NotReady, ..failure }.hint("Put fadesd beside fades, or into PATH.")
        })
    }

    fn answers(&self) -> Result<()> {
        let socket = self.path("node").join(SOCKET);
        self.wait("answer", |_| Ok(UnixStream::connect(&socket).is_ok()))
    }

    fn wait(&self, what: &str, mut ready: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        loop {
            // Asked first: what a node said that has ended by then is all there.
            let ended = self.ending.ended();
            let why = match (ended, ready(self)) {
                (_, Ok(true)) => return Ok(()),
                (Some(status), _) => format!("ended ({status}) before it could {what}"),
                (None, Err(failure)) => return Err(failure),
                (None, Ok(false)) if begun.elapsed() > PATIENCE => {
                    format!("did not {what} within {} s", PATIENCE.as_secs())
                }
                (None, Ok(false)) => {
                    std::thread::sleep(LOOK);
                    continue;
                }
            };
            let log = std::fs::read_to_string(self.path("fadesd.log")).unwrap_or_default();
            let message = format!("the node {why}; its last words:\n{}", last_lines(&log));
            return Err(Failure { exit: Exit::NotReady, ..Failure::new(codes::TRIAL_NODE_FAILED, message) });
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.ending.now();
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// The first period that gave no result, and why.
fn first_without(list: &PeriodList) -> Option<Failure> {
    let period = list
        .periods
        .iter()
        .filter(|period| period.state != PeriodState::Done)
        .min_by_key(|period| period.number)?;
    let code = period.code.unwrap_or(codes::PERIOD_WITHOUT_RESULT);
    let detail = period.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or_else(|| code.title());
    let message = format!("period {} {}: {detail}", period.number, period.state.as_str());
    Some(Failure::new(code, message))
}

/// Settings that make a trial of a node: each task boots its function, ahead of none, as it is what is tried; and images for another
/// processor than the node's own run, if that is asked for.
fn set(target: Architecture, node: &Path) -> Result<()> {
    let file = node.join("fades.toml");
    let mut settings = files::read_text(&file, MAX_IMAGE)?;
    let emulate = (target != Architecture::X86_64).then(|| format!("emulate = [\"{target}\"]"));
    let changes = [
        ("# dormant_memory_mib = 128", Some("dormant_memory_mib = 0".to_owned())),
        ("# snapshot_memory_mib = 64", Some("snapshot_memory_mib = 0".to_owned())),
        ("# emulate = []", emulate),
    ];
    for (unset, set) in changes.into_iter().filter_map(|(unset, set)| Some((unset, set?))) {
        if !settings.contains(unset) {
            let message = format!("{} has no line {unset:?}, which `fades init` writes", file.display());
            return Err(Failure::new(codes::TRIAL_NODE_FAILED, message));
        }
        settings = settings.replace(unset, &set);
    }
    std::fs::write(&file, settings).map_err(|error| Failure::system(file.display(), &error))
}

/// How one of our commands ended, asked for JSON. Its failure is ours.
fn answer(words: &[&str], output: &Output) -> Result<Value> {
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null));
    }
    if let Some(signal) = output.status.signal() {
        let message = format!("`fades {}` was ended by signal {signal}", words.join(" "));
        return Err(Failure { exit: Exit::Failed, ..Failure::usage(message) });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last =
        said.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or(Value::Null);
    let message = last["message"].as_str().map_or_else(|| said.trim().to_owned(), str::to_owned);
    let code: Option<Code> = last["code"].as_str().and_then(|code| code.parse().ok());
    let failure = match code {
        Some(code) => Failure::new(code, message),
        None => Failure { exit: Exit::Failed, ..Failure::usage(message) },
    };
    Err(failure.hint(last["hint"].as_str().unwrap_or_default()))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Failure::usage(format!("{} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_period_without_a_result_is_the_failure() {
        let period = |number: u64, state: &str| {
            json!({
                "number": number, "state": state, "due": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:01Z",
            })
        };
        let list = |periods: Value| serde_json::from_value(json!({ "periods": periods })).unwrap();
        assert_eq!(first_without(&list(json!([period(1, "done"), period(0, "done")]))), None);
        let mut crashed = period(1, "failed");
        (crashed["code"], crashed["detail"]) = ("E3000".into(), "one hundred readings".into());
        let rows = json!([period(3, "failed"), period(2, "done"), crashed, period(0, "done")]);
        let failure = first_without(&list(rows)).unwrap();
        assert_eq!(failure.message, "period 1 failed: one hundred readings");
        assert_eq!((failure.code, failure.exit), (Some(codes::GUEST_PANICKED), Exit::GuestCrashed));
        let failure = first_without(&list(json!([period(0, "missed")]))).unwrap();
        assert_eq!(failure.code, Some(codes::PERIOD_WITHOUT_RESULT));
    }
}
