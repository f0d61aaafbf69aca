use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::stage::cargo;

/// What cargo itself would build, as the plan of the build has it: an interface that is not stable, so this is not where bills come from.
fn planned(asked: &Asked, root: &str) -> BTreeSet<(String, String)> {
    let mut command =
        cargo(&["build", "--release", "--unit-graph", "-Zunstable-options", "--target", asked.target]);
    for package in &asked.packages {
        command.args(["--package", package]);
    }
    let output = command.env("RUSTC_BOOTSTRAP", "1").output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let units = plan["units"].as_array().expect("units");
    let index = |value: &Value| usize::try_from(value.as_u64().expect("an index")).expect("small");
    let is = |unit: &Value, kind: &str| unit["target"]["kind"][0] == kind;
    let roots = plan["roots"].as_array().expect("roots").iter().map(index);
    let mut open: Vec<usize> =
        roots.filter(|&root_| is(&units[root_], "bin") && name_of(&units[root_]).0 == root).collect();
    assert_eq!(open.len(), 1, "{root} has one program");
    let mut reached = BTreeSet::new();
    while let Some(at) = open.pop() {
        let unit = &units[at];
        if is(unit, "proc-macro")
            || unit["mode"] != "build"
            || is(unit, "custom-build")
            || !reached.insert(at)
        {
            continue;
        }
        open.extend(
            unit["dependencies"].as_array().expect("a list").iter().map(|other| index(&other["index"])),
        );
    }
    reached.into_iter().map(|at| name_of(&units[at])).collect()
}

/// `path+file:///…/folder#1.2.3`, or with the name before an at sign behind the hash.
fn name_of(unit: &Value) -> (String, String) {
    let (place, name) = unit["pkg_id"].as_str().expect("text").rsplit_once('#').expect("a version");
    let (name, version) =
        name.rsplit_once('@').unwrap_or_else(|| (place.rsplit('/').next().expect("a folder"), name));
    (name.to_owned(), version.to_owned())
}

fn linked(bill: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let components = bill["components"].as_array().expect("components").iter();
    components
        .filter(|component| component["scope"] == "required" && component["name"] != "rust-std")
        .map(|component| (text(&component["name"]), text(&component["version"])))
        .collect()
}

fn document(bill: &Bill) -> Value {
    serde_json::from_str(&bill.text().expect("text")).expect("JSON")
}

#[test]
fn a_bill_has_each_crate_that_cargo_links_and_none_beside() {
    let packages = PROGRAMS.map(|(_, package)| package);
    for ((_, package), bill) in PROGRAMS.into_iter().zip(programs().expect("bills")) {
        assert_eq!(linked(&document(&bill)), planned(&ours(&packages, HOST), package), "{package}");
    }
    let bare = Architecture::X86_64.bare_target();
    let guests = RECIPES.iter().map(|recipe| (recipe.package, Architecture::X86_64.guest_target()));
    for (package, target) in guests.chain([(LOADER, bare), (LOADER, Architecture::Aarch64.bare_target())]) {
        let asked = ours(&[package], target);
        let part = Graph::of(&asked).expect("a graph").part(package).expect("a part");
        let bill = Bill { name: package.to_owned(), parts: vec![part], compiler: "1".to_owned() };
        assert_eq!(linked(&document(&bill)), planned(&asked, package), "{package} for {target}");
    }
}

#[test]
fn a_bill_is_the_same_each_time_and_says_what_is_needed_of_each() {
    let (bill, again) = (&programs().expect("bills")[1], &programs().expect("bills")[1]);
    let text = bill.text().expect("text");
    assert_eq!(text, again.text().expect("text"));
    assert!(!text.contains(&root().display().to_string()), "it says where it was made");
    let document = document(bill);
    let ours = |component: &Value| component["name"].as_str().is_some_and(|name| name.starts_with("fades-"));
    for component in document["components"].as_array().expect("components") {
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        let is_hashed = component["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64);
        assert!(is_hashed || ours(component) || component["name"] == "rust-std", "{component}");
    }
    // Every name of an edge is a component's.
    let known: Vec<&Value> =
        document["components"].as_array().expect("components").iter().map(|one| &one["bom-ref"]).collect();
    for edge in document["dependencies"].as_array().expect("edges") {
        for to in edge["dependsOn"].as_array().expect("a list") {
            assert!(known.contains(&to), "{to}");
        }
    }
}

#[test]
fn the_release_of_a_compiler_is_read() {
    assert_eq!(
        release("rustc 1.95.0 (5 2026)\nbinary: rustc\nrelease: 1.95.0\n").expect("a release"),
        "1.95.0"
    );
    assert!(release("rustc").is_err());
}
