//! What `boot` measured, as a table and as JSON.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::super::median;
use super::super::task::{STAGES, milliseconds};
use super::bed::Kind;
use super::{EMULATED, Options, mib_of, tenths};

/// Result documents of one kind of guest on one backend.
pub(super) struct Figures {
    /// Of tasks of which only the boot counts.
    pub(super) boots: Vec<Value>,
    /// Of tasks of which all counts.
    pub(super) tasks: Vec<Value>,
}

struct Row {
    backend: String,
    kind: Kind,
    figures: Result<Figures, String>,
}

/// Everything of one run.
pub(super) struct Report {
    boots: usize,
    tasks: usize,
    points: u64,
    rows: Vec<Row>,
}

impl Report {
    /// Of tasks over so many points.
    pub(super) fn new(options: &Options, points: u64) -> Self {
        let Options { boots, tasks, .. } = *options;
        Self { boots, tasks, points, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, backend: &str, kind: Kind, figures: Result<Figures, String>) {
        self.rows.push(Row { backend: backend.to_owned(), kind, figures });
    }

    /// Whether there are figures in the first row.
    pub(super) fn first(&self) -> Result<()> {
        match self.rows.first().map(|row| &row.figures) {
            Some(Err(why)) => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// Medians in ms, with every single boot and total.
    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let Self { boots, tasks, points, .. } = self;
        json!({
            "boots": boots, "tasks": tasks, "mib": mib_of(*points), "points": points, "unit": "ms, medians",
            "rows": rows,
        })
    }

    #[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
    pub(super) fn print(&self) {
        print!("{}", self.table());
    }

    fn table(&self) -> String {
        let (Self { boots, tasks, .. }, mib) = (self, mib_of(self.points));
        let mut table = format!(
            "medians in ms: boot (asked for -> ready) of {boots}, stages of {tasks} tasks over {mib} MiB of points; stages overlap\n"
        );
        let mut line = |first: &str, kind: &str, memory: &str, cells: &[String]| {
            let _ = write!(table, "{first:<10} {kind:<16} {memory:>6}");
            for cell in cells {
                let _ = write!(table, " {cell:>9}");
            }
            table.push('\n');
        };
        let names: Vec<String> = ["boot"]
            .into_iter()
            .chain(STAGES.into_iter().filter(|stage| *stage != "boot"))
            .map(str::to_owned)
            .collect();
        line("backend", "guest", "MiB", &names);
        for Row { backend, kind, figures } in &self.rows {
            let cells: Vec<String> = match figures {
                Ok(figures) => names.iter().map(|name| cell(figures.stage(name))).collect(),
                Err(why) => vec![why.lines().next().unwrap_or_default().to_owned()],
            };
            line(backend, kind.name(), &kind.memory_mib().to_string(), &cells);
        }
        table + EMULATED + "\n"
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut row = Map::new();
        row.insert("backend".into(), json!(self.backend));
        row.insert("guest".into(), json!(self.kind.name()));
        row.insert("memory_mib".into(), json!(self.kind.memory_mib()));
        match &self.figures {
            Ok(figures) => {
                for stage in STAGES {
                    row.insert(stage.into(), json!(figures.stage(stage)));
                }
                row.insert("all_boots".into(), json!(milliseconds(&figures.boots, "boot")));
                row.insert("all_totals".into(), json!(milliseconds(&figures.tasks, "total")));
            }
            Err(why) => {
                row.insert("not_measured".into(), json!(why));
            }
        }
        Value::Object(row)
    }
}

impl Figures {
    /// A stage's median, ms. That of the boot is of the tasks that are for it.
    fn stage(&self, stage: &str) -> Option<f64> {
        let documents = if stage == "boot" { &self.boots } else { &self.tasks };
        median(milliseconds(documents, stage)).map(tenths)
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(boot_us: u64, total_us: u64) -> Value {
        json!({"timings_us": {"boot": boot_us, "total": total_us}})
    }

    #[test]
    fn boots_and_stages_come_from_their_own_tasks() {
        let mut report = Report::new(&Options::default(), 4096);
        let boots = vec![document(1000, 1), document(9000, 2), document(2040, 3)];
        let tasks = vec![document(500_000, 40_000), document(500_000, 60_000)];
        report.add("xen", Kind::Unikernel, Ok(Figures { boots, tasks }));
        report.add("xen", Kind::Linux, Err("it does not boot".to_owned()));
        let json = report.json();
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(
            (&rows[0]["boot"], &rows[0]["total"], &rows[0]["queue"]),
            (&json!(2.0), &json!(50.0), &Value::Null)
        );
        assert_eq!(rows[0]["all_boots"], json!([1.0, 9.0, 2.04]));
        assert_eq!(rows[1]["not_measured"], "it does not boot");
        let table = report.table();
        assert!(table.contains("it does not boot") && table.ends_with(&format!("{EMULATED}\n")), "{table}");
    }
}
