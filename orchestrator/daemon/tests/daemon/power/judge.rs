//! What must be so on a disk whose power was cut, by what was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_testkit::Script;
use serde_json::Value;

use super::disk::Files;
use crate::support::{TestNode, key};

/// What had been told.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) epoch: Option<&'a str>,
    pub(super) submitted: BTreeMap<&'a str, &'a str>,
    pub(super) accepted: BTreeSet<&'a str>,
    /// State and result.
    pub(super) ended: BTreeMap<&'a str, &'a str>,
    pub(super) images: BTreeSet<&'a str>,
    pub(super) removed: BTreeSet<&'a str>,
}

impl<'a> Told<'a> {
    pub(super) fn of(said: &[&'a str]) -> Self {
        let mut told = Self::default();
        for line in said {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "ready" => told.epoch = Some(first),
                "submits" => drop(told.submitted.insert(first, more)),
                "accepted" => drop(told.accepted.insert(first)),
                "ended" => drop(told.ended.insert(first, more)),
                "image" => drop(told.images.insert(first)),
                // It may be gone already.
                "removes" => drop(told.images.remove(first)),
                "removed" => drop(told.removed.insert(first)),
                _ => {}
            }
        }
        told
    }
}

/// Starts a node on what is left, and holds it against what was told; how long it took to start. The invariants:
///
/// 1. The node starts, and has the epoch that it had: what was signed for it is worth what it was.
/// 2. A task that was accepted is there and ends, once; sent again it is the same one.
/// 3. A task whose end was told has that end and that result, and its function does not run again.
/// 4. An image that was added is there and is what it was; one that was removed is not there.
pub(super) async fn judge(left: &Files, said: &[&str]) -> Result<Duration, String> {
    let told = Told::of(said);
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    put(dir.path(), left);
    let began = Instant::now();
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    let took = began.elapsed();
    let Some(epoch) = told.epoch else { return Ok(took) };
    let found = node.node.epoch().to_string();
    if found != epoch {
        return Err(format!("the epoch is {found}, which was {epoch}"));
    }
    images(&node, &told).await?;
    for (id, end) in &told.ended {
        let view = node.local("GET", &format!("/v1/tasks/{id}"), b"").await;
        if view.status != 200 {
            return Err(format!("task {id} ended and is not known: {}", view.status));
        }
        let state = view.json()["state"].as_str().unwrap().to_owned();
        let found = format!("{state} {}", result(&node, id).await);
        if found != *end {
            return Err(format!("task {id} ended with {end} and is {found}"));
        }
    }
    for id in &told.accepted {
        let view = node.local("GET", &format!("/v1/tasks/{id}"), b"").await;
        if view.status != 200 {
            return Err(format!("task {id} was accepted and is not known: {}", view.status));
        }
        node.ended(id).await;
        let again = node.submit(&envelope(told.submitted[id])).await;
        if again.status != 202 || again.json()["task"] != **id {
            return Err(format!("task {id} sent again is answered with {again:?}"));
        }
    }
    let events = node.node.store.events_after(0, None, 10_000).unwrap().events;
    for id in &told.accepted {
        let ends = events.iter().filter(|(_, event)| event.task == **id && event.state.is_end()).count();
        if ends != 1 {
            return Err(format!("task {id} ended {ends} times"));
        }
    }
    let most = told.submitted.len() - told.ended.len();
    let started = node.backend.started(Role::Function);
    if started > most {
        return Err(format!("{started} functions ran for {most} tasks that had not ended"));
    }
    node.stop().await;
    Ok(took)
}

async fn images(node: &TestNode, told: &Told<'_>) -> Result<(), String> {
    let listed = node.get("/v1/node").await.json()["images"].clone();
    let references: BTreeSet<&str> =
        listed.as_array().unwrap().iter().filter_map(|image| image["reference"].as_str()).collect();
    for reference in &told.images {
        if !references.contains(reference) {
            return Err(format!("image {reference} was added and is not there"));
        }
        let file = node.local("GET", &path(reference), b"").await;
        if file.status != 200 {
            return Err(format!("image {reference} cannot be read: {}", file.status));
        }
        let maker = key(3).public();
        let found = fades_pack::open(&file.body)
            .and_then(|packed| Ok(packed.verify(&maker)?.reference().to_string()));
        if found.as_deref().ok() != Some(*reference) {
            return Err(format!("image {reference} is not what it was: {found:?}"));
        }
    }
    match told.removed.iter().find(|reference| references.contains(*reference)) {
        Some(reference) => Err(format!("image {reference} was removed and is there")),
        None => Ok(()),
    }
}

/// Runs what starts a node. What panics in there is a node that does not start, or does not answer.
pub(super) fn with_node<T: Send>(judge: impl AsyncFnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let judged = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(judge())).join());
    judged.unwrap_or_else(|panicked| {
        let plain = || panicked.downcast_ref::<&str>().copied();
        let words =
            panicked.downcast_ref::<String>().map(String::as_str).or_else(plain).unwrap_or("it panicked");
        Err(format!("the node does not go on: {words}"))
    })
}

/// Puts files into a folder.
pub(super) fn put(folder: &std::path::Path, files: &Files) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A wrapper as it was told.
pub(super) fn envelope(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Where an operator finds an image.
pub(super) fn path(reference: &str) -> String {
    format!("/v1/admin/images/{}", reference.rsplit(':').next().unwrap())
}

/// What a task's result is, in one word.
pub(super) async fn result(node: &TestNode, id: &str) -> String {
    let answer = node.local("GET", &format!("/v1/tasks/{id}/result"), b"").await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    format!("{}:{}", answer.status, body.to_string().replace(' ', ""))
}
