//! CycloneDX 1.6 as JSON. No serial number and no time, which differ from day to day; everything in the order of names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::graph::Id;

/// One package.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// As its manifest has it.
    pub(super) licence: Option<String>,
    /// From here, so ours or patched, and not as a registry has it.
    pub(super) is_local: bool,
    /// Or only used to build what is.
    pub(super) is_linked: bool,
    /// SHA-256 of its archive.
    pub(super) checksum: Option<String>,
}

/// What one build makes: a program, or one of those that an image holds.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) root: Id,
    /// SHA-256 of the lock file that it is built by.
    pub(super) lock: String,
    pub(super) packages: Vec<Package>,
    pub(super) edges: Vec<(Id, BTreeSet<Id>)>,
}

/// What is shipped in one file.
pub(super) struct Bill {
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
    /// Version of the compiler, and so of Rust's library.
    pub(super) compiler: String,
}

impl Bill {
    /// The document.
    pub(super) fn text(&self) -> Result<String> {
        let (mut packages, mut edges): (BTreeMap<Id, Package>, BTreeMap<Id, BTreeSet<Id>>) =
            Default::default();
        for part in &self.parts {
            for package in &part.packages {
                let id = (package.name.clone(), package.version.clone());
                // Linked into one part and a tool of another's build.
                packages.entry(id).or_insert_with(|| package.clone()).is_linked |= package.is_linked;
            }
            for (from, to) in &part.edges {
                edges.entry(from.clone()).or_default().extend(to.iter().cloned());
            }
        }
        let library = ("rust-std".to_owned(), self.compiler.clone());
        let mut components: Vec<Value> = packages.values().map(component).collect();
        components.push(json!({
            "type": "library", "bom-ref": reference(&library), "name": library.0, "version": library.1, "scope": "required",
            "licenses": [{ "expression": "MIT OR Apache-2.0" }], "purl": reference(&library),
        }));
        let roots = self.parts.iter().map(|part| reference(&part.root)).chain([reference(&library)]);
        let mut dependencies = vec![json!({ "ref": self.name, "dependsOn": roots.collect::<Vec<_>>() })];
        dependencies.extend(edges.iter().map(|(from, to)| {
            json!({ "ref": reference(from), "dependsOn": to.iter().map(reference).collect::<Vec<_>>() })
        }));
        let locks = self
            .parts
            .iter()
            .map(|part| json!({ "name": format!("fades:lock:{}", part.root.0), "value": part.lock }));
        let document = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application", "bom-ref": self.name, "name": self.name, "version": env!("CARGO_PKG_VERSION"),
                    "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                },
                "properties": locks.collect::<Vec<_>>(),
            },
            "components": components,
            "dependencies": dependencies,
        });
        let text = serde_json::to_string_pretty(&document).context("write a bill of materials")?;
        Ok(text + "\n")
    }
}

fn component(package: &Package) -> Value {
    let reference = reference(&(package.name.clone(), package.version.clone()));
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "scope": if package.is_linked { "required" } else { "excluded" },
        "purl": reference,
    });
    if let Some(licence) = &package.licence {
        component["licenses"] = json!([{ "expression": licence }]);
    }
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if package.is_local && PATCHED.contains(&package.name.as_str()) {
        component["pedigree"] = json!({ "notes": "with the patches of images/kernel" });
    }
    component
}

/// Crates of others that lie here when they are built.
const PATCHED: [&str; 2] = ["hermit-kernel", "smoltcp"];

/// The package's URL, which names it within the document as well.
fn reference((name, version): &Id) -> String {
    let kind = if name == "rust-std" { "generic" } else { "cargo" };
    format!("pkg:{kind}/{name}@{version}")
}
