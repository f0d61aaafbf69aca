//! `budgets.toml` is read, keeps its own promises, and names benches that exist; README's figures are among them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::{Path, PathBuf};

use fades_bench::Budgets;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn budgets() -> Budgets {
    let text = fs::read_to_string(root().join("bench/budgets.toml")).unwrap();
    let budgets = Budgets::parse(&text).unwrap();
    budgets.kept().unwrap();
    budgets
}

#[test]
fn every_figure_has_its_bench_and_was_measured() {
    for (name, figure) in &budgets().figures {
        let (group, own) = name.split_once('/').unwrap();
        let files = match group {
            "line" => {
                vec!["xtask/src/bench/line.rs".to_owned(), "xtask/src/bench/compare/tasks.rs".to_owned()]
            }
            "memory" => vec!["xtask/src/bench/line.rs".to_owned()],
            "lab" => vec!["xtask/src/bench/figures/record.rs".to_owned()],
            "architecture" => vec!["xtask/src/bench/architecture.rs".to_owned()],
            "link" => vec!["xtask/src/bench/link.rs".to_owned()],
            "ready" | "idle" | "burst" => vec![format!("xtask/src/bench/compare/{group}.rs")],
            criterion => vec![format!("bench/benches/figures/{criterion}.rs")],
        };
        let measures = |file: &String| {
            let text =
                fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{name}: {file}: {e}"));
            text.contains(&format!("\"{own}\"")) || text.contains(&format!("\"{name}\""))
        };
        assert!(files.iter().any(measures), "none of {files:?} measures {name}");
        assert!(figure.measured.is_some_and(|value| value > 0.0), "{name} was never measured");
    }
}

#[test]
fn the_readme_names_figures_that_exist_and_has_their_values() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let budgets = budgets();
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| figure "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() >= 10, "README has no table of figures");
    for row in rows {
        let bench = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = bench.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row} names no bench");
        for name in names {
            let figure = budgets.figures.get(name);
            let value = figure
                .unwrap_or_else(|| panic!("{row} names {name}, which is not in budgets.toml"))
                .measured
                .unwrap();
            assert!(said(row, value), "{row} does not say that {name} is {value}");
        }
    }
}

/// Whether a row has this number, or it rounded; next to nothing is said to be none.
fn said(row: &str, value: f64) -> bool {
    let numbers: Vec<f64> = row
        .split(|c: char| !(c.is_ascii_digit() || ".,".contains(c)))
        .filter_map(|word| word.trim_matches(['.', ',']).replace(',', "").parse().ok())
        .collect();
    let rounded = [value, (value * 10.0).round() / 10.0, value.round()];
    rounded.iter().any(|wanted| numbers.iter().any(|number| (number - wanted).abs() < 1e-9))
        || (value < 0.01 && row.contains("no "))
}
