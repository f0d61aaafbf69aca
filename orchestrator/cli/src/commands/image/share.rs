//! `fades image push` and `fades image pull`: folders, HTTP servers and OCI registries.

use std::path::{Path, PathBuf};

use clap::Args;
use fades_api::http::SignerDocument;
use fades_depot::index::Entry;
use fades_depot::{Keys, Login, Options, Place, PlaceError, Secret, Selector, pull, push};
use fades_envelope::{KeyId, PublicKey};
use fades_pack::{MAX_IMAGE, Reference};
use serde::Serialize;

use super::add::{post, put_signer, signer};
use super::inspect::on_node;
use super::on_node::OnNode;
use super::pack::Target;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes};

/// Arguments of `fades image push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// A file; or an image of the node: NAME, NAME:VERSION or NAME@sha256:DIGEST. A file of that name comes first.
    image: String,
    /// Where to: a folder, file:///PATH, http(s)://HOST/PATH/ or `oci://HOST[:PORT]/REPOSITORY[:TAG]`.
    place: Typed,
    /// Speak plain HTTP to other machines as well.
    #[arg(long)]
    insecure: bool,
}

/// Arguments of `fades image pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Where from: a folder, file:///PATH, http(s)://HOST/PATH/ or `oci://HOST[:PORT]/REPOSITORY[:TAG]`.
    place: Typed,
    /// Which: NAME for the newest, NAME:VERSION+ for the newest that is not older, NAME:VERSION, or NAME@sha256:DIGEST. May
    /// be left out where there is one name only.
    image: Option<Selector>,
    /// The maker's key, by the proof that `fades key new` made for it: the image must be signed with it, and the node trusts
    /// it then. Without it one of those must have signed that the node trusts already.
    #[arg(long, value_name = "FILE.pub")]
    trust: Option<PathBuf>,
    /// Write the image to this file, and add it to no node.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The processor that it is for.
    #[arg(long, value_enum, default_value_t = Target::X86_64)]
    target: Target,
    /// Speak plain HTTP to other machines as well.
    #[arg(long)]
    insecure: bool,
}

/// A place as it was typed. It is read later than the other arguments, whose reader prints what it cannot read: there may be
/// a password in it.
#[derive(Clone)]
struct Typed(String);

impl From<String> for Typed {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Typed {
    fn read(&self) -> Result<Place> {
        self.0.parse().map_err(|error: PlaceError| Failure::usage(error.to_string()))
    }
}

/// How places are spoken to; who to be comes from the environment, where no list of processes shows it.
fn options(insecure: bool) -> Options {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let login = variable("FADES_REGISTRY_USER")
        .zip(variable("FADES_REGISTRY_PASSWORD"))
        .map(|(user, password)| Login { user, password: Secret(password) });
    Options { insecure, login }
}

/// What was moved, and where it is now.
#[derive(Debug, Serialize)]
struct Moved {
    reference: String,
    #[serde(flatten)]
    entry: Entry,
    /// Where it came from or went to.
    place: String,
    /// What it has become here: a file, or an image of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

impl Moved {
    fn new(entry: &Entry, place: String, file: Option<PathBuf>) -> Self {
        let reference = Reference { name: entry.name.clone(), digest: entry.digest };
        Self { reference: reference.to_string(), entry: entry.clone(), place, file }
    }

    fn text(&self, place: &str) -> String {
        let mut facts = vec![
            ("image", self.reference.clone()),
            ("version", self.entry.version.to_string()),
            ("architecture", self.entry.architecture.to_string()),
            ("size", bytes(self.entry.size)),
            ("signed by", self.entry.signer.to_string()),
            (place, self.place.clone()),
        ];
        if let Some(file) = &self.file {
            facts.push(("file", file.display().to_string()));
        }
        Table::facts(facts).text()
    }
}

impl Push {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let (which, place) = (on_node(&self.image)?, self.place.read()?);
        let moved = context.run(async {
            let contents = match which {
                None => files::read(Path::new(&self.image), MAX_IMAGE)?,
                Some(which) => {
                    let node = OnNode::new(context)?;
                    node.file(&node.newest(&which).await?).await?
                }
            };
            let at = push(&place, &contents, &options(self.insecure)).await?;
            Ok(Moved::new(&Entry::of(&contents)?, at, None))
        })?;
        context.output().show(&moved, |moved| moved.text("pushed to"))
    }
}

impl Pull {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let place = self.place.read()?;
        let maker = match &self.trust {
            Some(path) => Some(files::read_proof(path)?.1),
            None => None,
        };
        let trust = maker.as_ref().map(signer).transpose()?;
        let moved = context.run(async {
            // the node is asked only where it has a part in it
            let node = match (&maker, &self.file) {
                (Some(_), Some(_)) => None,
                _ => Some(OnNode::new(context)?),
            };
            let keys = match (&maker, &node) {
                (Some(maker), _) => Keys::from_iter([maker.key]),
                (None, Some(node)) => trusted(node).await?,
                (None, None) => Keys::default(),
            };
            let options = options(self.insecure);
            let image = pull(&place, self.image.as_ref(), self.target.into(), &keys, &options).await?;
            let moved = Moved::new(image.entry(), place.to_string(), self.file.clone());
            match (&self.file, &node) {
                (Some(file), _) => files::create(file, image.bytes(), 0o644)?,
                (None, Some(node)) => keep(node, trust.as_ref(), image.into_bytes()).await?,
                (None, None) => {}
            }
            Ok(moved)
        })?;
        context.output().show(&moved, |moved| moved.text("pulled from"))
    }
}

/// The keys that the node trusts.
async fn trusted(node: &OnNode) -> Result<Keys> {
    Ok(node
        .signers()
        .await?
        .values()
        .filter_map(|signer| signer.public_key.parse::<PublicKey>().ok())
        .collect())
}

/// Adds a checked image to the node, whose maker it trusts from now on where that was said.
async fn keep(node: &OnNode, trust: Option<&(KeyId, SignerDocument)>, contents: Vec<u8>) -> Result<()> {
    if let Some((id, document)) = trust {
        put_signer(node.client(), *id, document).await?;
    }
    post(node.client(), contents).await?;
    Ok(())
}
