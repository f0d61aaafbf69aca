//! What the machine and the node's folder have to offer.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use fades_api::codes;
use fades_backends::{ARM_PROGRAM, BackendKind, Jail, PROGRAM, Programs, Wanted, XenBackend, select};
use fades_envelope::SigningKey;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use super::mend::Mend;
use crate::failure::chain;
use crate::output::bytes;

/// Oldest QEMU that is known to work, major and minor.
const QEMU_LEAST: (u32, u32) = (7, 2);
/// Memory that a node with a broker and a few functions takes, bytes.
const MEMORY: u64 = 1 << 30;
/// Below this the store may soon not be able to write, bytes.
const DISK: u64 = 256 << 20;
/// A node holds a few files per guest and connection.
const OPEN_FILES: u64 = 1024;
/// No clock that was ever set is before this.
const EARLIEST: &str = "2026-01-01T00:00:00Z";

/// What `fades.toml` says of the backend.
pub(super) struct Settings {
    qemu: String,
    wanted: Wanted,
    /// Whether images for aarch64 are to run, translated.
    aarch64: bool,
    /// Known holes that QEMU is without.
    mended: Vec<String>,
    /// Whether the node starts with every defence around its guests only.
    strict: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            qemu: PROGRAM.to_owned(),
            wanted: Wanted::Auto,
            aarch64: false,
            mended: Vec::new(),
            strict: false,
        }
    }
}

impl Settings {
    fn programs(&self) -> Programs<'_> {
        Programs { native: &self.qemu, other: self.aarch64.then_some(ARM_PROGRAM), mended: &self.mended }
    }

    /// Reads them as far as they can be read; that they are sound is the daemon's to check.
    pub(super) fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("fades.toml")).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        let backend = |key: &str| table.get("backend")?.get(key)?.as_str();
        let words = |key: &str| {
            let list = table.get("backend").and_then(|backend| backend.get(key)?.as_array());
            list.into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect::<Vec<_>>()
        };
        Self {
            qemu: backend("qemu").unwrap_or(PROGRAM).to_owned(),
            wanted: backend("kind").and_then(BackendKind::named).map_or(Wanted::Auto, Wanted::Only),
            strict: table
                .get("backend")
                .and_then(|backend| backend.get("strict")?.as_bool())
                .unwrap_or_default(),
            mended: words("mended"),
            aarch64: words("emulate").iter().any(|word| word == "aarch64"),
        }
    }
}

/// Everything about the machine.
pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let xen = match settings.wanted {
        Wanted::Auto => XenBackend::is_dom0(),
        Wanted::Only(kind) => kind == BackendKind::Xen,
    };
    // Domains need no QEMU.
    let mut findings = if xen { Vec::new() } else { vec![qemu(&settings.qemu)] };
    if findings.iter().all(|finding| finding.verdict != super::Verdict::Fail) {
        findings.extend(backend(settings));
    }
    if settings.aarch64 {
        findings.push(translator());
    }
    findings.extend([memory(), open_files(), clock()]);
    findings
}

fn qemu(program: &str) -> Finding {
    let output = match Command::new(program).arg("--version").output() {
        Ok(output) => output,
        Err(error) => {
            let mend = (program == PROGRAM).then(|| Mend::Packages(vec!["qemu-system-x86"]));
            return Finding {
                mend,
                ..Finding::coded("qemu", codes::QEMU_MISSING, format!("{program}: {error}"))
            };
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().to_owned();
    match version(&first) {
        Some(version) if version >= QEMU_LEAST => Finding::ok("qemu", first),
        Some(_) => Finding::coded("qemu", codes::QEMU_TOO_OLD, first),
        None => Finding::coded("qemu", codes::QEMU_MISSING, format!("{program} does not say its version")),
    }
}

/// What runs images for aarch64.
fn translator() -> Finding {
    let program = ARM_PROGRAM;
    match Command::new(program).arg("--version").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            Finding::ok(program, text.lines().next().unwrap_or_default())
        }
        Err(error) => Finding {
            mend: Some(Mend::Packages(vec!["qemu-system-arm"])),
            advice: "Install it: `apt-get install qemu-system-arm`, or take aarch64 out of `emulate` in fades.toml.".to_owned(),
            ..Finding::coded(program, codes::QEMU_MISSING, format!("{program}: {error}"))
        },
    }
}

/// Major and minor out of `QEMU emulator version 7.2.22 (...)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let number = line.split("version ").nth(1)?.split(' ').next()?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What would run guests, and the truth about `/dev/kvm`: both found by running a few instructions.
fn backend(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let chosen = select(settings.programs(), settings.wanted, "doctor");
    let uses_kvm = chosen.as_ref().is_ok_and(|chosen| chosen.kind == BackendKind::QemuKvm);
    if Path::new("/dev/kvm").exists() && !uses_kvm {
        findings.push(kvm(settings));
    }
    findings.extend(
        chosen.as_ref().ok().and_then(|chosen| chosen.jail.as_ref()).map(|jail| kept(jail, settings.strict)),
    );
    findings.push(match chosen {
        Ok(chosen) => {
            let detail = format!("{}: {}; {}", chosen.kind, chosen.reason, chosen.cost);
            match chosen.kind {
                BackendKind::QemuKvm | BackendKind::Xen => Finding::ok("backend", detail),
                BackendKind::QemuTcg => Finding::warn(
                    "backend",
                    detail,
                    "Nothing, if emulation is fast enough; else use a machine with KVM.",
                ),
            }
        }
        Err(error) => Finding::coded("backend", error.code(), chain(&error)),
    });
    findings
}

/// What stands between monitors and this machine.
fn kept(jail: &Jail, strict: bool) -> Finding {
    let lacks: Vec<String> =
        jail.lacks().iter().map(|(defence, why)| format!("{} is off: {why}", defence.name())).collect();
    if lacks.is_empty() {
        return Finding::ok(
            "jail",
            "every monitor is kept by limits, seccomp, Landlock, a user and a network of its own",
        );
    }
    if strict {
        return Finding::coded("jail", codes::SANDBOX_UNAVAILABLE, lacks.join("; "));
    }
    Finding::warn(
        "jail",
        lacks.join("; "),
        "Run fadesd as root on a kernel with seccomp and Landlock; receipts say what was off.",
    )
}

/// What is to be said of a `/dev/kvm` that is there and not used. A probe that fails takes seconds, so none is run twice.
fn kvm(settings: &Settings) -> Finding {
    let lies = |detail: String| Finding {
        code: Some(codes::KVM_UNUSABLE),
        ..Finding::warn("kvm", detail, codes::KVM_UNUSABLE.hint())
    };
    if settings.wanted == Wanted::Auto {
        return lies("/dev/kvm is there and does not run guests; the reason stands below".to_owned());
    }
    match select(settings.programs(), Wanted::Only(BackendKind::QemuKvm), "doctor") {
        Ok(_) => {
            Finding::warn("kvm", "works, but fades.toml chooses another backend", "Remove backend.kind.")
        }
        Err(error) => lies(format!("/dev/kvm is there and does not run guests: {}", chain(&error))),
    }
}

fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?.trim();
        kib.parse::<u64>().ok()?.checked_mul(1024)
    });
    match available {
        Some(free) if free >= MEMORY => Finding::ok("memory", format!("{} available", bytes(free))),
        Some(free) => Finding::warn("memory", format!("{} available", bytes(free)), codes::MEMORY_LOW.hint()),
        None => Finding::warn("memory", "the system does not tell", "Look at /proc/meminfo."),
    }
}

fn open_files() -> Finding {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < OPEN_FILES => {
            Finding::warn("open files", format!("at most {limit}"), codes::OPEN_FILES_LOW.hint())
        }
        Some(limit) => Finding::ok("open files", format!("at most {limit}")),
        None => Finding::ok("open files", "without limit"),
    }
}

fn clock() -> Finding {
    let now = Timestamp::now();
    match EARLIEST.parse::<Timestamp>() {
        Ok(earliest) if now < earliest => {
            Finding::coded("clock", codes::CLOCK_UNSET, format!("it shows {now}"))
        }
        _ => Finding::ok("clock", format!("{now:.0}")),
    }
}

/// The node's folder: there, closed to others, with a key that can be read and room to write.
pub(super) fn folder(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    if !folder.join("fades.toml").is_file() {
        return vec![Finding::coded(
            "folder",
            codes::NOT_A_NODE_FOLDER,
            format!("{shown} has no fades.toml"),
        )];
    }
    let mode = std::fs::metadata(folder).map(|metadata| metadata.mode() & 0o777).unwrap_or(0);
    let mut findings = vec![match mode & 0o077 {
        0 => Finding::ok("folder", shown.to_string()),
        _ => Finding {
            mend: Some(Mend::Run(vec!["chmod".to_owned(), "700".to_owned(), shown.to_string()])),
            ..Finding::coded("folder", codes::FOLDER_OPEN_TO_OTHERS, format!("{shown} has mode {mode:04o}"))
        },
    }];
    findings.push(match SigningKey::read(&folder.join("node.key")) {
        Ok(key) => Finding::ok("node key", key.public().id().to_string()),
        Err(error) => Finding::coded("node key", codes::NODE_KEY_UNUSABLE, chain(&error)),
    });
    findings.push(match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            match free >= DISK {
                true => Finding::ok("disk", format!("{} free", bytes(free))),
                false => Finding::coded("disk", codes::DISK_FULL, format!("{} free", bytes(free))),
            }
        }
        Err(error) => Finding::warn("disk", error.to_string(), "Look at the node's disk."),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn versions_of_qemu() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.0"), Some((10, 0)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_missing_program_fails_with_what_to_do() {
        let settings = Settings { qemu: "/nowhere/qemu".to_owned(), ..Settings::default() };
        let findings = examine(&settings);
        assert_eq!((findings[0].verdict, findings[0].code), (Verdict::Fail, Some(codes::QEMU_MISSING)));
        assert!(findings[0].advice.contains("apt-get install"));
        assert!(!findings.iter().any(|finding| finding.what == "backend"));
    }

    #[test]
    fn xen_where_there_is_none_fails_with_its_own_code() {
        if XenBackend::is_dom0() {
            return;
        }
        let settings = Settings { wanted: Wanted::Only(BackendKind::Xen), ..Settings::default() };
        let findings = backend(&settings);
        let last = findings.last().unwrap();
        assert_eq!((last.verdict, last.code), (Verdict::Fail, Some(codes::XEN_NOT_DOM0)), "{last:?}");
    }

    #[test]
    fn folders_are_looked_into() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(folder(dir.path())[0].code, Some(codes::NOT_A_NODE_FOLDER));
        std::fs::write(dir.path().join("fades.toml"), "node = \"n\"\n[backend]\nkind = \"qemu-tcg\"\n")
            .unwrap();
        assert_eq!(Settings::read(dir.path()).wanted, Wanted::Only(BackendKind::QemuTcg));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let findings = folder(dir.path());
        assert_eq!(findings[0].code, Some(codes::FOLDER_OPEN_TO_OTHERS));
        assert_eq!(findings[1].code, Some(codes::NODE_KEY_UNUSABLE));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        SigningKey::generate().unwrap().create(&dir.path().join("node.key")).unwrap();
        assert!(folder(dir.path()).iter().take(2).all(|finding| finding.verdict == Verdict::Ok));
    }
}
