//! Recorded figures say what they are worth, and README's table of boots and stages is theirs.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[test]
fn the_readme_has_the_recorded_figures_of_the_labs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut rows = 0;
    for machine in ["here", "kvm", "xen"] {
        let file = root.join("bench/figures").join(machine).join("boot.json");
        let boots: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(boots["words"], "emulated processor: ratios only");
        assert!(boots["date"].as_str().unwrap().starts_with("20"));
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
