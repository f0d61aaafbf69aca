//! The lab's file system: what is run, with the libraries that it needs, and an init that runs it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use super::inside;
use super::packages::Packages;
use super::suite::Built;
use super::xen::{self, Xen};
use crate::images::PROBES;
use crate::stage::{check, root, target};

const INIT: &str = include_str!("init.sh");
/// Makes what the lab lacks be found on the machine around it.
const AROUND: &str = include_str!("around.sh");
/// Kernel modules for devices of QEMU's, in the order in which they are loaded.
pub(super) const VIRTIO: [&str; 5] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
];
/// Those behind them: the shared folder, KVM.
const MODULES: [&str; 9] = [
    "fs/netfs/netfs",
    "fs/fscache/fscache",
    "net/9p/9pnet",
    "net/9p/9pnet_virtio",
    "fs/9p/9p",
    "fs/overlayfs/overlay",
    "virt/lib/irqbypass",
    "drivers/crypto/ccp/ccp",
    "arch/x86/kvm/kvm",
];
/// The one that needs a processor with SVM; init looks whether it is there.
const KVM_AMD: &str = "arch/x86/kvm/kvm-amd";
/// Folders with QEMU's firmware.
const FIRMWARE: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// QEMU's translator, where Debian has it beside the program: a node in a lab can choose.
const TRANSLATOR: &str = "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so";

pub(super) type Root = Archive<BufWriter<File>>;

/// What of this machine is put in.
pub(super) struct Content<'a> {
    pub(super) packages: &'a Packages,
    pub(super) xen: Option<&'a Xen>,
    /// Test programs.
    pub(super) tests: &'a [Built],
    /// Parts of a Linux guest.
    pub(super) linux: &'a [PathBuf],
    /// Programs that are measured.
    pub(super) shipped: &'a [PathBuf],
}

/// Writes the archive.
pub(super) fn write(archive: &Path, content: &Content<'_>, script: &str) -> Result<()> {
    let Content { packages, xen, tests, linux, shipped } = content;
    let file = File::create(archive).with_context(|| format!("write {}", archive.display()))?;
    let mut root = Root::new(BufWriter::new(file));
    for folder in ["/proc", "/sys", "/dev", "/tmp", "/run", "/out", "/root"] {
        root.folder(Path::new(folder))?;
    }
    root.file(Path::new("/init"), 0o755, INIT.as_bytes())?;
    root.file(Path::new("/around"), 0o755, AROUND.as_bytes())?;
    root.file(Path::new("/command"), 0o755, script.as_bytes())?;
    busybox(&mut root, &packages.busybox)?;
    modules(&mut root, &packages.modules, xen.is_some())?;
    if let Some(xen) = xen {
        xen.write(&mut root)?;
    }
    programs(&mut root, tests, shipped)?;
    firmware(&mut root)?;
    images(&mut root)?;
    for file in *linux {
        root.file(file, 0o644, &read(file)?)?;
    }
    root.finish().context("write the lab's file system")?;
    Ok(())
}

fn busybox(root: &mut Root, program: &Path) -> Result<()> {
    root.file(Path::new("/bin/busybox"), 0o755, &read(program)?)?;
    let output = Command::new(program).arg("--list").output().context("ask busybox what it can do")?;
    for name in String::from_utf8_lossy(&output.stdout).lines().filter(|name| *name != "busybox") {
        root.link(&Path::new("/bin").join(name), "busybox")?;
    }
    Ok(())
}

fn modules(root: &mut Root, folder: &Path, xen: bool) -> Result<()> {
    let mut order = String::new();
    // Under Xen Linux has no processor of its own to make machines on.
    let (own, xens): (&[_], &[_]) = if xen { (&[], &xen::MODULES) } else { (&[KVM_AMD], &[]) };
    for module in VIRTIO.iter().chain(&MODULES).chain(own).chain(xens) {
        let path = folder.join("kernel").join(module).with_extension("ko");
        // Some are part of the kernel in some of Debian's kernels.
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            root.file(&Path::new("/lib/modules").join(&name), 0o644, &read(&path)?)?;
            order.push_str(&name);
            order.push('\n');
        }
    }
    root.file(Path::new("/lib/modules/order"), 0o644, order.as_bytes())?;
    Ok(())
}

/// Programs with the libraries they ask for. Ours lie where they lie here, without what only debuggers read.
fn programs(archive: &mut Root, tests: &[Built], shipped: &[PathBuf]) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for program in ["/usr/bin/qemu-system-x86_64", "/usr/bin/influxd"].map(Path::new) {
        libraries.extend(libraries_of(program, &[])?);
        archive.file(program, 0o755, &read(program)?)?;
    }
    let translator = Path::new(TRANSLATOR);
    if translator.is_file() {
        libraries.extend(libraries_of(translator, &[])?);
        archive.file(translator, 0o644, &read(translator)?)?;
    }
    let debug = target().join("debug");
    let ours = ["fadesd", "fades"].map(|name| (debug.join(name), debug.join(name)));
    // This one is for commands.
    let own = (debug.join("xtask"), PathBuf::from("/bin/xtask"));
    for (path, place) in ours
        .into_iter()
        .chain([own])
        .chain(tests.iter().map(|test| (test.program.clone(), inside(&test.program))))
        .chain(shipped.iter().map(|program| (program.clone(), program.clone())))
    {
        libraries.extend(libraries_of(&path, &[])?);
        archive.file(&place, 0o755, &stripped(&path)?)?;
    }
    for library in libraries {
        archive.file(&library, 0o755, &read(&library)?)?;
    }
    // Tests look for the workspace by this file.
    let manifest = root().join("Cargo.toml");
    archive.file(&manifest, 0o644, &read(&manifest)?)?;
    archive.folder(&root().join("xtask"))?;
    Ok(())
}

fn stripped(program: &Path) -> Result<Vec<u8>> {
    let copy = target().join("lab/stripped");
    check(Command::new("strip").arg("-g").arg("-o").args([&copy, program]))?;
    let bytes = read(&copy)?;
    fs::remove_file(&copy).with_context(|| format!("remove {}", copy.display()))?;
    Ok(bytes)
}

/// What the dynamic linker would load, by its own word, if it looked into these folders first.
pub(super) fn libraries_of(program: &Path, folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let folders = std::env::join_paths(folders).context("name folders of libraries")?;
    let mut ldd = Command::new("ldd");
    let output = ldd.arg(program).env("LD_LIBRARY_PATH", folders).output().context("start ldd")?;
    if !output.status.success() {
        bail!("ldd cannot say what {} needs", program.display());
    }
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found = Vec::new();
    for line in words.lines() {
        let place = line.split_once("=> ").map_or(line, |(_, place)| place).trim();
        match place.split(' ').next() {
            Some(path) if path.starts_with('/') => found.push(PathBuf::from(path)),
            Some("not") => bail!("{} needs {line}", program.display()),
            _ => {}
        }
    }
    Ok(found)
}

/// What QEMU boots guests with: all of its firmware that is small.
fn firmware(root: &mut Root) -> Result<()> {
    const LARGEST: u64 = 1 << 20;
    for folder in FIRMWARE.map(Path::new) {
        for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            let data = fs::metadata(&path).ok().filter(|data| data.is_file() && data.len() <= LARGEST);
            if data.is_some() {
                root.file(&path, 0o644, &read(&path)?)?;
            }
        }
    }
    Ok(())
}

fn images(root: &mut Root) -> Result<()> {
    for folder in ["images", "images-of-tests"].map(|name| target().join(name)) {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_file() {
                root.file(&path, 0o644, &read(&path)?)?;
            }
        }
    }
    // Guests that are booted without a node.
    for name in PROBES {
        let path = target().join("guest/images").join(name).with_extension("elf");
        root.file(&path, 0o644, &read(&path)?)?;
    }
    let loader = target().join("guest/images/loader.elf");
    root.file(&loader, 0o644, &read(&loader)?)?;
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
