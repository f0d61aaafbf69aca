//! Images for aarch64 on a machine of x86-64, translated by QEMU: what boots, how what dies says so, and the whole line, which answers as
//! it does with images for this machine's own processor.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::Bed;
use fades_backends::ARM_PROGRAM;
use serde_json::Value;
use xtask::demo::{Question, ask};
use xtask::images::{self, Images, RECIPES, arm_probe};
use xtask::setup::program;
use xtask::stage::target;
use xtask::testbed::node::Programs;

/// Says so where nothing of this can be tried.
fn lacks_emulator() -> bool {
    let lacks = program(ARM_PROGRAM).is_none();
    if lacks {
        eprintln!("skipped: {ARM_PROGRAM} is missing: `cargo xtask setup` installs it");
    }
    lacks
}

/// Boots an application as the backend does, but for the sandbox, and waits for its end: QEMU's status, and the console.
fn boot(memory_mib: u32, loader: &Path, application: &Path, command_line: &str) -> (Option<i32>, String) {
    let qemu = Command::new("timeout")
        .args(["60", ARM_PROGRAM, "-M", "virt,gic-version=3", "-accel", "tcg", "-cpu", "cortex-a72"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .args(["-m", &format!("{memory_mib}M"), "-append", command_line])
        .arg("-kernel")
        .arg(loader)
        .arg("-initrd")
        .arg(application)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (qemu.status.code(), String::from_utf8(qemu.stdout).unwrap())
}

#[test]
fn an_application_boots_and_every_way_to_die_is_told() {
    if lacks_emulator() {
        return;
    }
    let (loader, hello) = arm_probe("hello").unwrap();
    for memory_mib in [32, 65, 3000] {
        let (status, console) = boot(memory_mib, &loader, &hello, "-- one two");
        let expected = "argument: one\nargument: two\nSUCCESS\nFADES-EXIT 0\n";
        assert_eq!((status, console.as_str()), (Some(0), expected), "{memory_mib} MiB");
    }
    let (_, panic) = arm_probe("panic").unwrap();
    for (mode, mark, code) in [
        ("panic", "FADES-PANIC ", 10),
        ("thread", "FADES-PANIC ", 10),
        ("oom", "FADES-OOM ", 11),
        ("abort", "", 104),
        ("stack", "FADES-PANIC ", 102),
        ("exit", "", 0),
        ("nonsense", "FADES-END ", 1),
    ] {
        let (status, console) = boot(64, &loader, &panic, &format!("env=FADES_PROBE_MODE={mode}"));
        assert_eq!(status, Some(0), "{mode}: {console}");
        assert_eq!(console.lines().last(), Some(format!("FADES-EXIT {code}").as_str()), "{mode}: {console}");
        let report = console.lines().find_map(|line| line.strip_prefix(mark)).unwrap();
        assert!(mark.is_empty() || serde_json::from_str::<Value>(report).is_ok(), "{mode}: {console}");
    }
    // What is no application, and a machine that is too small for one.
    let text = loader.with_file_name("no-application");
    fs::write(&text, [b'x'; 4096]).unwrap();
    for (memory_mib, application, error) in [(64, &text, "error E10: "), (8, &hello, "error E20: ")] {
        let (_, console) = boot(memory_mib, &loader, application, "");
        assert!(console.contains(&format!("FADES-LOADER {error}")), "{console}");
        assert!(console.ends_with("FADES-EXIT 120\n"), "{console}");
    }
    fs::remove_file(text).unwrap();
}

#[test]
fn threads_side_by_side_keep_their_registers() {
    if lacks_emulator() {
        return;
    }
    let (loader, registers) = arm_probe("registers").unwrap();
    let (_, console) = boot(64, &loader, &registers, "-- 4 2000");
    assert!(console.starts_with("SUCCESS after "), "{console}");
}

/// What of an answer must be the same for whatever processor the images are.
fn answer(document: &Value) -> Value {
    let mut kept = serde_json::json!({ "bytes": document["result_bytes"] });
    for operation in document["operations"].as_array().unwrap() {
        let what = ["points", "chunks", "series", "bytes", "digest", "first", "last"];
        kept[operation["id"].as_str().unwrap()] = what.iter().map(|&key| operation[key].clone()).collect();
    }
    kept
}

#[test]
fn the_whole_line_answers_as_with_images_for_this_processor() {
    if lacks_emulator() {
        return;
    }
    let arm = images::arm().unwrap();
    let answers = |images: &Images, name: &str, settings: &[(&str, &str)]| {
        let bed = Bed::of(images, name, 100_000, settings);
        let asked = Question::ALL.map(|question| {
            let asked = ask(bed.node(), bed.influx(), question, bed.end_ns).unwrap();
            assert!(asked.rows.iter().all(|row| row.holds()), "{name}: {:?}", asked.rows);
            answer(&asked.document)
        });
        (asked, bed.node().backend().unwrap().1)
    };
    let native = Images::built().unwrap();
    let (ours, _) = answers(&native, "native", &[]);
    assert!(ours.iter().all(|answer| answer["bytes"].as_str().is_some_and(|bytes| bytes.len() > 100)));
    let emulates = [("emulate", "[\"aarch64\"]")];
    let (theirs, reason) = answers(&arm, "aarch64", &emulates);
    assert!(reason.contains("aarch64"), "{reason}");
    assert_eq!(ours, theirs);
    // Broker and function share memory, whatever processor each of them has.
    let mixed = Images { folder: target().join("beds/mixed-images"), signer: native.signer.clone() };
    fs::create_dir_all(&mixed.folder).unwrap();
    for recipe in RECIPES {
        let images = if recipe.name == "drb" { &native } else { &arm };
        fs::copy(images.file(recipe.name), mixed.file(recipe.name)).unwrap();
    }
    let (theirs, _) = answers(&mixed, "mixed", &emulates);
    assert_eq!(ours, theirs);
    fs::remove_dir_all(&mixed.folder).unwrap();
}

#[test]
fn a_node_that_is_not_to_translate_refuses_what_it_cannot_run() {
    if lacks_emulator() {
        return;
    }
    let arm = images::arm().unwrap();
    let bed = Bed::start("refusing", 25);
    let file = arm.file("stats");
    let output = bed.node().try_fades(&["image", "add", file.to_str().unwrap(), "-o", "json"]).unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let failure: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(failure["code"], "E1508", "{failure}");
}

#[test]
fn an_authors_function_runs_on_the_other_processor_as_on_this_one() {
    if lacks_emulator() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fades = |within: &Path, words: &[&str]| {
        let mut command = Command::new(Programs::of("debug").path("fades"));
        command.args(["-o", "json"]).args(words).current_dir(within).env_remove("FADES_NODE");
        let output = command.env("FADES_AUTHOR_KEY", folder.path().join("author.key")).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    fades(folder.path(), &["dmf", "new", "cold-rooms", "--defaults"]);
    let crate_ = folder.path().join("cold-rooms");
    let ran = fades(&crate_, &["dmf", "run", "--target", "aarch64"]);
    assert_eq!(ran["same_as_on_this_machine"], true, "{ran}");
    assert!(ran["points"].as_u64().unwrap() > 0, "{ran}");
    fades(&crate_, &["dmf", "build", "--target", "aarch64"]);
    let told = fades(&crate_, &["image", "inspect", "cold-rooms.fdmf"]);
    assert_eq!(told["manifest"]["architecture"], "aarch64", "{told}");
}
