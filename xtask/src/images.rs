//! Builds the images and packs them, signed with a key of this checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use fades_envelope::SigningKey;
use fades_image_build::{Architecture, Builder};
use fades_pack::{Description, Function, Role};

use crate::stage::{root, target};

/// An image of this project: its name, the crate it comes from, what it is for, and the least memory it starts with.
pub struct Recipe {
    /// Name in wrappers.
    pub name: &'static str,
    /// The crate.
    pub package: &'static str,
    role: Role,
    minimum_memory_mib: u32,
}

/// All images, the broker first.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "drb", package: "fades-drb", role: Role::Drb, minimum_memory_mib: 64 },
    Recipe { name: "stats", package: "dmf-stats", role: Role::Dmf, minimum_memory_mib: 32 },
    Recipe { name: "window", package: "dmf-window", role: Role::Dmf, minimum_memory_mib: 32 },
    Recipe { name: "record", package: "dmf-record", role: Role::Dmf, minimum_memory_mib: 32 },
    Recipe { name: "quantiles", package: "dmf-quantiles", role: Role::Dmf, minimum_memory_mib: 32 },
    Recipe { name: "correlate", package: "dmf-correlate", role: Role::Dmf, minimum_memory_mib: 32 },
    Recipe { name: "baseline", package: "dmf-baseline", role: Role::Dmf, minimum_memory_mib: 32 },
];

/// An image that tests need and nobody ships: a function that misbehaves in every way it is told to.
const FAULTY: Recipe =
    Recipe { name: "faulty", package: "dmf-faulty", role: Role::Dmf, minimum_memory_mib: 32 };

/// Guests that tests boot by themselves, without a node: never packed.
pub(crate) const PROBES: &[&str] = &[
    "fades-probe-hello",
    "fades-probe-hostile",
    "fades-probe-panic",
    "fades-probe-registers",
    "fades-probe-xen",
];

/// Those that are tried on aarch64: the others are Xen's, or ask what the first two answer.
const ARM_PROBES: &[&str] = &["fades-probe-hello", "fades-probe-panic", "fades-probe-registers"];

/// The loader and a probe, built if they are not there as their sources have them.
///
/// # Errors
/// A build failed.
pub fn probe(name: &str) -> Result<(PathBuf, PathBuf)> {
    once(Of::Probes, || build_probes(Architecture::X86_64, PROBES))?;
    Ok(built_probe(Architecture::X86_64, name))
}

/// The same for aarch64, of those that are tried there.
///
/// # Errors
/// A build failed.
pub fn arm_probe(name: &str) -> Result<(PathBuf, PathBuf)> {
    once(Of::ArmProbes, || build_probes(Architecture::Aarch64, ARM_PROBES))?;
    Ok(built_probe(Architecture::Aarch64, name))
}

fn built_probe(architecture: Architecture, name: &str) -> (PathBuf, PathBuf) {
    let folder = target().join("guest").join(architecture.folder("images"));
    (folder.join(architecture.loader_file()), folder.join(format!("fades-probe-{name}.elf")))
}

/// The loader and the guest of the bench of transfers, built if they are not there as their sources have them.
///
/// # Errors
/// A build failed.
pub fn link_bench() -> Result<(PathBuf, PathBuf)> {
    let builder = builder(Architecture::X86_64, false);
    Ok((builder.loader()?, builder.guest("fades-bench-link")?))
}

/// The image that misbehaves, built if it is not there as its sources have it. Away from those that are shipped, as it is
/// signed with the same key.
///
/// # Errors
/// A build failed.
pub fn faulty() -> Result<PathBuf> {
    let folder = target().join("images-of-tests");
    let architecture = Architecture::X86_64;
    once(Of::Faulty, || build_into(&folder, &[FAULTY], architecture, false).map(drop))?;
    Ok(folder.join("faulty.img"))
}

/// The hostile probe as a function's image, which says of itself what the one that misbehaves does: a node starts it and never hears a
/// word of it.
///
/// # Errors
/// A build failed.
pub fn hostile() -> Result<PathBuf> {
    let folder = target().join("images-of-tests");
    let recipe = Recipe { name: "hostile", package: "fades-probe-hostile", ..FAULTY };
    let (architecture, says) = (Architecture::X86_64, FAULTY.package);
    once(Of::Hostile, || pack_into(&folder, &[recipe], architecture, false, Some(says)).map(drop))?;
    Ok(folder.join("hostile.img"))
}

/// Builds what tests need beside the images.
///
/// # Errors
/// A build failed.
pub fn build_for_tests() -> Result<()> {
    faulty()?;
    hostile()?;
    once(Of::Probes, || build_probes(Architecture::X86_64, PROBES))
}

fn build_probes(architecture: Architecture, probes: &[&str]) -> Result<()> {
    let builder = builder(architecture, false);
    builder.loader()?;
    for package in probes {
        builder.guest(package)?;
    }
    Ok(())
}

/// What tests of one program, side by side, build once.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Probes,
    ArmProbes,
    Faulty,
    Hostile,
    Arm,
}

fn once(of: Of, build: impl FnOnce() -> Result<()>) -> Result<()> {
    static DONE: Mutex<Vec<Of>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    // In a lab, where nothing can be built, everything was put in before.
    let built = std::env::var_os("FADES_BUILT").is_some();
    if !built && !done.contains(&of) {
        build()?;
        done.push(of);
    }
    Ok(())
}

/// Largest image file: the promise of README's table.
const MAX_PACKED: u64 = 3 << 20;

/// The image files, and the public half of the key that signed them.
pub struct Images {
    /// `NAME.img` for every recipe.
    pub folder: PathBuf,
    /// Public key file of the signer, as `fades image add --trust` takes it.
    pub signer: PathBuf,
}

impl Images {
    /// Those that [`build`] made.
    ///
    /// # Errors
    /// They are not there.
    pub fn built() -> Result<Self> {
        Self::built_for(Architecture::X86_64)
    }

    /// Those that [`build`] made for this architecture.
    ///
    /// # Errors
    /// They are not there.
    pub fn built_for(architecture: Architecture) -> Result<Self> {
        let folder = target().join(architecture.folder("images"));
        let signer = target().join("images/signer.pub");
        if !signer.exists() {
            bail!("{} is not there: run `cargo xtask images`", signer.display());
        }
        Ok(Self { folder, signer })
    }

    /// The file of the image of this name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.img"))
    }
}

/// The images for aarch64, built if they are not there as their sources have them.
///
/// # Errors
/// A build failed, or an image is over its size.
pub fn arm() -> Result<Images> {
    let (architecture, folder) =
        (Architecture::Aarch64, target().join(Architecture::Aarch64.folder("images")));
    once(Of::Arm, || build_into(&folder, RECIPES, architecture, false).map(drop))?;
    Images::built_for(architecture)
}

/// Builds and packs every image that is shipped for this architecture, with cargo's progress on standard error. What has not changed is not built
/// again.
///
/// # Errors
/// A build failed, or an image is over its size.
pub fn build(architecture: Architecture) -> Result<Images> {
    build_into(&target().join(architecture.folder("images")), RECIPES, architecture, true)
}

fn build_into(
    folder: &Path,
    recipes: &[Recipe],
    architecture: Architecture,
    progress: bool,
) -> Result<Images> {
    pack_into(folder, recipes, architecture, progress, None)
}

/// The same of what says nothing of itself: this package says it.
fn pack_into(
    folder: &Path,
    recipes: &[Recipe],
    architecture: Architecture,
    progress: bool,
    says: Option<&str>,
) -> Result<Images> {
    let builder = builder(architecture, progress);
    let keys = target().join("images");
    for folder in [&keys, folder] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let key = signer(&keys.join("signer.key"))?;
    let signer = keys.join("signer.pub");
    write_if_changed(&signer, &fades_envelope::prove(&key, "this-checkout")?)?;
    let loader = read(&builder.loader()?)?;
    let images = Images { folder: folder.to_owned(), signer };
    for recipe in recipes {
        let application = read(&builder.guest(recipe.package)?)?;
        let description = Description {
            name: recipe.name.parse()?,
            version: env!("CARGO_PKG_VERSION").parse()?,
            role: recipe.role,
            architecture: match architecture {
                Architecture::X86_64 => fades_pack::Architecture::X86_64,
                Architecture::Aarch64 => fades_pack::Architecture::Aarch64,
            },
            minimum_memory_mib: recipe.minimum_memory_mib,
            function: described(&builder, recipe.role, says.unwrap_or(recipe.package))?,
        };
        let image = fades_pack::pack(&description, &loader, &application, &key)?;
        if image.len() as u64 > MAX_PACKED {
            bail!("image {} has {} bytes, over {MAX_PACKED}", recipe.name, image.len());
        }
        write_if_changed(&images.file(recipe.name), &image)?;
    }
    Ok(images)
}

/// What a function says of itself; a broker takes and gives nothing.
fn described(builder: &Builder, role: Role, package: &str) -> Result<Option<Function>> {
    if role == Role::Drb {
        return Ok(None);
    }
    let said = builder.describe(package)?;
    serde_json::from_slice(&said).with_context(|| format!("what {package} says of itself")).map(Some)
}

/// Shows cargo's progress as it comes, or keeps it for errors.
fn builder(architecture: Architecture, progress: bool) -> Builder {
    Builder::new(&root(), &target()).architecture(architecture).verbose(progress).on_stage(|stage| {
        let cached = if stage.cached { ", was there" } else { "" };
        eprintln!("   {}: {:.1} s{cached}", stage.what, stage.took.as_secs_f64());
    })
}

fn signer(file: &Path) -> Result<SigningKey> {
    if file.exists() {
        return Ok(SigningKey::read(file)?);
    }
    let key = SigningKey::generate()?;
    key.create(file)?;
    Ok(key)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("read {}", file.display()))
}

/// Leaves the file's time alone when nothing changed, so that what depends on it is not built again.
fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}
