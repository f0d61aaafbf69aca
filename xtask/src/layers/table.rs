//! Tables in documents that checks read.

use anyhow::{Context, Result, ensure};

use super::read;
use crate::stage::root;

/// The cells of each row of the first table below a heading of a document, without its head.
///
/// # Errors
/// There is no such heading, or no table of so many columns below it.
pub(super) fn rows(document: &str, heading: &str, columns: usize) -> Result<Vec<Vec<String>>> {
    let text = read(&root().join(document))?;
    let below = text.split_once(&format!("\n## {heading}\n"));
    let (_, below) = below.with_context(|| format!("{document} has no heading {heading}"))?;
    let section = below.split("\n## ").next().unwrap_or_default();
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    // the head, and the line below it
    let rows: Vec<Vec<String>> = lines.skip(2).map(cells).collect();
    for row in &rows {
        ensure!(row.len() == columns, "{document}, {heading}: {} columns in {row:?}", row.len());
    }
    ensure!(!rows.is_empty(), "{document} has no table below {heading}");
    Ok(rows)
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Words in backquotes.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
