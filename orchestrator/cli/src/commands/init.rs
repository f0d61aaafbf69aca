//! `fades init`: the folder that `fadesd` runs on. What is in it is described in the daemon's `node_dir`.

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fades_api::codes;
use fades_api::task::Name;
use fades_envelope::SigningKey;
use serde::Serialize;

use crate::context::{Context, LISTEN};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::Table;

/// Arguments of `fades init`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades init ./edge-1 --name edge-1 --listen 127.0.0.1:8470")]
pub(crate) struct Init {
    /// The folder to make. It may be there if it is empty.
    dir: PathBuf,
    /// Where services connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    listen: SocketAddr,
    /// Be reachable over the local socket only.
    #[arg(long, conflicts_with = "listen")]
    local_only: bool,
    /// What runs guests.
    #[arg(long, default_value = "auto")]
    backend: Backend,
    /// The QEMU program, where it is not qemu-system-x86_64 from PATH.
    #[arg(long, value_name = "FILE")]
    qemu: Option<PathBuf>,
    /// The node's id, which wrappers name as their audience [default: the host's name].
    #[arg(long, value_name = "NODE")]
    name: Option<Name>,
}

/// What runs guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The fastest that works, found by running a few instructions.
    Auto,
    /// QEMU on hardware virtualisation, or nothing.
    QemuKvm,
    /// QEMU's emulation: works everywhere, slowly.
    QemuTcg,
    /// Domains of the Xen host whose dom0 this is, or nothing.
    Xen,
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    node: Name,
    key_id: String,
    public_key: String,
    public_key_file: PathBuf,
    socket: PathBuf,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let node = match &self.name {
            Some(name) => name.clone(),
            None => host_name(),
        };
        let folder = make_folder(&self.dir)?;
        let key = SigningKey::generate()?;
        key.create(&folder.join("node.key"))?;
        let images = folder.join("images");
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&images)
            .map_err(|error| Failure::system(images.display(), &error))?;
        let public_key_file = folder.join("node.pub");
        files::create(&public_key_file, format!("{}\n", key.public()).as_bytes(), 0o644)?;
        // last: a folder is a node's once this is in it
        files::create(&folder.join("fades.toml"), self.settings(&node).as_bytes(), 0o600)?;
        let made = Made {
            node,
            key_id: key.public().id().to_string(),
            public_key: key.public().to_string(),
            public_key_file,
            socket: folder.join(crate::context::SOCKET),
            folder,
        };
        context.output().show(&made, |made| {
            Table::facts([
                ("folder", made.folder.display().to_string()),
                ("node", made.node.to_string()),
                ("public key", made.public_key.clone()),
                (
                    "its file",
                    format!("{}, for --node-key of `fades task result`", made.public_key_file.display()),
                ),
            ])
            .text()
        })?;
        context.output().note(&format!("next: fades up {}", self.dir.display()));
        Ok(())
    }

    /// The text of `fades.toml`. What is commented out is the default.
    fn settings(&self, node: &Name) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let listen = match self.local_only {
            true => format!("# listen = \"{LISTEN}\""),
            false => format!("listen = \"{}\"", self.listen),
        };
        let kind = match self.backend {
            Backend::Auto => "# kind = \"qemu-tcg\"",
            Backend::QemuKvm => "kind = \"qemu-kvm\"",
            Backend::QemuTcg => "kind = \"qemu-tcg\"",
            Backend::Xen => "kind = \"xen\"",
        };
        let qemu = match &self.qemu {
            None => "# qemu = \"/usr/bin/qemu-system-x86_64\"".to_owned(),
            Some(path) => format!("qemu = {}", quoted(&path.to_string_lossy())),
        };
        format!(
            "# Settings of this node. Restart fadesd after a change. What is commented out is the default.\n\
             # Issuers, sources, signers and images are not set here: `fades issuer|source|image` tell them to the node.\n\
             \n\
             # The node's id: what wrappers name as their audience.\n\
             node = {}\n\
             \n\
             # Where services connect; port 0 takes a free one. Without it there is the local socket only.\n\
             {listen}\n\
             \n\
             [backend]\n\
             # Forces what runs guests; without it the fastest that works is taken.\n\
             {kind}\n\
             # The QEMU program; without it qemu-system-x86_64 from PATH.\n\
             {qemu}\n\
             # No shared memory between guests, and no XenStore, but TCP for all they say.\n\
             # network_only = false\n\
             # Other processors whose images QEMU translates: \"aarch64\", by qemu-system-aarch64 from PATH.\n\
             # emulate = []\n\
             # Known holes (CVE-2021-3748) that this QEMU is without, though its release has them.\n\
             # mended = []\n\
             # Does not start where the machine lacks a defence around guests; else `fades status` says which are off.\n\
             # strict = false\n\
             \n\
             [broker]\n\
             # image = \"drb@sha256:...\" # without it the newest broker image\n\
             # memory_mib = 128\n\
             \n\
             [limits]\n\
             # running = 6 # tasks at once\n\
             # queued = 10000 # tasks that wait\n\
             # guests = 7 # the broker included\n\
             # memory_mib = 1024 # of all guests\n\
             # dormant_memory_mib = 128 # of that, for functions started ahead of tasks like those of late\n\
             # snapshot_memory_mib = 64 # beside that, for functions that were booted once and are gone on with\n\
             # result_bytes = 4194304\n\
             # wrapper_life_s = 604800 # ids are remembered that long\n\
             \n\
             [keep]\n\
             # finished_tasks = 10000 # with their results; the oldest goes first\n\
             # periods = 100 # of each persistent task, with their results\n\
             # result_bytes = 1073741824 # of what these leave; the oldest goes first\n\
             # free_mib = 64 # of the disk, for tasks under way; below it none is accepted\n",
            quoted(node.as_str()),
        )
    }
}

/// The host's name as far as it is a name here.
fn host_name() -> Name {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fallback = || "node".parse().unwrap_or_else(|_| unreachable!("a name as the schema has it"));
    name.parse().unwrap_or_else(|_| fallback())
}

/// Makes the folder, or takes an empty one; either way its owner's alone.
fn make_folder(dir: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| Failure::system(dir.display(), &error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        let what =
            if dir.join("fades.toml").exists() { "is a node's folder already" } else { "is not empty" };
        return Err(Failure::new(codes::NODE_FOLDER_EXISTS, format!("{} {what}", dir.display())));
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(words: &[&str]) -> Init {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            init: Init,
        }
        use clap::Parser;
        Line::try_parse_from(["init", "dir"].iter().chain(words)).unwrap().init
    }

    fn settings(words: &[&str]) -> toml::Table {
        init(words).settings(&"edge-1".parse().unwrap()).parse().unwrap()
    }

    #[test]
    fn settings_are_toml_that_says_what_was_asked() {
        let plain = settings(&[]);
        assert_eq!(plain["node"].as_str(), Some("edge-1"));
        assert_eq!(plain["listen"].as_str(), Some(LISTEN));
        assert_eq!(plain["backend"].as_table().map(toml::Table::len), Some(0));
        let forced = settings(&["--listen", "[::1]:0", "--backend", "qemu-tcg", "--qemu", "/a\"b"]);
        assert_eq!(forced["listen"].as_str(), Some("[::1]:0"));
        assert_eq!(forced["backend"]["kind"].as_str(), Some("qemu-tcg"));
        assert_eq!(forced["backend"]["qemu"].as_str(), Some("/a\"b"));
        assert!(!settings(&["--local-only"]).contains_key("listen"));
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = make_folder(&folder.path().join("a/b")).unwrap();
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        make_folder(&made).unwrap();
        std::fs::write(made.join("x"), "").unwrap();
        assert_eq!(make_folder(&made).unwrap_err().code, Some(codes::NODE_FOLDER_EXISTS));
    }
}
