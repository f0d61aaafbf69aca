//! The QEMU that a lab's machine runs in. Debian 12's own (7.2) does not emulate SVM well enough: guests lost registers, and
//! with two processors Linux died. Where this machine has no newer one, Debian's backport is unpacked beside the other
//! packages and not installed: guests go on to run in the one that is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::packages;
use crate::stage::check;

/// The oldest QEMU in which no guest lost a register (10.0, one minute of six guests, nine times; with 7.2 three times in 18).
const OLDEST: u32 = 10;
const PROGRAM: &str = "qemu-system-x86_64";
/// The program, its modules, its firmware.
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];

/// Debian's keys, where every Debian has them.
const KEY: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A QEMU and what it has to be told, where it is not in its usual place.
pub(super) struct Emulator {
    program: PathBuf,
    modules: Option<PathBuf>,
    firmware: Vec<PathBuf>,
}

impl Emulator {
    /// A new process of it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.modules.as_ref().map(|folder| ("QEMU_MODULE_DIR", folder)));
        for folder in &self.firmware {
            command.arg("-L").arg(folder);
        }
        command
    }
}

/// Finds one that is new enough, or fetches it.
pub(super) fn fetch() -> Result<Emulator> {
    packages::again_with_todays_lists(find)
}

fn find() -> Result<Emulator> {
    if version(Path::new(PROGRAM)).is_ok_and(|version| version >= OLDEST) {
        return Ok(Emulator { program: PROGRAM.into(), modules: None, firmware: Vec::new() });
    }
    let folder = packages::folder()?.join("backports");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let unpacked = |name: &str| folder.join(name);
    if !PACKAGES.iter().all(|name| unpacked(name).is_dir()) {
        let apt = backports(&folder)?;
        for package in PACKAGES {
            packages::unpack(&folder, package, &apt)?;
        }
    }
    let program = unpacked(PACKAGES[0]).join("usr/bin").join(PROGRAM);
    let emulator = Emulator {
        modules: Some(unpacked(PACKAGES[1]).join("usr/lib/x86_64-linux-gnu/qemu")),
        // The BIOS is a package of its own, which came with the QEMU that is installed.
        firmware: vec![unpacked(PACKAGES[2]).join("usr/share/qemu"), "/usr/share/seabios".into()],
        program,
    };
    match version(&emulator.program)? {
        version if version >= OLDEST => Ok(emulator),
        version => bail!("Debian's backports have QEMU {version}, and a lab takes {OLDEST} or newer"),
    }
}

/// The first number of a QEMU's version.
fn version(program: &Path) -> Result<u32> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let number = said.split_whitespace().nth(3).and_then(|word| word.split('.').next()?.parse().ok());
    number.with_context(|| {
        format!("{} does not run: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim())
    })
}

/// apt's arguments for the backports of this machine's Debian, with lists of their own below `folder`: the machine's
/// own settings stay as they are.
fn backports(folder: &Path) -> Result<Vec<String>> {
    let (archive, codename) = archive()?;
    let at = |name: &str| folder.join(name);
    for name in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(at(name)).with_context(|| format!("make {}", at(name).display()))?;
    }
    let suite = format!("{codename}-backports");
    let sources = at("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEY}] {archive} {suite} main\n"))
        .with_context(|| format!("write {}", sources.display()))?;
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", at("lists").display()),
        format!("Dir::Cache={}", at("cache").display()),
        format!("APT::Default-Release={suite}"),
    ];
    let arguments: Vec<String> = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
    check(Command::new("apt-get").args(["-q", "-o", "APT::Sandbox::User="]).args(&arguments).arg("update"))?;
    Ok(arguments)
}

/// Where this machine has Debian from, and the release's name.
fn archive() -> Result<(String, String)> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"])
        .args(["Created-By: Packages", "Origin: Debian", "Component: main"])
        .output()
        .context("start apt-get")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = said.lines().filter_map(|line| line.split_once(' '));
    // Updates and security have names with more to them.
    let found = pairs
        .filter(|(_, codename)| !codename.contains('-'))
        .map(|(at, name)| (at.into(), name.into()))
        .next();
    found.context("apt does not say where this machine has Debian from: run `apt-get update`")
}
