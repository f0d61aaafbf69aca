//! The same sources in another folder give the same images, to the byte: kernel, loader and functions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fades_image_build::{Author, Builder};
use xtask::stage::{root, target};

#[test]
fn another_folder_gives_the_same_bytes() {
    let elsewhere = target().join("beds/elsewhere");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).unwrap();
    }
    copy_sources(&root(), &elsewhere);
    let here = Builder::new(&root(), &target());
    let there = Builder::new(&elsewhere, &elsewhere.join("another name/than target"));
    let same = |what: &str, build: &dyn Fn(&Builder) -> PathBuf| {
        let (here, there) = (build(&here), build(&there));
        assert_ne!(here, there);
        assert!(fs::read(here).unwrap() == fs::read(there).unwrap(), "another folder gave another {what}");
    };
    same("loader", &|builder| builder.loader().unwrap());
    same("function", &|builder| builder.guest("dmf-stats").unwrap());
    // An author's crate, which lies in one place and is built with either kit.
    let author = Author::at(&root().join("dmf-kit/template")).unwrap();
    same("author's function", &|builder| builder.author(&author).unwrap());
    fs::remove_dir_all(&elsewhere).unwrap();
}

/// What git knows of, as it lies here: what was built is not to help.
fn copy_sources(from: &Path, to: &Path) {
    let output = Command::new("git")
        // A checkout may be somebody else's, as in CI; names of files are all that is asked of it.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(from)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = Path::new(std::str::from_utf8(name).unwrap());
        // One that was removed and not committed yet.
        if let Ok(text) = fs::read(from.join(name)) {
            fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
            fs::write(to.join(name), text).unwrap();
        }
    }
}
