//! `cargo xtask package`: a Debian package of programs, images, kit, completions and man pages.
//!
//! ```text
//! usr/bin/                    fades, fadesd
//! usr/share/fades/images/     the images, and signer.pub, by which nodes trust them
//! usr/share/fades/kit/        the sources that `fades dmf` builds functions with
//! usr/share/man/, usr/share/bash-completion/ and other shells': what `fades generate` makes
//! usr/share/doc/fades/        licences, README, CHANGELOG; in sbom/ what each program and image is made of
//! ```

mod control;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fades_image_build::Architecture;

use crate::images::{self, Images, RECIPES};
use crate::known;
use crate::stage::{building, cargo, check, root, stage, target};
use crate::testbed::node::Programs;
use crate::{bill, docs};

/// Where completions of each shell are looked for, and under which name.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/fades"),
    ("zsh", "usr/share/zsh/vendor-completions/_fades"),
    ("fish", "usr/share/fish/vendor_completions.d/fades.fish"),
];

/// Builds everything and packs it; tells where the package is.
///
/// # Errors
/// A build failed, or `dpkg-deb` did.
pub fn run() -> Result<()> {
    let images = building("images", "2 minutes", || images::build(Architecture::X86_64))?;
    building("programs", "4 minutes", || {
        check(&mut cargo(&["build", "--release", "--package", "fades-daemon", "--package", "fades-cli"]))
    })?;
    let package = stage("package", || make(&Programs::of("release"), &images, &target().join("package")))?;
    eprintln!("   {}", package.display());
    Ok(())
}

/// Packs these programs and images into a package in this folder, the bills of materials beside it; its file.
///
/// # Errors
/// Something cannot be read or written, or a program that this needs failed.
pub fn make(programs: &Programs, images: &Images, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("clear {}", tree.display()))?;
    }
    for name in ["fades", "fadesd"] {
        let program = tree.join("usr/bin").join(name);
        put(&programs.path(name), &program)?;
        check(Command::new("strip").arg(&program))?;
    }
    told(&programs.path("fades"), &tree)?;
    for recipe in RECIPES {
        put(
            &images.file(recipe.name),
            &tree.join("usr/share/fades/images").join(format!("{}.img", recipe.name)),
        )?;
    }
    put(&images.signer, &tree.join("usr/share/fades/images/signer.pub"))?;
    sources(&tree.join("usr/share/fades/kit"))?;
    let documents = tree.join("usr/share/doc/fades");
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        put(&root().join(name), &documents.join(name))?;
    }
    write(&documents.join("copyright"), control::COPYRIGHT.as_bytes())?;
    let bills = documents.join("sbom");
    bill::write(&bills)?;
    docs::copy(&bills, &folder.join("sbom"), &|_| true)?;
    let size = modes(&tree)?;
    write(&tree.join("DEBIAN/control"), control::control(size).as_bytes())?;
    let package = folder.join(control::file_name());
    // The lowest level: the highest takes six times as long for a seventh less.
    check(Command::new("dpkg-deb").args(["--root-owner-group", "-z1", "--build"]).arg(&tree).arg(&package))?;
    Ok(package)
}

/// What the program tells of itself to shells and to `man`.
fn told(fades: &Path, tree: &Path) -> Result<()> {
    for (shell, place) in SHELLS {
        let script = Command::new(fades).args(["generate", "completions", shell]).output();
        let script = script.with_context(|| format!("start {}", fades.display()))?;
        ensure!(
            script.status.success(),
            "completions for {shell}: {}",
            String::from_utf8_lossy(&script.stderr)
        );
        write(&tree.join(place), &script.stdout)?;
    }
    check(Command::new(fades).args(["generate", "man"]).arg(tree.join("usr/share/man/man1")))?;
    write(&tree.join("usr/share/man/man8/fadesd.8"), include_bytes!("fadesd.8"))
}

/// The kit: the sources of this checkout.
fn sources(to: &Path) -> Result<()> {
    // Figures are not built with, and are the larger half.
    for name in known::files(&[])?.iter().filter(|name| !name.starts_with("bench/figures/")) {
        put(&root().join(name), &to.join(name))?;
    }
    Ok(())
}

/// Gives every file and folder the rights that a package has, whatever this machine's are; KiB of all files.
fn modes(folder: &Path) -> Result<u64> {
    let mut kib = 0;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set(folder, 0o755)?;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let (path, data) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if data.is_dir() {
            kib += modes(&path)?;
        } else {
            set(&path, if data.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 })?;
            kib += data.len().div_ceil(1024);
        }
    }
    Ok(kib)
}

fn put(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}

fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    make_parent(to)?;
    fs::write(to, bytes).with_context(|| format!("write {}", to.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().context("a file has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))
}
