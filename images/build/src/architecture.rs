//! What differs between the processors that guests are built for.

use std::fmt;
use std::str::FromStr;

/// The processors that guests are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// Programs that know an architecture's object files, and the Debian package that brings them.
pub(crate) struct Tools {
    pub(crate) nm: &'static str,
    pub(crate) objcopy: &'static str,
    pub(crate) ar: &'static str,
    pub(crate) package: &'static str,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// Its name, as in manifests of images and targets of compilers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Where what is kept in `name` for x86-64 is kept for this one: `name`, or `name-aarch64`.
    pub fn folder(self, name: &str) -> String {
        match self {
            Self::X86_64 => name.to_owned(),
            other => format!("{name}-{other}"),
        }
    }

    /// The file of the loader: an ELF by which PVH enters, or a flat image as Linux has it.
    pub const fn loader_file(self) -> &'static str {
        match self {
            Self::X86_64 => "loader.elf",
            Self::Aarch64 => "loader.bin",
        }
    }

    /// What the kernel is written for. It must not touch vector registers: those are the application's.
    pub const fn kernel_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-none",
            Self::Aarch64 => "aarch64-unknown-none-softfloat",
        }
    }

    /// What the loader is built for.
    pub const fn bare_target(self) -> &'static str {
        self.kernel_target()
    }

    /// What applications are built for.
    pub const fn guest_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-hermit",
            Self::Aarch64 => "aarch64-unknown-hermit",
        }
    }

    /// Flags of the compiler for the kernel, each behind a space: it is linked into a position-independent application.
    pub(crate) const fn kernel_flags(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &[],
            Self::Aarch64 => &["-Crelocation-model=pic"],
        }
    }

    pub(crate) const fn tools(self) -> Tools {
        match self {
            Self::X86_64 => Tools { nm: "nm", objcopy: "objcopy", ar: "ar", package: "binutils" },
            Self::Aarch64 => Tools {
                nm: "aarch64-linux-gnu-nm",
                objcopy: "aarch64-linux-gnu-objcopy",
                ar: "aarch64-linux-gnu-ar",
                package: "binutils-aarch64-linux-gnu",
            },
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name)
            .ok_or_else(|| UnknownArchitecture { name: name.to_owned() })
    }
}

/// A name that no architecture has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no architecture {name:?}: images are built for x86_64 and aarch64")]
pub struct UnknownArchitecture {
    /// What was asked for.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_folders_differ() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.name().parse(), Ok(architecture));
        }
        assert!("arm64".parse::<Architecture>().unwrap_err().to_string().contains("arm64"));
        assert_eq!(Architecture::X86_64.folder("images"), "images");
        assert_eq!(Architecture::Aarch64.folder("images"), "images-aarch64");
    }
}
