//! `fades dmf new`: a copy of the template with the answers to a few questions in it.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use fades_api::codes;
use fades_api::task::Label;
use fades_pack::ImageName;
use serde::Serialize;

use super::project::KitOption;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::Table;

/// The template's own answers, which stand in its files.
const NAME: &str = "pollution-peaks";
const MEASUREMENT: &str = "pm25";
const FIELD: &str = "value";
const TAG: &str = "station";
const THRESHOLD: f64 = 35.0;
/// Beyond it the sample's readings would lose their decimals.
const MOST: f64 = 1e9;
/// Longest file of a template.
const LONGEST: usize = 1 << 20;

/// What a template is made of.
const FILES: [&str; 7] =
    ["Cargo.toml", "README.md", "gitignore", "config.toml", "task.toml", "src/main.rs", "data/points.lp"];

/// What the template's manifest cannot have, as it is a member of the kit's workspace.
const WORKSPACE: &str = "
# A workspace of its own, in whatever folder it lies: it has its own lock file and its own profiles.
[workspace]
";

/// Names that a crate cannot have: keywords of Rust, crates that are there, folders that cargo makes.
const TAKEN: [&str; 54] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "dmf-kit",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "try",
    "type",
    "unsafe",
    "use",
];

/// Arguments of `fades dmf new`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf new pollution-peaks --defaults")]
pub(crate) struct New {
    /// Name of the function, of its crate, and of its folder.
    name: ImageName,
    /// Ask nothing: what is not given is as in the template.
    #[arg(long)]
    defaults: bool,
    /// The measurement that it reads.
    #[arg(long)]
    measurement: Option<Label>,
    /// The field of the measurement.
    #[arg(long)]
    field: Option<Label>,
    /// The tag whose values make groups.
    #[arg(long, value_name = "TAG")]
    group_by: Option<Label>,
    /// The value above which a reading is a peak.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Where to make the folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    kit: KitOption,
}

/// What the template becomes.
#[derive(Debug, Clone, PartialEq)]
struct Answers {
    name: String,
    measurement: String,
    field: String,
    tag: String,
    threshold: f64,
    /// The kit's `dmf-kit/dmf`.
    kit: String,
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl New {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let kit = self.kit.find()?;
        crate_name(&self.name)?;
        if !self.name.as_str().starts_with(|first: char| first.is_ascii_alphabetic())
            || self.name.as_str().contains('.')
        {
            return Err(Failure::usage(format!(
                "{} is no name of a crate: it begins with a letter and has no dots",
                self.name
            )));
        }
        let folder = self.dir.join(self.name.as_str());
        if folder.exists() {
            return Err(Failure::new(codes::FOLDER_TAKEN, format!("{} is there already", folder.display())));
        }
        if !self.defaults && !std::io::stdin().is_terminal() {
            return Err(Failure::usage("there is nobody to ask: stdin is no terminal")
                .hint("Give --defaults, and the answers that differ as options."));
        }
        let prompt: Option<Prompt<'_>> = if self.defaults { None } else { Some(&mut on_terminal) };
        let answers = self.answers(kit.root.join("dmf-kit/dmf").display().to_string(), prompt)?;
        let template = kit.root.join("dmf-kit/template");
        let mut made = Made { folder, files: Vec::new() };
        for name in FILES {
            let text = files::read_text(&template.join(name), LONGEST)?;
            let target = made.folder.join(match name {
                // In the kit they would hold for the kit.
                "gitignore" => ".gitignore",
                "config.toml" => ".cargo/config.toml",
                name => name,
            });
            make_parent(&target)?;
            files::create(&target, answers.render(name, &text).as_bytes(), 0o644)?;
            made.files.push(target);
        }
        // The kit's versions of what both depend on, so that it compiles as it was tried.
        let (lock, target) = (kit.root.join("Cargo.lock"), made.folder.join("Cargo.lock"));
        std::fs::copy(&lock, &target).map_err(|error| Failure::system(lock.display(), &error))?;
        made.files.push(target);
        context.output().show(&made, |made| {
            let files = made.files.iter().map(|file| ("", file.display().to_string()));
            Table::facts(files).text()
        })?;
        context.output().note(&format!("next: cd {} && cargo test", made.folder.display()));
        Ok(())
    }

    /// What is not given is asked of `prompt`, or as in the template if there is none.
    fn answers(&self, kit: String, prompt: Option<Prompt<'_>>) -> Result<Answers> {
        let mut ask = Questions(prompt);
        let label = |text: &str| Label::from_str(text).map_err(|refused| refused.to_string());
        let number = |text: &str| {
            let number = text.parse::<f64>().map_err(|_| format!("{text:?} is no number"))?;
            if number.abs() <= MOST { Ok(number) } else { Err(format!("{text} is beyond {MOST:e}")) }
        };
        let given = |label: &Option<Label>| label.as_ref().map(|label| label.as_str().to_owned());
        let mut name = |question: &str, given: Option<String>, default: &str| {
            ask.ask(question, given, default, |text| label(text).map(|label| label.as_str().to_owned()))
        };
        let measurement = name("Which measurement does it read?", given(&self.measurement), MEASUREMENT)?;
        let field = name("Which field of it?", given(&self.field), FIELD)?;
        let tag = name("Which tag makes groups?", given(&self.group_by), TAG)?;
        let threshold = self.threshold.map(|threshold| threshold.to_string());
        let threshold = match &threshold {
            Some(text) => number(text).map_err(Failure::usage)?,
            None => {
                ask.ask("Above which value is a reading a peak?", None, &THRESHOLD.to_string(), number)?
            }
        };
        Ok(Answers { name: self.name.to_string(), measurement, field, tag, threshold, kit })
    }
}

/// Asks a question with its default; the line that is answered.
type Prompt<'p> = &'p mut dyn FnMut(&str, &str) -> Result<String>;

/// Asks, or takes the defaults.
struct Questions<'p>(Option<Prompt<'p>>);

impl Questions<'_> {
    fn ask<T>(
        &mut self,
        question: &str,
        given: Option<T>,
        default: &str,
        read: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<T> {
        if let Some(given) = given {
            return Ok(given);
        }
        loop {
            let line = match &mut self.0 {
                Some(prompt) => prompt(question, default)?,
                None => String::new(),
            };
            let answer = line.trim();
            match read(if answer.is_empty() { default } else { answer }) {
                Ok(value) => return Ok(value),
                Err(words) if self.0.is_none() => return Err(Failure::usage(words)),
                Err(words) => drop(writeln!(std::io::stderr(), "  {words}")),
            }
        }
    }
}

fn on_terminal(question: &str, default: &str) -> Result<String> {
    let mut stderr = std::io::stderr().lock();
    let asked = write!(stderr, "{question} [{default}] ").and_then(|()| stderr.flush());
    let mut line = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut line));
    match read {
        Ok(0) => Err(Failure::usage("the answers ended early")),
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::system("the terminal", &error)),
    }
}

impl Answers {
    /// A file of the template with the answers in the place of its own.
    fn render(&self, file: &str, text: &str) -> String {
        let named = |text: &str| text.replace(NAME, &self.name);
        match file {
            "Cargo.toml" => named(text).replace("\"../dmf\"", &quoted(&self.kit)) + WORKSPACE,
            "task.toml" => {
                text.lines().map(|line| self.of_task(line).unwrap_or_else(|| named(line)) + "\n").collect()
            }
            "src/main.rs" => named(text)
                .replace(&format!("threshold: {THRESHOLD:?}"), &format!("threshold: {:?}", self.threshold)),
            "data/points.lp" => self.points(text),
            _ => named(text),
        }
    }

    /// A line of the task that has an answer in it. Whole lines, as an answer may be what the template says elsewhere.
    fn of_task(&self, line: &str) -> Option<String> {
        let answers = [
            ("measurement = ", quoted(MEASUREMENT), quoted(&self.measurement)),
            ("field = ", quoted(FIELD), quoted(&self.field)),
            ("group_by = ", format!("[{}]", quoted(TAG)), format!("[{}]", quoted(&self.tag))),
            (
                "parameters = ",
                format!("{{ threshold = {THRESHOLD:?} }}"),
                format!("{{ threshold = {:?} }}", self.threshold),
            ),
        ];
        answers
            .into_iter()
            .find_map(|(key, own, answer)| (line.strip_prefix(key)? == own).then(|| key.to_owned() + &answer))
    }

    /// The sample's readings, moved to where they cross the threshold as the template's do.
    fn points(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            let words = line.split([',', ' ', '=']).collect::<Vec<_>>();
            let [_, _, tag, _, value, time] = words.as_slice() else { continue };
            let value = value.parse::<f64>().unwrap_or(THRESHOLD) - THRESHOLD + self.threshold;
            let (measurement, key, field) = (lp(&self.measurement), lp(&self.tag), lp(&self.field));
            // writing to a String does not fail
            let _ = writeln!(out, "{measurement},{key}={tag} {field}={value:?} {time}");
        }
        out
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A crate's name that cargo takes, and that is no other crate's here.
fn crate_name(name: &ImageName) -> Result<()> {
    let name = name.as_str();
    if !TAKEN.contains(&name) {
        return Ok(());
    }
    let message = format!(
        "{name} is no name for a function's crate: it means something else to Rust, cargo or the kit"
    );
    Err(Failure::usage(message).hint("Take another name."))
}

/// A name as line protocol has it.
fn lp(name: &str) -> String {
    name.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ")
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| Failure::system(folder.display(), &error))
}

#[cfg(test)]
mod tests {
    use fades_points::Fixture;

    use super::*;

    fn template(name: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dmf-kit/template");
        std::fs::read_to_string(folder.join(name)).unwrap()
    }

    fn answers() -> Answers {
        Answers {
            name: "cold-rooms".into(),
            measurement: "air temp".into(),
            field: "celsius".into(),
            tag: "room".into(),
            threshold: -4.5,
            kit: "/k/it".into(),
        }
    }

    #[test]
    fn the_templates_own_answers_leave_it_as_it_is() {
        let own = Answers {
            name: NAME.into(),
            measurement: MEASUREMENT.into(),
            field: FIELD.into(),
            tag: TAG.into(),
            threshold: THRESHOLD,
            kit: "../dmf".into(),
        };
        for name in FILES.into_iter().filter(|name| *name != "data/points.lp") {
            let more = if name == "Cargo.toml" { WORKSPACE } else { "" };
            assert_eq!(own.render(name, &template(name)), template(name) + more, "{name}");
        }
        let read = |text: &str| Fixture::from_line_protocol(text).unwrap();
        let (points, rendered) =
            (template("data/points.lp"), own.render("data/points.lp", &template("data/points.lp")));
        assert_eq!(read(&points).len(), read(&rendered).len());
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        new: New,
    }

    /// What is answered to the questions of a command line: the answers, and what was asked with its default.
    fn asked(words: &[&str], lines: &[&str]) -> (Result<Answers>, Vec<String>) {
        let line: Line = clap::Parser::parse_from([&["new", "cold-rooms"], words].concat());
        let (mut lines, mut asked) = (lines.iter(), Vec::new());
        let mut prompt = |question: &str, default: &str| {
            asked.push(format!("{question} [{default}]"));
            lines.next().map(|line| format!("{line}\n")).ok_or_else(|| Failure::usage("no more"))
        };
        let answers = line.new.answers("/k/it".into(), Some(&mut prompt));
        (answers, asked)
    }

    #[test]
    fn questions_have_types_and_defaults_and_are_asked_again() {
        // Empty is the default; what is no name or no number is asked again.
        let (answers, questions) = asked(&[], &["air temp", "", "a\u{7}", "room", "warm", "1e300", " -4.5 "]);
        let expected = Answers { field: FIELD.into(), ..super::tests::answers() };
        assert_eq!(answers.unwrap(), expected);
        assert_eq!(questions[0], "Which measurement does it read? [pm25]");
        assert_eq!(questions.len(), 7);
        assert!(questions[2] == questions[3] && questions[4] == questions[6]);
        // What is given is not asked.
        let given = ["--measurement", "air temp", "--field", "celsius", "--threshold", "-4.5"];
        let (answers, questions) = asked(&given, &["room"]);
        assert_eq!((answers.unwrap(), questions.len()), (super::tests::answers(), 1));
        assert!(asked(&[], &["pm10"]).0.is_err(), "the answers ended early");
    }

    /// What is said in one place may be the template's own word of another.
    #[test]
    fn answers_do_not_reach_each_other() {
        let words = [NAME, MEASUREMENT, FIELD, TAG, "sensors", "air"];
        for at in 0..words.len() {
            let word = |by: usize| words[(at + by) % words.len()].to_owned();
            let answers =
                Answers { name: word(1), measurement: word(2), field: word(3), tag: word(4), ..answers() };
            let task = answers.render("task.toml", &template("task.toml"));
            let wrapper = fades_api::task::TaskDraft::from_toml(&task).unwrap().on_trial().unwrap();
            let operation = &wrapper.drb.operations[0];
            assert_eq!(wrapper.dmf.image.name.as_str(), word(1));
            assert_eq!((operation.measurement.as_str(), operation.field.as_str()), (&*word(2), &*word(3)));
            assert_eq!(operation.group_by[0].as_str(), word(4));
        }
    }

    #[test]
    fn what_is_no_name_of_a_crate_is_told() {
        let name = |name: &str| crate_name(&name.parse().unwrap());
        assert!(TAKEN.is_sorted() && TAKEN.iter().all(|taken| name(taken).is_err()));
        assert!(name("pollution-peaks").is_ok() && name("tests").is_ok());
    }

    #[test]
    fn every_answer_reaches_every_place() {
        let answers = answers();
        let task = answers.render("task.toml", &template("task.toml"));
        let wrapper = fades_api::task::TaskDraft::from_toml(&task).unwrap().on_trial().unwrap();
        let operation = &wrapper.drb.operations[0];
        assert_eq!((operation.measurement.as_str(), operation.field.as_str()), ("air temp", "celsius"));
        assert_eq!((operation.group_by[0].as_str(), wrapper.dmf.image.name.as_str()), ("room", "cold-rooms"));
        assert_eq!(wrapper.dmf.parameters["threshold"], -4.5);
        let main = answers.render("src/main.rs", &template("src/main.rs"));
        assert!(main.contains("threshold: -4.5 }") && !main.contains("35.0"), "{main}");
        let manifest: toml::Table = answers.render("Cargo.toml", &template("Cargo.toml")).parse().unwrap();
        assert_eq!(manifest["dependencies"]["dmf-kit"]["path"].as_str(), Some("/k/it"));
        assert!(manifest["workspace"].as_table().unwrap().is_empty());
        let points =
            Fixture::from_line_protocol(&answers.render("data/points.lp", &template("data/points.lp")))
                .unwrap();
        let series: Vec<_> = points.series().collect();
        assert_eq!((series.len(), points.len()), (3, 432));
        assert!(series.iter().all(|one| one.measurement == "air temp"
            && one.field == "celsius"
            && one.tags.contains_key("room")));
        let above = |at: usize| series[at].points.values().filter(|value| **value > -4.5).count();
        assert!(above(0) == 0 && above(1) > 10 && above(2) > 10);
    }
}
