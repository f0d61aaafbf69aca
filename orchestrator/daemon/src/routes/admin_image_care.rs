//! `/v1/admin/images` for looking after them: what there is and who needs it, a file as it was added, letting go what
//! nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::{
    GarbageReport, GarbageRequest, ImageFloor, ImageList, ImageView, Problem, RemovedImage,
};
use fades_api::task::{ImageReference, Name, TaskId};
use fades_core::garbage::{Candidate, garbage};
use fades_core::policy::Policy;
use fades_envelope::{Digest, KeyId};
use fades_pack::Version;

use super::admin::document;
use super::admin_images::image_digest;
use super::view::parse;
use crate::clock::timestamp;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::store::{digest_of, record::ImageRecord};
use crate::trust::Trust;

/// What runs from images, or will.
struct Uses {
    /// By digest.
    tasks: BTreeMap<[u8; 32], Vec<TaskId>>,
    /// The broker's, and the one that it would start from.
    broker: BTreeSet<[u8; 32]>,
}

impl Uses {
    fn of(node: &Node, trust: &Trust) -> Result<Self, Refused> {
        let mut tasks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, record, _) in node.store.unfinished()? {
            if let Ok(digest) = digest_of(&record.image).parse::<Digest>() {
                tasks.entry(digest.0).or_default().push(TaskId(id));
            }
        }
        let running = node.runtime.status().broker_image;
        let running =
            running.and_then(|image| digest_of(&image).parse::<Digest>().ok()).map(|digest| digest.0);
        let next = crate::daemon::broker_image(&node.config, trust).map(|image| image.digest);
        Ok(Self { tasks, broker: running.into_iter().chain(next).collect() })
    }

    fn all(&self) -> BTreeSet<[u8; 32]> {
        self.tasks.keys().chain(&self.broker).copied().collect()
    }
}

/// The policies of issuers that have a key that was not revoked.
fn policies(trust: &Trust) -> Vec<(&str, &Policy)> {
    let alive: BTreeSet<&str> =
        trust.keys.values().filter(|key| !key.is_revoked()).map(|key| key.issuer.as_str()).collect();
    let issuers = trust.issuers.iter().filter(|(name, _)| alive.contains(name.as_str()));
    issuers.map(|(name, issuer)| (name.as_str(), &issuer.policy)).collect()
}

pub(super) async fn list(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let trust = node.trust.get();
    let (uses, used_at) = (Uses::of(&node, &trust)?, node.store.image_uses()?);
    let names: BTreeMap<String, String> =
        node.store.signers()?.into_iter().map(|(id, signer)| (id, signer.name)).collect();
    let policies = policies(&trust);
    let mut images = Vec::new();
    for (digest, image) in &trust.images {
        let version: Version = parse(&image.version)?;
        let issuers = policies.iter().filter(|(_, policy)| policy.allows_image(&image.name, digest, version));
        let floors = policies.iter().filter_map(|(name, policy)| Some((name, policy.floor(&image.name)?)));
        let view = ImageView {
            reference: ImageReference { name: parse(&image.name)?, digest: *digest },
            version: image.version.clone(),
            role: image.role.clone(),
            architecture: image.architecture.clone(),
            native: node.images.is_native(&image.architecture),
            size: image.size,
            minimum_memory_mib: image.minimum_memory_mib,
            signer: image.signer.clone(),
            signer_name: signer_name(&trust, &names, &image.signer),
            added_at: timestamp(image.added_us),
            used_at: used_at.get(&Digest(*digest).to_string()).map(|at_us| timestamp(*at_us)),
            broker: uses.broker.contains(digest),
            tasks: uses.tasks.get(digest).cloned().unwrap_or_default(),
            issuers: issuers.map(|(name, _)| parse(name)).collect::<Result<_, _>>()?,
            floors: floors
                .map(|(name, floor)| Ok(ImageFloor { issuer: parse(name)?, version: floor.to_string() }))
                .collect::<Result<_, Refused>>()?,
        };
        images.push((image.name.clone(), std::cmp::Reverse((version, image.added_us)), view));
    }
    images.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    Ok(json(StatusCode::OK, &ImageList { images: images.into_iter().map(|(.., view)| view).collect() }))
}

/// What the operator calls a signer that is trusted.
fn signer_name(trust: &Trust, names: &BTreeMap<String, String>, signer: &str) -> Option<Name> {
    let id: KeyId = signer.parse().ok()?;
    names.get(signer).filter(|_| trust.signers.contains_key(&id))?.parse().ok()
}

pub(super) async fn file(
    State(node): State<Arc<Node>>,
    Path(digest): Path<String>,
) -> Result<Response, Refused> {
    let digest = image_digest(&digest)?;
    // The folder may hold what a removal that was cut off has left.
    if !node.trust.get().images.contains_key(&digest.0) {
        return Err(Problem::new(codes::IMAGE_UNKNOWN, format!("no image {digest}")).into());
    }
    let images = Arc::clone(&node.images);
    let read = tokio::task::spawn_blocking(move || images.file(digest)).await;
    let read = read.map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))?;
    let bytes = read.map_err(|refusal| Problem::new(refusal.code(), refusal.to_string()))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))], bytes)
        .into_response())
}

pub(super) async fn gc(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Refused> {
    let asked: GarbageRequest = document(&node, request).await?;
    let _one_at_a_time = node.admin.lock().await;
    let trust = node.trust.get();
    let uses = Uses::of(&node, &trust)?;
    let candidates: Vec<Candidate> = trust.images.iter().filter_map(candidate).collect();
    let policies: Vec<&Policy> = policies(&trust).into_iter().map(|(_, policy)| policy).collect();
    let mut garbage = garbage(&candidates, &policies, &uses.all(), asked.keep);
    if !asked.dry_run && !garbage.is_empty() {
        let digests = garbage.iter().map(|(image, _)| Digest(image.digest).to_string()).collect();
        // A task that was accepted since then keeps its image.
        let gone = node.store.remove_images(digests).await?;
        garbage.retain(|(image, _)| gone.contains(&Digest(image.digest).to_string()));
        node.trust.reload(&node.store)?;
        node.runtime.images_changed();
        for (image, _) in &garbage {
            let removed = node.images.remove(Digest(image.digest));
            removed.map_err(|refusal| Problem::new(refusal.code(), refusal.to_string()))?;
        }
    }
    let removed: Vec<RemovedImage> = garbage
        .iter()
        .map(|(image, why)| {
            Ok(RemovedImage {
                reference: ImageReference { name: parse(&image.name)?, digest: image.digest },
                version: image.version.to_string(),
                size: trust.images.get(&image.digest).map_or(0, |record| record.size),
                why: why.to_string(),
            })
        })
        .collect::<Result<_, Refused>>()?;
    let report = GarbageReport {
        dry_run: asked.dry_run,
        bytes: removed.iter().map(|image| image.size).sum(),
        kept: (trust.images.len() - removed.len()) as u64,
        removed,
    };
    Ok(json(StatusCode::OK, &report))
}

/// A record whose version cannot be read stays.
fn candidate((digest, image): (&[u8; 32], &ImageRecord)) -> Option<Candidate> {
    Some(Candidate {
        name: image.name.clone(),
        architecture: image.architecture.clone(),
        version: image.version.parse().ok()?,
        added_us: image.added_us,
        digest: *digest,
    })
}
