//! Recorded figures say what they are worth, are there, and reach as far as they are asked to; README's table of boots and stages is
//! theirs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[test]
fn the_readme_has_the_recorded_figures_of_the_labs() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut rows = 0;
    for machine in ["here", "kvm", "xen"] {
        let boots = recorded(machine, "boot");
        for guest in boots["rows"].as_array().unwrap() {
            let word = |key: &str| guest[key].as_str().unwrap();
            let whole = |key: &str| guest[key].as_f64().map(|ms| format!("{ms:.0}"));
            let cells = ["boot", "retrieve", "transfer", "compute", "total"].map(whole);
            let row = match cells.into_iter().collect::<Option<Vec<_>>>() {
                Some(cells) => cells.join(" | "),
                None => word("not_measured").lines().next().unwrap().to_owned() + " | | | |",
            };
            let memory = guest["memory_mib"].as_u64().unwrap();
            let row = format!("| {machine} | {} | {}, {memory} MiB | {row}", word("backend"), word("guest"));
            assert!(readme.contains(&row), "README has no row {row}");
            rows += 1;
        }
    }
    assert!(rows >= 2, "{rows} guests are nothing to compare");
}

#[test]
fn every_figure_has_its_data_as_far_as_it_is_asked_to_reach() {
    // The paper's own: F3, F4, F5, F6.
    let sizes = recorded("here", "memory")["rows"][0]["sizes"].clone();
    assert_eq!(reach(&sizes, "allocated", |row| row["usable"].is_number()), Some((16.0, 512.0)));
    assert!(
        sizes.as_array().unwrap().iter().any(|row| row["allocated"] == 8 && row["not_measured"].is_string()),
        "8 MiB are too few, and why is said"
    );
    let volume = recorded("here", "volume");
    let through_16 =
        reach(&volume["rows"], "mib", |row| row["memory_mib"] == 16 && row["seconds"].is_number());
    assert!(through_16.is_some_and(|(_, most)| most >= 4096.0), "{through_16:?}");
    let stages = recorded("here", "stages");
    for path in ["shared memory", "TCP"] {
        let payloads =
            reach(&stages["rows"], "mib", |row| row["path"] == path && row["transfer"].is_number());
        assert_eq!(payloads, Some((1.5, 150.0)), "{path}");
    }
    for (lab, backend, most) in [("kvm", "qemu-kvm", 128.0), ("xen", "xen", 15.0)] {
        let stages = recorded(lab, "stages");
        let payloads =
            reach(&stages["rows"], "mib", |row| row["backend"] == backend && row["transfer"].is_number());
        assert_eq!(payloads, Some((1.5, most)), "{lab}");
    }
    let locality = recorded("here", "locality");
    let both = |row: &Value| row["edge"]["ms"].is_number() && row["pulled"]["ms"].is_number();
    assert!(reach(&locality["rows"], "mib", both).is_some());
    assert_eq!((&locality["down_mbit_s"], &locality["up_mbit_s"]), (&45.38.into(), &0.574.into()));
    // Ours.
    let (idle, burst) = (recorded("here", "idle"), recorded("here", "burst"));
    assert_eq!(reach(&idle["rows"], "waiting", |_| true), Some((0.0, 64.0)));
    assert_eq!(reach(&burst["bursts"], "tasks", |row| row["failed"] == 0), Some((50.0, 100.0)));
    let scaling = recorded("here", "scaling");
    assert_eq!(reach(&scaling["rows"], "functions", |row| row["failed"] == 0), Some((1.0, 64.0)));
    let waterfall = recorded("here", "waterfall");
    let ways: Vec<_> = waterfall["rows"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(ways, ["cold", "restored", "stock"]);
    let compare = recorded("here", "compare");
    for part in ["link", "ready", "tasks"] {
        assert!(compare[part].as_array().is_some_and(|rows| rows.len() >= 3), "{part}: {}", compare[part]);
    }
}

/// The least and the most of `key` in those rows that count.
fn reach(rows: &Value, key: &str, counts: impl Fn(&Value) -> bool) -> Option<(f64, f64)> {
    let found: Vec<f64> =
        rows.as_array()?.iter().filter(|row| counts(row)).filter_map(|row| row[key].as_f64()).collect();
    let (least, most) = (f64::min as fn(f64, f64) -> f64, f64::max as fn(f64, f64) -> f64);
    Some((found.iter().copied().reduce(least)?, found.iter().copied().reduce(most)?))
}

/// What was measured of a part on a machine.
fn recorded(machine: &str, part: &str) -> Value {
    let file = root().join("bench/figures").join(machine).join(format!("{part}.json"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let recorded: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(recorded["words"], "emulated processor: ratios only");
    assert!(recorded["date"].as_str().unwrap().starts_with("20"));
    recorded
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
