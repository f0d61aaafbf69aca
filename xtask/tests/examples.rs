//! What stands in `examples/`, against the real node: their numbers are those of `fades`. And envelopes that are signed
//! now and submitted later, once or twice.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::Bed;
use serde_json::Value;
use xtask::demo::question::EXACT;
use xtask::setup::PYTHON;
use xtask::stage::root;
use xtask::testbed::node::{ISSUER, Programs};

/// Five and a half hours of readings, well inside the two days that the examples ask for.
const POINTS: u64 = 50_000;

/// Runs an example as its head says: the node's address, then the issuer's key, then the node's key.
fn example<S: AsRef<OsStr>>(bed: &Bed, program: &str, node_key: &str, more: &[S]) -> Output {
    // `fades` as a person has it: in the path, with no node named by the environment.
    let fades = Programs::of("debug").path("fades");
    let path = format!("{}:{}", fades.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new(root().join("examples").join(program))
        .args([&bed.node().url(), bed.node().key().to_str().unwrap(), node_key])
        .args(more)
        .env("PATH", path)
        .env_remove("FADES_NODE")
        .output()
        .unwrap()
}

fn info(bed: &Bed) -> Value {
    serde_json::from_str(&bed.node().get("/v1/node").unwrap()).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The failure that `fades … -o json` tells, with its exit code.
fn failure(output: &Output) -> (i32, Value) {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{output:?}"));
    (output.status.code().unwrap(), serde_json::from_str(line).unwrap())
}

/// Equal in all but the last digits of sums: in how many batches the points come depends on the moment, and so does the
/// order in which doubles are added.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|with| same(value, with)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(value, with)| same(value, with))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= EXACT * other.abs()
        }
        _ => one == other,
    }
}

/// How many points an aggregate of `stats` is over.
fn count(result: &Value) -> u64 {
    let groups = result["groups"].as_array();
    groups
        .unwrap_or_else(|| panic!("no groups in {result}"))
        .iter()
        .map(|row| row["count"].as_u64().unwrap())
        .sum()
}

#[test]
fn the_service_in_python_gets_what_fades_gets() {
    let modules = Command::new(PYTHON).args(["-c", "import cbor2, cryptography"]).status();
    if !modules.is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED: examples/python needs {PYTHON} with cbor2 and cryptography; run `cargo xtask setup`"
        );
        return;
    }
    let bed = Bed::start("examples-python", POINTS);
    let (info, image) = (info(&bed), bed.node().image("stats").unwrap());
    let key = info["public_key"].as_str().unwrap();
    let printed = json(&example(&bed, "python/service.py", key, &[image.as_str(), "testbed", ISSUER]));
    let draft = bed.wrapper("stats", "", 64, 60_000);
    let text = fs::read_to_string(&draft).unwrap();
    fs::write(&draft, text.replace("id = \"temp\"", "id = \"readings\"")).unwrap();
    let (exit, document) = bed.submit_and_wait(&draft);
    assert_eq!((exit, count(&printed)), (0, POINTS / 5), "{printed}");
    assert!(same(&printed, &document["result"]), "{printed} is not {document}");

    // It believes no other node's key.
    let output = example(&bed, "python/service.py", &other_key(&bed), &[image.as_str(), "testbed", ISSUER]);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("InvalidSignature"), "{output:?}");
    // What the node refuses, it tells with its code.
    let output = example(&bed, "python/service.py", key, &[image.as_str(), "cellar", ISSUER]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"E14"), "{output:?}");
}

#[test]
fn the_script_with_curl_gets_what_fades_gets() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: examples/curl needs curl; run `cargo xtask setup`");
        return;
    }
    let bed = Bed::start("examples-curl", POINTS);
    let task = root().join("examples/tasks/stats.toml");
    let node_key = info(&bed)["public_key"].as_str().unwrap().to_owned();
    let output = example(&bed, "curl/submit.sh", &node_key, &[&task]);
    let printed = json(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the receipt holds"), "{output:?}");
    let (exit, document) = bed.submit_and_wait(&task);
    assert_eq!((exit, count(&printed["result"])), (0, POINTS), "{printed}");
    assert!(same(&printed["result"], &document["result"]), "{printed} is not {document}");
    assert_ne!(printed["task"], document["task"]);

    let output = example(&bed, "curl/submit.sh", &other_key(&bed), &[&task]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// A key that is not the node's.
fn other_key(bed: &Bed) -> String {
    let file = bed.node().folder().join("other.key");
    let told = bed.node().json(&["key", "new", file.to_str().unwrap(), "--name", "other"]).unwrap();
    told["public_key"].as_str().unwrap().to_owned()
}

/// Signs a task file with this id and this timeout; gives the envelope's file.
fn sign(bed: &Bed, id: &str, timeout_ms: u32) -> PathBuf {
    let draft = bed.wrapper("stats", "", 64, timeout_ms);
    let text = fs::read_to_string(&draft).unwrap();
    fs::write(&draft, format!("{text}[credentials]\ntask_id = \"{id}\"\n")).unwrap();
    let (envelope, key) = (draft.with_extension("cose"), bed.node().key());
    let words = [draft.as_path(), Path::new("--key"), &key, Path::new("--out"), &envelope];
    let mut all = vec!["task", "sign"];
    all.extend(words.map(|word| word.to_str().unwrap()));
    bed.node().fades(&all).unwrap();
    envelope
}

/// Posts bytes as any HTTP client does: status, answer, and where it is to be found.
fn post(bed: &Bed, envelope: &[u8]) -> (u16, Value, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/v1/tasks", bed.node().url()));
    let request = request.header("content-type", "application/cose; cose-type=\"cose-sign1\"");
    let mut response = request.send(envelope).unwrap();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), response.body_mut().read_json().unwrap(), location.unwrap_or_default())
}

#[test]
fn an_envelope_runs_once_however_often_it_is_submitted() {
    const ID: &str = "01KAJ00000FADES00000000000";
    let bed = Bed::start("examples-envelope", POINTS);
    let (envelope, other) = (sign(&bed, ID, 30_000), sign(&bed, ID, 31_000));

    let (exit, first) = bed.submit_and_wait(&envelope);
    assert_eq!((exit, first["task"].as_str()), (0, Some(ID)), "{first}");
    assert_eq!(count(&first["result"]), POINTS / 5);
    // The same bytes again: the same task in its state, the same result and receipt, and nothing has run.
    let (exit, again) = bed.submit_and_wait(&envelope);
    assert_eq!((exit, &again), (0, &first));
    let (status, answer, location) = post(&bed, &fs::read(&envelope).unwrap());
    assert_eq!((status, location), (202, format!("/v1/tasks/{ID}")), "{answer}");
    assert_eq!((&answer["task"], &answer["state"]), (&ID.into(), &"succeeded".into()), "{answer}");
    assert_eq!(guests_started(&bed), 2, "the broker and one function");

    // The same id for something else.
    let (exit, refused) = failure(&bed.submit(&other, &[]));
    assert_eq!((exit, &refused["code"]), (4, &"E1203".into()), "{refused}");
    let (status, problem, _) = post(&bed, &fs::read(&other).unwrap());
    assert_eq!((status, &problem["code"]), (409, &"E1203".into()), "{problem}");
    // And something else under the same signature.
    let mut forged = fs::read(&envelope).unwrap();
    let at = forged.windows(5).position(|five| five == b"30000").unwrap();
    forged[at] = b'9';
    let (status, problem, _) = post(&bed, &forged);
    assert_eq!(status, 401, "{problem}");
    assert!(problem["code"].as_str().unwrap().starts_with("E11"), "{problem}");

    let listed = bed.node().json(&["task", "ls"]).unwrap();
    let tasks = listed["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{listed}");
    assert_eq!((&tasks[0]["task"], &tasks[0]["attempts"]), (&ID.into(), &1.into()), "{listed}");
    assert_eq!(guests_started(&bed), 2);
}

fn guests_started(bed: &Bed) -> u64 {
    let metrics = bed.node().get("/metrics").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("fades_guests_started "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}
