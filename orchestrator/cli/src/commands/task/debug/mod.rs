//! `fades task debug`: why a task's guest died, in the words of its author's source.

mod trace;

use std::path::{Path, PathBuf};

use clap::Args;
use fades_api::client::Client;
use fades_api::codes::Code;
use fades_api::http::{TaskConsole, TaskState, TaskView};
use fades_api::task::{ImageReference, TaskId};
use fades_pack::MAX_IMAGE;
use serde::{Deserialize, Serialize};

use self::trace::{Chunk, Frame, Panic, Symbols};
use crate::commands::dmf::KitOption;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, counted, plain};

/// Arguments of `fades task debug`.
#[derive(Debug, Args)]
pub(crate) struct Debug {
    /// The task's id.
    id: TaskId,
    /// The debug file that was built with the task's image [default: IMAGE.debug in this folder, or with the kit].
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,
    #[command(flatten)]
    kit: KitOption,
}

/// All that is known.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    task: TaskId,
    state: TaskState,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    image: ImageReference,
    /// By which image and debug file are found to be of one build.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    panic: Option<Panic>,
    /// From the innermost on.
    frames: Vec<Frame>,
    /// The last data that the function was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<Chunk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<String>,
}

impl Report {
    /// Whether a guest left any words.
    pub(crate) const fn speaks(&self) -> bool {
        self.console.is_some()
    }
}

impl Debug {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.operator()?;
        let report = context.run(async {
            let task: TaskView = client.task(self.id).await?;
            let path = format!("/v1/admin/tasks/{}/console", self.id);
            let kept: TaskConsole = client.call("GET", &path, None::<&()>).await?;
            // It may have been removed since.
            let image = image(&client, &task.image).await.ok();
            Ok((task, kept.console, image))
        });
        let (task, console, image) = report?;
        let build_id = image.as_deref().and_then(build_id);
        let symbols = self.symbols(task.image.name.as_str(), build_id.as_deref())?;
        let said = console.as_deref().map(trace::read).unwrap_or_default();
        let report = Report {
            task: task.task,
            state: task.state,
            code: task.code,
            detail: task.detail,
            image: task.image,
            build_id,
            frames: trace::resolved(&said.frames, symbols.as_ref()),
            debug_file: symbols.map(|symbols| symbols.file),
            panic: said.panic,
            chunk: said.chunk,
            console,
        };
        context.output().show(&report, text)?;
        if !report.frames.is_empty() && report.debug_file.is_none() && !context.output().is_json() {
            let words = "no debug file of this build lies here: `fades dmf build` leaves one beside the image; name it with --elf";
            context.output().note(words);
        }
        Ok(())
    }

    /// The debug file of this build, if it is found; one that was named and is not of it is refused.
    fn symbols(&self, name: &str, build_id: Option<&str>) -> Result<Option<Symbols>> {
        if let Some(file) = &self.elf {
            let symbols = Symbols::of(file)?;
            return match build_id.is_none_or(|wanted| symbols.build_id.as_deref() == Some(wanted)) {
                true => Ok(Some(symbols)),
                false => {
                    let (has, wanted) =
                        (symbols.build_id.unwrap_or("none".to_owned()), build_id.unwrap_or("none"));
                    let words = format!("{} has the build id {has}, and the image {wanted}", file.display());
                    Err(Failure::usage(words).hint("Give the one that was built with this image."))
                }
            };
        }
        let Some(build_id) = build_id else { return Ok(None) };
        let file = format!("{name}.debug");
        let mut places = vec![PathBuf::from(&file)];
        if let Ok(kit) = self.kit.find() {
            places.extend(kit.built().map(|folder| folder.join(&file)));
        }
        let found = places.iter().filter(|path| path.is_file()).filter_map(|path| Symbols::of(path).ok());
        Ok(found.into_iter().find(|symbols| symbols.build_id.as_deref() == Some(build_id)))
    }
}

async fn image(client: &Client, image: &ImageReference) -> Result<Vec<u8>> {
    let path = format!("/v1/admin/images/{}", image.digest_hex());
    Ok(client.bytes(&path).await?.to_vec())
}

/// Of the application in an image.
fn build_id(image: &[u8]) -> Option<String> {
    fades_pack::inspect(image, |_| None).ok()?.build_id
}

/// For people.
pub(crate) fn text(report: &Report) -> String {
    let or = |text: &Option<String>| text.as_deref().map(plain);
    let code = report.code.map(|code| format!(", {code}")).unwrap_or_default();
    let mut facts = vec![
        ("task", report.task.to_string()),
        ("state", format!("{}{code}", report.state)),
        ("image", report.image.to_string()),
    ];
    facts.extend(or(&report.detail).map(|detail| ("detail", detail)));
    if let Some(Panic { message, file, line }) = &report.panic {
        facts.push(("panicked", plain(message)));
        facts.push(("at", format!("{}:{line}", trace::shown(&plain(file)))));
    }
    facts.extend(report.chunk.as_ref().map(|chunk| {
        let points = counted(chunk.points, "point");
        let words = format!("operation {}, chunk {} of {points}", chunk.operation, chunk.chunk);
        ("its data", plain(&format!("{words}, {} to {}, of {}", chunk.first, chunk.last, chunk.series)))
    }));
    let mut text = Table::facts(facts).text();
    if !report.frames.is_empty() {
        text += "\nthe way there, from the innermost on:\n";
        for (number, frame) in report.frames.iter().enumerate() {
            text += &format!("{number:>4}  {}\n", plain(&frame.to_string()));
        }
    }
    match &report.console {
        Some(console) => {
            text += "\nits console:\n";
            for line in console.lines() {
                text += &format!("  | {}\n", plain(line));
            }
        }
        None => text += "\nno guest of this task wrote on its console\n",
    }
    text
}

/// The debug file of an application.
fn read_elf(file: &Path) -> Result<Vec<u8>> {
    // With all that a debugger reads it is some times the image's size.
    files::read(file, 4 * MAX_IMAGE)
}
