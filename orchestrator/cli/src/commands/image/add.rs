//! `fades image add`: a file becomes an image of the node. Import and pull end here too.

use std::path::Path;

use bytes::Bytes;
use fades_api::client::Client;
use fades_api::http::{ImageInfo, SignerDocument};
use fades_api::task::Name;
use fades_envelope::{Enrolment, KeyId};
use fades_pack::MAX_IMAGE;

use super::inspect::inspect;
use super::list::table;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;

pub(super) fn run(context: &Context, file: &Path, trust: Option<&Path>) -> Result<()> {
    let client = context.operator()?;
    let contents = files::read(file, MAX_IMAGE)?;
    let signer = match trust {
        None => None,
        Some(path) => {
            let (_, enrolment) = files::read_proof(path)?;
            // before anyone is trusted for it: is this image that key's at all?
            inspect(&contents, Some(enrolment.key))?;
            Some(signer(&enrolment)?)
        }
    };
    let info = context.run(async {
        if let Some((id, document)) = &signer {
            put_signer(&client, *id, document).await?;
        }
        post(&client, contents).await
    })?;
    context.output().show(&info, |info| table(std::slice::from_ref(info)))
}

/// What to tell a node of a maker.
pub(super) fn signer(enrolment: &Enrolment) -> Result<(KeyId, SignerDocument)> {
    let name: Name =
        enrolment.name.parse().map_err(|error| Failure::usage(format!("the signer's name: {error}")))?;
    Ok((enrolment.key.id(), SignerDocument { name, public_key: enrolment.key.to_string() }))
}

/// Has the node trust a maker.
pub(super) async fn put_signer(client: &Client, id: KeyId, document: &SignerDocument) -> Result<()> {
    let path = format!("/v1/admin/signers/{id}");
    let _: SignerDocument = client.call("PUT", &path, Some(document)).await?;
    Ok(())
}

/// Adds an image file to the node.
pub(super) async fn post(client: &Client, contents: Vec<u8>) -> Result<ImageInfo> {
    let body = ("application/octet-stream", Bytes::from(contents));
    Ok(client.call_bytes("POST", "/v1/admin/images", Some(body)).await?)
}
