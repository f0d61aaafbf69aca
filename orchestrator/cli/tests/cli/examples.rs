//! What stands in `examples/` does what it says, against a node over TCP.

use std::path::{Path, PathBuf};
use std::process::Command;

use fades_testkit::Script;

use crate::node::{Ended, TestNode};
use crate::proxy::between;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn the_tasks_are_signed_and_taken() {
    let node = TestNode::equipped(Script::default());
    let mut seen = 0;
    for entry in std::fs::read_dir(examples().join("tasks")).unwrap() {
        let file = entry.unwrap().path();
        node.tcp(&["task", "submit", file.to_str().unwrap(), "--key", "service.key", "--wait"]).done();
        seen += 1;
    }
    assert_eq!(seen, 5);
}

/// A program with `fades` in its PATH.
fn program(node: &TestNode, program: &Path) -> Command {
    program_at(&node.url, node, program)
}

/// The same, told that the node is elsewhere.
fn program_at(url: &str, node: &TestNode, program: &Path) -> Command {
    let fades = Path::new(env!("CARGO_BIN_EXE_fades")).parent().unwrap();
    let path = format!("{}:{}", fades.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .current_dir(node.work.path())
        .env_remove("FADES_NODE")
        .env("PATH", path)
        .args([url, "service.key"]);
    command
}

#[test]
fn the_service_in_python() {
    if Command::new("/usr/bin/python3")
        .args(["-c", "import cbor2, cryptography"])
        .status()
        .is_ok_and(|s| s.success())
    {
        let node = TestNode::equipped(Script::default());
        let (status, script) = (node.status(), examples().join("python/service.py"));
        let key = status["public_key"].as_str().unwrap();
        let images =
            status["images"].as_array().unwrap().iter().map(|image| image["reference"].as_str().unwrap());
        let image = images.into_iter().find(|image| image.starts_with("stats@")).unwrap();
        let run = |key: &str, image: &str| {
            Ended::of(program(&node, &script).args([key, image, "testbed"]).output().unwrap())
        };
        assert_eq!(run(key, image).done().json(), serde_json::json!({ "count": 1 }));
        // it believes no other node, and says why it was refused
        let other = node.local(&["key", "new", "other.key", "-o", "json"]).done().json();
        let deceived = run(other["public_key"].as_str().unwrap(), image);
        assert!(deceived.exit != 0 && deceived.stderr.contains("InvalidSignature"), "{deceived:?}");
        assert!(!deceived.stderr.contains("Traceback"), "{deceived:?}");
        // nor another result, and no switch of Python's turns that off
        let liar = between(&node.url, ("eyJjb3VudCI6MX0", "eyJjb3VudCI6Mn0"));
        for optimized in ["", "1"] {
            let mut command = program_at(&liar, &node, &script);
            command.args([key, image, "testbed"]).env("PYTHONOPTIMIZE", optimized);
            let lied_to = Ended::of(command.output().unwrap()).refused(1, "about another result");
            assert!(!lied_to.stderr.contains("Traceback"), "{lied_to:?}");
        }
        for (url, key, said) in
            [(&node.url, "zz", "keys "), (&"http://127.0.0.1:9".to_owned(), key, "cannot be reached")]
        {
            let mut command = program_at(url, &node, &script);
            let ended = Ended::of(command.args([key, image, "testbed"]).output().unwrap()).refused(1, said);
            assert!(!ended.stderr.contains("Traceback"), "{ended:?}");
        }
        let unknown = format!("stats@sha256:{}", "0".repeat(64));
        assert!(run(key, &unknown).stderr.contains("E1500"));
    } else {
        eprintln!(
            "SKIPPED: examples/python needs /usr/bin/python3 with cbor2 and cryptography (apt-get install python3-cbor2 python3-cryptography)"
        );
    }
}

#[test]
fn the_script_with_curl() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: examples/curl needs curl (apt-get install curl)");
        return;
    }
    let node = TestNode::equipped(Script::default());
    let (key, task) =
        (node.status()["public_key"].as_str().unwrap().to_owned(), examples().join("tasks/hourly.toml"));
    let run = |key: &str| {
        Ended::of(program(&node, &examples().join("curl/submit.sh")).arg(key).arg(&task).output().unwrap())
    };
    let ended = run(&key).done();
    assert_eq!(ended.json()["result"]["count"], 1);
    assert!(ended.stderr.contains("the receipt holds"), "{ended:?}");
    let other = node.local(&["key", "new", "other.key", "-o", "json"]).done().json();
    assert_eq!(run(other["public_key"].as_str().unwrap()).exit, 4);
    node.local(&["issuer", "revoke", "pollution.example"]).done();
    let refused = run(&key);
    assert!(refused.exit == 1 && refused.stderr.contains("E1205"), "{refused:?}");
}
