//! A function's crate, and the kit that it is built with.

use std::path::{Path, PathBuf};

use clap::Args;
use fades_api::codes;
use fades_image_build::{Architecture, Author, BuildError, Builder};
use fades_pack::Function;

use crate::failure::{Failure, Result, chain};

/// What makes a folder the kit.
const MARK: &str = "dmf-kit/dmf/Cargo.toml";
/// Where a package puts it, seen from the folder of the programs.
const SHARED: &str = "share/fades/kit";

/// Which crate, and which kit.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The function's crate.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) kit: KitOption,
    /// The processor that its image is for: x86_64 or aarch64.
    #[arg(long, value_name = "PROCESSOR", default_value_t)]
    target: Architecture,
}

/// Where the kit is.
#[derive(Debug, Args)]
pub(crate) struct KitOption {
    /// The kit's sources [default: those that this program was built from, or came with].
    #[arg(long, value_name = "DIR", env = "FADES_KIT")]
    kit: Option<PathBuf>,
}

/// The kit: this project's sources, out of which kernel, loader and runtime of a function come.
#[derive(Debug, Clone)]
pub(crate) struct Kit {
    pub(crate) root: PathBuf,
    /// Where what is built lies.
    pub(super) target: PathBuf,
}

impl KitOption {
    pub(crate) fn find(&self) -> Result<Kit> {
        if let Some(root) = &self.kit {
            return Kit::at(root)
                .ok_or_else(|| no_kit(format!("{} holds no kit: it has no {MARK}", root.display())));
        }
        let own = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
        let above = own.iter().flat_map(|own| own.ancestors());
        let found =
            above.flat_map(|folder| [folder.to_owned(), folder.join(SHARED)]).find_map(|root| Kit::at(&root));
        found.ok_or_else(|| no_kit("there is no kit above this program".to_owned()))
    }
}

fn no_kit(message: String) -> Failure {
    Failure::new(codes::KIT_MISSING, message)
}

impl Kit {
    fn at(root: &Path) -> Option<Self> {
        let root = root.canonicalize().ok().filter(|root| root.join(MARK).is_file())?;
        // A clone keeps what is built below itself; sources that a package brought belong to somebody else.
        let own = root.join("target");
        let target = if own.is_dir() || !root.starts_with("/usr") { own } else { cache() };
        Some(Self { root, target })
    }

    /// Folders in which what was built lies, with debug files beside it.
    pub(crate) fn built(&self) -> impl Iterator<Item = PathBuf> {
        let guests = self.target.join("guest");
        [Architecture::X86_64, Architecture::Aarch64].into_iter().flat_map(move |architecture| {
            let images = guests.join(architecture.folder("images"));
            let folders =
                std::fs::read_dir(&images).into_iter().flatten().flatten().map(|entry| entry.path());
            let of_authors: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
            std::iter::once(images).chain(of_authors)
        })
    }

    /// A builder that tells what takes long.
    pub(crate) fn builder(&self, loud: bool) -> Builder {
        Builder::new(&self.root, &self.target).verbose(loud)
    }
}

/// Where what is built lies when the kit cannot be written to.
fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || {
        std::env::var_os("HOME").map_or_else(std::env::temp_dir, |home| PathBuf::from(home).join(".cache"))
    };
    base.unwrap_or_else(home).join("fades")
}

/// A function's crate with its kit.
pub(crate) struct Project {
    pub(crate) target: Architecture,
    pub(crate) author: Author,
    pub(crate) kit: Kit,
}

impl Where {
    pub(crate) fn project(&self) -> Result<Project> {
        let author = Author::at(&self.dir).map_err(|error| built(&error))?;
        Ok(Project { author, kit: self.kit.find()?, target: self.target })
    }
}

impl Project {
    /// The same processor in the words of manifests.
    pub(super) const fn packed_for(&self) -> fades_pack::Architecture {
        match self.target {
            Architecture::X86_64 => fades_pack::Architecture::X86_64,
            Architecture::Aarch64 => fades_pack::Architecture::Aarch64,
        }
    }

    /// A builder for the processor that is asked for, which tells what takes long.
    pub(crate) fn builder(&self, loud: bool) -> Builder {
        self.kit.builder(loud).architecture(self.target)
    }

    /// What the function takes and gives, by its program on the host.
    pub(super) fn function(&self, builder: &Builder) -> Result<Function> {
        let said = builder.describe_author(&self.author).map_err(|error| built(&error))?;
        serde_json::from_slice(&said)
            .map_err(|error| Failure::system(format!("what {} says of itself", self.author.name()), &error))
    }

    /// A file of the crate; a name that is not absolute counts from its folder.
    pub(super) fn file(&self, name: &Path) -> PathBuf {
        self.author.folder().join(name)
    }
}

/// A build that failed: a compiler's words are the author's to read, and a toolchain's lack is the machine's.
pub(crate) fn built(error: &BuildError) -> Failure {
    match error {
        BuildError::NoToolchain { .. } | BuildError::NoProgram { .. } => {
            Failure::new(codes::TOOLCHAIN_MISSING, chain(error))
        }
        BuildError::NoFunction { .. } => Failure::new(codes::FUNCTION_CRATE_MISSING, chain(error)),
        _ => Failure::new(codes::BUILD_FAILED, chain(error)),
    }
}
