//! What has to be on the machine, checked by looking for it, installed from Debian's packages where it is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Something that the build or the tests need.
struct Need {
    package: &'static str,
    why: &'static str,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        package: "qemu-system-x86",
        why: "runs the guests",
        present: || program("qemu-system-x86_64").is_some(),
    },
    Need {
        package: "qemu-system-arm",
        why: "runs guests for aarch64",
        present: || program("qemu-system-aarch64").is_some(),
    },
    Need {
        package: "influxdb",
        why: "the real data source of demo and tests",
        present: || program("influxd").is_some(),
    },
    Need { package: "lld", why: "links guests", present: || program("ld.lld").is_some() },
    Need {
        package: "binutils",
        why: "renames the kernel's symbols (objcopy)",
        present: || program("objcopy").is_some(),
    },
    Need {
        package: "binutils-aarch64-linux-gnu",
        why: "the same of the kernel for aarch64",
        present: || program("aarch64-linux-gnu-objcopy").is_some(),
    },
    Need {
        package: "patch",
        why: "applies our patches to the kernel",
        present: || program("patch").is_some(),
    },
    Need { package: "gcc", why: "links host programs", present: || program("cc").is_some() },
    Need {
        package: "docker-registry",
        why: "the real registry that images are pushed to in tests",
        present: || program("docker-registry").is_some(),
    },
    Need {
        package: "faketime",
        why: "images are built on another day in a test",
        present: || program(FAKETIME).is_some(),
    },
    Need {
        package: "strace",
        why: "what a node does to its files is traced in tests of power cuts",
        present: || program("strace").is_some(),
    },
    Need { package: "curl", why: "the curl example's test", present: || program("curl").is_some() },
    Need { package: "python3", why: "the Python example's test", present: || Path::new(PYTHON).exists() },
    Need { package: "python3-cbor2", why: "the Python example's test", present: || python_has("cbor2") },
    Need {
        package: "python3-cryptography",
        why: "the Python example's test",
        present: || python_has("cryptography"),
    },
];

/// Debian's toolchain with library sources, needed where rustup's has none.
const TOOLCHAIN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// Runs a program with another clock.
pub const FAKETIME: &str = "faketime";

/// Debian's own interpreter, for which Debian's modules are made.
pub const PYTHON: &str = "/usr/bin/python3";

/// Installs what is missing, or says in one command what to run.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub fn run() -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for need in NEEDS.iter().filter(|need| !(need.present)()) {
        eprintln!("setup: {} is missing: {}", need.package, need.why);
        missing.push(need.package);
    }
    if fades_image_build::Toolchain::find().is_err() {
        eprintln!(
            "setup: no Rust toolchain with library sources: Debian's builds the kernel and std for guests"
        );
        missing.extend(TOOLCHAIN);
    }
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

/// Installs those of Debian's packages that are not there.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub(crate) fn have_packages(packages: &[&str]) -> Result<()> {
    let is_there = |package: &str| {
        let query = ["-W", "-f=${db:Status-Status}", package];
        let output = Command::new("dpkg-query").args(query).output();
        output.is_ok_and(|output| output.stdout == b"installed")
    };
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_there(package)).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn install(packages: &[&str]) -> Result<()> {
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if program("apt-get").is_none() {
        bail!("this machine has no apt-get; install what these Debian packages hold: {}", packages.join(" "));
    }
    let Some(prefix) = as_root() else {
        bail!(
            "root is needed to install packages; run this, then try again:\n  sudo sh -c 'apt-get update && {command}'"
        );
    };
    eprintln!("setup: installing: {}", packages.join(" "));
    apt(prefix, &["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(prefix, &arguments)
}

/// Fetches Debian's lists of packages anew.
///
/// # Errors
/// It cannot be done from here.
pub(crate) fn refresh() -> Result<()> {
    let prefix = as_root().context("root is needed: run `sudo apt-get update`, then try again")?;
    apt(prefix, &["update", "-q"])
}

/// What a command starts with to be run by root; nothing where that takes a password.
fn as_root() -> Option<&'static [&'static str]> {
    if is_root() {
        Some(&[])
    } else if quiet(Command::new("sudo").args(["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let mut words: Vec<&str> = prefix.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    words.extend(arguments);
    let output =
        Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().context("start apt-get")?;
    if !output.status.success() {
        bail!("{} failed:\n{}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Where `name` is on the search path, or in the folders that only root's has.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn python_has(module: &str) -> bool {
    quiet(Command::new(PYTHON).args(["-c", &format!("import {module}")]))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
