//! From an idea to a function that a node runs: the template, its tests, the same data on this machine and in the unikernel, the
//! image and what it binds. As an author has it: a folder of its own, outside of the clone, and the program `fades`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Bed, outside};
use serde_json::Value;
use xtask::stage::target;
use xtask::testbed::node::{Node, Programs};

/// An author's folder, outside of every workspace; their key is in it.
struct Author {
    folder: tempfile::TempDir,
}

impl Author {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `fades` in a folder of theirs, with its time told.
    fn fades(&self, within: &Path, words: &[&str]) -> Output {
        let begun = Instant::now();
        let output = Command::new(Programs::of("debug").path("fades"))
            .args(words)
            .current_dir(within)
            .env("FADES_AUTHOR_KEY", self.path("author.key"))
            .env_remove("FADES_NODE")
            .output()
            .unwrap();
        eprintln!("   fades {}: {:.1} s", words.join(" "), begun.elapsed().as_secs_f64());
        output
    }

    fn done(&self, within: &Path, words: &[&str]) -> Value {
        let output = self.fades(within, &[&["-o", "json"], words].concat());
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// The exit code and the code of the catalogue that a command fails with.
    fn fails(&self, within: &Path, words: &[&str]) -> (i32, String, String) {
        let output = self.fades(within, &[&["-o", "json"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().rev().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
        let failure: Value = serde_json::from_str(line).unwrap();
        (output.status.code().unwrap(), failure["code"].as_str().unwrap_or_default().to_owned(), said)
    }
}

/// What is edited: the rule by which a reading is above, written as a person would.
fn edit(crate_: &Path, from: &str, to: &str) {
    let file = crate_.join("src/main.rs");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&file, text.replace(from, to)).unwrap();
}

#[test]
fn a_function_goes_from_template_to_task() {
    let author = Author::new();
    let home = author.folder.path();
    author.done(
        home,
        &["dmf", "new", "cold-rooms", "--defaults", "--measurement", "temperature", "--group-by", "room"],
    );
    let crate_ = author.path("cold-rooms");
    assert_eq!(author.fails(home, &["dmf", "new", "cold-rooms", "--defaults"]).1, "E8007");
    assert_eq!(author.fails(home, &["dmf", "build"]).1, "E8002");

    // Its own tests, this machine, and the unikernel.
    let rows = author.done(
        &crate_,
        &["dmf", "test", "--replay", "data/points.lp", "--backend", "host", "--backend", "tcg"],
    );
    let rows = rows.as_array().unwrap();
    let told: Vec<_> =
        rows.iter().map(|row| (row["on"].as_str().unwrap(), &row["points"], &row["same"])).collect();
    assert_eq!(told, [("host", &432.into(), &true.into()), ("qemu-tcg", &432.into(), &true.into())]);

    // An edit, and what the author sees of it.
    edit(&crate_, "if value > threshold => *latest", "if value >= threshold => *latest");
    // What it prints is not taken for its answer.
    edit(
        &crate_,
        "        Ok(Self { threshold",
        "        println!(\"seen {{\");\n        Ok(Self { threshold",
    );
    let ran = author.done(&crate_, &["dmf", "run", "--backend", "qemu-tcg"]);
    assert_eq!(
        (&ran["same_as_on_this_machine"], &ran["result"]["schema"]),
        (&true.into(), &"cold-rooms.v1".into())
    );
    assert_eq!(ran["result"]["groups"].as_array().unwrap().len(), 3);
    assert!(ran["timings_us"]["boot"].as_u64().unwrap() > 0);

    // The image: what it binds, and that another folder gives the same bytes.
    let built = author.done(&crate_, &["dmf", "build"]);
    assert_eq!(built["parameters"]["properties"]["threshold"]["type"], "number");
    let image = crate_.join("cold-rooms.fdmf");
    let first = fs::read(&image).unwrap();
    let elsewhere = author.path("moved/to another folder");
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::rename(&crate_, &elsewhere).unwrap();
    author.done(&elsewhere, &["dmf", "build", "--image", "again.fdmf"]);
    assert!(fs::read(elsewhere.join("again.fdmf")).unwrap() == first, "another folder gave other bytes");
    let signer = author.path("author.key.pub");
    let verify = ["image", "verify", "cold-rooms.fdmf", "--rebuild", "--signer", signer.to_str().unwrap()];
    let begun = std::time::SystemTime::now();
    assert!(author.done(&elsewhere, &verify)["rebuilt"].as_str().unwrap().starts_with("the same"));
    // Nothing of it lay there before.
    let loader = fs::metadata(target().join("anew/guest/images/loader.elf")).unwrap();
    assert!(loader.created().unwrap() > begun, "the loader was not built anew");
    again_at_a_change(&elsewhere);
    a_killed_run_leaves_no_process(&elsewhere);
    a_node_that_cannot_start_says_why(&author, &elsewhere);

    on_a_node(&author, &elsewhere.join("again.fdmf"), &signer);
    a_panic_is_the_authors_to_read(&author, &elsewhere);
}

/// `dmf dev` runs the function again when its source has changed; how long that takes is told.
fn again_at_a_change(crate_: &Path) {
    let mut dev = Command::new(Programs::of("debug").path("fades"));
    dev.args(["-o", "json", "dmf", "dev", "--runs", "2"]).current_dir(crate_).env_remove("FADES_NODE");
    let mut dev = dev.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(dev.stderr.take().unwrap()).lines();
    let mut says = |what: &str| said.by_ref().map(Result::unwrap).any(|line| line.contains(what));
    assert!(says("waiting for changes"));
    let begun = Instant::now();
    edit(crate_, "cold-rooms.v1", "cold-rooms.v2");
    assert!(says("built and run in"));
    eprintln!("   a change to its result: {:.1} s", begun.elapsed().as_secs_f64());
    let output = dev.wait_with_output().unwrap();
    let answers: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let schemas: Vec<&Value> = answers.iter().map(|answer| &answer["result"]["schema"]).collect();
    assert_eq!(schemas, ["cold-rooms.v1", "cold-rooms.v2"]);
    assert_eq!(answers[0]["result"]["groups"], answers[1]["result"]["groups"]);
}

/// The node's own words and code, and no two minutes of waiting for it.
fn a_node_that_cannot_start_says_why(author: &Author, crate_: &Path) {
    if Path::new("/proc/xen/capabilities").exists() {
        return;
    }
    let begun = Instant::now();
    let (exit, code, said) = author.fails(crate_, &["dmf", "run", "--backend", "xen"]);
    assert_eq!((exit, code.as_str()), (7, "E8006"), "{said}");
    assert!(said.contains("E6021") && said.contains("ended (exit status: 1)"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(90), "the build is done, and nothing is waited for");
}

/// Nothing can be done in a program that is killed: its node sees to itself.
fn a_killed_run_leaves_no_process(crate_: &Path) {
    let mut run = Command::new(Programs::of("debug").path("fades"));
    run.args(["dmf", "run", "--backend", "qemu-tcg"]).current_dir(crate_).env_remove("FADES_NODE");
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let wait = |until: Instant, what: &str| {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // It builds the function first, and so may others.
    let started = Instant::now() + Duration::from_secs(900);
    // Its broker boots.
    let (daemon, node, guest) = loop {
        let of =
            |parent, word: &str| outside::children(parent).into_iter().find(|(_, line)| line.contains(word));
        if let Some((daemon, line)) = of(run.id(), "--parent ")
            && let Some((guest, _)) = of(daemon, "drb-")
        {
            break (daemon, PathBuf::from(line.trim_end().rsplit(' ').next().unwrap()), guest);
        }
        wait(started, "no node was started");
    };
    run.kill().unwrap();
    run.wait().unwrap();
    let ended = Instant::now() + Duration::from_secs(60);
    while [daemon, guest].into_iter().any(outside::is_alive) {
        wait(ended, "it goes on without the program that started it");
    }
    fs::remove_dir_all(node.parent().unwrap()).unwrap();
}

/// A fault that only the unikernel has: told with the way to it in the author's source, and with the data it was at.
fn a_panic_is_the_authors_to_read(author: &Author, crate_: &Path) {
    let fault =
        "assert!(self.readings < 100 || cfg!(not(target_os = \"hermit\")), \"one hundred readings\");";
    edit(crate_, "        self.readings += 1;\n", &format!("        self.readings += 1;\n        {fault}\n"));
    let source = fs::read_to_string(crate_.join("src/main.rs")).unwrap();
    let line = source.lines().position(|line| line.contains(fault)).unwrap() + 1;
    let (exit, code, said) = author.fails(crate_, &["dmf", "run", "--backend", "qemu-tcg"]);
    assert_eq!((exit, code.as_str()), (8, "E3000"), "{said}");
    let failure: Value =
        serde_json::from_str(said.lines().rev().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let told = failure["message"].as_str().unwrap();
    for words in [
        "one hundred readings",
        &format!("State>::reading  at src/main.rs:{line}"),
        "Function>::batch  at src/main.rs:",
        "operation air, chunk 0 of 144 points, ",
        "FADES-PANIC",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // From the innermost on, and the machinery of the panic is not the author's to read.
    let way = told.split_once("from the innermost on:\n").unwrap().1;
    assert!(
        way.trim_start().starts_with("0  ") && way.lines().next().unwrap().contains("State>::reading"),
        "{told}"
    );
}

/// The image on a node with a real InfluxDB: its tasks run, and what does not fit its parameters is refused before a guest boots.
fn on_a_node(author: &Author, image: &Path, signer: &Path) {
    let bed = Bed::start("functions", 50_000);
    let node = bed.node();
    let added = node.fades(&["image", "add", image.to_str().unwrap(), "--trust", signer.to_str().unwrap()]);
    assert!(added.is_ok(), "{added:?}");
    let (key, policy) = (author.path("issuer.key"), author.path("policy.toml"));
    node.fades(&["key", "new", key.to_str().unwrap(), "--name", "author.example"]).unwrap();
    let allowed = "images = [\"cold-rooms\", \"record\"]\nmemory_mib = 64\ntimeout_ms = 60000\npriority = 5\nresult_bytes = 65536\noperations = 1\n\
                   range_s = 604800\nlife_s = 3600\ntasks = 4\nper_minute = 60\nburst = 10\n[sources.testbed]\neverything = true\n";
    fs::write(&policy, allowed).unwrap();
    let public = format!("{}.pub", key.display());
    node.fades(&["issuer", "add", &public, "--policy", policy.to_str().unwrap()]).unwrap();
    let task = |threshold: &str| {
        format!(
            "[[drb.operations]]\nid = \"air\"\nsource = \"testbed\"\nmeasurement = \"temperature\"\nfield = \"value\"\ngroup_by = [\"room\"]\n\
             from = \"2026-01-01T00:00:00Z\"\nto = \"2026-01-02T00:00:00Z\"\n[dmf]\nimage = \"cold-rooms\"\nparameters = {{ {threshold} }}\n"
        )
    };
    let file = author.path("task.toml");
    let submit = |text: String| {
        fs::write(&file, text).unwrap();
        author.fades(
            author.folder.path(),
            &[
                "-o",
                "json",
                "--node",
                &node.url(),
                "task",
                "submit",
                file.to_str().unwrap(),
                "--key",
                key.to_str().unwrap(),
                "--wait",
            ],
        )
    };
    fs::write(&file, task("threshold = 21.5")).unwrap();
    let before = planned(node, &file, &key);
    let done = submit(task("threshold = 21.5"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["result"]["groups"].as_array().unwrap().len(), 5);
    // Five classes in five rooms.
    assert_eq!(result["result"]["groups"][0]["readings"], 50_000 / 25);
    foreseen(&before, &planned(node, &file, &key), &result);
    recorded(author, node, &file, &key, &result["result"], image.parent().unwrap());
    let refused = submit(task("treshold = 21.5"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("E1327")
            && said.contains("dmf.parameters.treshold")
            && said.contains("did you mean `threshold`"),
        "{said}"
    );
    // The same is told of it without submitting it.
    let plan = ["dmf", "plan", file.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let told = node.try_fades(&plan).unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && said.contains("E1327") && said.contains("treshold"), "{said}");
}

/// What the node says of the task without running it.
fn planned(node: &Node, task: &Path, key: &Path) -> Value {
    let words = ["-o", "json", "dmf", "plan", task.to_str().unwrap(), "--key", key.to_str().unwrap()];
    serde_json::from_str(&node.fades(&words).unwrap()).unwrap()
}

/// What was counted beforehand is what the task read, and what it took is expected of the next one.
fn foreseen(before: &Value, after: &Value, result: &Value) {
    assert_eq!(before["verdict"]["accepted"], true, "{before}");
    let read = &result["operations"][0];
    for count in ["series", "points", "bytes", "chunks"] {
        assert_eq!(before["operations"][0]["read"][count], read[count], "{count}: {before}");
    }
    assert!(before["expected"].is_null(), "{before}");
    let (expected, memory) = (&after["expected"], &after["memory"]);
    assert_eq!((&expected["tasks"], &expected["same_image"]), (&1.into(), &true.into()), "{after}");
    assert_eq!(expected["boot_us"], result["timings_us"]["boot"]);
    // The unikernel counts its heap, and it fits into what was given.
    let peak = memory["heap_peak_bytes"].as_u64().unwrap();
    assert_eq!(result["heap_peak_bytes"], peak);
    assert!((1..memory["asked_mib"].as_u64().unwrap() << 20).contains(&peak), "{after}");
}

/// The same readings as a fixture: recorded of the source by the node, given to the function on this machine.
fn recorded(author: &Author, node: &Node, task: &Path, key: &Path, result: &Value, crate_: &Path) {
    let fixture = author.path("readings.fpt");
    let words = ["--node", &node.url(), "source", "record", "testbed", "--task", task.to_str().unwrap()];
    let out = ["--out", fixture.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let told = author.done(author.folder.path(), &[&words[..], &out[..]].concat());
    assert_eq!((&told["points"], &told["series"]), (&10_000.into(), &5.into()));
    // What is there is not recorded over, and that is said before anything is asked.
    let (exit, _, said) = author.fails(author.folder.path(), &[&words[..], &out[..]].concat());
    assert!(exit == 2 && said.contains("is there already") && !said.contains("accepted"), "{said}");
    let dev =
        ["dmf", "dev", "--runs", "1", "--task", task.to_str().unwrap(), "--data", fixture.to_str().unwrap()];
    // Of a day without readings nothing is recorded.
    let none = author.path("none.fpt");
    let day =
        ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z", "--out", none.to_str().unwrap()];
    let (exit, code, said) = author
        .fails(author.folder.path(), &[&words[..], &day[..], &["--key", key.to_str().unwrap()]].concat());
    assert_eq!((exit, code.as_str(), none.exists()), (3, "E8010", false), "{said}");
    let here = author.done(crate_, &dev);
    // The crate was edited since: only the schema's word is another.
    assert_eq!((&here["result"]["groups"], &here["read"]["points"]), (&result["groups"], &10_000.into()));
    // A day is too much for what such a task may send out here, so the range was halved.
    assert!(told["tasks"].as_u64().unwrap() > 1, "{told}");
}

/// A task that recurs, with a function that has a state: the same in every period here and there, and only its first ones if asked.
#[test]
fn periods_and_their_state_are_the_same_here_and_there() {
    let author = Author::new();
    let home = author.folder.path();
    let words =
        ["dmf", "new", "cold-rooms", "--defaults", "--measurement", "temperature", "--group-by", "room"];
    author.done(home, &words);
    let crate_ = author.path("cold-rooms");
    fs::write(crate_.join("src/main.rs"), COUNTS).unwrap();
    // The sample is a day: four periods of six hours, the last of which ends with it.
    let task = fs::read_to_string(crate_.join("task.toml")).unwrap();
    let task = task.replace("2026-01-02T00:00:00Z", "2026-01-01T06:00:00Z").replace(
        "parameters = { threshold = 35.0 }",
        "lifetime = { persistent = { every_ms = 21600000, until = 2026-01-02T00:00:00Z } }",
    );
    assert!(task.contains("persistent") && task.contains("T06:00:00Z"), "{task}");
    fs::write(crate_.join("task.toml"), &task).unwrap();
    let ran = author.done(&crate_, &["dmf", "run", "--backend", "qemu-tcg"]);
    assert_eq!((&ran["same_as_on_this_machine"], &ran["points"]), (&true.into(), &432.into()), "{ran}");
    // Points of the period, and of all before it.
    assert_eq!(ran["periods"], serde_json::json!([[108, 0], [108, 108], [108, 216], [108, 324]]));
    assert_eq!(ran["result"], ran["periods"][3]);
    let replay = ["dmf", "test", "--replay", "data/points.lp", "--backend", "tcg", "--periods", "2"];
    let rows = author.done(&crate_, &replay);
    let told: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["points"], &row["same"])).collect();
    assert_eq!(told, [(&216.into(), &true.into()); 2]);
    // Periods of the future are nothing that a node would run today.
    fs::write(crate_.join("task.toml"), task.replace("2026-", "2126-")).unwrap();
    let ran = author.done(&crate_, &["dmf", "run", "--backend", "qemu-tcg"]);
    assert!(ran["same_as_on_this_machine"] == true && ran["periods"].is_null(), "{ran}");
}

/// A function with a state, in the place of the template's.
const COUNTS: &str = r#"//! Counts the points of a period, and of all before it.

use dmf_kit::prelude::*;

struct Counts {
    before: u64,
    now: u64,
}

impl Function for Counts {
    type Parameters = NoParameters;
    type Output = (u64, u64);

    fn start(parameters: NoParameters) -> Result<Self, Error> {
        Self::resume(parameters, None)
    }

    fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.now += batch.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<(u64, u64), Error> {
        Ok((self.now, self.before))
    }
}

impl Recurring for Counts {
    type State = u64;
    const STATE_VERSION: u32 = 1;

    fn resume(NoParameters {}: NoParameters, state: Option<u64>) -> Result<Self, Error> {
        Ok(Self { before: state.unwrap_or(0), now: 0 })
    }

    fn keep(&self) -> u64 {
        self.before + self.now
    }
}

dmf_kit::main!(recurring Counts);
"#;
