//! `fades image verify`: is an image what its signer made, and does its source give the same bytes?

use std::path::PathBuf;

use clap::Args;
use fades_api::codes;
use fades_envelope::SigningKey;
use fades_pack::{MAX_IMAGE, Manifest};
use serde::Serialize;

use crate::commands::dmf::{Where, built, packed};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::Table;

use super::inspect::inspect;

/// Arguments of `fades image verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The image.
    file: PathBuf,
    /// The maker's key: a file that `fades key new` or `fades dmf build` made, or its 64 digits.
    #[arg(long, value_name = "KEY")]
    signer: String,
    /// Build it again out of its function's crate, with the loader, all the crates in it and the standard library, and compare byte for
    /// byte. Only the kernel is taken as it was built before.
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Serialize)]
struct Verified {
    image: String,
    signature: &'static str,
    /// Absent if it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<String>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let contents = files::read(&self.file, MAX_IMAGE)?;
        let inspection = inspect(&contents, Some(files::public_key(&self.signer)?))?;
        let rebuilt = match self.rebuild {
            false => None,
            true => {
                let project = self.place.project()?;
                // What was built before may be anything; of that only the kernel is taken.
                let builder = project.builder(!context.output().is_json()).anew();
                let builder = builder.map_err(|error| built(&error))?;
                // Signatures are compared with their keys, and bytes here: whose key it is does not matter.
                let key = SigningKey::generate()?;
                let again = packed(&project, &builder, &key)?;
                let again = inspect(&again.bytes, Some(key.public()))?;
                same(&inspection.manifest, &again.manifest)?;
                Some(format!("the same, from {}", project.author.folder().display()))
            }
        };
        let verified = Verified { image: inspection.reference, signature: "verified", rebuilt };
        context.output().show(&verified, |verified| {
            let rebuilt = verified.rebuilt.clone().unwrap_or_else(|| "not asked for".to_owned());
            Table::facts([
                ("image", verified.image.clone()),
                ("signature", verified.signature.to_owned()),
                ("rebuilt", rebuilt),
            ])
            .text()
        })
    }
}

/// A manifest binds every byte of the parts, so equal manifests are equal images.
fn same(said: &Manifest, again: &Manifest) -> Result<()> {
    if said == again {
        return Ok(());
    }
    let parts = said.parts.iter().zip(&again.parts).filter(|(said, again)| said != again);
    let mut differences: Vec<String> = parts
        .map(|(said, again)| format!("{} {} is {} when built here", said.name, said.sha256, again.sha256))
        .collect();
    if differences.is_empty() {
        differences.push(format!(
            "the manifest of {} {} says something else than what was built ({} {})",
            said.name, said.version, again.name, again.version
        ));
    }
    Err(Failure::new(codes::IMAGE_NOT_REPRODUCED, differences.join("; ")))
}

#[cfg(test)]
mod tests {
    use fades_pack::{Architecture, Description, Role};

    use super::*;

    #[test]
    fn any_other_byte_is_told_by_its_part() {
        let key = SigningKey::from_seed(&[7; 32]);
        let manifest = |version: &str, last: u8| {
            // An ELF file that is its header, and one byte that nobody reads.
            let mut elf = vec![0; 65];
            elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
            for (at, value) in [(16, 2), (18, 62), (20, 1), (52, 64), (54, 56), (58, 64), (64, last)] {
                elf[at] = value;
            }
            let description = Description {
                name: "peaks".parse().unwrap(),
                version: version.parse().unwrap(),
                role: Role::Dmf,
                architecture: Architecture::X86_64,
                minimum_memory_mib: 32,
                function: None,
            };
            let bytes = fades_pack::pack(&description, &elf[..64], &elf, &key).unwrap();
            inspect(&bytes, Some(key.public())).unwrap().manifest
        };
        same(&manifest("1.0.0", 1), &manifest("1.0.0", 1)).unwrap();
        let differ = |again: &Manifest| same(&manifest("1.0.0", 1), again).unwrap_err();
        let byte = differ(&manifest("1.0.0", 2));
        assert_eq!(byte.code, Some(codes::IMAGE_NOT_REPRODUCED));
        assert!(byte.message.starts_with("application "), "{}", byte.message);
        assert!(differ(&manifest("1.0.1", 1)).message.contains("peaks 1.0.1"));
    }
}
