//! `/v1/admin/images` and `/v1/admin/signers`: what may boot here.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::{Problem, SignerDocument, SignerList};
use fades_envelope::{Digest, PublicKey};

use super::admin::document;
use super::node::image;
use super::view::parse;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::serve::body;
use crate::store::record::SignerRecord;

pub(super) async fn signers(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let shown = node.store.signers()?.into_iter().map(|(id, signer)| {
        Ok((id, SignerDocument { name: parse(&signer.name)?, public_key: signer.public_key }))
    });
    let signers: Result<_, Refused> = shown.collect();
    Ok(json(StatusCode::OK, &SignerList { signers: signers? }))
}

pub(super) async fn put_signer(
    State(node): State<Arc<Node>>,
    Path(key_id): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let signer: SignerDocument = document(&node, request).await?;
    let public: PublicKey = signer.public_key.parse().map_err(|refusal: fades_envelope::KeyRefusal| {
        Problem::new(crate::admission::proof_code(&refusal.into()), refusal.to_string())
    })?;
    if public.id().to_string() != key_id {
        let detail = format!("the key has id {}, the path says {key_id}", public.id());
        return Err(Problem::new(codes::KEY_ID_MALFORMED, detail).into());
    }
    let record = SignerRecord {
        name: signer.name.as_str().to_owned(),
        public_key: signer.public_key.clone(),
        added_us: node.clock.unix_us(),
    };
    node.store.put_signer(key_id, record).await?;
    node.trust.reload(&node.store)?;
    Ok(json(StatusCode::OK, &signer))
}

pub(super) async fn remove_signer(
    State(node): State<Arc<Node>>,
    Path(key_id): Path<String>,
) -> Result<Response, Refused> {
    if !node.store.remove_signer(key_id.clone()).await? {
        return Err(Problem::new(codes::ROUTE_NOT_FOUND, format!("no signer {key_id}")).into());
    }
    node.trust.reload(&node.store)?;
    node.runtime.images_changed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn add(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Refused> {
    let deadline = std::time::Duration::from_secs(60);
    let (_, bytes) = body::read(request, fades_pack::MAX_IMAGE, deadline).await?;
    // File and record go together: a removal in between would leave one without the other.
    let _one_at_a_time = node.admin.lock().await;
    let trust = node.trust.get();
    let (images, now_us) = (Arc::clone(&node.images), node.clock.unix_us());
    let added = tokio::task::spawn_blocking(move || images.add(&bytes, &trust, now_us)).await;
    let added = added.map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))?;
    let (digest, record) = added.map_err(|refusal| Problem::new(refusal.code(), refusal.to_string()))?;
    node.store.put_image(digest.to_string(), record.clone()).await?;
    node.trust.reload(&node.store)?;
    node.runtime.images_changed();
    Ok(json(StatusCode::CREATED, &image(&node, digest.0, &record)?))
}

/// A digest of a path.
pub(super) fn image_digest(text: &str) -> Result<Digest, Refused> {
    let malformed = |error| Problem::new(codes::IMAGE_REFERENCE_MALFORMED, format!("{text:?}: {error}"));
    Ok(text.parse().map_err(malformed)?)
}

pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path(digest): Path<String>,
) -> Result<Response, Refused> {
    let digest = image_digest(&digest)?;
    let _one_at_a_time = node.admin.lock().await;
    let in_use = |detail: String| Err(Problem::new(codes::IMAGE_IN_USE, detail).into());
    let suffix = format!("@sha256:{digest}");
    // The broker is started from it again whenever it ends, until the daemon does.
    if node.runtime.status().broker_image.is_some_and(|image| image.ends_with(&suffix)) {
        return in_use(
            "the broker runs from it; add another and restart the node, then remove this one".into(),
        );
    }
    if !node.trust.get().images.contains_key(&digest.0) {
        return Err(Problem::new(codes::IMAGE_UNKNOWN, format!("no image {digest}")).into());
    }
    let users = node.store.unfinished()?;
    if let Some((task, ..)) = users.iter().find(|(_, record, _)| record.image.ends_with(&suffix)) {
        return in_use(format!("task {task} names it"));
    }
    if node.store.remove_images(vec![digest.to_string()]).await?.is_empty() {
        return in_use("a task that has just been accepted names it".into());
    }
    node.trust.reload(&node.store)?;
    node.runtime.images_changed();
    node.images.remove(digest).map_err(|refusal| Problem::new(refusal.code(), refusal.to_string()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
