//! From the compiler's static library to the archive that applications link with.
//!
//! Kernel and application each have their own copies of `core` and `alloc`, compiled for different targets: the kernel's
//! must not touch floating-point and vector registers, so not one of the application's functions may take the place of a
//! kernel's (a `memcmp` with vector instructions did, and faulted). So all objects are linked into one, and all of its symbols are
//! made local but the system calls, the entry, and the three memory functions, which are the kernel's own for both.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
use crate::error::BuildError;
use crate::toolchain::Toolchain;
use crate::{files, run};

/// Makes `libhermit.a` in `folder` out of the static library `built`.
pub(crate) fn make(
    toolchain: &Toolchain,
    architecture: Architecture,
    built: &Path,
    folder: &Path,
) -> Result<(), BuildError> {
    std::fs::create_dir_all(folder).map_err(BuildError::file("make", folder))?;
    let tools = architecture.tools();
    let keep = exported(run::need(tools.nm, tools.package)?, built)?;
    let (list, object) = (folder.join("exported"), folder.join("hermit.o"));
    files::write(&list, keep.join("\n").as_bytes())?;

    let mut link = Command::new(&toolchain.linker);
    link.args(["-r", "--gc-sections", "-e", "_start", "-o"]).arg(&object);
    for symbol in &keep {
        link.args(["-u", symbol]);
    }
    link.arg("--whole-archive").arg(built);
    run::output("linking the kernel into one object", &mut link, false)?;

    let mut localize = Command::new(run::need(tools.objcopy, tools.package)?);
    localize.arg("--strip-debug").arg(format!("--keep-global-symbols={}", list.display())).arg(&object);
    run::output("hiding the kernel's symbols", &mut localize, false)?;
    set_abi(&object)?;

    let archive = folder.join("libhermit.a.new");
    if archive.exists() {
        std::fs::remove_file(&archive).map_err(BuildError::file("remove", &archive))?;
    }
    let mut ar = Command::new(run::need(tools.ar, tools.package)?);
    ar.arg("rcs").arg(&archive).arg(&object);
    run::output("archiving the kernel", &mut ar, false)?;
    files::publish(&archive, &folder.join("libhermit.a"))
}

/// The symbols that applications may use.
fn exported(nm: PathBuf, built: &Path) -> Result<Vec<String>, BuildError> {
    let mut nm = Command::new(nm);
    nm.args(["--extern-only", "--defined-only", "--format=just-symbols", "--quiet"]).arg(built);
    let symbols = run::output("listing the kernel's symbols", &mut nm, false)?;
    let symbols = String::from_utf8_lossy(&symbols);
    let mut keep: Vec<String> = symbols.lines().filter(|name| is_exported(name)).map(str::to_owned).collect();
    keep.sort();
    keep.dedup();
    Ok(keep)
}

fn is_exported(symbol: &str) -> bool {
    symbol.starts_with("sys_") || ["_start", "memcpy", "memmove", "memset"].contains(&symbol)
}

/// Replaces an ELF file by what of it is to be in memory, from its first byte on.
pub(crate) fn flatten(architecture: Architecture, path: &Path) -> Result<(), BuildError> {
    let tools = architecture.tools();
    let mut copy = Command::new(run::need(tools.objcopy, tools.package)?);
    copy.args(["-O", "binary"]).arg(path);
    run::output("making a flat image of the loader", &mut copy, false).map(drop)
}

/// Has the linker leave room for a build id, which [`split`] writes.
pub(crate) const BUILD_ID: &str = "--build-id=0x0000000000000000000000000000000000000000";
/// What stands before a build id of 20 bytes: the lengths of name and id, the note's type, its name.
const BUILD_ID_NOTE: &[u8; 16] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// Takes out of an ELF file what only a debugger reads. All of it is kept in the file `debug`; both have the same build id, a hash of
/// what is left. The linker's own would be one of the debugger's part as well, in which there are paths.
pub(crate) fn split(architecture: Architecture, path: &Path, debug: &Path) -> Result<(), BuildError> {
    let tools = architecture.tools();
    let mut whole = files::read(path)?;
    let mut strip = Command::new(run::need(tools.objcopy, tools.package)?);
    strip.arg("--strip-all").arg(path);
    run::output("taking out what only a debugger reads", &mut strip, false)?;
    let mut stripped = files::read(path)?;
    let hash = Sha256::digest(&stripped);
    for (bytes, file) in [(&mut stripped, path), (&mut whole, debug)] {
        let note = bytes.windows(BUILD_ID_NOTE.len()).position(|window| window == BUILD_ID_NOTE);
        let id = note.and_then(|at| bytes.get_mut(at + BUILD_ID_NOTE.len()..)?.get_mut(..20));
        let Some(id) = id else { return Err(BuildError::NotElf { path: file.to_owned() }) };
        id.copy_from_slice(&hash[..20]);
    }
    files::write(path, &stripped)?;
    let new = path.with_extension("whole");
    files::write(&new, &whole)?;
    files::publish(&new, debug)
}

/// Marks an ELF file as Hermit's: OS ABI 255, "standalone".
pub(crate) fn set_abi(path: &Path) -> Result<(), BuildError> {
    const OS_ABI: usize = 7;
    let mut bytes = files::read(path)?;
    match bytes.get_mut(OS_ABI) {
        Some(byte) => *byte = 255,
        None => return Err(BuildError::NotElf { path: path.to_owned() }),
    }
    files::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::is_exported;

    #[test]
    fn the_application_sees_system_calls_and_nothing_of_the_kernels_core() {
        assert!(is_exported("sys_read") && is_exported("_start") && is_exported("memcpy"));
        assert!(!is_exported("memcmp") && !is_exported("sqrt") && !is_exported("_ZN4core3fmt5write17hE"));
    }
}
