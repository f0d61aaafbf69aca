//! What the demo prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::kept::Left;
use super::{Answer, Row};

/// Rows shown per question; the rest is compared and counted.
const SHOWN: usize = 10;
/// Stages of DESIGN section 8, in their order.
const STAGES: [&str; 8] = ["verify", "queue", "boot", "retrieve", "transfer", "compute", "return", "total"];

/// For programs: one document, with what was left up, if anything was.
pub(super) fn json(answers: &[Answer], points: u64, seconds: f64, left: Option<&Left>) -> Value {
    let answer = |answer: &Answer| {
        let rows = |row: &Row| json!({"label": row.label, "edge": row.edge, "influxdb": row.influx, "relative_difference": row.difference(), "bound": row.bound});
        json!({
            "question": answer.question.words(),
            "document": answer.document,
            "receipt": answer.receipt,
            "comparison": answer.rows.iter().map(rows).collect::<Vec<_>>(),
            "holds": answer.rows.iter().all(Row::holds),
        })
    };
    let tasks: Vec<Value> = answers.iter().map(answer).collect();
    json!({"points": points, "seconds": seconds, "tasks": tasks, "left_up": left.map(Left::json)})
}

/// For people.
pub(super) fn text(answers: &[Answer], points: u64, seconds: f64) -> String {
    let mut out = String::new();
    for answer in answers {
        // Writing to a String cannot fail.
        let _ = table(&mut out, answer);
    }
    let _ = times(&mut out, answers);
    let _ = bytes(&mut out, answers);
    let _ = writeln!(out, "\n{points} readings, three tasks, {seconds:.1} s without builds.");
    out
}

fn table(out: &mut String, answer: &Answer) -> std::fmt::Result {
    writeln!(out, "\n{}\n{:-<78}", answer.question.words(), "")?;
    writeln!(out, "{:<34} {:>16} {:>16} {:>9}", "", "edge", "InfluxDB", "rel.diff")?;
    for row in answer.rows.iter().take(SHOWN) {
        writeln!(
            out,
            "{:<34} {:>16.6} {:>16.6} {:>9.1e}",
            row.label,
            row.edge,
            row.influx,
            row.difference()
        )?;
    }
    if answer.rows.iter().any(|row| !row.beside.is_empty()) {
        writeln!(out, "rel.diff is to the nearest of InfluxDB's values at this rank and the two beside it")?;
    }
    let worst = answer.rows.iter().map(Row::difference).fold(0.0, f64::max);
    let bound = answer.rows.iter().map(|row| row.bound).fold(0.0, f64::max);
    let (all, more) = (answer.rows.len(), answer.rows.len().saturating_sub(SHOWN));
    let wrong = answer.rows.iter().filter(|row| !row.holds()).count();
    let holds = if wrong == 0 { format!("all {all} within") } else { format!("{wrong} of {all} NOT WITHIN") };
    let more = if more == 0 { String::new() } else { format!("{more} more rows; ") };
    writeln!(out, "{more}{holds} {bound:.0e}, the worst {worst:.1e}; receipt verified")
}

fn times(out: &mut String, answers: &[Answer]) -> std::fmt::Result {
    writeln!(out, "\nmilliseconds per stage (stages overlap, so they need not add up)")?;
    write!(out, "{:<12}", "")?;
    STAGES.iter().try_for_each(|stage| write!(out, "{stage:>10}"))?;
    for answer in answers {
        write!(out, "\n{:<12}", answer.question.image())?;
        for stage in STAGES {
            let us = answer.document["timings_us"][stage].as_f64().unwrap_or(f64::NAN);
            write!(out, "{:>10.1}", us / 1000.0)?;
        }
    }
    writeln!(out)
}

fn bytes(out: &mut String, answers: &[Answer]) -> std::fmt::Result {
    writeln!(out, "\n{:<12} {:>14} {:>14} {:>8}", "", "bytes read", "bytes sent", "ratio")?;
    for answer in answers {
        let of = |key: &str| answer.document[key].as_f64().unwrap_or(f64::NAN);
        let (read, sent) = (of("bytes_read"), of("bytes_sent"));
        writeln!(out, "{:<12} {read:>14.0} {sent:>14.0} {:>7.0}:1", answer.question.image(), read / sent)?;
    }
    Ok(())
}

/// The demo's answer goes to standard output, everything else to standard error.
#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
pub(super) fn print(text: &str) {
    println!("{text}");
}
