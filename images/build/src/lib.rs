//! How kernel, loader and guest applications are built and cached.
//!
//! Three things come out of a [`Builder`]:
//!
//! - [`Builder::kernel`]: `libhermit.a`, from the pinned `hermit-kernel` and the patches in `images/kernel/patches`. Its folder
//!   under `target/kernel` is named by a hash of all that goes in, so an unchanged kernel is not built again;
//! - [`Builder::loader`]: the loader: on x86-64 one small ELF for every hypervisor, by PVH; on aarch64 a flat image as Linux has it;
//! - [`Builder::guest`]: the ELF of a workspace member, linked with the kernel. Cargo's own freshness decides what is rebuilt.
//!
//! All three need the sources of Rust's standard library, so they are built by a [`Toolchain`] that has them, which need not be
//! the one that builds the host programs.
//!
//! To add a patch: put `NNNN-what-it-does.patch` into `images/kernel/patches`, its reason at its head, the diff (`-p1`) below.
//! To move to another kernel: change the version in `images/kernel/source/Cargo.toml` and run `cargo generate-lockfile` there.

#![forbid(unsafe_code)]

mod architecture;
mod archive;
mod author;
mod error;
mod files;
mod guest;
mod kernel;
mod run;
mod toolchain;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use architecture::Architecture;
pub use author::Author;
pub use error::BuildError;
pub use kernel::FEATURES as KERNEL_FEATURES;
pub use toolchain::{Origin, Toolchain};

/// One thing that was done, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it was: `kernel`, `loader`, `guest fades-drb`.
    pub what: String,
    /// How long it took.
    pub took: Duration,
    /// Whether it was there already, the same to the byte. Guests are always asked of cargo.
    pub cached: bool,
}

/// Whether there is a toolchain that guests can be built with.
pub fn has_toolchain() -> bool {
    Toolchain::find().is_ok()
}

/// Programs that building the kernel needs besides, with the Debian package that brings each.
pub const PROGRAMS: &[(&str, &str)] =
    &[("ld.lld", "lld"), ("patch", "patch"), ("nm", "binutils"), ("objcopy", "binutils"), ("ar", "binutils")];

type Report = Box<dyn Fn(&Stage) + Send + Sync>;

/// Builds images' parts for one workspace.
pub struct Builder {
    workspace_root: PathBuf,
    target_dir: PathBuf,
    architecture: Architecture,
    verbose: bool,
    /// Held while all is built anew.
    anew: Option<std::fs::File>,
    report: Report,
    toolchain: OnceLock<Toolchain>,
}

impl Builder {
    /// For the workspace at `workspace_root`; what is built goes to `target_dir/kernel` and `target_dir/guest`.
    pub fn new(workspace_root: &Path, target_dir: &Path) -> Self {
        let (workspace_root, target_dir) = (workspace_root.to_owned(), target_dir.to_owned());
        Self {
            workspace_root,
            target_dir,
            architecture: Architecture::default(),
            verbose: false,
            anew: None,
            report: Box::new(|_| {}),
            toolchain: OnceLock::new(),
        }
    }

    /// For processors of this architecture, instead of x86-64.
    #[must_use]
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architecture = architecture;
        self
    }

    /// Builds loader and guests with their crates and the standard library from the first on, in a folder of its own that is emptied
    /// now and that no other builder has meanwhile. The kernel is taken if it was built before: its folder's name is a hash of all
    /// that goes into it.
    ///
    /// # Errors
    /// The folder cannot be emptied.
    pub fn anew(mut self) -> Result<Self, BuildError> {
        self.anew = Some(files::lock(&self.target_dir.join("anew.lock"))?);
        files::remove_folder(&self.anew_dir())?;
        Ok(self)
    }

    /// Shows the output of cargo as it comes, instead of keeping it for errors.
    #[must_use]
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Calls `report` after each stage.
    #[must_use]
    pub fn on_stage(mut self, report: impl Fn(&Stage) + Send + Sync + 'static) -> Self {
        self.report = Box::new(report);
        self
    }

    /// The toolchain that guests are built with; looked for once.
    ///
    /// # Errors
    /// [`BuildError::NoToolchain`], which says what to install.
    pub fn toolchain(&self) -> Result<&Toolchain, BuildError> {
        if let Some(found) = self.toolchain.get() {
            return Ok(found);
        }
        let found = Toolchain::find()?;
        Ok(self.toolchain.get_or_init(|| found))
    }

    /// `libhermit.a`.
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn kernel(&self) -> Result<PathBuf, BuildError> {
        self.stage("kernel", kernel::build)
    }

    /// The loader, in a file called [`Architecture::loader_file`].
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn loader(&self) -> Result<PathBuf, BuildError> {
        self.stage("loader", guest::build_loader)
    }

    /// The ELF of the workspace member `package`, which must have one binary, linked with the kernel and stripped. What only a
    /// debugger reads is beside it, in a file ending in `.debug` with the same build id.
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn guest(&self, package: &str) -> Result<PathBuf, BuildError> {
        let kernel = self.kernel()?;
        self.stage(&format!("guest {package}"), |builder| guest::build_guest(builder, package, &kernel))
    }

    /// The same of a function of somebody else's.
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn author(&self, author: &Author) -> Result<PathBuf, BuildError> {
        let kernel = self.kernel()?;
        let what = format!("guest {}", author.name());
        self.stage(&what, |builder| guest::build_author(builder, author, &kernel))
    }

    /// What the function in the workspace member `package` takes and gives, as JSON: its program on the host says it.
    ///
    /// # Errors
    /// It cannot be built for the host, or says nothing.
    pub fn describe(&self, package: &str) -> Result<Vec<u8>, BuildError> {
        author::describe(self, &self.workspace_root, package)
    }

    /// The same of a function of somebody else's.
    ///
    /// # Errors
    /// It cannot be built for the host, or says nothing.
    pub fn describe_author(&self, author: &Author) -> Result<Vec<u8>, BuildError> {
        author::describe(self, author.folder(), author.name())
    }

    fn stage(
        &self,
        what: &str,
        build: impl FnOnce(&Self) -> Result<(PathBuf, bool), BuildError>,
    ) -> Result<PathBuf, BuildError> {
        let start = Instant::now();
        let (path, cached) = build(self)?;
        let what = match self.architecture {
            Architecture::X86_64 => what.to_owned(),
            other => format!("{what} for {other}"),
        };
        (self.report)(&Stage { what, took: start.elapsed(), cached });
        Ok(path)
    }

    fn workspace_root(&self) -> &Path {
        &self.workspace_root
    }

    fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Where cargo builds guests.
    fn guest_dir(&self) -> PathBuf {
        if self.anew.is_some() { self.anew_dir().join("guest") } else { self.target_dir.join("guest") }
    }

    fn anew_dir(&self) -> PathBuf {
        self.target_dir.join("anew")
    }
}
