//! Every line of the list of threats has its tests, or says that it is not held yet.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::{code::without_words, read, table};
use crate::known;
use crate::stage::root;

const DOCUMENT: &str = "SECURITY.md";
const HEADING: &str = "Threats";

/// The lines of the list by boundary: service, images, guest, source, operator. `G6` was never given.
const NUMBERS: [&str; 26] = [
    "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "B2", "G1", "G2", "G3", "G4", "G5",
    "G7", "G8", "G9", "G10", "G11", "G12", "G13", "B4", "B5",
];
/// What a row says that has no test, or whose tests leave something out.
const NOT_YET: &str = "[not yet held]";

/// The table has a row for each number. Each test that a row names is there, in the file that it names, under a name that bears the
/// number; a row without any says so. And each test that bears a number is in its row.
///
/// # Errors
/// It is not so; the error names all that is wrong.
pub fn every_threat_has_its_tests() -> Result<()> {
    let mut there = numbered_tests()?;
    let rows = table::rows(DOCUMENT, HEADING, 4)?;
    let told: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    ensure!(told == NUMBERS, "{DOCUMENT} has {told:?}, and not {NUMBERS:?}");
    let mut wrong = Vec::new();
    for row in &rows {
        let (number, files, missing) = (&row[0], &row[2], &row[3]);
        for (file, test) in named(files)? {
            let known = there.get_mut(&file).map_or(&mut [][..], Vec::as_mut_slice);
            match known.iter_mut().find(|(name, _)| *name == test) {
                Some((name, is_named)) if bears(name, number) => *is_named = true,
                Some(_) => wrong.push(format!("{test} does not bear {number}")),
                None => wrong.push(format!("{file} has no test {test}")),
            }
        }
        if files.is_empty() && !missing.starts_with(NOT_YET) {
            wrong.push(format!("{number} has no test, and does not say {NOT_YET}"));
        }
    }
    for (file, tests) in &there {
        let unnamed = tests.iter().filter(|(_, is_named)| !is_named);
        wrong.extend(unnamed.map(|(test, _)| format!("{DOCUMENT} does not name {test} of {file}")));
    }
    ensure!(wrong.is_empty(), "threats: {}", wrong.join("; "));
    ensure!(
        read(&root().join("README.md"))?.contains("SECURITY.md#threats"),
        "README does not point to the table"
    );
    Ok(())
}

/// `` `path/of/file.rs`: `one`, `two`; `path/of/another.rs`: `three` ``, each test with its file.
fn named(files: &str) -> Result<Vec<(String, String)>> {
    let (mut named, mut file) = (Vec::new(), None);
    for word in table::quoted(files) {
        match (word.ends_with(".rs"), &file) {
            (true, _) => file = Some(word.to_owned()),
            (false, Some(file)) => named.push((String::clone(file), word.to_owned())),
            (false, None) => bail!("{DOCUMENT}: no file before {word}"),
        }
    }
    Ok(named)
}

/// Whether a test's name bears a number: the first one, or the last of several.
fn bears(name: &str, number: &str) -> bool {
    let number = number.to_lowercase();
    if let Some(range) = range(name) {
        let of = |number: &str| Some((number.get(..1)?.to_owned(), number.get(1..)?.parse::<u32>().ok()?));
        let (Some((kind, at)), Some((from, first)), Some((_, last))) =
            (of(&number), of(range.0), of(range.1))
        else {
            return false;
        };
        return kind == from && (first..=last).contains(&at);
    }
    name.split_once('_').is_some_and(|(first, _)| first == number)
}

/// `a1_to_a11_…` bears them all.
fn range(name: &str) -> Option<(&str, &str)> {
    let mut words = name.split('_');
    let (first, to, last) = (words.next()?, words.next()?, words.next()?);
    (to == "to").then_some((first, last))
}

type Tests = BTreeMap<String, Vec<(String, bool)>>;

/// Functions whose names bear a number, by the file that has them, and whether the table names them: none yet.
fn numbered_tests() -> Result<Tests> {
    let mut tests = Tests::new();
    for file in known::files(&["*.rs"])? {
        let text = read(&root().join(&file)).with_context(|| format!("look for tests in {file}"))?;
        let code = without_words(&text);
        let names = code.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        for name in names.filter(|name| NUMBERS.iter().any(|number| bears(name, number))) {
            tests.entry(file.clone()).or_default().push((name.to_owned(), false));
        }
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::{bears, named};

    #[test]
    fn a_name_bears_its_number_and_no_other() {
        assert!(
            bears("a1_who_signed", "A1") && !bears("a11_who_signed", "A1") && !bears("a1_who_signed", "A11")
        );
        assert!(bears("a1_to_a11_nothing", "A7") && !bears("a1_to_a11_nothing", "B4"));
        assert!(!bears("b4", "B4"));
    }

    #[test]
    fn each_test_has_the_file_before_it() {
        let words = "`a.rs`: `x`, `y`; `b.rs`: `z`";
        let pairs = [("a.rs", "x"), ("a.rs", "y"), ("b.rs", "z")]
            .map(|(file, test)| (file.to_owned(), test.to_owned()));
        assert_eq!(named(words).expect("names"), pairs);
        assert!(named("`x`").is_err());
    }
}
