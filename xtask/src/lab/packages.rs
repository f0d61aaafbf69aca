//! Debian's kernel and busybox, fetched as packages and unpacked below `target/lab`, without installing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::stage::{check, target};

/// What a lab takes from packages.
pub(super) struct Packages {
    /// The kernel, as a boot loader takes it.
    pub(super) image: PathBuf,
    /// Its modules' folder: `.../lib/modules/VERSION`.
    pub(super) modules: PathBuf,
    /// Linked statically: every program of the lab's own that is not ours.
    pub(super) busybox: PathBuf,
}

/// Fetches what is missing. What was fetched once is used until Debian has another kernel.
pub(super) fn fetch() -> Result<Packages> {
    again_with_todays_lists(find)
}

/// Fetches, and if that fails once more. Debian takes packages away for which it has newer ones: lists of yesterday may name
/// what is not there any more.
pub(super) fn again_with_todays_lists<T>(find: impl Fn() -> Result<T>) -> Result<T> {
    find().or_else(|error| {
        eprintln!("   {error:#}: once more, with Debian's lists of today");
        setup::refresh()?;
        find()
    })
}

fn find() -> Result<Packages> {
    let folder = folder()?;
    let kernel = newest_kernel()?;
    for package in ["busybox-static", &kernel] {
        unpack(&folder, package)?;
    }
    let version = kernel.trim_start_matches("linux-image-");
    let root = folder.join(&kernel);
    Ok(Packages {
        image: root.join("boot").join(format!("vmlinuz-{version}")),
        modules: root.join("lib/modules").join(version),
        busybox: folder.join("busybox-static/bin/busybox"),
    })
}

/// Where packages are unpacked.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = target().join("lab/packages");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// The package that `linux-image-amd64` stands for.
fn newest_kernel() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", "linux-image-amd64"])
        .output()
        .context("start apt-cache")?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    words
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
        .map(str::to_owned)
        .context("apt knows no linux-image-amd64: run `apt-get update`, and look whether this is Debian 12")
}

/// Fetches a package and unpacks it, unless that was done; says where.
pub(super) fn unpack(folder: &Path, package: &str) -> Result<PathBuf> {
    let root = folder.join(package);
    if root.is_dir() {
        return Ok(root);
    }
    let fetched = folder.join(format!("{package}.fetched"));
    let _ = fs::remove_dir_all(&fetched);
    fs::create_dir(&fetched).with_context(|| format!("make {}", fetched.display()))?;
    // Nothing of it is installed, so that any user may do it; apt's own user cannot write here.
    check(
        Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=", "download", package])
            .current_dir(&fetched),
    )?;
    let file = fs::read_dir(&fetched)?.filter_map(Result::ok).map(|entry| entry.path()).next();
    let Some(file) = file else { bail!("apt-get fetched nothing for {package}") };
    let partial = folder.join(format!("{package}.partial"));
    let _ = fs::remove_dir_all(&partial);
    check(Command::new("dpkg-deb").arg("-x").args([&file, &partial]))?;
    fs::rename(&partial, &root).with_context(|| format!("put {} in its place", root.display()))?;
    fs::remove_dir_all(&fetched).with_context(|| format!("remove {}", fetched.display()))?;
    Ok(root)
}
