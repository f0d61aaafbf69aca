//! `cargo xtask lab`: the same images and programs on hardware virtualisation that this machine need not have.
//!
//! ```text
//! packages (Debian's kernel, busybox) --+
//! QEMU, influxd and their libraries ----+--> one cpio archive --> QEMU, emulating a processor with SVM
//! programs, images, test programs ------+                              |  console, exit code, target/lab/NAME/out
//! ```
//! Inside, everything lies where it lies here, so that the tests are the same programs. Times in a lab say nothing of real
//! processors: only ratios within one run do.

mod archive;
mod machine;
mod packages;
mod tree;
mod xen;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::stage::{building, cargo, root, stage, target};
use crate::test;

/// Test programs that run in a lab when no command is given, each with what of it is run: the whole line, misbehaving
/// functions, functions that try to reach what they must not, several at once.
const TESTS: [(&str, &[&str]); 4] = [
    ("line", &["every_question"]),
    ("faults", &["each_fault"]),
    ("isolation", &[]),
    ("load", &["twelve_tasks"]),
];
/// Longest run of a lab; the whole of [`TESTS`] takes about half of it here.
const LIMIT: Duration = Duration::from_secs(900);

/// Which lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lab {
    /// Linux with KVM on an emulated AMD processor.
    Kvm,
    /// Xen on an emulated AMD processor, with Linux as its dom0.
    Xen,
}

impl Lab {
    /// The lab of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Kvm, Self::Xen].into_iter().find(|lab| lab.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Xen => "xen",
        }
    }

    /// The backend that a node must choose there by itself.
    const fn backend(self) -> &'static str {
        match self {
            Self::Kvm => "qemu-kvm",
            Self::Xen => "xen",
        }
    }

    fn folder(self) -> PathBuf {
        target().join("lab").join(self.name())
    }
}

/// What is run inside.
#[derive(Clone, Copy, Debug)]
pub enum Run<'a> {
    /// The whole line's tests.
    Tests,
    /// A command line of busybox' shell.
    Command(&'a str),
    /// A console.
    Shell,
}

/// Builds the lab, boots it, runs in it, and brings back what came of it.
///
/// # Errors
/// Something could not be built or fetched; the lab did not end in time; what ran in it failed.
pub fn run(lab: Lab, run: Run<'_>) -> Result<()> {
    test::build()?;
    let tests = building("tests", "a minute", built_tests)?;
    let kernel = stage("packages", packages::fetch)?;
    let xen = (lab == Lab::Xen).then(|| stage("Xen's packages", xen::fetch)).transpose()?;
    let folder = lab.folder();
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let archive = folder.join("root.cpio");
    stage("root", || tree::write(&archive, &kernel, xen.as_ref(), &tests, &script(lab, run, &tests)))?;
    let limit = if matches!(run, Run::Shell) { None } else { Some(LIMIT) };
    stage(&format!("lab {}", lab.name()), || {
        let hypervisor = xen.as_ref().map(|xen| &*xen.hypervisor);
        let kernel = &kernel.image;
        machine::boot(&machine::Boot { hypervisor, kernel, archive: &archive, out: &out, limit })
    })?;
    match fs::read_to_string(out.join("exit")).map(|code| code.trim().to_owned()) {
        Ok(code) if code == "0" => Ok(()),
        Ok(code) => bail!("what ran in the lab ended with {code}; its files are in {}", out.display()),
        Err(_) if matches!(run, Run::Shell) => Ok(()),
        Err(_) => bail!("the lab ended before what ran in it did; look at its console above"),
    }
}

/// What init runs: ends with the code of the first failure.
fn script(lab: Lab, run: Run<'_>, tests: &[(String, PathBuf)]) -> String {
    let mut script =
        format!("export FADES_BUILT=1 FADES_EXPECT_BACKEND={}\ncd {}\n", lab.backend(), root().display());
    match run {
        Run::Shell => script.push_str("setsid cttyhack sh -i\n"),
        Run::Command(command) => script.push_str(&format!("{command}\n")),
        Run::Tests => {
            for ((name, filters), (_, path)) in TESTS.iter().zip(tests) {
                let filters = filters.join(" ");
                script.push_str(&format!(
                    "echo '== {name}'; {} --test-threads 1 {filters} || exit $?\n",
                    inside(path).display()
                ));
            }
        }
    }
    script
}

/// Where a test program lies in the lab.
fn inside(path: &Path) -> PathBuf {
    Path::new("/tests").join(path.file_name().unwrap_or_default())
}

/// Builds the whole line's test programs and says where they are.
fn built_tests() -> Result<Vec<(String, PathBuf)>> {
    let mut arguments =
        vec!["test", "--package", "xtask", "--no-run", "--message-format=json-render-diagnostics"];
    for (name, _) in TESTS {
        arguments.extend(["--test", name]);
    }
    let output = cargo(&arguments).stderr(std::process::Stdio::inherit()).output().context("start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let lines: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    TESTS
        .iter()
        .map(|(name, _)| {
            let artifact =
                lines.iter().find(|line| line["target"]["name"] == *name && line["executable"].is_string());
            let path = artifact.and_then(|line| line["executable"].as_str());
            let path =
                path.with_context(|| format!("cargo does not say where the test program `{name}` is"))?;
            Ok(((*name).to_owned(), PathBuf::from(path)))
        })
        .collect()
}
