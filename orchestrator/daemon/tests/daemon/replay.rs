//! THREATS A5: a wrapper runs at most once, whatever happens in between.

use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_envelope::{Purpose, sign};
use fades_testkit::{BrokerAct, FunctionAct, Script};
use serde_json::json;

use crate::support::{TestNode, eventually, id, key, proof};

#[tokio::test(flavor = "multi_thread")]
async fn a5_the_same_again_is_the_same_task() {
    let node = TestNode::new().await;
    let envelope = node.signed(&id(1), |_| {});
    let again: Vec<_> = (0..16)
        .map(|_| {
            let (tcp, envelope) = (node.tcp, envelope.clone());
            tokio::spawn(async move {
                let request = crate::http::request("POST", "/v1/tasks", &[crate::support::COSE], &envelope);
                crate::http::over_tcp(tcp, &request).await
            })
        })
        .collect();
    for answer in again {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["task"], id(1));
    }
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    let late = node.submit(&envelope).await;
    assert_eq!((late.status, late.json()["state"].as_str()), (202, Some("succeeded")));
    assert_eq!(node.backend.started(Role::Function), 1);
    let other = node.submit(&node.signed(&id(1), |w| w["credentials"]["priority"] = json!(6))).await;
    assert_eq!((other.status, other.code().as_str()), (409, "E1203"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_the_same_claims_in_a_new_envelope_are_the_same_task() {
    let node = TestNode::new().await;
    let payload = node.wrapper(&id(1), |_| {}).to_string().into_bytes();
    let second = key(30);
    let update = json!({ "proof": proof(&second, crate::support::ISSUER) });
    node.admin("PUT", &format!("/v1/admin/issuers/{}", crate::support::ISSUER), &update).await;
    assert_eq!(node.submit(&sign(&node.issuer, Purpose::Task, &payload)).await.status, 202);
    assert_eq!(node.submit(&sign(&second, Purpose::Task, &payload)).await.status, 202);
    node.ended(&id(1)).await;
    assert_eq!(node.backend.started(Role::Function), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_judged_by_the_nodes_clock() {
    let node = TestNode::new().await;
    let at = |issued: i64, expires: i64| {
        node.signed(&id(1), |w| {
            w["credentials"]["issued_at"] = json!(node.in_seconds(issued));
            w["credentials"]["expires_at"] = json!(node.in_seconds(expires));
        })
    };
    assert_eq!(node.submit(&at(-60, -1)).await.code(), "E1200");
    assert_eq!(node.submit(&at(40, 100)).await.code(), "E1201");
    assert_eq!(node.submit(&at(10, 5)).await.code(), "E1324");
    assert_eq!(node.submit(&at(20, 100)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_after_expiry_and_with_the_clock_set_back() {
    let clock = Clock::default();
    let mut node = TestNode::start(crate::support::folder(), Script::default(), clock.clone(), |_| {}).await;
    node.equip().await;
    let envelope = node.signed(&id(1), |_| {});
    assert_eq!(node.submit(&envelope).await.status, 202);
    node.ended(&id(1)).await;
    clock.shift_us(61_000_000);
    assert_eq!(node.submit(&envelope).await.code(), "E1200");
    // Something judged by the later clock makes that the earliest from now on.
    assert_eq!(node.submit(&node.signed(&id(2), |_| {})).await.status, 202);
    clock.shift_us(0);
    let back = node.submit(&envelope).await;
    assert_eq!((back.status, back.code().as_str()), (503, "E1217"));
    let new = node.submit(&node.signed(&id(3), |_| {})).await;
    assert_eq!(new.code(), "E1217");
    node.ended(&id(2)).await;
    // A restart forgets nothing of it.
    let dir = node.stop().await;
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_eq!(node.submit(&envelope).await.code(), "E1217");
}

/// A board without a battery for its clock: what runs goes on and ends in order, nothing new is judged by a time that was already, and
/// with the right time the node takes tasks again by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_clock_set_back_ten_years_is_told_loses_nothing_and_is_over_when_it_is_right() {
    const TEN_YEARS_US: i64 = 10 * 365 * 24 * 60 * 60 * 1_000_000;
    let clock = Clock::default();
    let slow = Script::default().brokers([BrokerAct::Serves(std::time::Duration::from_millis(700))]);
    let mut node = TestNode::start(crate::support::folder(), slow, clock.clone(), |_| {}).await;
    node.equip().await;
    let envelopes: Vec<_> = (1..=3).map(|number| node.signed(&id(number), |_| {})).collect();
    for envelope in &envelopes[..2] {
        assert_eq!(node.submit(envelope).await.status, 202);
    }
    clock.shift_us(-TEN_YEARS_US);
    for envelope in [&envelopes[2], &node.signed(&id(9), |_| {})] {
        let refused = node.submit(envelope).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "E1217"), "{refused:?}");
    }
    for number in 1..=2 {
        let view = node.ended(&id(number)).await;
        assert_eq!((&view["state"], &view["attempts"]), (&"succeeded".into(), &1.into()), "{view}");
    }
    // Neither does a restart make the past a time to judge by.
    let dir = node.stop().await;
    let node = TestNode::start(dir, Script::default(), clock.clone(), |_| {}).await;
    node.until_ready().await;
    assert_eq!(node.submit(&envelopes[2]).await.code(), "E1217");
    clock.shift_us(0);
    assert_eq!(node.submit(&envelopes[0]).await.json()["state"], "succeeded", "known as before");
    assert_eq!(node.submit(&envelopes[2]).await.status, 202);
    assert_eq!(node.ended(&id(3)).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_after_a_restart_and_after_the_record_is_gone() {
    let node = TestNode::with(Script::default(), |config| config.keep.finished_tasks = 1).await;
    let envelopes: Vec<_> = (1..=3).map(|number| node.signed(&id(number), |_| {})).collect();
    for (number, envelope) in (1..).zip(&envelopes) {
        assert_eq!(node.submit(envelope).await.status, 202);
        node.ended(&id(number)).await;
    }
    let (epoch, image, dir) = (node.node.epoch(), node.image.clone(), node.stop().await);
    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    node.image = image;
    assert_eq!(node.node.epoch(), epoch);
    node.until_ready().await;
    assert_eq!(node.submit(&envelopes[2]).await.json()["state"], "succeeded");
    assert_eq!(node.submit(&envelopes[0]).await.code(), "E5013");
    let other = node.signed(&id(1), |w| w["credentials"]["priority"] = json!(1));
    assert_eq!(node.submit(&other).await.code(), "E1203");
    assert_eq!(node.backend.started(Role::Function), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_lost_or_restored_store_makes_captured_wrappers_worthless() {
    let node = TestNode::new().await;
    let (first, dir) = (node.node.epoch(), node.stop().await);
    let copy = std::fs::read(dir.path().join("store.redb")).unwrap();

    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    node.image = node.get("/v1/node").await.json()["images"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|image| {
            image["reference"].as_str().filter(|name| name.starts_with("stats")).map(str::to_owned)
        })
        .unwrap();
    node.until_ready().await;
    let captured = node.signed(&id(1), |_| {});
    assert_eq!(node.submit(&captured).await.status, 202);
    node.ended(&id(1)).await;
    let dir = node.stop().await;

    std::fs::write(dir.path().join("store.redb"), &copy).unwrap();
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_ne!(node.node.epoch(), first);
    assert_eq!(node.submit(&captured).await.code(), "E1204");
    let warnings = node.get("/v1/node").await.json()["warnings"].to_string();
    assert!(warnings.contains("epoch was renewed"), "{warnings}");
    assert_eq!(node.backend.started(Role::Function), 0);
    let (restored, dir) = (node.node.epoch(), node.stop().await);

    std::fs::remove_file(dir.path().join("store.redb")).unwrap();
    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_ne!(node.node.epoch(), restored);
    node.equip().await;
    assert_eq!(node.submit(&captured).await.code(), "E1204");
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_a_restored_store_runs_nothing_that_may_have_run_since() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    eventually("under way", async || node.backend.started(Role::Function) == 1).await;
    let dir = node.stop().await;
    let copy = std::fs::read(dir.path().join("store.redb")).unwrap();

    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    let dir = node.stop().await;

    std::fs::write(dir.path().join("store.redb"), &copy).unwrap();
    // However often it is started.
    let mut dir = dir;
    for _ in 0..2 {
        let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
        node.until_ready().await;
        let view = node.ended(&id(1)).await;
        assert_eq!(
            (view["state"].as_str(), view["code"].as_str()),
            (Some("failed"), Some("E7004")),
            "{view}"
        );
        assert_eq!(node.backend.started(Role::Function), 0);
        node.quiet().await;
        dir = node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_can_renew_the_epoch() {
    let node = TestNode::new().await;
    let captured = node.signed(&id(1), |_| {});
    let renewed = node.local("POST", "/v1/admin/epoch", b"").await.json();
    assert_eq!(renewed["epoch"], node.node.epoch().to_string());
    assert_eq!(node.submit(&captured).await.code(), "E1204");
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    node.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_bounds_how_long_wrappers_live() {
    let node = TestNode::with(Script::default(), |config| config.limits.wrapper_life_s = 30).await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.code(), "E1414");
    let short = node.signed(&id(1), |w| w["credentials"]["expires_at"] = json!(node.in_seconds(29)));
    assert_eq!(node.submit(&short).await.status, 202);
}
