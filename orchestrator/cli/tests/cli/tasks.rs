//! What a service does: sign, submit, wait, read, check; and how each end of a task shows in the exit code.

use fades_core::backend::ExitCause;
use fades_testkit::{FunctionAct, Script};
use serde_json::Value;

use crate::node::{Ended, TestNode, fades};

const KEY: [&str; 2] = ["--key", "service.key"];

fn run(node: &TestNode, words: &[&str]) -> Ended {
    node.tcp(&[words, &KEY].concat())
}

#[test]
fn submit_wait_result_and_receipt() {
    let reduces = FunctionAct::Reduces(
        r#"{"schema":"t","groups":[{"operation":"t","tags":{"room":"r1"},"count":3}]}"#.into(),
    );
    let node = TestNode::equipped(Script::default().functions([reduces]));
    let task = node.task("stats");
    let document = run(&node, &["task", "submit", task, "--wait", "--timeout", "30s", "-o", "json"]).done();
    assert!(document.stderr.is_empty(), "no progress where nobody watches: {document:?}");
    let json = document.json();
    assert_eq!(json["result"]["groups"][0]["count"], 3);
    let id = json["task"].as_str().unwrap();
    let table = run(&node, &["task", "result", id]).done();
    assert!(table.text().starts_with("OPERATION  ROOM  COUNT\nt          r1        3\n"), "{}", table.text());

    // saved and checked later, without the node
    let node_key = node.status()["public_key"].as_str().unwrap().to_owned();
    let verify = |file: &str, key: &str| {
        fades(node.work.path(), &["task", "result", file, "--verify", "--node-key", key])
    };
    std::fs::write(node.path("saved.json"), &document.stdout).unwrap();
    assert!(verify("saved.json", &node_key).done().stderr.contains("the receipt holds"));
    verify("saved.json", "service.key.pub").refused(2, "E1120");
    let other = fades(node.work.path(), &["key", "new", "other.key", "-o", "json"]).done().json();
    verify("saved.json", other["public_key"].as_str().unwrap()).refused(4, "E5007");
    for (at, value) in [("/result/groups/0/count", 4.into()), ("/result_bytes", Value::from("e30"))] {
        let mut changed = json.clone();
        *changed.pointer_mut(at).unwrap() = value;
        std::fs::write(node.path("changed.json"), changed.to_string()).unwrap();
        verify("changed.json", &node_key).refused(4, "E5008");
    }
}

#[test]
fn sign_then_submit_the_same_bytes_twice() {
    let node = TestNode::equipped(Script::default());
    let task = node.task("stats");
    run(&node, &["task", "sign", task, "--out", "a.cose"]).done();
    let first = node.tcp(&["task", "submit", "a.cose", "-o", "json"]).done().json();
    let second = node.tcp(&["task", "submit", "a.cose", "-o", "json"]).done().json();
    assert_eq!(first["task"], second["task"]);
    let id = first["task"].as_str().unwrap();
    let watched = run(&node, &["task", "watch", id, "-o", "json"]).done();
    let states: Vec<Value> = watched
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone())
        .collect();
    assert_eq!(states.last(), Some(&"succeeded".into()), "{states:?}");
    let result = run(&node, &["task", "result", id, "--verify", "--wrapper", "a.cose"]).done();
    assert!(result.stderr.contains("from the node itself"), "{result:?}");
    run(&node, &["task", "sign", task, "--out", "b.cose"]).done();
    run(&node, &["task", "result", id, "--verify", "--wrapper", "b.cose"]).refused(4, "E5008");
    // the same id with other contents
    let text = std::fs::read_to_string(node.path(task)).unwrap();
    std::fs::write(node.path("c.toml"), format!("[credentials]\ntask_id = \"{id}\"\n{text}")).unwrap();
    run(&node, &["task", "submit", "c.toml"]).refused(4, "E1203");
}

#[test]
fn each_end_has_its_exit_code() {
    let panicked = ExitCause::Panicked { message: "boo".into(), location: "src/main.rs:1".into() };
    let script =
        Script::default().functions([FunctionAct::Dies(panicked), FunctionAct::Loops, FunctionAct::Loops]);
    let node = TestNode::equipped(script);
    let task = node.task("stats");
    let crashed = run(&node, &["task", "submit", task, "--wait", "-o", "json"]).refused(8, "E3000");
    let failure: Value = serde_json::from_str(&crashed.stderr).unwrap();
    assert!(failure["message"].as_str().unwrap().contains("boo"), "{failure}");

    run(&node, &["task", "submit", task, "--wait", "--timeout", "1s"]).refused(6, "E1031");
    let listed = run(&node, &["task", "ls", "-o", "json"]).done().json();
    let looping = listed["tasks"][0]["task"].as_str().unwrap();
    run(&node, &["task", "result", looping]).refused(1, "E5003");
    run(&node, &["task", "cancel", looping]).done();
    assert_eq!(run(&node, &["task", "watch", looping]).exit, 1);
    assert!(run(&node, &["task", "get", looping]).done().text().contains("cancelled"));
    let failed = run(&node, &["task", "ls", "--state", "failed"]).done();
    assert!(failed.text().contains("E3000") && !failed.text().contains(looping), "{failed:?}");

    let text = std::fs::read_to_string(node.path(task)).unwrap();
    std::fs::write(
        node.path("short.toml"),
        format!("{text}resources = {{ memory_mib = 64, timeout_ms = 300 }}\n"),
    )
    .unwrap();
    run(&node, &["task", "submit", "short.toml", "--wait"]).refused(6, "E3002");
}

#[test]
fn refusals_and_mistakes() {
    let node = TestNode::equipped(Script::default());
    let task = node.task("stats");
    // a draft without a key, an unknown image, a source outside the policy, a stranger's key, a misspelt key
    assert_eq!(node.tcp(&["task", "submit", task]).exit, 2);
    node.task("nothing");
    run(&node, &["task", "submit", task]).refused(2, "E1326");
    let text = std::fs::read_to_string(node.path(node.task("stats"))).unwrap();
    std::fs::write(node.path("elsewhere.toml"), text.replace("testbed", "elsewhere")).unwrap();
    run(&node, &["task", "submit", "elsewhere.toml"]).refused(4, "E1401");
    std::fs::write(node.path("misspelt.toml"), text.replace("group_by", "x").replace("field", "fiield"))
        .unwrap();
    let misspelt = run(&node, &["task", "submit", "misspelt.toml"]).refused(2, "E1303");
    assert!(misspelt.stderr.contains("field"), "{misspelt:?}");
    node.local(&["key", "new", "stranger.key"]).done();
    node.tcp(&["task", "submit", task, "--key", "stranger.key"]).refused(4, "E1111");
    // reading over TCP needs a key, over the local socket none
    node.tcp(&["task", "ls"]).refused(4, "E1212");
    node.local(&["task", "ls"]).done();
    run(&node, &["task", "get", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).refused(3, "E1013");
    node.tcp(&["task", "ls", "--key", "nowhere.key"]).refused(2, "E1126");
    fades(node.work.path(), &["--node", "http://127.0.0.1:9", "task", "ls"]).refused(5, "E1030");
}
