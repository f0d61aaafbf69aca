//! The chapter of codes.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use fades_api::codes::{Entry, entries};

use super::markdown::prose;

/// Whose reasons the numbers of a hundred, or of a thousand, are: as the catalogue's first page says.
const RANGES: [(u16, u16, &str); 13] = [
    (1000, 1099, "Transport and HTTP"),
    (1100, 1199, "Envelopes and keys"),
    (1200, 1299, "Credentials: replay, epoch, audience, time, state of a key"),
    (1300, 1399, "Contents of a task wrapper"),
    (1400, 1499, "Policy of an issuer"),
    (1500, 1599, "Images"),
    (2000, 2999, "Resources of the node"),
    (3000, 3999, "Guests"),
    (4000, 4999, "Sources"),
    (5000, 5999, "Results"),
    (6000, 6999, "Host not ready"),
    (7000, 7999, "Store"),
    (8000, 8999, "Writing functions"),
];

/// Every code with what it means and what to do.
pub(super) fn page() -> Result<String> {
    let mut page = "# Codes\n\nEvery refusal and failure has one; `fades explain E1203` says the same. A number, once released, \
                    keeps its meaning. The number in the last column is the HTTP status of an answer; a code that only ends a task, \
                    or that only `fades` says, has the one that comes nearest.\n"
        .to_owned();
    let mut told = 0;
    for (first, last, title) in RANGES {
        let _ = writeln!(
            page,
            "\n## {title}\n\n| code | what | why | what to do | HTTP |\n|---|---|---|---|---|"
        );
        for entry in entries().filter(|entry| (first..=last).contains(&entry.code.number())) {
            page += &row(entry);
            told += 1;
        }
    }
    // A new range would be left out otherwise.
    if told != entries().count() {
        bail!(
            "{} codes are in no range that the book knows: xtask/src/docs/codes.rs",
            entries().count() - told
        );
    }
    Ok(page)
}

fn row(entry: &Entry) -> String {
    let Entry { code, title, explanation, hint, status, .. } = entry;
    format!("| {code} | {} | {} | {} | {status} |\n", prose(title), prose(explanation), prose(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_row() {
        let page = page().unwrap();
        for entry in entries() {
            assert!(page.contains(&format!("| {} |", entry.code)), "{}", entry.code);
        }
    }
}
