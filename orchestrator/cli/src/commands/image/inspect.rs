//! `fades image inspect`: everything about an image, without booting it.

use std::path::Path;

use clap::Args;
use fades_envelope::PublicKey;
use fades_pack::{Inspection, MAX_IMAGE, Section, Signature};

use super::on_node::{OnNode, Which};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, count};

/// Arguments of `fades image inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A file; or an image of the node: NAME, NAME:VERSION or NAME@sha256:DIGEST. A file of that name comes first.
    image: String,
    /// Check the signature with this key: 64 digits, or the file of a proof. An image of the node is checked with the key
    /// that the node trusts for it.
    #[arg(long, value_name = "KEY")]
    signer: Option<String>,
}

impl Inspect {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let signer = self.signer.as_deref().map(files::public_key).transpose()?;
        let (contents, signer) = match on_node(&self.image)? {
            None => (files::read(Path::new(&self.image), MAX_IMAGE)?, signer),
            Some(which) => context.run(async {
                let node = OnNode::new(context)?;
                let view = node.newest(&which).await?;
                let keys = node.signers().await?;
                let trusted = keys.get(&view.signer).and_then(|document| document.public_key.parse().ok());
                Ok((node.file(&view).await?, signer.or(trusted)))
            })?,
        };
        context.output().show(&inspect(&contents, signer)?, describe)
    }
}

/// The image of the node that is meant, where it is not a file.
pub(super) fn on_node(text: &str) -> Result<Option<Which>> {
    if Path::new(text).exists() {
        return Ok(None);
    }
    match text.parse::<Which>() {
        Ok(which) => Ok(Some(which)),
        // whatever has an ending or a folder is meant as a file, which will say that it is not there
        Err(_) if text.contains(['.', '/']) && !text.contains([':', '@']) => Ok(None),
        Err(error) => Err(Failure::usage(error)),
    }
}

/// Inspects a file; a key that is given is the one to check with, whatever the file says.
pub(super) fn inspect(contents: &[u8], signer: Option<PublicKey>) -> Result<Inspection> {
    Ok(fades_pack::inspect(contents, |_| signer)?)
}

/// Everything, for people.
pub(super) fn describe(image: &Inspection) -> String {
    let manifest = &image.manifest;
    let signature = match image.signature {
        Signature::Verified => "verified",
        Signature::NotChecked => "not checked: give the maker's key with --signer",
    };
    let mut text = Table::facts([
        ("image", image.reference.clone()),
        ("version", manifest.version.to_string()),
        ("role", manifest.role.to_string()),
        ("architecture", manifest.architecture.to_string()),
        ("memory at least", format!("{} MiB", manifest.minimum_memory_mib)),
        ("signed by", image.key_id.to_string()),
        ("signature", signature.to_owned()),
        ("build id", image.build_id.clone().unwrap_or_else(|| "none".to_owned())),
        ("file", format!("{} bytes, sha256 {}", count(image.file_size), image.file_sha256)),
    ])
    .text();
    if let Some(function) = &manifest.function {
        for (what, schema) in [("parameters", &function.parameters), ("result", &function.result)] {
            text += &format!("\n{what}, JSON Schema:\n{schema:#}\n");
        }
    }
    for (part, sections) in manifest.parts.iter().zip([&image.loader_sections, &image.application_sections]) {
        text += &format!("\n{}: {} bytes, sha256 {}\n", part.name, count(part.size), part.sha256);
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
