//! `labs.toml` says what its figures are worth, and README's table of them is the file's.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

#[test]
fn the_readme_has_the_recorded_figures_of_the_labs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let labs: Table = toml::from_str(&fs::read_to_string(root.join("bench/labs.toml")).unwrap()).unwrap();
    assert_eq!(labs["words"].as_str(), Some("emulated processor: ratios only"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut rows = 0;
    for (machine, table) in labs.iter().filter(|(_, value)| value.is_table()) {
        for guest in table["guests"].as_array().unwrap() {
            let word = |key: &str| guest[key].as_str().unwrap();
            let whole = |key: &str| guest.get(key).and_then(Value::as_float).map(|ms| format!("{ms:.0}"));
            let cells = ["boot", "retrieve", "transfer", "compute", "total"].map(whole);
            let row = match cells.into_iter().collect::<Option<Vec<_>>>() {
                Some(cells) => cells.join(" | "),
                None => word("not_measured").lines().next().unwrap().to_owned() + " | | | |",
            };
            let memory = guest["memory_mib"].as_integer().unwrap();
            let row = format!("| {machine} | {} | {}, {memory} MiB | {row}", word("backend"), word("guest"));
            assert!(readme.contains(&row), "README has no row {row}");
            rows += 1;
        }
    }
    assert!(rows >= 2, "{rows} guests are nothing to compare");
}
