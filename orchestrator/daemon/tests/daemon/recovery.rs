//! A daemon that ended, in order or not: every accepted task ends once.

use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_testkit::{FunctionAct, Script};

use crate::support::{TestNode, id};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_under_way_are_taken_up_again() {
    let script = Script::default().functions([FunctionAct::Loops, FunctionAct::Loops]);
    let node = TestNode::with(script, |config| config.limits.running = 2).await;
    for number in 1..=5 {
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
    }
    crate::support::eventually("under way", async || node.backend.started(Role::Function) == 2).await;
    let dir = node.stop().await;
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    for number in 1..=5 {
        let view = node.ended(&id(number)).await;
        assert_eq!(view["state"], "succeeded", "{view}");
    }
    node.quiet().await;
    assert_eq!(node.node.metrics.tasks_ended.get("succeeded"), 5);
    // Each ended exactly once, as its events say.
    let events = node.node.store.events_after(0, None, 1000).unwrap().events;
    for number in 1..=5 {
        let ends =
            events.iter().filter(|(_, event)| event.task == id(number) && event.state.is_end()).count();
        assert_eq!(ends, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_fails_with_the_reason() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    crate::support::eventually("under way", async || node.backend.started(Role::Function) == 1).await;
    assert_eq!(node.local("DELETE", "/v1/admin/sources/edison", b"").await.status, 204);
    let dir = node.stop().await;
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    let view = node.ended(&id(1)).await;
    assert_eq!((view["state"].as_str(), view["code"].as_str()), (Some("failed"), Some("E1418")), "{view}");
    assert!(view["detail"].as_str().unwrap().contains("taken up after a restart"), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_not_begun_for_ever() {
    let mut node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    for _ in 0..3 {
        crate::support::eventually("under way", async || node.backend.started(Role::Function) == 1).await;
        let dir = node.stop().await;
        let loops = Script::default().functions([FunctionAct::Loops]);
        node = TestNode::start(dir, loops, Clock::default(), |_| {}).await;
    }
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "failed", "{view}");
    assert!(view["code"].as_str().unwrap().starts_with("E30"), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ending_daemon_leaves_no_guest_and_no_socket() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    crate::support::eventually("under way", async || node.backend.running() == 2).await;
    let (backend, network) = (node.backend.clone(), node.network.clone());
    let dir = node.stop().await;
    assert_eq!((backend.running(), network.ports()), (0, 0));
    assert!(!dir.path().join("fadesd.sock").exists());
}
