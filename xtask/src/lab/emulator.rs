//! The QEMU that a lab's machine runs in: Debian's source of its backport, with a patch, built here once. No QEMU that one can
//! install emulates SVM well enough: an interrupt that a hypervisor injects comes twice now and then, nested paging is lost, or
//! CR2 is (`qemu.patch`).
//! Guests go on to run in the QEMU that is installed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::packages;
use crate::setup;
use crate::stage::{building, check, target};

const PATCH: &str = include_str!("qemu.patch");
const PROGRAM: &str = "qemu-system-x86_64";
/// A machine with a serial port, a shared folder and a translator, and nothing else.
const CONFIGURE: [&str; 10] = [
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--enable-tcg",
    "--enable-virtfs",
    "--enable-attr",
    "--enable-fdt=system",
    "--disable-docs",
    "--disable-werror",
    "--disable-install-blobs",
    "--python=/usr/bin/python3",
];
/// What it is built with.
const PACKAGES: [&str; 8] = [
    "ninja-build",
    "pkg-config",
    "libglib2.0-dev",
    "libattr1-dev",
    "libfdt-dev",
    "python3-venv",
    "python3-pip",
    "xz-utils",
];
/// Its build system, newer than Debian 12's, from Python's packages; kept beside the source.
const PYTHON_PACKAGES: [&str; 2] = ["meson==1.5.0", "pycotap==1.3.1"];
/// Debian's keys, where every Debian has them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// apt's own way to fetch a file and check its hash.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
/// Folders with the firmware of the QEMU that is installed, which serves for this one as well.
const FIRMWARE: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// A QEMU.
pub(super) struct Emulator(PathBuf);

impl Emulator {
    /// A new process of it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        for folder in FIRMWARE {
            command.args(["-L", folder]);
        }
        command
    }
}

/// Builds it, unless that was done.
pub(super) fn make() -> Result<Emulator> {
    let program = target().join("lab/qemu").join(key()).join(PROGRAM);
    if !program.is_file() {
        building("the labs' QEMU", "3 minutes", || build(&program))?;
    }
    Ok(Emulator(program))
}

/// Names a build by what it is made of.
fn key() -> String {
    let mut hash = Sha256::new_with_prefix(PATCH);
    CONFIGURE.iter().chain(&PYTHON_PACKAGES).for_each(|word| hash.update(word));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn build(program: &Path) -> Result<()> {
    setup::have_packages(&PACKAGES)?;
    let folder = target().join("lab/qemu/build");
    let _ = fs::remove_dir_all(&folder);
    let (source, modules, made) = (folder.join("source"), folder.join("python"), folder.join("made"));
    for path in [&source, &modules, &made] {
        fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    }
    let archive = packages::again_with_todays_lists(|| fetch(&folder))?;
    check(
        Command::new("tar").args(["-x", "--strip-components=1", "-f"]).arg(&archive).arg("-C").arg(&source),
    )?;
    patch(&source)?;
    let mut pip = Command::new(setup::PYTHON);
    check(pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&modules).args(PYTHON_PACKAGES))?;
    let in_build = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&made).env("PYTHONPATH", &modules);
        command
    };
    let log = folder.join("log");
    logged(in_build(&source.join("configure")).args(CONFIGURE), &log)?;
    logged(in_build(Path::new("ninja")).arg(PROGRAM), &log)?;
    let place = program.parent().context("a program is in a folder")?;
    fs::create_dir_all(place).with_context(|| format!("make {}", place.display()))?;
    fs::rename(made.join(PROGRAM), program).context("put the labs' QEMU in its place")?;
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}

/// The source archive of this Debian's backport, by apt with lists of its own below `folder`: the machine's own settings stay as
/// they are.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let (archive, codename) = debian()?;
    let at = |name: &str| folder.join("apt").join(name);
    for name in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(at(name)).with_context(|| format!("make {}", at(name).display()))?;
    }
    let sources = at("sources.list");
    fs::write(&sources, format!("deb-src [signed-by={KEYRING}] {archive} {codename}-backports main\n"))
        .with_context(|| format!("write {}", sources.display()))?;
    let options = [
        "APT::Sandbox::User=".to_owned(),
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", at("lists").display()),
        format!("Dir::Cache={}", at("cache").display()),
    ];
    let apt = || {
        let mut command = Command::new("apt-get");
        command.args(options.iter().flat_map(|option| ["-o", option.as_str()]));
        command
    };
    check(apt().args(["-q", "update"]))?;
    let output = apt().args(["-q", "--print-uris", "source", "qemu"]).output().context("start apt-get")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // 'address' name size SHA256:hash
    let found = said.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [address, name, _, hash] if name.ends_with(".orig.tar.xz") => {
            Some((address.trim_matches('\''), name, hash))
        }
        _ => None,
    });
    let Some((address, name, hash)) = found else { bail!("{codename}-backports has no source of qemu") };
    let file = folder.join(name);
    check(Command::new(APT_HELPER).args(["download-file", address]).arg(&file).arg(hash))?;
    Ok(file)
}

/// Where this machine has Debian from, and the release's name.
fn debian() -> Result<(String, String)> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"])
        .args(["Created-By: Packages", "Origin: Debian", "Component: main"])
        .output()
        .context("start apt-get")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Updates and security have names with more to them.
    let found = said.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| !name.contains('-'));
    let (archive, codename) =
        found.context("apt does not say where this machine has Debian from: run `apt-get update`")?;
    Ok((archive.to_owned(), codename.to_owned()))
}

fn patch(source: &Path) -> Result<()> {
    let mut patch = Command::new("patch")
        .args(["--quiet", "-p1", "-d"])
        .arg(source)
        .stdin(Stdio::piped())
        .spawn()
        .context("start patch")?;
    patch
        .stdin
        .take()
        .context("patch has an input")?
        .write_all(PATCH.as_bytes())
        .context("write to patch")?;
    if !patch.wait().context("wait for patch")?.success() {
        bail!("this QEMU is not the one that xtask/src/lab/qemu.patch is for");
    }
    // Firmware that Debian took out of the source, and that is not built.
    fs::write(source.join("pc-bios/meson.build"), "roms = []\n").context("leave the firmware out")
}

/// Runs what says much, with that in a file that is shown if it fails.
fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = || fs::File::options().create(true).append(true).open(log);
    let file = || file().with_context(|| format!("write {}", log.display()));
    command.stdin(Stdio::null()).stdout(file()?).stderr(file()?);
    check(command).with_context(|| {
        let said = fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(30).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    })
}
