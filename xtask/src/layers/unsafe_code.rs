//! Unsafe code is where `SECURITY.md` says, as often as it says there, and nowhere else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::code::without_words;
use super::{members, read, table};
use crate::known;
use crate::stage::root;

const DOCUMENT: &str = "SECURITY.md";
const HEADING: &str = "Unsafe code";

/// The table has each crate that says `unsafe`, with how often and why; whoever says it nowhere in `src` forbids it there.
///
/// # Errors
/// The table is not so, or a crate does not forbid what it does not use; the error names all of them.
pub fn unsafe_code_is_counted() -> Result<()> {
    let mut told = BTreeMap::new();
    for row in table::rows(DOCUMENT, HEADING, 3)? {
        let times: usize = row[1].parse().with_context(|| format!("{DOCUMENT}: {row:?}"))?;
        ensure!(row[2].len() > 20, "{DOCUMENT}: no reason for {}", row[0]);
        told.insert(row[0].trim_matches('`').to_owned(), times);
    }
    let mut wrong = Vec::new();
    for member in members()? {
        let found = Found::of(&member.folder)?;
        let expected = told.remove(&member.folder).unwrap_or(0);
        if found.times != expected {
            wrong.push(format!("{} has {}, {DOCUMENT} says {expected}", member.folder, found.times));
        }
        wrong.extend(found.open.iter().map(|file| format!("{file} does not forbid it")));
    }
    wrong.extend(told.keys().map(|folder| format!("there is no crate {folder}")));
    ensure!(wrong.is_empty(), "unsafe code: {}", wrong.join("; "));
    Ok(())
}

/// What is found in a crate.
struct Found {
    /// The word `unsafe` in its code: blocks, functions, implementations, attributes; its tests as well.
    times: usize,
    /// Roots in `src` that do not forbid it, if there is none there.
    open: Vec<String>,
}

impl Found {
    fn of(folder: &str) -> Result<Self> {
        let (mut times, mut of_programs, mut roots) = (0, 0, Vec::new());
        let own =
            |file: &&String| !file[folder.len() + 1..].starts_with("fuzz/") && !is_of_another(folder, file);
        for file in known::files(&[&format!("{folder}/*.rs")])?.iter().filter(own) {
            let code = without_words(&read(&root().join(file))?);
            times += words(&code);
            let inner = &file[folder.len() + 1..];
            if let Some(inner) = inner.strip_prefix("src/") {
                of_programs += words(&code);
                let is_root = ["lib.rs", "main.rs"].contains(&inner) || inner.starts_with("bin/");
                if is_root && !code.contains("#![forbid(unsafe_code)]") {
                    roots.push(file.clone());
                }
            }
        }
        Ok(Self { times, open: if of_programs == 0 { roots } else { Vec::new() } })
    }
}

/// Whether a crate lies between them.
fn is_of_another(folder: &str, file: &str) -> bool {
    let above = std::path::Path::new(file).ancestors().skip(1);
    above
        .take_while(|path| *path != std::path::Path::new(folder))
        .any(|path| root().join(path).join("Cargo.toml").is_file())
}

fn words(code: &str) -> usize {
    let part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let whole = |(at, word): &(usize, &str)| {
        !part(code[..*at].chars().next_back()) && !part(code[at + word.len()..].chars().next())
    };
    code.match_indices("unsafe").filter(whole).count()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn whole_words_are_counted() {
        assert_eq!(
            words("unsafe fn f() { unsafe { g() } } #![forbid(unsafe_code)] not_unsafe #[unsafe(no_mangle)]"),
            3
        );
    }
}
