//! A service that signs ahead and submits as fast as the node takes it; reads over the local socket, which has no rate.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::testbed::node::Node;

const ENVELOPE: &str = "application/cose; cose-type=\"cose-sign1\"";
/// How often it is asked whether a task has ended.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(300);

/// Signs so many wrappers of a task file.
pub(super) fn sign(node: &Node, wrapper: &Path, count: usize) -> Result<Vec<Vec<u8>>> {
    let file = node.folder().join("signed.cose");
    let (file, wrapper, key) = (file.to_string_lossy(), wrapper.to_string_lossy(), node.key());
    let words = ["task", "sign", &*wrapper, "--key", &key.to_string_lossy(), "--out", &*file];
    let one = || {
        let _ = std::fs::remove_file(&*file);
        node.fades(&words)?;
        std::fs::read(&*file).with_context(|| format!("read {file}"))
    };
    (0..count).map(|_| one()).collect()
}

/// Submits them one behind the other, on one connection; gives their ids.
pub(super) fn submit(node: &Node, envelopes: &[Vec<u8>]) -> Result<Vec<String>> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let one = |envelope: &Vec<u8>| {
        let request = agent.post(format!("{}/v1/tasks", node.url())).header("content-type", ENVELOPE);
        let mut answer = request.send(&envelope[..]).context("submit a task")?;
        let (status, said): (_, Value) = (answer.status(), answer.body_mut().read_json()?);
        ensure!(status == 202, "the node answered {status}: {said}");
        said["task"].as_str().map(str::to_owned).context("the node accepted a task without an id")
    };
    envelopes.iter().map(one).collect()
}

/// Waits until all of them have ended.
pub(super) fn wait(node: &Node, ids: &[String]) -> Result<()> {
    until(node, ids, |state| matches!(state, "succeeded" | "failed" | "cancelled" | "expired"))
}

/// Waits until all of them are under way.
pub(super) fn begun(node: &Node, ids: &[String]) -> Result<()> {
    until(node, ids, |state| !matches!(state, "accepted" | "queued"))
}

fn until(node: &Node, ids: &[String], is: impl Fn(&str) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for id in ids {
        loop {
            let task = get(node, &format!("/v1/tasks/{id}"))?;
            let state = task["state"].as_str().unwrap_or_default();
            if is(state) {
                break;
            }
            ensure!(Instant::now() < deadline, "task {id} is still {state} after {PATIENCE:?}");
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// The result document of a task, or its problem.
pub(super) fn result(node: &Node, id: &str) -> Result<Value> {
    get(node, &format!("/v1/tasks/{id}/result"))
}

/// A document over the local socket. HTTP/1.0, so that it comes as it is.
fn get(node: &Node, path: &str) -> Result<Value> {
    let socket = node.folder().join("fadesd.sock");
    let mut stream =
        UnixStream::connect(&socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let Some((_, body)) = text.split_once("\r\n\r\n") else { bail!("{path} gave {text:?}") };
    serde_json::from_str(body).with_context(|| format!("{path} gave {body:?}"))
}
