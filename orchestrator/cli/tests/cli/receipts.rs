//! Checking a saved result without its node: what is shown is what was signed, or it is said which figure is not.

use fades_testkit::{FunctionAct, Script};
use serde_json::{Value, json};

use crate::node::{Ended, TestNode, fades};

/// A node, the document of a task that has ended, and the node's public key.
fn finished() -> (TestNode, Value, String) {
    let result = r#"{"schema":"t","groups":[{"operation":"t","tags":{"room":"r1"},"count":3}]}"#;
    let node = TestNode::equipped(Script::default().functions([FunctionAct::Reduces(result.into())]));
    let words = ["task", "submit", node.task("stats"), "--wait", "-o", "json", "--key", "service.key"];
    let document = node.tcp(&words).done().json();
    let key = node.status()["public_key"].as_str().unwrap().to_owned();
    (node, document, key)
}

/// `fades task result` on a document, away from the node.
fn check(node: &TestNode, document: &Value, words: &[&str]) -> Ended {
    std::fs::write(node.path("saved.json"), document.to_string()).unwrap();
    fades(node.work.path(), &[&["task", "result", "saved.json"], words].concat())
}

#[test]
fn a_genuine_document_holds() {
    let (node, document, key) = finished();
    let held = check(&node, &document, &["--verify", "--node-key", &key]).done();
    assert!(held.stderr.contains("stats made this of 1 operation for pollution.example"), "{held:?}");
    // the key alone says that it is to be checked; init left it in a file
    let held = check(&node, &document, &["--node-key", "n/node.pub", "-o", "json"]).done();
    assert!(
        held.stderr.contains("signed but operations[].series, operations[].chunks and heap_peak_bytes"),
        "{held:?}"
    );
    assert_eq!(held.json(), document);
}

#[test]
fn every_figure_is_compared_with_the_receipt() {
    let (node, document, key) = finished();
    let mut changes = vec![
        ("/state", json!("failed"), "state"),
        ("/task", json!("01ARZ3NDEKTSV4RRFFQ69G5FAV"), "task"),
        ("/result/groups/0/count", json!(4), "result"),
        ("/result_bytes", json!("e30"), "digest"),
        ("/operations", json!([]), "operations"),
        ("/operations/0/id", json!("u"), "operations[0].id"),
        ("/operations/0/points", json!(1), "operations[0].points"),
        ("/operations/0/bytes", json!(1), "operations[0].bytes"),
        ("/operations/0/first", json!("1970-01-01T00:00:00Z"), "operations[0].first"),
        ("/operations/0/last", json!(null), "operations[0].last"),
        ("/operations/0/digest", json!("0".repeat(64)), "operations[0].digest"),
        ("/bytes_read", json!(99_999_999), "bytes_read"),
        ("/bytes_sent", json!(1), "bytes_sent"),
    ];
    let stages = document["timings_us"].as_object().unwrap();
    assert_eq!(stages.len(), 8);
    let stages: Vec<String> = stages.keys().map(|stage| format!("/timings_us/{stage}")).collect();
    changes.extend(stages.iter().map(|at| (at.as_str(), json!(7_777_777_777u64), &at[12..])));
    for (at, value, figure) in changes {
        let mut changed = document.clone();
        *changed.pointer_mut(at).unwrap() = value;
        let refused = check(&node, &changed, &["--node-key", &key]).refused(4, "E5008");
        assert!(refused.stderr.contains(figure), "{at}: {refused:?}");
    }
}

#[test]
fn keys_that_are_not_the_nodes() {
    let (node, document, key) = finished();
    let verify = |key: &str| check(&node, &document, &["--verify", "--node-key", key]);
    verify("service.key.pub").refused(2, "E1120");
    verify("nowhere.pub").refused(2, "node.pub");
    let other = node.local(&["key", "new", "other.key", "-o", "json"]).done().json();
    verify(other["public_key"].as_str().unwrap()).refused(4, "E5007");
    let key_id = node.status()["key_id"].as_str().unwrap().to_owned();
    assert_ne!(key_id, key);
    verify(&key_id).refused(2, "is the node's key id, not its public key");
}

#[test]
fn an_operation_that_read_nothing_is_named() {
    let (node, mut document, _) = finished();
    assert!(!check(&node, &document, &[]).done().stderr.contains("warning"));
    document["operations"][0]["points"] = json!(0);
    for format in ["table", "json"] {
        let warned = check(&node, &document, &["-o", format]).done();
        assert!(warned.stderr.contains("warning: operation t read 0 points"), "{warned:?}");
    }
}
