//! What every part has: images, an InfluxDB with points, and nodes on a backend.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fades_envelope::SigningKey;
use fades_pack::{Architecture, Description, Role};

use super::super::task::Data;
use super::linux::{self, Linux};
use crate::images::Images;
use crate::stage::target;
use crate::testbed::node::{Node, Programs};

/// What an image and a wrapper may ask for at least, MiB.
pub(super) const LEAST_MIB: u32 = 8;

/// What a function runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unikernel,
    /// The same by TCP over the virtual network, which is what a Linux guest is to be compared with.
    ByNetwork,
    Linux,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unikernel => "unikernel",
            Self::ByNetwork => "unikernel by TCP",
            Self::Linux => "linux",
        }
    }

    /// Of the guest. A Linux guest's is the least in which this kernel came up with the function, in steps of 32.
    pub(super) const fn memory_mib(self) -> u32 {
        match self {
            Self::Unikernel | Self::ByNetwork => 64,
            Self::Linux => linux::MEMORY_MIB,
        }
    }
}

/// Images, source and folder of a run.
pub(super) struct Bed {
    pub(super) data: Data,
    pub(super) images: Images,
    folder: PathBuf,
}

/// A node that is ready on the backend that it was to have.
pub(super) struct Ready {
    pub(super) node: Node,
    /// In the place of functions while the node lives.
    _linux: Option<Linux>,
}

impl Bed {
    /// A source without points.
    pub(super) fn start() -> Result<Self> {
        let programs = target().join("release");
        if !programs.join("fadesd").is_file() {
            bail!(
                "{} has no fadesd: `cargo xtask figures` builds it, and brings it into a lab",
                programs.display()
            );
        }
        let folder = target().join("bench/bed");
        Ok(Self { data: Data::start(&folder.join("influx"))?, images: Images::built()?, folder })
    }

    /// A node whose functions boot for their task: what is compared is the same work.
    pub(super) fn node(&self, backend: &str, kind: Kind) -> Result<Ready> {
        let mut node = Node::make(Programs::of("release"), &self.folder.join("node"))?;
        node.set("kind", &format!("{backend:?}"))?;
        node.set_cold()?;
        if kind != Kind::Unikernel {
            node.set("network_only", "true")?;
        }
        let linux = match kind {
            Kind::Unikernel | Kind::ByNetwork => None,
            Kind::Linux => Some(Linux::instead_of_functions(&node, backend)?),
        };
        node.run()?;
        let (found, why) = node.backend()?;
        if found != backend {
            bail!("the node runs its guests on {found} ({why}) instead of {backend}");
        }
        node.register(&self.images, &self.data.influx)?;
        node.wait_until_ready()?;
        Ok(Ready { node, _linux: linux })
    }

    /// An image like one of ours under another name, which may be started with as little memory as an image may say: ours say
    /// what they need, and what becomes of less is to be seen.
    pub(super) fn with_any_memory(&self, image: &Path, name: &str) -> Result<PathBuf> {
        let key = SigningKey::read(&target().join("images/signer.key"))?;
        let bytes = fs::read(image).with_context(|| format!("read {}", image.display()))?;
        let image = fades_pack::open(&bytes)?.verify(&key.public())?;
        let description = Description {
            name: name.parse()?,
            version: env!("CARGO_PKG_VERSION").parse()?,
            role: Role::Dmf,
            architecture: Architecture::X86_64,
            minimum_memory_mib: LEAST_MIB,
            function: None,
        };
        let bytes = fades_pack::pack(&description, image.loader(), image.application(), &key)?;
        let file = self.folder.join(name).with_extension("img");
        fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    /// Where files of a part's own may lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the source and removes the folder.
    pub(super) fn end(self) -> Result<()> {
        let Self { data, folder, .. } = self;
        drop(data);
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
    }
}

impl Ready {
    /// Lets the issuer have functions of up to `memory_mib` for hours, and read one more source.
    pub(super) fn widen(&self, memory_mib: u32, source: Option<(&str, &str, &str)>) -> Result<()> {
        let policy = self.node.folder().join("policy.toml");
        let mut text = fs::read_to_string(&policy).with_context(|| format!("read {}", policy.display()))?;
        text = text
            .replace("memory_mib = 256", &format!("memory_mib = {memory_mib}"))
            .replace("timeout_ms = 600000", &format!("timeout_ms = {}", super::ask::TIMEOUT_MS));
        if let Some((name, url, database)) = source {
            self.node.fades(&["source", "add", name, "influxdb1", url, "--database", database])?;
            text += &format!("\n[sources.{name}]\neverything = true\n");
        }
        fs::write(&policy, text).with_context(|| format!("write {}", policy.display()))?;
        let public = format!("{}.pub", self.node.key().display());
        self.node.fades(&["issuer", "add", &public, "--policy", &policy.to_string_lossy()])?;
        Ok(())
    }

    /// Fits what failed to the node's own log, which says more.
    pub(super) fn telling<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|_| eprintln!("the node logged:\n{}", self.node.log()))
    }
}
