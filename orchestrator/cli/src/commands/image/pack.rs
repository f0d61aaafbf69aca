//! `fades image pack`: loader and application become one signed file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fades_envelope::SigningKey;
use fades_pack::{Architecture, Description, Function, ImageName, Inspection, MAX_IMAGE, Role, Version};

use crate::context::Context;
use crate::failure::{Failure, Result, chain};
use crate::files;

/// Arguments of `fades image pack`.
#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The image to make.
    file: PathBuf,
    /// The loader: an ELF, for aarch64 a flat image.
    #[arg(long, value_name = "FILE")]
    loader: PathBuf,
    /// Kernel and program, an ELF.
    #[arg(long, value_name = "ELF")]
    application: PathBuf,
    /// Name of the image.
    #[arg(long)]
    name: ImageName,
    /// Its version, three numbers.
    #[arg(long, value_name = "X.Y.Z")]
    image_version: Version,
    /// What it is for.
    #[arg(long)]
    role: RoleWord,
    /// The processor that it is for.
    #[arg(long, value_enum, default_value_t = Target::X86_64)]
    target: Target,
    /// Least memory that it starts with, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 32)]
    memory_mib: u32,
    /// What the function takes and gives: what its program prints for `describe`.
    #[arg(long, value_name = "JSON")]
    function: Option<PathBuf>,
    /// The maker's key, by which nodes trust the image.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleWord {
    /// The broker.
    Drb,
    /// A function.
    Dmf,
}

/// Processors that images are for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Target {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl From<Target> for Architecture {
    fn from(target: Target) -> Self {
        match target {
            Target::X86_64 => Self::X86_64,
            Target::Aarch64 => Self::Aarch64,
        }
    }
}

impl Pack {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let key = SigningKey::read(&self.key)?;
        let (loader, application) =
            (files::read(&self.loader, MAX_IMAGE)?, files::read(&self.application, MAX_IMAGE)?);
        let function = self.function.as_deref().map(described).transpose()?;
        let description = Description {
            name: self.name,
            version: self.image_version,
            role: match self.role {
                RoleWord::Drb => Role::Drb,
                RoleWord::Dmf => Role::Dmf,
            },
            architecture: self.target.into(),
            minimum_memory_mib: self.memory_mib,
            function,
        };
        let image = fades_pack::pack(&description, &loader, &application, &key)
            .map_err(|error| Failure::usage(chain(&error)))?;
        files::create(&self.file, &image, 0o644)?;
        let inspection: Inspection = super::inspect::inspect(&image, Some(key.public()))?;
        context.output().show(&inspection, super::inspect::describe)
    }
}

/// What a function's program says of itself.
fn described(path: &Path) -> Result<Function> {
    let text = files::read(path, fades_pack::MAX_IMAGE)?;
    serde_json::from_slice(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
