//! Guest applications and the loader: workspace members, built for bare machines.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::architecture::Architecture;
use crate::author::Author;
use crate::error::BuildError;
use crate::{Builder, archive, files, run};

/// The loader: linked to one fixed place by its own script.
pub(crate) fn build_loader(builder: &Builder) -> Result<(PathBuf, bool), BuildError> {
    let (architecture, root) = (builder.architecture, builder.workspace_root());
    let mut cargo = cargo(builder, root, architecture.bare_target(), "core", "fades-loader", &[])?;
    let script = root.join(format!("images/loader/{architecture}.ld"));
    cargo.args(["--", "-Crelocation-model=static", "-Clink-arg=--no-pie", "-Clink-arg=-static"]);
    cargo.arg(prefixed("-Clink-arg=-T", &script));
    let name = architecture.loader_file();
    finish(builder, "fades-loader", &mut cargo, &images(builder).join(name), |file| match architecture {
        Architecture::X86_64 => Ok(()),
        // What boots Linux there takes a flat image.
        Architecture::Aarch64 => archive::flatten(architecture, file),
    })
}

/// A guest: linked with the kernel. The kernel's path, which holds the hash of its content, is part of the command, so that cargo
/// links again when the kernel has changed.
pub(crate) fn build_guest(
    builder: &Builder,
    package: &str,
    kernel: &Path,
) -> Result<(PathBuf, bool), BuildError> {
    build_in(builder, builder.workspace_root(), package, kernel, &images(builder))
}

/// The same for a crate outside this workspace. One at a time: of two crates of one name each would take the other's stage, and what
/// cargo made in it.
pub(crate) fn build_author(
    builder: &Builder,
    author: &Author,
    kernel: &Path,
) -> Result<(PathBuf, bool), BuildError> {
    let _held = files::lock(&builder.target_dir().join("stage.lock"))?;
    let stage = author.stage(builder)?;
    build_in(builder, &stage, author.name(), kernel, &images(builder).join(author.key()))
}

fn build_in(
    builder: &Builder,
    folder: &Path,
    package: &str,
    kernel: &Path,
    into: &Path,
) -> Result<(PathBuf, bool), BuildError> {
    let architecture = builder.architecture;
    // A guest that panics follows frame pointers to say how it came there.
    let flags = ["-Cforce-frame-pointers=yes"];
    let mut cargo = cargo(builder, folder, architecture.guest_target(), "std,panic_abort", package, &flags)?;
    // With what tells which function and line an address is of, until that has gone to a file of its own.
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "none");
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "limited");
    cargo
        .arg("--")
        .arg(prefixed("-Clink-arg=", kernel))
        .arg(prefixed("-Clink-arg=", Path::new(archive::BUILD_ID)));
    finish(builder, package, &mut cargo, &into.join(format!("{package}.elf")), |file| {
        archive::split(architecture, file, &file.with_file_name(format!("{package}.debug")))?;
        archive::set_abi(file)
    })
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

/// `cargo rustc` for the one binary of `package`, with a profile of its own: guests are small and are started often.
fn cargo(
    builder: &Builder,
    folder: &Path,
    target: &str,
    std: &str,
    package: &str,
    flags: &[&str],
) -> Result<Command, BuildError> {
    let toolchain = builder.toolchain()?;
    let mut cargo = toolchain.cargo();
    cargo.current_dir(folder);
    cargo.args([
        "rustc",
        "--release",
        "--message-format=json-render-diagnostics",
        "--bins",
        "--package",
        package,
    ]);
    if folder == builder.workspace_root() {
        // An author's lock file is the author's, and grows by what the kit takes.
        cargo.arg("--locked");
    }
    cargo.args(["--target", target]).arg(format!("-Zbuild-std={std}"));
    cargo.arg("-Zbuild-std-features=compiler-builtins-mem");
    cargo.arg("--target-dir").arg(builder.guest_dir());
    for (key, value) in [
        ("PANIC", "abort"),
        ("LTO", "fat"),
        ("CODEGEN_UNITS", "1"),
        ("OPT_LEVEL", "3"),
        ("STRIP", "symbols"),
        ("DEBUG", "0"),
    ] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let linker = format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase());
    cargo.env(linker, &toolchain.linker);
    let mut flags: Vec<OsString> = flags.iter().map(Into::into).collect();
    let registry = run::cargo_home().join("registry/src");
    // The last one that fits counts: the target folder may lie in the workspace, and need not.
    for (from, to) in [
        (builder.workspace_root(), "fades"),
        (builder.target_dir(), "fades/target"),
        (&builder.anew_dir(), "fades/target"),
        (&registry, "crates"),
        (&toolchain.library, "rust"),
    ] {
        flags.push(run::remapped(from, to));
    }
    run::set_flags(&mut cargo, &flags);
    Ok(cargo)
}

/// Where built guests of an architecture lie: `target/guest/images`, or beside it. Those of authors have folders in it.
fn images(builder: &Builder) -> PathBuf {
    builder.guest_dir().join(builder.architecture.folder("images"))
}

/// Runs cargo and puts what it built to `path`.
fn finish(
    builder: &Builder,
    package: &str,
    cargo: &mut Command,
    path: &Path,
    after: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<(PathBuf, bool), BuildError> {
    let report = run::output(&format!("building {package}"), cargo, builder.verbose)?;
    let executable = executable(package, &report)?;
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(BuildError::file("make", folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!("{name}.{}", std::process::id()));
    files::write(&new, &files::read(&executable)?)?;
    after(&new)?;
    // Not cargo's word that nothing had to be built: what lies here may have been linked with another kernel since.
    let unchanged = path.is_file() && files::read(path)? == files::read(&new)?;
    if unchanged {
        std::fs::remove_file(&new).map_err(BuildError::file("remove", &new))?;
    } else {
        files::publish(&new, path)?;
    }
    Ok((path.to_owned(), unchanged))
}

/// The executable that cargo's messages name.
fn executable(package: &str, report: &[u8]) -> Result<PathBuf, BuildError> {
    let what = || format!("building {package}");
    let mut found = None;
    for line in report.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line)
            .map_err(|source| BuildError::Report { what: what(), source: Some(source) })?;
        if let (Some("compiler-artifact"), Some(path)) =
            (message["reason"].as_str(), message["executable"].as_str())
        {
            found = Some(PathBuf::from(path));
        }
    }
    found.ok_or_else(|| BuildError::Report { what: what(), source: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let report = br#"{"reason":"compiler-artifact","executable":null,"fresh":true}
{"reason":"compiler-artifact","executable":"/t/x","fresh":false}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable("x", report).unwrap(), PathBuf::from("/t/x"));
        assert!(executable("x", b"{\"reason\":\"build-finished\"}").is_err());
        assert!(executable("x", b"not json").is_err());
    }
}
