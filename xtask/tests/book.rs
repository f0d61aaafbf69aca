//! The commands of the book, chapter by chapter, each in an empty folder by a shell, as a reader would type them. What they print
//! is for the reader; what they end with is held. And how long a reader of the five minutes waits for what.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use xtask::docs::chapter::{Block, Deed, blocks};
use xtask::images::Images;
use xtask::stage::{root, target};
use xtask::testbed::influx::Influx;
use xtask::testbed::node::Programs;

/// Longest that any command may take: the first `cargo test` of a crate builds some eighty others.
const PATIENCE: Duration = Duration::from_secs(900);
/// What says that a command has ended, and nothing else does.
const MARK: &str = "@@ended";
/// Blocks that no test runs, in the whole book.
const LEFT: usize = 2;

/// Variables of the test's own surroundings that a reader's shell does not have.
const NOT_THE_READERS: [&str; 8] = [
    "CARGO_TARGET_DIR",
    "CARGO_MANIFEST_DIR",
    "FADES_AUTHOR_KEY",
    "FADES_KIT",
    "FADES_NODE",
    "RUSTFLAGS",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// A terminal in an empty folder, with what the book takes for granted.
struct Reader {
    folder: tempfile::TempDir,
    influx: Influx,
    node: u16,
    shell: Child,
    stdin: ChildStdin,
    marks: Receiver<String>,
    /// Process ids of what runs in other terminals.
    beside: Vec<String>,
}

impl Reader {
    fn new(chapter: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("fades-book-").tempdir().unwrap();
        let influx = Influx::start(&target().join("beds").join(format!("book-{chapter}"))).unwrap();
        let (home, work) = (folder.path().join("home"), folder.path().join("work"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&work).unwrap();
        let programs = Programs::of("debug").path("fades").parent().unwrap().display().to_string();
        let mut shell = Command::new("bash");
        shell.args(["--noprofile", "--norc"]).current_dir(&work).env("HOME", &home);
        shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
        for name in NOT_THE_READERS {
            shell.env_remove(name);
        }
        // A home of its own, but the toolchain and the crates that are there.
        let own = PathBuf::from(std::env::var("HOME").unwrap());
        for (name, place) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() && own.join(place).is_dir() {
                shell.env(name, own.join(place));
            }
        }
        // A group of its own, so that all it started can be ended with it.
        let shell = shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().unwrap();
        let (stdin, stdout) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let (sender, marks) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let node = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, influx, node, shell, stdin, marks, beside: Vec::new() }
    }

    /// What a reader puts in the place of the book's words for it.
    fn own(&self, text: &str) -> String {
        text.replace("CLONE/target", target().to_str().unwrap())
            .replace("CLONE", root().to_str().unwrap())
            .replace("http://127.0.0.1:8086", &self.influx.url())
            .replace("127.0.0.1:8470", &format!("127.0.0.1:{}", self.node))
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Runs a line of bash; what `tell` prints of it.
    fn line(&mut self, command: &str, log: &Path, tell: &str) -> String {
        let log = log.display();
        writeln!(self.stdin, "{{ {command}\n}} </dev/null >>'{log}' 2>&1; echo {MARK} {tell}").unwrap();
        let told = self.marks.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no end of {command}"));
        told.strip_prefix(MARK).unwrap_or_else(|| panic!("{told} of {command}")).trim().to_owned()
    }

    fn run(&mut self, command: &str, exit: i32) {
        let (command, log) = (self.own(command), self.log());
        fs::write(&log, "").unwrap();
        let ended: i32 = self.line(&command, &log, "$?").parse().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(ended, exit, "$ {command}\n{said}{}", self.said_beside());
    }

    fn beside(&mut self, command: &str, says: &str) {
        let (command, log) =
            (self.own(command), self.folder.path().join(format!("beside-{}", self.beside.len())));
        let id = self.line(&format!("{command} &"), &log, "$!");
        self.beside.push(id);
        let until = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string(&log).unwrap_or_default().contains(says) {
            assert!(Instant::now() < until, "$ {command}\nnever said {says}:\n{}", self.said_beside());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What other terminals show.
    fn said_beside(&self) -> String {
        let logs = (0..self.beside.len()).map(|at| self.folder.path().join(format!("beside-{at}")));
        logs.map(|log| format!("\nbeside it:\n{}", fs::read_to_string(log).unwrap_or_default())).collect()
    }

    fn follow(&mut self, block: &Block) {
        let log = self.log();
        match &block.deed {
            Deed::Run { commands, exit } => commands.iter().for_each(|command| self.run(command, *exit)),
            Deed::Beside { command, says } => self.beside(command, says),
            Deed::Write { file, text } => {
                let folder = PathBuf::from(self.line(":", &log, "\"$PWD\""));
                fs::write(folder.join(file), self.own(text)).unwrap();
            }
            Deed::Apply(text) => {
                let difference = self.folder.path().join("difference");
                fs::write(&difference, text).unwrap();
                self.run(&format!("patch -p1 < '{}'", difference.display()), 0);
            }
            Deed::Leave(_) => {}
        }
    }

    /// Ends what runs in other terminals, as a reader would.
    fn close(mut self) {
        let log = self.log();
        for id in self.beside.clone() {
            self.line(&format!("kill -TERM {id}; wait {id}"), &log, "$?");
        }
        let folder = self.folder.path().to_str().unwrap().to_owned();
        drop(self);
        let left: Vec<String> =
            common::processes().into_iter().filter(|line| line.contains(&folder)).collect();
        assert!(left.is_empty(), "processes of this chapter are left: {left:#?}");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The shell's own group: it, and after a failure what it still runs.
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.shell.wait();
    }
}

fn chapter(name: &str) -> Vec<Block> {
    let file = root().join("docs/src").join(name).with_extension("md");
    blocks(&fs::read_to_string(&file).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error:#}", file.display()))
}

/// Chapters that go on where another one ended; all others begin in an empty folder.
const GO_ON: [(&str, &str); 2] = [("start", "function"), ("operate", "service")];

/// Follows a chapter, and the one that goes on after it; what each step of the first took, in their order.
fn follow(name: &str) -> Vec<(String, Duration)> {
    Images::built().unwrap();
    let mut reader = Reader::new(name);
    let mut steps: Vec<(String, Duration)> = Vec::new();
    for block in chapter(name) {
        let took = followed(&mut reader, name, &block);
        let step = block.step.unwrap_or_else(|| "the rest".to_owned());
        match steps.iter_mut().find(|(known, _)| *known == step) {
            Some((_, all)) => *all += took,
            None => steps.push((step, took)),
        }
    }
    if let Some((_, next)) = GO_ON.iter().find(|(first, _)| *first == name) {
        for block in chapter(next) {
            followed(&mut reader, next, &block);
        }
    }
    reader.close();
    steps
}

fn followed(reader: &mut Reader, name: &str, block: &Block) -> Duration {
    let begun = Instant::now();
    reader.follow(block);
    let took = begun.elapsed();
    eprintln!("{name}.md:{}: {:.1} s", block.line, took.as_secs_f64());
    took
}

/// Names of the chapters.
fn chapters() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs/src")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut names: Vec<String> =
        files.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn five_minutes_with_a_stopwatch() {
    let steps = follow("start");
    let all: f64 = steps.iter().map(|(_, took)| took.as_secs_f64()).sum();
    eprintln!("\n| step | seconds |\n|---|---|");
    for (step, took) in &steps {
        eprintln!("| {step} | {:.1} |", took.as_secs_f64());
    }
    let (longest, took) = steps.iter().max_by_key(|(_, took)| *took).unwrap();
    let share = 100.0 * took.as_secs_f64() / all;
    eprintln!("| in all | {all:.1} |\n\nlongest: {longest}, {share:.0} % of it\n");
}

#[test]
fn the_other_chapters_can_be_followed() {
    let not_first = |name: &str| name == "start" || GO_ON.iter().any(|(_, next)| *next == name);
    let names = chapters().into_iter().filter(|name| !not_first(name) && !chapter(name).is_empty());
    assert!(names.map(|name| drop(follow(&name))).count() > 2);
}

/// Few commands are left to the reader's faith, each with its reason.
#[test]
fn what_no_test_runs_is_counted() {
    let mut left = Vec::new();
    for name in chapters() {
        for block in chapter(&name) {
            if let Deed::Leave(why) = block.deed {
                left.push(format!("{name}.md:{}: {why}", block.line));
            }
        }
    }
    eprintln!("{}", left.join("\n"));
    assert!(left.len() <= LEFT, "{} blocks are not run: {left:#?}", left.len());
}

/// Commands that have others below them.
const GROUPS: [&str; 6] = ["dmf", "image", "issuer", "key", "source", "task"];

/// What the text names as a command is run in some chapter, with the options that it names.
#[test]
fn commands_in_the_text_are_run_in_a_block() {
    let run: Vec<String> = chapters()
        .iter()
        .flat_map(|name| chapter(name))
        .flat_map(|block| match block.deed {
            Deed::Run { commands, .. } => commands,
            Deed::Beside { command, .. } => vec![command],
            _ => Vec::new(),
        })
        .collect();
    let mut named = 0;
    for name in chapters() {
        let text = fs::read_to_string(root().join("docs/src").join(&name).with_extension("md")).unwrap();
        // Without the blocks: those are what is run.
        let prose: String = text.split("```").step_by(2).collect();
        for span in prose.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = span.split_whitespace().skip_while(|word| *word == "fades").collect();
            let is_group = words.len() > 1 && GROUPS.contains(&words[0]);
            if !(is_group || span.starts_with("fades ") || span.starts_with("--")) {
                continue;
            }
            let is_word = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let command: Vec<&str> = words.iter().take_while(is_word).take(2).copied().collect();
            let command = format!("fades {}", command.join(" "));
            let options: Vec<&&str> = words.iter().filter(|word| word.starts_with("--")).collect();
            let runs = |line: &String| {
                line.contains(command.trim_end()) && options.iter().all(|option| line.contains(**option))
            };
            assert!(run.iter().any(runs), "{name}.md: no block runs `{span}`");
            named += 1;
        }
    }
    assert!(named > 0);
}
