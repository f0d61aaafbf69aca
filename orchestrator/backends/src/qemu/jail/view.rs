//! What a monitor sees of the host's files, by Landlock: what it is made of, to read; itself, to run; KVM's device.
//!
//! Memory files are on no file system that has names, and so stay as they were handed over.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use crate::qemu::Accelerator;

/// KVM's device.
pub(super) const KVM: &str = "/dev/kvm";

/// Libraries, firmware and tables of characters; processors and memory, which QEMU's libraries count.
const READ: [&str; 6] =
    ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system"];
/// What of an installation in another place is read, beside the folder of the program.
const BESIDE: [&str; 4] = ["lib", "lib64", "libexec", "share"];
/// Programs that load others, as the two C libraries and two processors name them.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// The view of monitors that are these programs.
///
/// # Errors
/// The kernel has no Landlock.
pub(super) fn of(programs: &[PathBuf], accelerator: Accelerator) -> io::Result<OwnedFd> {
    let ruleset = ruleset(programs, accelerator).map_err(io::Error::other)?;
    ruleset.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "this kernel has no Landlock"))
}

fn ruleset(programs: &[PathBuf], accelerator: Accelerator) -> Result<Option<OwnedFd>, RulesetError> {
    let programs: Vec<PathBuf> = programs.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let read = READ.iter().map(PathBuf::from).chain(programs.iter().flat_map(|program| around(program)));
    let run = LOADERS.iter().map(PathBuf::from).chain(programs.iter().cloned());
    let device = (accelerator == Accelerator::Kvm).then(|| PathBuf::from(KVM));
    let looking: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    // Of a later kernel's rights the crate leaves out what this one does not know.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(read, looking))?
        .add_rules(path_beneath_rules(run, AccessFs::ReadFile | AccessFs::Execute))?
        .add_rules(path_beneath_rules(
            device,
            AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
        ))?;
    Ok(ruleset.into())
}

/// Where the files of a program lie that is not installed with the system's.
fn around(program: &Path) -> Vec<PathBuf> {
    let Some(folder) = program.parent().filter(|folder| !folder.starts_with("/usr")) else {
        return Vec::new();
    };
    let beside = folder.parent().into_iter().flat_map(|place| BESIDE.iter().map(|name| place.join(name)));
    beside.chain([folder.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_around_a_program_is_its_folder_and_the_usual_ones_beside_it() {
        assert!(around(Path::new("/usr/bin/qemu-system-x86_64")).is_empty());
        let around = around(Path::new("/opt/qemu/bin/qemu-system-x86_64"));
        let around: Vec<&str> = around.iter().filter_map(|path| path.to_str()).collect();
        let places =
            ["/opt/qemu/lib", "/opt/qemu/lib64", "/opt/qemu/libexec", "/opt/qemu/share", "/opt/qemu/bin"];
        assert_eq!(around, places);
    }
}
