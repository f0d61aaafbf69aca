//! The kernel: the pinned crate, copied, patched, built, and made into an archive that applications link with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::architecture::Architecture;
use crate::error::BuildError;
use crate::files::{self, Key};
use crate::{Builder, archive, run};

/// What a guest needs, and nothing more: one processor, virtio-net by PCI, TCP. No ACPI, no DHCP, no UDP, no file systems.
/// `fsgsbase` is of x86-64 alone, and nothing elsewhere.
pub const FEATURES: &str = "pci,tcp,fsgsbase";
/// To be changed when the steps below change what comes out of the same inputs.
const RECIPE: &str = "3";
/// Limits of the network stack, which its build script reads: a broker talks to more than 8 functions at once, and an evicted
/// neighbour costs up to a second; and after a loss many pieces may be waiting for the missing one.
const LIMITS: [(&str, &str); 2] =
    [("SMOLTCP_IFACE_NEIGHBOR_CACHE_COUNT", "256"), ("SMOLTCP_ASSEMBLER_MAX_SEGMENT_COUNT", "32")];

/// The crates that are patched: their name, the folder of their patches, and where their copy lies.
const PATCHED: [(&str, &str, &str); 2] = [
    ("hermit-kernel", "images/kernel/patches", "source"),
    ("smoltcp", "images/kernel/smoltcp", "source/smoltcp"),
];

/// Crates of this workspace that the patched kernel is built with: its drivers in a Xen domain.
const LINKED: [&str; 3] = ["xen/pv", "xen/store", "proto/ring"];
/// The link below the kernel's copy by which it finds them. What cargo makes of a crate depends on its path, relative to the
/// workspace where it lies in it: so all of them do, and the same kernel comes of any checkout.
const LINK: &str = "fades";

/// Builds the kernel if its key has not been built yet. Returns `libhermit.a` and whether it was there.
pub(crate) fn build(builder: &Builder) -> Result<(PathBuf, bool), BuildError> {
    if let Some(checkout) = std::env::var_os("HERMIT_KERNEL_DIR") {
        return build_checkout(builder, Path::new(&checkout)).map(|library| (library, false));
    }
    let folder = builder.target_dir().join("kernel").join(key(builder)?);
    let library = folder.join("libhermit.a");
    if library.is_file() {
        return Ok((library, true));
    }
    // Two builds at once would patch one copy twice. Whoever comes second finds the first one's kernel.
    let _lock = files::lock(&builder.target_dir().join("kernel/lock"))?;
    if library.is_file() {
        return Ok((library, true));
    }
    let report = pinned_packages(builder)?;
    for (package, patches_folder, name) in PATCHED {
        let copy = folder.join(name);
        files::remove_folder(&copy)?;
        files::copy_folder(&source_of(&report, package)?, &copy)?;
        for patch in patches(builder, patches_folder)? {
            apply(&patch, &copy)?;
        }
    }
    files::link(builder.workspace_root(), &folder.join("source").join(LINK))?;
    let built = compile(builder, &folder.join("source"), true)?;
    archive::make(builder.toolchain()?, builder.architecture, &built, &folder)?;
    Ok((library, false))
}

/// A checkout is taken as it is, built in place, and left to cargo to be rebuilt when it changes.
fn build_checkout(builder: &Builder, checkout: &Path) -> Result<PathBuf, BuildError> {
    if !checkout.join("Cargo.toml").is_file() {
        return Err(BuildError::NoCheckout { path: checkout.to_owned() });
    }
    let folder = builder.target_dir().join("kernel").join(builder.architecture.folder("checkout"));
    let built = compile(builder, checkout, false)?;
    archive::make(builder.toolchain()?, builder.architecture, &built, &folder)?;
    // Guests are linked again only if this name changes.
    let mut key = Key::default();
    key.add(&files::read(&folder.join("libhermit.a"))?);
    let named = folder.join(format!("libhermit-{}.a", key.finish()));
    files::publish(&folder.join("libhermit.a"), &named)?;
    Ok(named)
}

fn source_manifest(builder: &Builder) -> PathBuf {
    builder.workspace_root().join("images/kernel/source/Cargo.toml")
}

/// The patches in the order of their numbers.
fn patches(builder: &Builder, folder: &str) -> Result<Vec<PathBuf>, BuildError> {
    let mut all = files::entries(&builder.workspace_root().join(folder))?;
    all.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    Ok(all)
}

/// A hash over all that decides what the kernel becomes.
fn key(builder: &Builder) -> Result<String, BuildError> {
    let mut key = Key::default();
    let manifest = source_manifest(builder);
    key.add(&files::read(&manifest)?);
    key.add(&files::read(&manifest.with_extension("lock"))?);
    for (package, patches_folder, _) in PATCHED {
        key.add(package.as_bytes());
        for patch in patches(builder, patches_folder)? {
            key.add(&files::read(&patch)?);
        }
    }
    // The workspace's, which the crates that are linked have as well.
    key.add(env!("CARGO_PKG_VERSION").as_bytes());
    for linked in LINKED {
        let folder = builder.workspace_root().join(linked);
        key.add(&files::read(&folder.join("Cargo.toml"))?);
        files::add_folder(&mut key, &folder.join("src"))?;
    }
    for (name, value) in LIMITS {
        key.add(name.as_bytes());
        key.add(value.as_bytes());
    }
    key.add(builder.toolchain()?.version.as_bytes());
    key.add(FEATURES.as_bytes());
    key.add(RECIPE.as_bytes());
    if builder.architecture != Architecture::default() {
        key.add(builder.architecture.name().as_bytes());
    }
    Ok(key.finish())
}

/// Has cargo fetch the pinned crates, checked against the lock file, and report on them.
fn pinned_packages(builder: &Builder) -> Result<Value, BuildError> {
    let manifest = source_manifest(builder);
    let cargo = |command: &str| {
        let mut cargo = builder.toolchain().map(|toolchain| toolchain.cargo())?;
        cargo.arg(command).arg("--locked").arg("--manifest-path").arg(&manifest);
        Ok(cargo)
    };
    run::output("fetching the kernel's sources", &mut cargo("fetch")?, builder.verbose)?;
    let what = "asking cargo where the kernel's sources are";
    let report = run::output(what, cargo("metadata")?.args(["--format-version", "1"]), false)?;
    serde_json::from_slice(&report)
        .map_err(|source| BuildError::Report { what: what.to_owned(), source: Some(source) })
}

/// Where cargo has put the sources of `package`.
fn source_of(report: &Value, package: &str) -> Result<PathBuf, BuildError> {
    report["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["name"] == package)
        .and_then(|entry| Path::new(entry["manifest_path"].as_str()?).parent())
        .map(Path::to_owned)
        .ok_or_else(|| BuildError::Report { what: format!("the sources of {package}"), source: None })
}

/// `patch` and not `git apply`, because the latter does nothing, silently, in a folder that a repository ignores.
fn apply(patch: &Path, folder: &Path) -> Result<(), BuildError> {
    let mut command = Command::new(run::need("patch", "patch")?);
    command.args(["--strip=1", "--force", "--fuzz=0", "--no-backup-if-mismatch", "--silent"]);
    command.arg("--directory").arg(folder).arg("--input").arg(patch);
    run::output(&format!("patch {}", patch.display()), &mut command, false)?;
    Ok(())
}

/// Compiles the kernel to a static library with the target that it is written for.
fn compile(builder: &Builder, source: &Path, locked: bool) -> Result<PathBuf, BuildError> {
    let toolchain = builder.toolchain()?;
    let target_dir = builder.target_dir().join("kernel/build");
    let mut cargo = toolchain.cargo();
    cargo.current_dir(source).args(["rustc", "--release", "--lib", "--crate-type", "staticlib"]);
    let target = builder.architecture.kernel_target();
    cargo.args(["--target", target, "-Zbuild-std=core,alloc"]);
    cargo.args([
        "-Zbuild-std-features=compiler-builtins-mem",
        "--no-default-features",
        "--features",
        FEATURES,
    ]);
    cargo.arg("--target-dir").arg(&target_dir);
    if locked {
        cargo.arg("--locked");
    }
    let mut flags: Vec<OsString> = vec!["--cap-lints=warn".into()];
    flags.extend(builder.architecture.kernel_flags().iter().map(Into::into));
    let crates = run::cargo_home().join("registry/src");
    // The last one that fits counts.
    for (from, to) in [(source, "kernel"), (&crates, "crates"), (&toolchain.library, "rust")] {
        flags.push(run::remapped(from, to));
    }
    run::set_flags(&mut cargo, &flags);
    cargo.envs(LIMITS);
    run::output("building the kernel", &mut cargo, builder.verbose)?;
    Ok(target_dir.join(target).join("release/libhermit.a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each patch has a subject and a description, and `images/kernel/UPSTREAM.md` says of each how much it changes and what is to
    /// become of it: neither grows unnoticed.
    #[test]
    fn every_patch_can_be_sent_and_is_told() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let told = std::fs::read_to_string(root.join("images/kernel/UPSTREAM.md")).unwrap();
        let rows: Vec<Vec<&str>> = told
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let mut found = Vec::new();
        for (_, folder, _) in PATCHED {
            for path in files::entries(&root.join(folder)).unwrap() {
                let text = std::fs::read_to_string(&path).unwrap();
                let (head, diff) = text.split_once("\ndiff --git ").unwrap();
                let mut head = head.lines();
                let subject = head.next().unwrap();
                assert!(subject.len() <= 72 && !subject.ends_with('.'), "{subject}");
                assert!(
                    head.next() == Some("") && head.next().is_some_and(|line| !line.is_empty()),
                    "{subject}"
                );
                let changes = |line: &&str| {
                    line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")
                };
                let name = path.strip_prefix(root.join("images/kernel")).unwrap();
                found.push((format!("`{}`", name.display()), diff.lines().filter(changes).count()));
            }
        }
        let listed: Vec<(String, usize)> =
            rows.iter().map(|row| (row[0].to_owned(), row[1].parse().unwrap())).collect();
        assert_eq!(listed, found);
        for row in rows {
            assert!(["as it is", "with a change", "ours"].contains(&row[2]) && !row[3].is_empty(), "{row:?}");
        }
    }
}
