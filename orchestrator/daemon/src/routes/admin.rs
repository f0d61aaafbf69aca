//! `/v1/admin`: issuers and their keys, refusals, the epoch. For the operator, over the local socket.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_api::http::{
    EpochRenewed, IssuerList, IssuerUpdate, IssuerView, KeyView, PolicyDocument, Problem, RefusalList,
    RefusalView,
};
use fades_api::task::{Name, NodeEpoch};
use serde::de::DeserializeOwned;

use super::view;
use crate::admission::proof_code;
use crate::clock::timestamp;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::serve::body;
use crate::store::record::{IssuerRecord, KeyRecord};
use crate::trust::{image_rule, key_refusal};

/// Refusals shown at once.
const REFUSALS: usize = 200;

/// A JSON body of at most 64 KiB.
pub(super) async fn document<T: DeserializeOwned>(node: &Node, request: Request) -> Result<T, Refused> {
    let deadline = std::time::Duration::from_millis(node.config.door.body_ms);
    let (_, bytes) = body::read(request, 64 * 1024, deadline).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(codes::JSON_SYNTAX, error.to_string()).into())
}

/// A name of a path.
pub(super) fn name(text: &str) -> Result<Name, Refused> {
    text.parse().map_err(|error| Problem::new(codes::NAME_REFUSED, format!("{error}")).into())
}

fn stored(node: &Node, issuer: &str) -> Result<Option<IssuerRecord>, Refused> {
    Ok(node.store.issuers()?.into_iter().find(|(name, _)| name == issuer).map(|(_, record)| record))
}

pub(super) async fn issuers(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let issuers: Result<Vec<_>, Refused> =
        node.store.issuers()?.iter().map(|(name, record)| issuer_view(&node, name, record)).collect();
    Ok(json(StatusCode::OK, &IssuerList { issuers: issuers? }))
}

fn issuer_view(node: &Node, name: &str, record: &IssuerRecord) -> Result<IssuerView, Refused> {
    let policy: PolicyDocument = serde_json::from_value(record.policy.clone())
        .map_err(|error| Problem::new(codes::STORE_RECORD_MALFORMED, error.to_string()))?;
    let keys = record.keys.iter().map(|(id, key)| key_view(node, id, key)).collect();
    Ok(IssuerView { name: view::parse(name)?, keys, policy })
}

fn key_view(node: &Node, id: &str, key: &KeyRecord) -> KeyView {
    let state = match key_refusal(key, node.clock.unix_us()) {
        None => "valid",
        Some(codes::KEY_REVOKED) => "revoked",
        Some(codes::KEY_EXPIRED) => "expired",
        Some(_) => "not yet valid",
    };
    KeyView {
        key_id: id.to_owned(),
        public_key: key.public_key.clone(),
        state: state.to_owned(),
        added_at: timestamp(key.added_us),
        not_before: key.not_before_us.map(timestamp),
        not_after: key.not_after_us.map(timestamp),
    }
}

pub(super) async fn put_issuer(
    State(node): State<Arc<Node>>,
    Path(issuer): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let name = name(&issuer)?;
    let update: IssuerUpdate = document(&node, request).await?;
    if let Some(policy) = &update.policy {
        check_policy(policy)?;
    }
    let now_us = node.clock.unix_us();
    let _one_at_a_time = node.admin.lock().await;
    let mut record = stored(&node, name.as_str())?.unwrap_or_else(|| IssuerRecord {
        keys: BTreeMap::new(),
        policy: serde_json::to_value(PolicyDocument::default()).unwrap_or_default(),
        added_us: now_us,
    });
    if let Some(proof) = &update.proof {
        let (id, key) = enrol(&node, &name, proof, &update, now_us)?;
        if let Some(at_us) = node.store.revoked_us(&id) {
            let detail = format!("key {id} was revoked at {}", timestamp(at_us));
            return Err(Problem::new(codes::KEY_REVOKED, detail).into());
        }
        record.keys.insert(id, key);
    }
    if let Some(policy) = &update.policy {
        record.policy =
            serde_json::to_value(policy).map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))?;
    }
    node.store.put_issuer(name.as_str().to_owned(), record.clone()).await?;
    node.trust.reload(&node.store)?;
    Ok(json(StatusCode::OK, &issuer_view(&node, name.as_str(), &record)?))
}

fn enrol(
    node: &Node,
    name: &Name,
    proof: &str,
    update: &IssuerUpdate,
    now_us: i64,
) -> Result<(String, KeyRecord), Refused> {
    let envelope = Base64UrlUnpadded::decode_vec(proof)
        .map_err(|error| Problem::new(codes::POSSESSION_NOT_PROVEN, format!("not base64url: {error}")))?;
    let enrolment = fades_envelope::check_proof(&envelope)
        .map_err(|refusal| Problem::new(proof_code(&refusal), chain(&refusal)))?;
    if enrolment.name != name.as_str() {
        let detail = format!("the proof names {:?}, not {name}", enrolment.name);
        return Err(Problem::new(codes::POSSESSION_NOT_PROVEN, detail).into());
    }
    let id = enrolment.key.id();
    // One key, one issuer: whose a wrapper is must follow from its key alone.
    if let Some(other) = node.trust.get().keys.get(&id).filter(|key| key.issuer != name.as_str()) {
        let detail = format!("key {id} is {}'s", other.issuer);
        return Err(Problem::new(codes::ISSUER_MISMATCH, detail).into());
    }
    let record = KeyRecord {
        public_key: enrolment.key.to_string(),
        added_us: now_us,
        not_before_us: update.not_before.map(|at| at.as_microsecond()),
        not_after_us: update.not_after.map(|at| at.as_microsecond()),
        revoked_us: None,
    };
    Ok((id.to_string(), record))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn check_policy(policy: &PolicyDocument) -> Result<(), Box<Problem>> {
    if policy.priority > fades_api::task::limits::PRIORITY_MAX {
        let detail = format!("priority {} is above 9", policy.priority);
        return Err(Problem::new(codes::NUMBER_OUT_OF_RANGE, detail).into());
    }
    match policy.images.iter().find(|image| image_rule(image).is_none()) {
        Some(image) => {
            let detail = format!("{image:?} is neither NAME nor NAME:VERSION+ nor NAME@sha256:DIGEST");
            Err(Problem::new(codes::IMAGE_REFERENCE_MALFORMED, detail).into())
        }
        None => Ok(()),
    }
}

pub(super) async fn revoke_issuer(
    State(node): State<Arc<Node>>,
    Path(issuer): Path<String>,
) -> Result<Response, Refused> {
    revoke(&node, &name(&issuer)?, None).await
}

pub(super) async fn revoke_key(
    State(node): State<Arc<Node>>,
    Path((issuer, key_id)): Path<(String, String)>,
) -> Result<Response, Refused> {
    revoke(&node, &name(&issuer)?, Some(&key_id)).await
}

/// Revokes one key or all. The issuer stays on record, so that its keys cannot come back as new ones.
async fn revoke(node: &Node, issuer: &Name, key_id: Option<&str>) -> Result<Response, Refused> {
    let not_found = |what: String| Refused::from(Problem::new(codes::ROUTE_NOT_FOUND, what));
    let _one_at_a_time = node.admin.lock().await;
    let Some(mut record) = stored(node, issuer.as_str())? else {
        return Err(not_found(format!("no issuer {issuer}")));
    };
    if let Some(key_id) = key_id
        && !record.keys.contains_key(key_id)
    {
        return Err(not_found(format!("issuer {issuer} has no key {key_id}")));
    }
    let now_us = node.clock.unix_us();
    for (id, key) in &mut record.keys {
        if key_id.is_none_or(|wanted| wanted == id) {
            key.revoked_us.get_or_insert(now_us);
        }
    }
    let (store, noted) = (node.store.clone(), vec![(issuer.as_str().to_owned(), record.clone())]);
    tokio::task::spawn_blocking(move || store.note_revoked(&noted))
        .await
        .map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))??;
    node.store.put_issuer(issuer.as_str().to_owned(), record.clone()).await?;
    node.trust.reload(&node.store)?;
    Ok(json(StatusCode::OK, &issuer_view(node, issuer.as_str(), &record)?))
}

pub(super) async fn refusals(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let refusals = node.store.refusals(REFUSALS)?.into_iter().filter_map(|record| {
        Some(RefusalView {
            at: timestamp(record.at_us),
            code: record.code.parse().ok()?,
            detail: record.detail,
            peer: record.peer,
            key_id: record.key_id,
            task: record.task.and_then(|task| task.parse().ok()),
        })
    });
    Ok(json(StatusCode::OK, &RefusalList { refusals: refusals.collect() }))
}

pub(super) async fn renew_epoch(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let epoch = NodeEpoch(node.store.renew_epoch().await?);
    *node.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch;
    Ok(json(StatusCode::OK, &EpochRenewed { epoch }))
}
