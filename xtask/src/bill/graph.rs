//! What cargo says a build is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::cyclonedx::{Package, Part};
use crate::stage::cargo;

/// What cargo is asked about: packages that one command builds.
pub(super) struct Asked<'a> {
    pub(super) manifest: PathBuf,
    pub(super) packages: Vec<&'a str>,
    pub(super) target: &'a str,
    /// Instead of the default ones.
    pub(super) features: Option<&'a str>,
}

/// Name and version. A workspace has no two packages with both alike; whether it is patched is said by its source.
pub(super) type Id = (String, String);

/// Packages, and which of them each is made of.
pub(super) struct Graph {
    packages: BTreeMap<Id, Package>,
    /// Linked together.
    linked: BTreeMap<Id, BTreeSet<Id>>,
    /// The same and what builds them: derives, build scripts and their packages.
    built: BTreeMap<Id, BTreeSet<Id>>,
    lock: String,
}

impl Graph {
    /// Asks cargo.
    pub(super) fn of(asked: &Asked) -> Result<Self> {
        let file = asked.manifest.with_extension("lock");
        let lock = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let checksums = checksums(&lock);
        let mut packages = BTreeMap::new();
        let linked = edges(&tree(asked, "normal,no-proc-macro")?, &mut packages)?;
        let built = edges(&tree(asked, "normal,build")?, &mut packages)?;
        for (id, package) in &mut packages {
            package.checksum = checksums.get(id).cloned();
        }
        Ok(Self { packages, linked, built, lock: hex(&Sha256::digest(&lock)) })
    }

    /// All that `package` is made of.
    pub(super) fn part(&self, package: &str) -> Result<Part> {
        let root = self.packages.keys().find(|(name, _)| name == package);
        let root = root.with_context(|| format!("cargo does not speak of {package}"))?;
        let (linked, built) = (reached(&self.linked, root), reached(&self.built, root));
        let packages =
            built.iter().map(|id| Package { is_linked: linked.contains(id), ..self.packages[id].clone() });
        let edges = self.built.iter().filter(|(from, _)| built.contains(from));
        Ok(Part {
            root: root.clone(),
            lock: self.lock.clone(),
            packages: packages.collect(),
            edges: edges.map(|(from, to)| (from.clone(), to.clone())).collect(),
        })
    }
}

/// `cargo tree`, a line for each package below each other one: depth, name, version, and behind a tabulator its licence.
fn tree(asked: &Asked, edges: &str) -> Result<String> {
    let mut command = cargo(&["tree", "--prefix", "depth", "--format", "{p}\t{l}"]);
    command.args(["--edges", edges, "--target", asked.target]).arg("--manifest-path").arg(&asked.manifest);
    for package in &asked.packages {
        command.args(["--package", package]);
    }
    if let Some(features) = asked.features {
        command.args(["--no-default-features", "--features", features]);
    }
    let said = command.output().context("start cargo tree")?;
    ensure!(said.status.success(), "cargo tree: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).context("cargo tree says what is not UTF-8")
}

/// Reads it. A package that comes again has its own packages at one of its places only.
fn edges(tree: &str, packages: &mut BTreeMap<Id, Package>) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let (mut edges, mut above): (BTreeMap<Id, BTreeSet<Id>>, Vec<Id>) = (BTreeMap::new(), Vec::new());
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, package) = package(line).with_context(|| format!("cargo tree says {line:?}"))?;
        let id = (package.name.clone(), package.version.clone());
        above.truncate(depth);
        if let Some(from) = above.last() {
            edges.entry(from.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        packages.insert(id.clone(), package);
        above.push(id);
    }
    Ok(edges)
}

/// `12name v1.2.3 (place)\tlicence (*)`, place and asterisk in some lines only.
fn package(line: &str) -> Option<(usize, Package)> {
    let digits = line.find(|letter: char| !letter.is_ascii_digit())?;
    let (what, licence) = line[digits..].split_once('\t')?;
    let (name, rest) = what.split_once(" v")?;
    let (version, place) = rest.split_once(' ').unwrap_or((rest, ""));
    let licence = licence.trim_end_matches("(*)").trim();
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
        // An older way to write it.
        licence: (!licence.is_empty()).then(|| licence.replace('/', " OR ")),
        // A derive has this behind it, and a crate that lies here its folder.
        is_local: place.split(") (").any(|place| place.trim_start_matches('(').starts_with('/')),
        is_linked: false,
        checksum: None,
    };
    Some((line[..digits].parse().ok()?, package))
}

fn reached(edges: &BTreeMap<Id, BTreeSet<Id>>, root: &Id) -> BTreeSet<Id> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        if reached.insert(id.clone()) {
            open.extend(edges.get(id).into_iter().flatten());
        }
    }
    reached
}

/// SHA-256 of what the registry gives for each package, as the lock file has it.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let value = |block: &str, key: &str| {
        let line =
            block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        line.map(str::to_owned)
    };
    let entry =
        |block: &str| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?));
    lock.split("[[package]]").filter_map(entry).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
