//! `fades image`: what may boot on a node. An image is trusted by the key that signed it.

mod pack;
mod verify;

use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use fades_api::http::{ImageInfo, SignerDocument, SignerList};
use fades_api::task::{ImageReference, Name};
use fades_envelope::{Enrolment, PublicKey};
use fades_pack::{Inspection, MAX_IMAGE, Section, Signature};

use super::issuer::key_id;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes, count};

/// Add and look at images.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Add a packed image to the node (on the node).
    #[command(after_help = "Example:\n  fades image add stats.img --trust maker.key.pub")]
    Add {
        /// The image.
        file: PathBuf,
        /// Trust the maker first, by the proof that `fades key new` made for it.
        #[arg(long, value_name = "FILE.pub")]
        trust: Option<PathBuf>,
    },
    /// List the images of the node.
    #[command(after_help = "Example:\n  fades image ls")]
    Ls,
    /// Remove an image from the node (on the node).
    #[command(after_help = "Example:\n  \
        fades image rm stats@sha256:0000000000000000000000000000000000000000000000000000000000000000")]
    Rm {
        /// NAME@sha256:DIGEST, as `fades image ls` shows it.
        image: ImageReference,
    },
    /// Print everything about an image file, without booting it.
    #[command(after_help = "Example:\n  fades image inspect stats.img --signer maker.key.pub")]
    Inspect {
        /// The image.
        file: PathBuf,
        /// Check the signature with this key: 64 digits, or the file of a proof.
        #[arg(long, value_name = "KEY")]
        signer: Option<String>,
    },
    /// Check an image's signature and, if asked, build it again and compare.
    #[command(
        after_help = "Example:\n  fades image verify pollution-peaks.fdmf --signer author.key.pub --rebuild"
    )]
    Verify(verify::Verify),
    /// Make an image of a loader and an application, and sign it.
    #[command(
        after_help = "Example:\n  fades image pack stats.img --loader loader.elf --application stats.elf \
        --name stats --image-version 1.0.0 --role dmf --key maker.key"
    )]
    Pack(pack::Pack),
    /// List the keys that are trusted for images (on the node).
    #[command(after_help = "Example:\n  fades image signers")]
    Signers,
    /// Trust a key for images no longer (on the node).
    #[command(after_help = "Example:\n  \
        fades image distrust 0000000000000000000000000000000000000000000000000000000000000000")]
    Distrust {
        /// Its id, as `fades image signers` shows it.
        key_id: String,
    },
}

impl Image {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let none = None::<&()>;
        match self {
            Self::Add { file, trust } => add(context, &file, trust.as_deref()),
            Self::Ls => {
                let client = context.client()?;
                let info = context.run(async { Ok(client.node().await?) })?;
                context.output().show(&info.images, |images| table(images))
            }
            Self::Rm { image } => {
                let client = context.operator()?;
                let path = format!("/v1/admin/images/{}", image.digest_hex());
                context.run(async { Ok(client.call::<Option<()>>("DELETE", &path, none).await?) })?;
                context.output().note(&format!("image {image} is removed"));
                Ok(())
            }
            Self::Inspect { file, signer } => {
                let contents = files::read(&file, MAX_IMAGE)?;
                let signer = signer.as_deref().map(files::public_key).transpose()?;
                let inspection = inspect(&contents, signer)?;
                context.output().show(&inspection, describe)
            }
            Self::Verify(command) => command.run(context),
            Self::Pack(command) => command.run(context),
            Self::Signers => {
                let client = context.operator()?;
                let list: SignerList =
                    context.run(async { Ok(client.call("GET", "/v1/admin/signers", none).await?) })?;
                context.output().show(&list, |list| {
                    let mut table = Table::new(&["signer", "key id"]);
                    list.signers.iter().for_each(|(id, signer)| table.row([signer.name.as_str(), id]));
                    table.text_or("no signers")
                })
            }
            Self::Distrust { key_id: text } => {
                let client = context.operator()?;
                let path = format!("/v1/admin/signers/{}", key_id(&text)?);
                context.run(async { Ok(client.call::<Option<()>>("DELETE", &path, none).await?) })?;
                context.output().note(&format!("key {text} is trusted for images no longer"));
                Ok(())
            }
        }
    }
}

fn add(context: &Context, file: &std::path::Path, trust: Option<&std::path::Path>) -> Result<()> {
    let client = context.operator()?;
    let contents = files::read(file, MAX_IMAGE)?;
    let signer = match trust {
        None => None,
        Some(path) => {
            let (_, enrolment) = files::read_proof(path)?;
            // before anyone is trusted for it: is this image that key's at all?
            inspect(&contents, Some(enrolment.key))?;
            Some(signer(enrolment)?)
        }
    };
    let info: ImageInfo = context.run(async {
        if let Some((path, document)) = &signer {
            let _: SignerDocument = client.call("PUT", path, Some(document)).await?;
        }
        let body = ("application/octet-stream", Bytes::from(contents));
        Ok(client.call_bytes("POST", "/v1/admin/images", Some(body)).await?)
    })?;
    context.output().show(&info, |info| table(std::slice::from_ref(info)))
}

/// Where and how to tell the node of a signer.
fn signer(enrolment: Enrolment) -> Result<(String, SignerDocument)> {
    let name: Name =
        enrolment.name.parse().map_err(|error| Failure::usage(format!("the signer's name: {error}")))?;
    let path = format!("/v1/admin/signers/{}", enrolment.key.id());
    Ok((path, SignerDocument { name, public_key: enrolment.key.to_string() }))
}

fn inspect(contents: &[u8], signer: Option<PublicKey>) -> Result<Inspection> {
    // a key that is given is the one to check with, whatever the file says
    Ok(fades_pack::inspect(contents, |_| signer)?)
}

fn table(images: &[ImageInfo]) -> String {
    let mut table = Table::new(&["image", "version", "role", ">size", ">memory"]);
    for image in images {
        table.row([
            image.reference.to_string(),
            image.version.clone(),
            image.role.clone(),
            bytes(image.size),
            format!("{} MiB", image.minimum_memory_mib),
        ]);
    }
    table.text_or("no images")
}

fn describe(image: &Inspection) -> String {
    let manifest = &image.manifest;
    // the words of the manifest, as they stand in it
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let signature = match image.signature {
        Signature::Verified => "verified",
        Signature::NotChecked => "not checked: give the maker's key with --signer",
    };
    let mut text = Table::facts([
        ("image", image.reference.clone()),
        ("version", manifest.version.to_string()),
        ("role", word(serde_json::to_value(manifest.role))),
        ("architecture", word(serde_json::to_value(manifest.architecture))),
        ("memory at least", format!("{} MiB", manifest.minimum_memory_mib)),
        ("signed by", image.key_id.to_string()),
        ("signature", signature.to_owned()),
        ("file", format!("{} bytes, sha256 {}", count(image.file_size), image.file_sha256)),
    ])
    .text();
    if let Some(function) = &manifest.function {
        for (what, schema) in [("parameters", &function.parameters), ("result", &function.result)] {
            text += &format!("\n{what}, JSON Schema:\n{schema:#}\n");
        }
    }
    for (part, sections) in manifest.parts.iter().zip([&image.loader_sections, &image.application_sections]) {
        let name = word(serde_json::to_value(part.name));
        text += &format!("\n{name}: {} bytes, sha256 {}\n", count(part.size), part.sha256);
        text += &section_table(sections);
    }
    text
}

fn section_table(sections: &[Section]) -> String {
    let mut table = Table::new(&["section", ">size", ">in file"]);
    for section in sections {
        table.row([section.name.clone(), count(section.size), count(section.file_size)]);
    }
    table.text_or("no sections")
}
