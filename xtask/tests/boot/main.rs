//! Loader, kernel and probes on QEMU's machines, without a node: what boots, and how what does not boot or dies says so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod control;
mod image;
mod loader;
mod machine;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use machine::{MACHINES, PATIENCE, USUAL, boot, status};
use xtask::images::probe;
use xtask::stage::target;

/// A file that goes with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str, contents: &[u8]) -> Self {
        let folder = target().join("beds");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, contents).unwrap();
        Self(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn an_application_boots_on_every_machine() {
    let (_, hello) = probe("hello").unwrap();
    for machine in MACHINES {
        for memory_mib in [32, 512] {
            let ended = boot(machine, memory_mib, &hello, "-- one two", PATIENCE);
            assert_eq!(ended.status, status(0), "{machine:?} with {memory_mib} MiB: {ended:?}");
            let expected = "argument: one\nargument: two\nSUCCESS\n";
            assert_eq!(ended.console.trim_start(), expected, "{machine:?} with {memory_mib} MiB");
        }
    }
}

#[test]
fn every_way_to_die_is_told_with_its_cause() {
    let (_, panic) = probe("panic").unwrap();
    let run = |mode: &str, time| boot(USUAL, 64, &panic, &format!("env=FADES_PROBE_MODE={mode}"), time);

    for (mode, message) in
        [("panic", "asked to panic, with a \"quote\""), ("thread", "asked to panic in a thread")]
    {
        let ended = run(mode, PATIENCE);
        assert_eq!(ended.status, status(10), "{ended:?}");
        let report = ended.json("FADES-PANIC ");
        assert_eq!(report["message"], message);
        assert_eq!(report["file"], "images/probes/panic/src/main.rs");
        assert!(report["line"].as_u64().unwrap() > 0, "{report}");
    }

    let ended = run("oom", PATIENCE);
    assert_eq!(ended.status, status(11), "{ended:?}");
    let report = ended.json("FADES-OOM ");
    assert_eq!(report["requested"], 64 * 1024);
    assert!(report["message"].as_str().unwrap().starts_with("memory ran out: 65536 bytes"), "{report}");

    let ended = run("abort", PATIENCE);
    assert_eq!(ended.status, status(104), "{ended:?}");

    let ended = run("stack", PATIENCE);
    assert_eq!(ended.status, status(102), "{ended:?}");
    let report = ended.json("FADES-PANIC ");
    assert_eq!((&report["kernel"], &report["message"]), (&true.into(), &"processor exception".into()));

    let ended = run("exit", PATIENCE);
    assert_eq!((ended.status, ended.console.trim()), (status(0), ""), "{ended:?}");

    let ended = run("nonsense", PATIENCE);
    assert_eq!(ended.status, status(1), "{ended:?}");
    assert_eq!(ended.json("FADES-END ")["message"], "probe mode \"nonsense\" is unknown");

    let ended = run("loop", Duration::from_secs(2));
    assert_eq!((ended.status, ended.console.trim()), (None, ""), "only a kill ends it: {ended:?}");
}

#[test]
fn threads_side_by_side_keep_their_registers() {
    let (_, registers) = probe("registers").unwrap();
    let ended = boot(USUAL, 64, &registers, "-- 4 3000", PATIENCE);
    assert_eq!(ended.status, status(0), "{ended:?}");
    assert!(ended.console.trim_start().starts_with("SUCCESS after "), "{ended:?}");
}
