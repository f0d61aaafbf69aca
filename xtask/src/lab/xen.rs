//! What a Xen host has beside Linux: the hypervisor, `xl` and its daemons with their libraries, and the kernel's modules
//! for them. All of Debian's packages, unpacked and not installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::packages;
use super::tree::{Root, libraries_of, read};
use crate::stage::target;

/// The hypervisor, the toolstack, and the libraries that it asks for and a machine without Xen has not.
const PACKAGES: [&str; 13] = [
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "libxenmisc4.17",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libyajl2",
];
/// Where the toolstack lies, and looks for its own parts.
const PROGRAMS: &str = "usr/lib/xen-4.17/bin";
/// What of it a lab needs: `xl`, who keeps XenStore and consoles, what makes dom0 known to them, what saves a domain's
/// console for people.
const NAMES: [&str; 6] =
    ["xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper"];
/// Kernel modules for them, behind those of every lab: events, grants, hypercalls, their file system, and the far end of
/// a domain's network device.
pub(super) const MODULES: [&str; 6] = [
    "drivers/xen/xen-evtchn",
    "drivers/xen/xen-gntdev",
    "drivers/xen/xen-gntalloc",
    "drivers/xen/xen-privcmd",
    "drivers/xen/xenfs/xenfs",
    "drivers/net/xen-netback/xen-netback",
];
/// What init does before anything else runs.
const START: &str = include_str!("xen.sh");

/// The unpacked packages.
pub(super) struct Xen {
    /// The hypervisor, as a boot loader takes it.
    pub(super) hypervisor: PathBuf,
    roots: Vec<PathBuf>,
}

/// Fetches what is missing.
pub(super) fn fetch() -> Result<Xen> {
    packages::again_with_todays_lists(find)
}

fn find() -> Result<Xen> {
    let folder = packages::folder()?;
    let mut roots = Vec::new();
    for package in PACKAGES {
        roots.push(packages::unpack(&folder, package)?);
    }
    let hypervisor = folder.join("xen");
    if !hypervisor.is_file() {
        let packed = roots[0].join("boot/xen-4.17-amd64.gz");
        let output = Command::new("gzip").arg("-dc").arg(&packed).output().context("start gzip")?;
        if !output.status.success() {
            bail!("gzip cannot unpack {}", packed.display());
        }
        let partial = folder.join("xen.partial");
        fs::write(&partial, &output.stdout).context("write the hypervisor")?;
        fs::rename(&partial, &hypervisor).context("put the hypervisor in its place")?;
    }
    Ok(Xen { hypervisor, roots })
}

impl Xen {
    /// Puts its programs and libraries where they look for each other.
    pub(super) fn write(&self, archive: &mut Root) -> Result<()> {
        let inside = Path::new("/").join(PROGRAMS);
        let mut libraries = BTreeSet::new();
        let search = self.library_folders();
        for name in NAMES {
            let program = self.find(&Path::new(PROGRAMS).join(name))?;
            libraries.extend(libraries_of(&program, &search)?);
            archive.file(&inside.join(name), 0o755, &read(&program)?)?;
        }
        for library in libraries {
            let bytes = read(&library)?;
            // Those of the packages lie where the dynamic linker looks.
            let place = self.roots.iter().find_map(|root| library.strip_prefix(root).ok());
            archive.file(
                &place.map_or(library.clone(), |place| Path::new("/").join(place)),
                0o755,
                &bytes,
            )?;
        }
        archive.link(Path::new("/usr/sbin/xl"), &inside.join("xl").display().to_string())?;
        for folder in ["/var/lib/xen", "/var/log/xen", "/var/run/xen", "/var/run/xenstored", "/etc/xen"] {
            archive.folder(Path::new(folder))?;
        }
        archive.file(Path::new("/etc/xen/xl.conf"), 0o644, b"")?;
        archive.file(Path::new("/start"), 0o755, START.as_bytes())?;
        Ok(())
    }

    fn find(&self, path: &Path) -> Result<PathBuf> {
        let found = self.roots.iter().map(|root| root.join(path)).find(|path| path.is_file());
        found.with_context(|| format!("no package below {} has {}", target().display(), path.display()))
    }

    fn library_folders(&self) -> Vec<PathBuf> {
        self.roots.iter().map(|root| root.join("usr/lib/x86_64-linux-gnu")).collect()
    }
}
