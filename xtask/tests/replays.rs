//! `fades dmf test` on the same readings in each form of fixture: the unikernel gives what the function gives on this machine. Here that
//! is QEMU's TCG; in the labs, where this program runs again with what it made here, KVM and Xen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fades_points::Fixture;
use serde_json::Value;
use xtask::stage::target;
use xtask::testbed::node::{EXPECT_BACKEND, Programs};

/// A file in each form that a fixture can have, and how many readings are in it: of the template's 432 all, and fewer.
const FORMS: [(&str, u64); 3] = [("data/points.lp", 432), ("data/points.csv", 400), ("data/points.fpt", 300)];

/// Where the author's crate is, the same in a lab as here.
fn crate_() -> PathBuf {
    target().join("replays/cold-rooms")
}

fn fades(within: &Path, words: &[&str]) -> Value {
    let folder = target().join("replays");
    let output = Command::new(Programs::of("debug").path("fades"))
        .args(["-o", "json"])
        .args(words)
        .current_dir(within)
        .env_remove("FADES_NODE")
        .env_remove("FADES_KIT")
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("CARGO_NET_OFFLINE", if in_a_lab() { "true" } else { "false" })
        .env("FADES_AUTHOR_KEY", folder.join("author.key"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn in_a_lab() -> bool {
    std::env::var_os("FADES_LAB").is_some()
}

/// The template's crate, and its readings in the other forms.
fn make() {
    let crate_ = crate_();
    let home = crate_.parent().unwrap();
    let _ = fs::remove_dir_all(&crate_);
    fs::create_dir_all(home).unwrap();
    let of = ["--measurement", "temperature", "--group-by", "room"];
    fades(home, &[&["dmf", "new", "cold-rooms", "--defaults"], &of[..]].concat());
    let lines = fs::read_to_string(crate_.join(FORMS[0].0)).unwrap();
    let first = |form: usize| lines.lines().take(FORMS[form].1.try_into().unwrap());
    // temperature,room=s1 value=11.4 1767225600000000000
    let row = |line: &str| {
        let (series, rest) = line.split_once(' ')?;
        let (value, time) = rest.split_once(' ')?;
        let room = series.strip_prefix("temperature,room=")?;
        Some(format!("temperature,{time},{room},{}\n", value.strip_prefix("value=")?))
    };
    let rows: Option<String> = first(1).map(row).collect();
    fs::write(crate_.join(FORMS[1].0), format!("measurement,time,room,value\n{}", rows.unwrap())).unwrap();
    let fewer: String = first(2).map(|line| format!("{line}\n")).collect();
    let recorded = Fixture::from_line_protocol(&fewer).unwrap().to_fpt().unwrap();
    fs::write(crate_.join(FORMS[2].0), recorded).unwrap();
}

#[test]
fn a_replay_is_the_same_in_the_unikernel_whatever_runs_it() {
    let (name, on) = match in_a_lab() {
        false => {
            make();
            ("tcg", "qemu-tcg".to_owned())
        }
        true => {
            let on = std::env::var(EXPECT_BACKEND).unwrap();
            (if on == "xen" { "xen" } else { "kvm" }, on)
        }
    };
    let mut words = vec!["dmf", "test", "--backend", "host", "--backend", name];
    words.extend(FORMS.iter().flat_map(|(form, _)| ["--replay", form]));
    let told = fades(&crate_(), &words);
    let rows: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let word = |key: &str| row[key].as_str().unwrap();
            (word("data"), word("on"), row["points"].as_u64().unwrap(), row["same"] == true)
        })
        .collect();
    let expected: Vec<_> = FORMS
        .iter()
        .flat_map(|(form, points)| ["host", &on].map(|place| (*form, place, *points, true)))
        .collect();
    assert_eq!(rows, expected);
}
