//! `fades image export` and `fades image import`: images and their makers' keys in one file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use fades_api::codes;
use fades_api::http::{ImageInfo, SignerDocument};
use fades_depot::bundle::Bundle;
use fades_depot::{Keys, check};
use fades_envelope::{Digest, KeyId, PublicKey};
use serde::Serialize;

use super::add::{post, put_signer};
use super::list::table;
use super::on_node::{OnNode, Which, short};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes};

/// Arguments of `fades image export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Images of the node: NAME for the newest, NAME:VERSION or NAME@sha256:DIGEST.
    #[arg(required = true)]
    images: Vec<Which>,
    /// The file to make, a tar.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
}

/// Arguments of `fades image import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file.
    file: PathBuf,
    /// Trust the makers whose keys are in the file. Without it only images of makers that the node trusts are taken.
    #[arg(long)]
    trust: bool,
}

/// What was exported.
#[derive(Debug, Serialize)]
struct Exported {
    file: PathBuf,
    bytes: u64,
    images: Vec<String>,
    signers: BTreeMap<String, SignerDocument>,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let (bundle, exported) = context.run(self.gather(context))?;
        let mut contents = Vec::new();
        bundle.write(&mut contents)?;
        files::create(&self.file, &contents, 0o644)?;
        let exported = Exported { bytes: contents.len() as u64, ..exported };
        context.output().show(&exported, |exported| {
            Table::facts([
                ("file", format!("{}, {}", exported.file.display(), bytes(exported.bytes))),
                ("images", exported.images.join(", ")),
                (
                    "signed by",
                    exported.signers.values().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "),
                ),
            ])
            .text()
        })
    }

    async fn gather(&self, context: &Context) -> Result<(Bundle, Exported)> {
        let node = OnNode::new(context)?;
        let known = node.signers().await?;
        let mut bundle = Bundle::default();
        let (mut images, mut signers) = (Vec::new(), BTreeMap::new());
        for which in &self.images {
            let view = node.newest(which).await?;
            let Some(signer) = known.get(&view.signer) else {
                let why = format!(
                    "{} is signed by key {}, which the node trusts no longer",
                    short(&view),
                    view.signer
                );
                return Err(Failure::new(codes::IMAGE_SIGNER_UNKNOWN, why));
            };
            let id: KeyId = super::key_id(&view.signer)?;
            let document = serde_json::to_vec(signer)
                .map_err(|error| Failure::system("a signer could not be written", &error))?;
            bundle.signers.insert(id, document);
            signers.insert(view.signer.clone(), signer.clone());
            if bundle.images.insert(Digest(view.reference.digest), node.file(&view).await?).is_none() {
                images.push(view.reference.to_string());
            }
        }
        Ok((bundle, Exported { file: self.file.clone(), bytes: 0, images, signers }))
    }
}

/// What was imported.
#[derive(Debug, Serialize)]
struct Imported {
    images: Vec<ImageInfo>,
    /// Who is trusted since then.
    trusted: BTreeMap<String, SignerDocument>,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let file = File::open(&self.file)
            .map_err(|error| Failure { exit: Exit::Usage, ..Failure::system(self.file.display(), &error) })?;
        let bundle = Bundle::read(std::io::BufReader::new(file))?;
        let imported = context.run(self.add(context, bundle))?;
        context.output().show(&imported, |imported| {
            let trusted =
                imported.trusted.iter().map(|(id, signer)| format!("{} ({id}) is trusted\n", signer.name));
            trusted.collect::<String>() + &table(&imported.images)
        })
    }

    /// Everything is checked before anybody is trusted or anything added.
    async fn add(&self, context: &Context, bundle: Bundle) -> Result<Imported> {
        let node = OnNode::new(context)?;
        let known = node.signers().await?;
        let brought = signers(&bundle)?;
        let trusted = known.values().filter_map(|signer| signer.public_key.parse::<PublicKey>().ok());
        let trusting = brought.values().map(|(key, _)| *key).filter(|_| self.trust);
        let keys: Keys = trusted.chain(trusting).collect();
        let mut images = Vec::new();
        for (digest, contents) in bundle.images {
            let image = check(contents, &keys).map_err(|error| self.explain(error.into(), &brought))?;
            if image.entry().digest != digest {
                let why = format!("the image at {digest} is {}", image.entry().digest);
                return Err(Failure::new(codes::IMAGE_BUNDLE_MALFORMED, why));
            }
            images.push(image);
        }
        let mut imported = Imported { images: Vec::new(), trusted: BTreeMap::new() };
        for image in &images {
            let id = image.entry().signer;
            if let Some((_, document)) = brought.get(&id)
                && !known.contains_key(&id.to_string())
                && imported.trusted.insert(id.to_string(), document.clone()).is_none()
            {
                put_signer(node.client(), id, document).await?;
            }
        }
        for image in images {
            imported.images.push(post(node.client(), image.into_bytes()).await?);
        }
        Ok(imported)
    }

    fn explain(&self, failure: Failure, brought: &BTreeMap<KeyId, (PublicKey, SignerDocument)>) -> Failure {
        if failure.code != Some(codes::IMAGE_SIGNER_UNKNOWN) || self.trust || brought.is_empty() {
            return failure;
        }
        let who =
            brought.iter().map(|(id, (_, signer))| format!("{} ({id})", signer.name)).collect::<Vec<_>>();
        failure.hint(format!(
            "The file has the keys of {}: ask them whether these are theirs, then --trust.",
            who.join(", ")
        ))
    }
}

/// The makers in a file: each key is what it is filed under.
fn signers(bundle: &Bundle) -> Result<BTreeMap<KeyId, (PublicKey, SignerDocument)>> {
    let read = |(id, contents): (&KeyId, &Vec<u8>)| {
        let refuse =
            |why: String| Failure::new(codes::IMAGE_BUNDLE_MALFORMED, format!("the signer at {id}: {why}"));
        let document: SignerDocument =
            serde_json::from_slice(contents).map_err(|error| refuse(error.to_string()))?;
        let key: PublicKey = document.public_key.parse().map_err(|error| refuse(format!("{error}")))?;
        if key.id() != *id {
            return Err(refuse(format!("its key has id {}", key.id())));
        }
        Ok((*id, (key, document)))
    };
    bundle.signers.iter().map(read).collect()
}
