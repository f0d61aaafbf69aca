//! A node at work, run as a process of its own. What it is told it says again on standard output, one line each, so that it
//! stands in the trace where it was heard:
//!
//! | line | what was heard |
//! |---|---|
//! | `folder PATH` | nothing: from now on the power may be cut |
//! | `ready EPOCH` | all that tasks need is there |
//! | `submits ID HEX` | nothing yet: this wrapper goes out |
//! | `accepted ID` | 202 |
//! | `ended ID STATE RESULT` | the task's end, and what its result is |
//! | `image REFERENCE`, `removes REFERENCE`, `removed REFERENCE` | an image was added, is about to go, is gone |

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fades_daemon::clock::Clock;
use fades_testkit::{FunctionAct, Script};
use serde_json::json;

use crate::support::{ISSUER, TestNode, folder, id, image_of, key, proof};

/// How the test program is asked for it.
pub(super) const NAME: &str = "power::campaign::node_at_work";

/// The issuer's second key, for who sends the same claims in another envelope.
pub(super) const SECOND: u8 = 30;

/// Tasks of each of the three that submit at the same time; `FADES_TASKS` asks for more.
const TASKS: u64 = 12;

/// In one write, so that it is in the trace as one.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// How often the node is started, so that its power is cut while it opens what is there as well.
const STARTS: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the tests of power cuts run it under strace"]
async fn node_at_work() {
    let tasks = u32::try_from(super::number("FADES_TASKS", TASKS)).unwrap();
    let mut dir = folder();
    say(&format!("folder {}", dir.path().canonicalize().unwrap().display()));
    let mut image = None;
    for start in 0..STARTS {
        // Every seventh fails, so that ends of both kinds are told.
        let acts = (0..3 * tasks).map(|number| match number % 7 {
            3 => FunctionAct::Lies,
            _ => FunctionAct::Reduces(format!(r#"{{"number":{number}}}"#)),
        });
        let script = Script::default().functions(acts);
        let mut node = TestNode::start(dir, script, Clock::default(), |_| {}).await;
        match image.take() {
            Some(image) => node.image = image,
            None => equip(&mut node).await,
        }
        node.until_ready().await;
        let (of, over) = (tasks.div_ceil(STARTS), AtomicBool::new(false));
        let from = start * of;
        let tasks = async {
            tokio::join!(
                submits(&node, 1000 + from, of),
                submits(&node, 2000 + from, of),
                submits(&node, 3000 + from, of)
            );
            over.store(true, Ordering::Relaxed);
        };
        tokio::join!(tasks, shelves(&node, start, &over));
        image = Some(node.image.clone());
        dir = node.stop().await;
    }
    say("done");
}

/// All that tasks need.
async fn equip(node: &mut TestNode) {
    node.equip().await;
    let update = json!({ "proof": proof(&key(SECOND), ISSUER) });
    let put = node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &update).await;
    assert_eq!(put.status, 200, "{put:?}");
    for image in node.get("/v1/node").await.json()["images"].as_array().unwrap() {
        say(&format!("image {}", image["reference"].as_str().unwrap()));
    }
    say(&format!("ready {}", node.node.epoch()));
}

/// Submits so many tasks, one after another, and waits for their ends.
async fn submits(node: &TestNode, from: u32, count: u32) {
    for number in from..from + count {
        let id = id(number);
        let envelope = node.signed(&id, |w| w["credentials"]["expires_at"] = json!(node.in_seconds(3_000)));
        let hex = envelope.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        say(&format!("submits {id} {hex}"));
        assert_eq!(node.submit(&envelope).await.status, 202);
        say(&format!("accepted {id}"));
        let state = node.ended(&id).await["state"].as_str().unwrap().to_owned();
        say(&format!("ended {id} {state} {}", super::judge::result(node, &id).await));
    }
}

/// Adds images for as long as tasks run, and removes every other one.
async fn shelves(node: &TestNode, start: u32, over: &AtomicBool) {
    let signer = key(3);
    for patch in 0.. {
        let file = image_of("window", &format!("1.{start}.{patch}"), fades_pack::Role::Dmf, 32, &signer);
        let added = node.local("POST", "/v1/admin/images", &file).await;
        assert_eq!(added.status, 201, "{added:?}");
        let reference = added.json()["reference"].as_str().unwrap().to_owned();
        say(&format!("image {reference}"));
        if patch % 2 == 1 {
            say(&format!("removes {reference}"));
            let removed = node.local("DELETE", &super::judge::path(&reference), b"").await;
            assert_eq!(removed.status, 204, "{removed:?}");
            say(&format!("removed {reference}"));
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}
