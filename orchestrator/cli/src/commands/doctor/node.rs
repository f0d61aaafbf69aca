//! What the running node says: its daemon, broker, store, images and sources.

use std::time::Duration;

use fades_api::client::{Client, ClientError, NodeAddress};
use fades_api::codes;
use fades_api::http::{NodeInfo, SourceTest};
use jiff::{SignedDuration, Timestamp};

use super::Finding;
use crate::failure::Failure;
use crate::output::micros;

/// How long a node may take to answer; testing a source takes it up to five seconds.
const ANSWER: Duration = Duration::from_secs(8);
/// Difference between two clocks that a node forgives.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Everything about the node at this address.
pub(super) async fn examine(address: NodeAddress) -> Vec<Finding> {
    let is_local = matches!(address, NodeAddress::Unix(_));
    let client = Client::new(address).with_timeout(ANSWER);
    let info = match client.node().await {
        Ok(info) => info,
        Err(error) => return vec![unreachable(error)],
    };
    let mut findings =
        vec![Finding::ok("daemon", format!("{} {} at {}", info.node, info.version, client.address()))];
    findings.push(clock(&info));
    findings.extend(ready(&client).await);
    findings.push(broker(&info));
    findings.extend(images(&info));
    if info.sources.is_empty() {
        findings.push(Finding::warn("sources", "none are registered", "Register one: `fades source add`."));
    }
    for source in info.sources.iter().filter(|_| is_local) {
        findings.push(test(&client, source.name.as_str()).await);
    }
    if !is_local && !info.sources.is_empty() {
        let detail = format!("{} registered; only the operator may test them", info.sources.len());
        findings.push(Finding::ok("sources", detail));
    }
    let notes = info.warnings.iter().map(|words| Finding::warn("note", words, "Look at `fades status`."));
    findings.extend(notes);
    findings
}

fn unreachable(error: ClientError) -> Finding {
    let Failure { code, message, hint, .. } = Failure::from(error);
    let hint =
        if code == Some(codes::NODE_UNREACHABLE) { "Start it: `fades up DIR`.".to_owned() } else { hint };
    Finding { code, ..Finding::fail("daemon", message, hint) }
}

fn clock(info: &NodeInfo) -> Finding {
    let apart = Timestamp::now().duration_since(info.time);
    let detail = format!("{:.1} s apart from this machine's", apart.as_secs_f64().abs());
    match apart.abs() > SKEW {
        true => Finding::fail("node's clock", detail, "Set both clocks; wrappers are refused beyond 30 s."),
        false => Finding::ok("node's clock", detail),
    }
}

/// `/readyz`, which looks at the store, too. Its yes is plain text, so only a no is of interest here.
async fn ready(client: &Client) -> Option<Finding> {
    let answer = client.call::<serde_json::Value>("GET", "/readyz", None::<&()>).await;
    match answer {
        Err(ClientError::Problem { problem }) if problem.code == codes::BROKER_NOT_READY => None,
        Err(ClientError::Problem { problem }) => Some(Finding::coded("store", problem.code, problem.detail)),
        _ => Some(Finding::ok("store", "takes tasks")),
    }
}

fn broker(info: &NodeInfo) -> Finding {
    let broker = &info.broker;
    let detail = match &broker.detail {
        Some(detail) => format!("{}: {detail}", broker.state),
        None => broker.state.clone(),
    };
    match (broker.state.as_str(), broker.restarts) {
        ("ready", 0) => Finding::ok("broker", detail),
        ("ready", restarts) => Finding::warn(
            "broker",
            format!("ready, started again {restarts} times"),
            "Look at `fades status`.",
        ),
        ("absent", _) => Finding::coded("broker", codes::BROKER_IMAGE_MISSING, detail),
        _ => Finding::coded("broker", codes::BROKER_NOT_READY, detail),
    }
}

fn images(info: &NodeInfo) -> Vec<Finding> {
    let count = |role: &str| info.images.iter().filter(|image| image.role == role).count();
    let (brokers, functions) = (count("drb"), count("dmf"));
    let detail = format!("{brokers} for the broker, {functions} functions");
    match (brokers, functions) {
        (0, _) => vec![Finding::coded("images", codes::BROKER_IMAGE_MISSING, detail)],
        (_, 0) => vec![Finding::warn("images", detail, "Add a function's image: `fades image add`.")],
        _ => vec![Finding::ok("images", detail)],
    }
}

async fn test(client: &Client, name: &str) -> Finding {
    let what = format!("source {name}");
    let path = format!("/v1/admin/sources/{name}/test");
    match client.call::<SourceTest>("POST", &path, None::<&()>).await {
        Ok(test) if test.ok => Finding::ok(what, format!("{} in {}", test.detail, micros(test.took_us))),
        Ok(test) => Finding::coded(what, test.code.unwrap_or(codes::SOURCE_UNREACHABLE), test.detail),
        Err(error) => {
            let Failure { code, message, hint, .. } = Failure::from(error);
            Finding { code, ..Finding::fail(what, message, hint) }
        }
    }
}
