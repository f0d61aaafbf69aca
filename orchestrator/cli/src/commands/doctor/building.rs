//! What building functions takes, and the labs. A node needs none of it, so what is missing is a warning.

use std::path::Path;

use fades_api::codes;
use fades_image_build::{PROGRAMS, Toolchain};

use super::Finding;
use super::mend::Mend;
use crate::commands::dmf::KitOption;
use crate::failure::chain;

/// Debian's toolchain with library sources.
const DEBIANS: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Everything that `fades dmf` builds with.
pub(super) fn examine(kit: &KitOption) -> Vec<Finding> {
    let mut findings = vec![toolchain()];
    findings.extend(
        PROGRAMS
            .iter()
            .filter(|(name, _)| find(name).is_none())
            .map(|(name, package)| missing(name, package)),
    );
    if find("cargo").is_none() {
        let detail = "cargo is not in PATH: functions' tests and first runs are programs of this machine";
        findings.push(Finding::warn("cargo", detail, "Install Rust: https://rustup.rs"));
    }
    match kit.find() {
        Ok(kit) => {
            findings.push(Finding::ok("kit", kit.root.display().to_string()));
            findings.extend(labs(&kit.root));
        }
        Err(failure) => findings.push(Finding {
            code: failure.code,
            ..Finding::warn("kit", failure.message, codes::KIT_MISSING.hint())
        }),
    }
    findings
}

fn toolchain() -> Finding {
    match Toolchain::find() {
        Ok(found) => {
            let release = found.version.lines().next().unwrap_or_default();
            Finding::ok("toolchain", format!("{release}, with the library's sources"))
        }
        Err(error) => {
            let rustup = find("rustup").is_some();
            let mend = match rustup {
                true => Mend::Run(["rustup", "component", "add", "rust-src"].map(str::to_owned).to_vec()),
                false => Mend::Packages(DEBIANS.to_vec()),
            };
            Finding {
                code: Some(codes::TOOLCHAIN_MISSING),
                mend: Some(mend),
                ..Finding::warn(
                    "toolchain",
                    chain(&error),
                    "Add it as below; only building functions takes it.",
                )
            }
        }
    }
}

fn missing(program: &str, package: &'static str) -> Finding {
    Finding {
        code: Some(codes::TOOLCHAIN_MISSING),
        mend: Some(Mend::Packages(vec![package])),
        ..Finding::warn(
            program,
            "it is not in PATH",
            format!("Install package {package}; only building functions takes it."),
        )
    }
}

/// The labs are this project's own: what runs them is in a clone, and nowhere else.
fn labs(kit: &Path) -> Option<Finding> {
    if !kit.join("xtask").is_dir() {
        return None;
    }
    let emulators =
        std::fs::read_dir(kit.join("target/lab/qemu")).map_or(0, |entries| entries.flatten().count());
    Some(match emulators {
        0 => Finding::warn(
            "labs",
            "their emulator is not built",
            "Nothing, unless you want them: `cargo xtask lab kvm` builds it in 3 minutes.",
        ),
        _ => Finding::ok("labs", "their emulator is built"),
    })
}

fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_is_missing_names_its_package_and_keeps_no_node_from_running() {
        let finding = missing("ld.lld", "lld");
        assert_eq!((finding.verdict, finding.mend), (Verdict::Warn, Some(Mend::Packages(vec!["lld"]))));
        assert!(find("sh").is_some() && find("no-such-program").is_none());
    }

    #[test]
    fn labs_are_in_clones_only() {
        let kit = tempfile::tempdir().unwrap();
        assert!(labs(kit.path()).is_none());
        std::fs::create_dir_all(kit.path().join("xtask")).unwrap();
        assert_eq!(labs(kit.path()).unwrap().verdict, Verdict::Warn);
        std::fs::create_dir_all(kit.path().join("target/lab/qemu/abc")).unwrap();
        assert_eq!(labs(kit.path()).unwrap().verdict, Verdict::Ok);
    }
}
