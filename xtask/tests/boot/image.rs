//! `fades image inspect`: everything about an image file, without booting it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use xtask::images::{Images, probe};
use xtask::testbed::node::Programs;

use crate::Scratch;

fn inspect(file: &Path, more: &[&str]) -> Output {
    // A node that does not exist: nobody is asked.
    Command::new(Programs::of("debug").path("fades"))
        .args(["image", "inspect", file.to_str().unwrap()])
        .args(more)
        .env("FADES_NODE", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

#[test]
fn an_image_is_inspected_without_booting_it() {
    let images = Images::built().unwrap();
    let (file, signer) = (images.file("stats"), images.signer.to_str().unwrap().to_owned());
    let (loader, _) = probe("hello").unwrap();

    let output = inspect(&file, &["--signer", &signer, "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = &told["manifest"];
    assert_eq!((&manifest["name"], &manifest["role"]), (&"stats".into(), &"dmf".into()));
    assert_eq!(told["signature"], "verified");
    assert_eq!(told["file_size"], fs::metadata(&file).unwrap().len());
    assert_eq!(
        told["reference"].as_str().unwrap(),
        format!("stats@sha256:{}", told["digest"].as_str().unwrap())
    );
    // Its parts are what was built, by the word of another program.
    let application = loader.with_file_name("dmf-stats.elf");
    for (part, built) in [(0, &loader), (1, &application)] {
        let part = &manifest["parts"][part];
        assert_eq!(part["size"], fs::metadata(built).unwrap().len(), "{part}");
        assert_eq!(part["sha256"].as_str().unwrap(), sha256sum(built), "{part}");
    }
    for sections in ["loader_sections", "application_sections"] {
        let sections = told[sections].as_array().unwrap();
        let text = sections.iter().find(|section| section["name"] == ".text").unwrap();
        assert!(text["size"].as_u64().unwrap() > 4096, "{text}");
    }

    let output = inspect(&file, &[]);
    let words = String::from_utf8(output.stdout).unwrap();
    for word in ["stats@sha256:", "not checked", "loader: ", "application: ", ".text"] {
        assert!(words.contains(word), "{word:?} is not in {words}");
    }
}

#[test]
fn an_image_that_was_tampered_with_is_refused() {
    let images = Images::built().unwrap();
    let (good, signer) =
        (fs::read(images.file("stats")).unwrap(), images.signer.to_str().unwrap().to_owned());
    let refused = |what: &str, contents: &[u8]| {
        let scratch = Scratch::new("tampered.img", contents);
        let output = inspect(&scratch.0, &["--signer", &signer, "-o", "json"]);
        assert_eq!(output.status.code(), Some(4), "{what}: {output:?}");
        let failure: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(failure["code"].as_str().unwrap().starts_with("E15"), "{what}: {failure}");
    };
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refused("a bit of the application", &flipped);
    refused("cut", &good[..good.len() - 1]);
    refused("a byte more", &[good.as_slice(), b"\n"].concat());
    refused("nothing", b"");
}

fn sha256sum(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
