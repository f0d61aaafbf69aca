//! `/v1/admin/sources`: what the broker may reach.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::{Problem, SourceDocument, SourceList, SourceTest};

use super::admin::{document, name};
use super::view::parse;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::store::record::SourceRecord;

pub(super) async fn list(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let trust = node.trust.get();
    let shown = trust.sources.iter().map(|(name, source)| Ok((parse(name)?, without_password(source))));
    let sources: Result<BTreeMap<_, _>, Refused> = shown.collect();
    Ok(json(StatusCode::OK, &SourceList { sources: sources? }))
}

fn without_password(source: &SourceDocument) -> SourceDocument {
    let mut shown = source.clone();
    let SourceDocument::InfluxDb1 { password, .. } = &mut shown;
    *password = None;
    shown
}

pub(super) async fn put(
    State(node): State<Arc<Node>>,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let name = name(&source)?;
    let source: SourceDocument = document(&node, request).await?;
    check(&source)?;
    let settings =
        serde_json::to_value(&source).map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))?;
    let record = SourceRecord { settings, added_us: node.clock.unix_us() };
    let _one_at_a_time = node.admin.lock().await;
    node.store.put_source(name.as_str().to_owned(), record).await?;
    adopt(&node)?;
    Ok(json(StatusCode::OK, &without_password(&source)))
}

/// What reaches a command line, a request line or a wire message has a cap and no control characters.
fn check(source: &SourceDocument) -> Result<(), Box<Problem>> {
    let SourceDocument::InfluxDb1 { host, port, allow_private: _, database, retention, user, password } =
        source;
    let texts = [Some(host), Some(database), retention.as_ref(), user.as_ref(), password.as_ref()];
    for text in texts.into_iter().flatten() {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            let detail = "a source's texts have 1 to 255 bytes and no control characters";
            return Err(Problem::new(codes::NAME_REFUSED, detail).into());
        }
    }
    if host.chars().any(|c| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#')) {
        return Err(
            Problem::new(codes::NAME_REFUSED, format!("{host:?} is not a host's name or address")).into()
        );
    }
    if *port == 0 {
        return Err(Problem::new(codes::NUMBER_OUT_OF_RANGE, "port 0 cannot be connected to").into());
    }
    Ok(())
}

/// Reads trust again and tells the network.
fn adopt(node: &Node) -> Result<(), Refused> {
    node.trust.reload(&node.store)?;
    node.sources
        .adopt(&node.trust.get().sources)
        .map_err(|error| Problem::new(codes::NETWORK_START_FAILED, error.to_string()).into())
}

pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path(source): Path<String>,
) -> Result<Response, Refused> {
    let _one_at_a_time = node.admin.lock().await;
    if !node.store.remove_source(name(&source)?.as_str().to_owned()).await? {
        return Err(unknown(&source));
    }
    adopt(&node)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn unknown(source: &str) -> Refused {
    Problem::new(codes::SOURCE_UNKNOWN, format!("no source {source:?}")).into()
}

pub(super) async fn test(
    State(node): State<Arc<Node>>,
    Path(source): Path<String>,
) -> Result<Response, Refused> {
    let trust = node.trust.get();
    let Some(document) = trust.sources.get(&source) else { return Err(unknown(&source)) };
    let start = Instant::now();
    let answer = crate::probe::probe(document, node.sources.network()).await;
    let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    let (ok, code, detail) = match answer {
        Ok(detail) => (true, None, detail),
        Err(complaint) => (false, Some(complaint.code), complaint.detail),
    };
    Ok(json(StatusCode::OK, &SourceTest { ok, code, detail, took_us }))
}
