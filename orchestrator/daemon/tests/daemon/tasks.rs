//! Tasks from their submission to their signed result, and to every other end.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::task::Wrapper;
use fades_core::Role;
use fades_core::admit::{Allowed, Received, plan};
use fades_core::backend::ExitCause;
use fades_core::terms::Terms;
use fades_daemon::store::record::{StoredState, TaskRecord, TermsRecord};
use fades_daemon::store::{Acceptance, Accepted};
use fades_envelope::receipt::Leak;
use fades_envelope::verify_receipt;
use fades_testkit::{BrokerAct, FunctionAct, Script};
use serde_json::json;

use crate::support::{ISSUER, Panics, TestNode, eventually, id, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_gives_a_signed_result() {
    let node = TestNode::new().await;
    let envelope = node.signed(&id(1), |_| {});
    let accepted = node.submit(&envelope).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(accepted.header("location"), Some(format!("/v1/tasks/{}", id(1)).as_str()));
    assert_eq!(accepted.json()["task"], id(1));
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "succeeded", "{view}");
    assert_eq!(view["attempts"], 1);
    assert_eq!(view["sources"][0], "edison");

    let result = node.local("GET", &format!("/v1/tasks/{}/result", id(1)), b"").await.json();
    let bytes = Base64UrlUnpadded::decode_vec(result["result_bytes"].as_str().unwrap()).unwrap();
    let receipt = Base64UrlUnpadded::decode_vec(result["receipt"].as_str().unwrap()).unwrap();
    let receipt = verify_receipt(&receipt, &key(1).public(), &bytes).unwrap();
    assert_eq!(bytes, br#"{"count":1}"#);
    assert_eq!(result["result"]["count"], 1);
    assert_eq!(result["bytes_read"], 1600);
    assert_eq!(receipt.task, id(1));
    assert_eq!(receipt.node.epoch, node.node.epoch().to_string());
    assert_eq!((receipt.operations[0].id.as_str(), receipt.operations[0].points), ("temp", 100));
    let payload = fades_envelope::parse(&envelope).unwrap().unverified_payload();
    assert_eq!(receipt.wrapper.sha256, fades_envelope::Digest::of(payload));
    assert!(
        format!("{}@sha256:{}", receipt.images.function.name, receipt.images.function.sha256) == node.image
    );
    // The function is gone and its port too; only the broker is left.
    eventually("alone", async || node.network.ports() == 1 && node.backend.running() == 1).await;
    let metrics = node.get("/metrics").await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("fades_tasks_ended{state=\"succeeded\"} 1\n"), "{text}");
    assert!(text.contains("fades_tasks_open 0\n"), "{text}");
}

/// Whoever reads a result later sees what was off when it was made, as whoever asked the node then did.
#[tokio::test(flavor = "multi_thread")]
async fn b5_a_defence_that_is_off_is_told_by_the_node_and_by_receipts() {
    let node = TestNode::new().await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    node.ended(&id(1)).await;
    let info = node.get("/v1/node").await.json();
    let told = &info["defences"];
    let of = |on: bool| -> Vec<String> {
        let told = told.as_object().unwrap().iter().filter(|(_, is_on)| **is_on == on);
        told.map(|(name, _)| name.clone()).collect()
    };
    let result = node.local("GET", &format!("/v1/tasks/{}/result", id(1)), b"").await.json();
    let decode = |name: &str| Base64UrlUnpadded::decode_vec(result[name].as_str().unwrap()).unwrap();
    let receipt = verify_receipt(&decode("receipt"), &key(1).public(), &decode("result_bytes")).unwrap();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(receipt.defences.on), of(true));
    assert_eq!(sorted(receipt.defences.off), of(false));
    assert!(
        of(true).contains(&"strict-signatures".to_owned()) && of(false) == ["monitor-landlock"],
        "{told}"
    );
    assert_eq!(info["lacks"], json!({ "monitor-landlock": "it is a script" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_every_way_to_fail_is_told_with_its_code() {
    let panic =
        ExitCause::Panicked { message: "index out of bounds".into(), location: "src/lib.rs:7".into() };
    let memory = ExitCause::OutOfMemory { requested: Some(4096), detail: String::new() };
    let acts = [
        (FunctionAct::FailsToStart, "E3"),
        (FunctionAct::Dies(panic), "E3"),
        (FunctionAct::Dies(memory), "E3"),
        (FunctionAct::BreaksProtocol, "E3"),
        (FunctionAct::ReturnsTooMuch, "E5"),
        (FunctionAct::Lies, "E"),
        (FunctionAct::Reduces("not json".into()), "E5"),
    ];
    let script = Script::default().functions(acts.iter().map(|(act, _)| act.clone()));
    // One at a time, so that the acts come in their order.
    let node = TestNode::with(script, |config| config.limits.running = 1).await;
    for (number, (act, range)) in (1..).zip(&acts) {
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
        let view = node.ended(&id(number)).await;
        assert_eq!(view["state"], "failed", "{act:?}: {view}");
        assert!(view["code"].as_str().unwrap().starts_with(range), "{act:?}: {view}");
        let result = node.local("GET", &format!("/v1/tasks/{}/result", id(number)), b"").await;
        assert_eq!((result.status, result.code().as_str()), (404, "E5006"));
    }
    assert!(node.node.runtime.status().broker_state == "ready");
    // And the next one is none the worse for it.
    node.submit(&node.signed(&id(99), |_| {})).await;
    assert_eq!(node.ended(&id(99)).await["state"], "succeeded");
    eventually("alone", async || node.network.ports() == 1).await;
}

/// Readings can be hidden in a result that is valid JSON; the policy bounds how many bytes that is.
#[tokio::test(flavor = "multi_thread")]
async fn g12_no_result_is_larger_than_the_policy_allows() {
    const ALLOWED: usize = 2000;
    // With its quotes.
    let of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let acts = [ALLOWED, ALLOWED + 1].map(|bytes| FunctionAct::Reduces(of(bytes)));
    let node = TestNode::with(Script::default().functions(acts), |config| config.limits.running = 1).await;
    let mut policy = crate::support::policy();
    policy["result_bytes"] = json!(ALLOWED);
    let update = json!({ "policy": policy });
    assert_eq!(node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &update).await.status, 200);
    for number in 1..=2 {
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
        node.ended(&id(number)).await;
    }
    let result = async |number| node.local("GET", &format!("/v1/tasks/{}/result", id(number)), b"").await;
    assert_eq!(result(1).await.json()["result"], of(ALLOWED).trim_matches('"'));
    assert_eq!((node.ended(&id(2)).await["code"].as_str(), result(2).await.status), (Some("E5000"), 404));
}

/// What the policy asks of results is held against them by the node, of which the function knows nothing; what was read is what
/// the broker counts: here one series of 100 points, 1,600 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_result_leaves_within_the_policys_bounds_only() {
    let result = r#"{"groups":[{"mean":1.5},{"mean":2.5}]}"#;
    let acts = std::iter::repeat_n(FunctionAct::Reduces(result.to_owned()), 9);
    let node = TestNode::with(Script::default().functions(acts), |config| config.limits.running = 1).await;
    // 38 bytes for 1,600 are 23.75 for 1,000.
    for (number, bound, limit, code) in [
        (1, "result_fields", 5, None),
        (2, "result_fields", 4, Some("E5018")),
        (3, "result_per_mille", 24, None),
        (4, "result_per_mille", 23, Some("E5020")),
        (5, "group_points", 100, None),
        (6, "group_points", 101, Some("E5019")),
        (7, "group_series", 1, None),
        (8, "group_series", 2, Some("E5019")),
    ] {
        let mut policy = crate::support::policy();
        policy[bound] = json!(limit);
        let update = json!({ "policy": policy });
        let put = node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &update).await;
        assert_eq!((put.status, &put.json()["policy"][bound]), (200, &json!(limit)));
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
        let view = node.ended(&id(number)).await;
        assert_eq!(view["code"].as_str(), code, "{bound} of {limit}: {view}");
        let answer = node.local("GET", &format!("/v1/tasks/{}/result", id(number)), b"").await;
        assert_eq!(answer.status, if code.is_some() { 404 } else { 200 }, "{bound} of {limit}");
        if code.is_none() {
            let document = answer.json();
            let decode = |key: &str| Base64UrlUnpadded::decode_vec(document[key].as_str().unwrap()).unwrap();
            let receipt = verify_receipt(&decode("receipt"), &key(1).public(), &decode("result_bytes"));
            let budget_per_mille = (bound == "result_per_mille").then_some(24);
            let leak = Leak { bytes_read: 1600, bytes_sent: result.len() as u64, budget_per_mille };
            assert_eq!(receipt.unwrap().leak, Some(leak));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_their_broker() {
    let script =
        Script::default().brokers([BrokerAct::Dies(ExitCause::Signal(9)), BrokerAct::BreaksProtocol]);
    let node = TestNode::with(script, |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "succeeded", "{view}");
    assert_eq!(view["attempts"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_can_be_cancelled_and_its_guest_goes() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    let path = format!("/v1/tasks/{}", id(1));
    eventually("under way", async || node.backend.running() == 2).await;
    assert_eq!(node.local("GET", &(path.clone() + "/result"), b"").await.code(), "E5003");
    assert_eq!(node.local("DELETE", &path, b"").await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "cancelled");
    // Again changes nothing.
    assert_eq!(node.local("DELETE", &path, b"").await.status, 202);
    eventually("alone", async || node.backend.running() == 1 && node.network.ports() == 1).await;
    node.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_guests_thread_fails_its_task_only() {
    for panics in [Panics::Starting, Panics::Waiting] {
        let script = Script::default().functions([FunctionAct::Loops, FunctionAct::Loops]);
        let node = TestNode::with(script, |config| config.limits.guests = 2).await;
        node.brittle.panics.lock().unwrap().push(panics);
        node.submit(&node.signed(&id(1), |_| {})).await;
        let view = node.ended(&id(1)).await;
        assert_eq!((&view["state"], &view["code"]), (&json!("failed"), &json!("E3013")), "{view}");
        assert!(view["detail"].as_str().unwrap().contains("panicked"), "{view}");
        eventually("alone", async || node.network.ports() == 1 && node.backend.running() == 1).await;
        // Its place is free.
        node.submit(&node.signed(&id(2), |_| {})).await;
        eventually("begun", async || node.backend.running() == 2).await;
        assert_eq!(node.node.runtime.status().broker_restarts, 0);
    }
}

/// Stores a task as its submission does.
async fn stored(node: &TestNode, wrapper: &Wrapper) {
    let now_us = node.node.clock.unix_us();
    let record = TaskRecord {
        issuer: ISSUER.to_owned(),
        key_id: String::new(),
        payload_digest: fades_envelope::Digest([1; 32]).to_string(),
        epoch: node.node.epoch().to_string(),
        image: node.image.clone(),
        sources: vec!["edison".to_owned()],
        result_limit: 1000,
        terms: TermsRecord::default(),
        priority: 5,
        state: StoredState::Accepted,
        attempts: 0,
        accepted_us: now_us,
        changed_us: now_us,
        started_us: None,
        ended_us: None,
        expires_us: wrapper.credentials.expires_at.as_microsecond(),
        verify_us: 0,
        code: None,
        detail: String::new(),
        periods: None,
    };
    let acceptance = Acceptance {
        id: wrapper.credentials.task_id.0,
        payload_digest: [1; 32],
        envelope: Vec::new(),
        remember_until_us: now_us + 90_000_000,
        record,
        most_open: 10,
    };
    assert!(matches!(node.node.store.accept(acceptance).await.unwrap(), Accepted::New(_)));
    node.node.seats.take(ISSUER, 10, 10).unwrap().keep();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_cancelled_as_soon_as_it_is_stored() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    let wrapper = Wrapper::from_json(node.wrapper(&id(1), |_| {}).to_string().as_bytes()).unwrap();
    stored(&node, &wrapper).await;
    let cancelled = node.local("DELETE", &format!("/v1/tasks/{}", id(1)), b"").await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    // Only now does its submission come to telling the runtime.
    let received = Received { unix_us: 1, mono_us: None, verify_us: 1 };
    let allowed = Allowed { result: Terms { bytes: 1000, ..Terms::default() }, state_bytes: 0 };
    node.node.runtime.accepted(plan(&wrapper, allowed, &node.node.facts(), received).unwrap());
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "cancelled", "{view}");
    eventually("alone", async || node.backend.running() == 1).await;
    // Again changes nothing.
    assert_eq!(node.local("DELETE", &format!("/v1/tasks/{}", id(1)), b"").await.status, 202);
    node.quiet().await;
    assert!(node.backend.started(Role::Function) <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_run_at_once_within_the_limits() {
    let slow = Script::default().brokers([BrokerAct::Serves(Duration::from_millis(300))]);
    let node = TestNode::with(slow, |config| config.limits.running = 4).await;
    for number in 1..=8 {
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
    }
    let mut most = 0;
    eventually("done", async || {
        most = most.max(node.backend.running());
        node.node.seats.open() == 0
    })
    .await;
    assert!(most > 2, "never more than {most} guests at once");
    assert!(most <= 5, "{most} guests at once");
    for number in 1..=8 {
        assert_eq!(node.ended(&id(number)).await["state"], "succeeded");
    }
}
