//! The package, made of the programs that are built for tests, unpacked, and used from where it lies.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use xtask::images::{Images, RECIPES};
use xtask::package;
use xtask::stage::cargo;
use xtask::testbed::node::Programs;

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

#[test]
fn what_is_in_the_package_works_from_where_it_is_unpacked() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no dpkg-deb, so this is no Debian, and nobody makes a package here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = Images::built().unwrap();
    let package = package::make(&Programs::of("debug"), &images, &folder.path().join("made")).unwrap();
    // Read by dpkg itself, then used with no clone above it.
    let name = done(Command::new("dpkg-deb").arg("--field").arg(&package).arg("Package"));
    assert_eq!(String::from_utf8_lossy(&name.stdout), "fades\n");
    let there = folder.path().join("there");
    done(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&there));
    let fades = || {
        let mut command = Command::new(there.join("usr/bin/fades"));
        command.current_dir(folder.path()).env_remove("FADES_KIT").env_remove("FADES_NODE");
        command
    };

    // A function's crate, whose kit is the package's.
    done(fades().args(["dmf", "new", "peaks", "--defaults"]));
    let manifest = fs::read_to_string(folder.path().join("peaks/Cargo.toml")).unwrap();
    let kit = there.join("usr/share/fades/kit").canonicalize().unwrap();
    assert!(manifest.contains(kit.to_str().unwrap()), "{manifest}");
    // Every crate of the kit is there.
    let mut metadata = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    done(metadata.current_dir(&kit));

    // Images, and the key by which they are trusted.
    let shared = there.join("usr/share/fades/images");
    for recipe in RECIPES {
        let image = shared.join(format!("{}.img", recipe.name));
        done(fades().args(["image", "inspect"]).arg(image).arg("--signer").arg(shared.join("signer.pub")));
    }
    shells_know_it(&there);
    nothing_is_secret(&there);
    each_says_what_it_is_made_of(&there);
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "copyright"] {
        assert!(there.join("usr/share/doc/fades").join(name).is_file(), "{name}");
    }
}

fn shells_know_it(there: &Path) {
    let bash = there.join("usr/share/bash-completion/completions/fades");
    // What a shell offers after `fades ta`.
    let asked = format!(
        "source '{}'; COMP_WORDS=(fades ta); COMP_CWORD=1; _fades fades ta fades; echo \"${{COMPREPLY[*]}}\"",
        bash.display()
    );
    let offered = done(Command::new("bash").args(["--noprofile", "--norc", "-c", &asked]));
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "task");
    for (name, words) in [
        ("zsh/vendor-completions/_fades", "#compdef fades"),
        ("fish/vendor_completions.d/fades.fish", "complete -c fades"),
        ("man/man1/fades-task-submit.1", ".TH fades-task-submit 1"),
        ("man/man8/fadesd.8", ".TH fadesd 8"),
    ] {
        let text = fs::read_to_string(there.join("usr/share").join(name)).unwrap();
        assert!(text.contains(words), "{name}");
    }
}

/// That the bills are complete is tested where they are made, but for the kernel, which is built by now.
fn each_says_what_it_is_made_of(there: &Path) {
    let bill = |name: &str| {
        fs::read_to_string(there.join("usr/share/doc/fades/sbom").join(format!("{name}.cdx.json"))).unwrap()
    };
    for recipe in RECIPES {
        let text = bill(recipe.name);
        for part in [recipe.package, "fades-loader", "hermit-kernel", "smoltcp", "fdt", "rust-std"] {
            assert!(text.contains(&format!("\"name\": \"{part}\"")), "{}: {part}", recipe.name);
        }
    }
    assert!(bill("fades").contains("reqwest") && bill("fadesd").contains("redb"));
}

/// A checkout has keys in it; none is anybody else's.
fn nothing_is_secret(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nothing_is_secret(&path);
        } else {
            assert!(path.extension().is_none_or(|ending| ending != "key"), "{}", path.display());
        }
    }
}
