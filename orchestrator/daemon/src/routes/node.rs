//! What a node says of itself: `/v1/node`, health, metrics, the interface.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::{
    BrokerInfo, ImageInfo, NodeInfo, NodeLimits, NodeUsage, Problem, SourceDocument, SourceInfo,
};
use fades_api::task::ImageReference;

use super::view::parse;
use crate::clock::timestamp;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::store::Continuity;
use crate::store::record::ImageRecord;
use crate::trust::Trust;

pub(super) async fn info(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let trust = node.trust.get();
    let status = node.runtime.status();
    let limits = &node.config.limits;
    let info = NodeInfo {
        node: parse(&node.config.node)?,
        key_id: node.key_id.to_string(),
        public_key: node.public.to_string(),
        epoch: node.epoch(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: timestamp(node.clock.unix_us()),
        started_at: timestamp(node.started_us),
        listen: node.listening.get().map(ToString::to_string),
        backend: node.backend.clone(),
        broker: BrokerInfo {
            state: status.broker_state.to_owned(),
            image: status.broker_image.as_deref().and_then(|image| image.parse().ok()),
            restarts: status.broker_restarts,
            code: status.broker_detail.as_ref().map(|_| codes::BROKER_NOT_READY),
            detail: status.broker_detail.clone(),
        },
        limits: NodeLimits {
            running: limits.running,
            queued: limits.queued,
            guests: limits.guests,
            memory_mib: limits.memory_mib.into(),
            envelope_bytes: fades_envelope::MAX_ENVELOPE as u64,
            result_bytes: limits.result_bytes,
            wrapper_life_s: limits.wrapper_life_s.into(),
        },
        usage: NodeUsage {
            running: status.running,
            queued: node.seats.open().saturating_sub(status.running).saturating_sub(status.between),
            guests: status.guests,
            memory_mib: status.memory_mib.into(),
        },
        images: images(&node, &trust)?,
        sources: sources(&trust)?,
        defences: node.defences.iter().map(|one| (one.name.to_owned(), one.lack.is_none())).collect(),
        lacks: node
            .defences
            .iter()
            .filter_map(|one| Some((one.name.to_owned(), one.lack.clone()?)))
            .collect(),
        warnings: warnings(&node),
    };
    Ok(json(StatusCode::OK, &info))
}

fn images(node: &Node, trust: &Trust) -> Result<Vec<ImageInfo>, Refused> {
    trust.images.iter().map(|(digest, record)| image(node, *digest, record)).collect()
}

/// An image as everybody may know it.
pub(super) fn image(node: &Node, digest: [u8; 32], record: &ImageRecord) -> Result<ImageInfo, Refused> {
    Ok(ImageInfo {
        reference: ImageReference { name: parse(&record.name)?, digest },
        version: record.version.clone(),
        role: record.role.clone(),
        size: record.size,
        minimum_memory_mib: record.minimum_memory_mib,
        native: node.images.is_native(&record.architecture),
        added_at: timestamp(record.added_us),
    })
}

fn sources(trust: &Trust) -> Result<Vec<SourceInfo>, Refused> {
    let kind = |document: &SourceDocument| match document {
        SourceDocument::InfluxDb1 { .. } => "influxdb1".to_owned(),
    };
    trust
        .sources
        .iter()
        .map(|(name, document)| Ok(SourceInfo { name: parse(name)?, kind: kind(document) }))
        .collect()
}

fn warnings(node: &Node) -> Vec<String> {
    let mut warnings = Vec::new();
    if node.continuity == Continuity::Restored {
        warnings.push(
            "the store was older than what this node remembers, or its witness was gone: the epoch was renewed, \
             wrappers signed before are refused"
                .to_owned(),
        );
    }
    if let Some(shortage) = node.store.lacks_room() {
        warnings.push(format!("{shortage}: no task is accepted"));
    }
    if let Some(detail) = node.runtime.status().broker_detail {
        warnings.push(format!("the broker is not ready: {detail}"));
    }
    warnings
}

pub(super) async fn live() -> Response {
    text("alive\n")
}

pub(super) async fn ready(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    if *node.stop.borrow() {
        return Err(Problem::new(codes::SHUTTING_DOWN, "the daemon is ending").into());
    }
    if !node.store.is_alive() {
        return Err(Problem::new(codes::STORE_WRITE_FAILED, "the store has failed").into());
    }
    let status = node.runtime.status();
    if status.broker_state != "ready" {
        let detail = status.broker_detail.unwrap_or_else(|| format!("it is {}", status.broker_state));
        return Err(Problem::new(codes::BROKER_NOT_READY, detail).retry_after(1).into());
    }
    Ok(text("ready\n"))
}

fn text(body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], body).into_response()
}

pub(super) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    let metrics = &node.metrics;
    let status = node.runtime.status();
    metrics.tasks_open.set(node.seats.open().into());
    metrics.store_commits.set(node.store.commits());
    metrics.guests_running.set(status.guests.into());
    metrics.broker_ready.set(u64::from(status.broker_state == "ready"));
    let counters = node.runtime.network_counters();
    metrics.network_forwarded.set(counters.forwarded);
    metrics.network_forwarded_bytes.set(counters.forwarded_bytes);
    metrics.network_dropped_spoofed.set(counters.dropped_spoofed);
    metrics.network_dropped_policy.set(counters.dropped_policy);
    metrics.network_dropped_malformed.set(counters.dropped_malformed);
    metrics.network_dropped_full.set(counters.dropped_full);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics.text()).into_response()
}

pub(super) async fn openapi() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], fades_api::schema::openapi_json()).into_response()
}
