//! What commands say and how they end when something on their command line is wrong.

use std::process::Command;

use fades_testkit::Script;

use crate::node::{Ended, TestNode, fades};

#[test]
fn a_missing_file_ends_every_command_alike() {
    let work = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| fades(work.path(), words);
    run(&["key", "new", "a.key"]).done();
    std::fs::write(work.path().join("task.toml"), "[drb]\n[dmf]\nimage = \"stats\"\n").unwrap();
    std::fs::create_dir(work.path().join("n")).unwrap();
    for words in [
        &["task", "submit", "none.toml", "--key", "a.key"][..],
        &["task", "sign", "none.toml", "--key", "a.key"],
        &["task", "sign", "task.toml", "--key", "none"],
        &["task", "result", "none.json"],
        &["task", "ls", "--key", "none"],
        &["--node", "n", "issuer", "add", "none.pub"],
        &["--node", "n", "issuer", "add", "a.key.pub", "--policy", "none.toml"],
        &["--node", "n", "image", "add", "none.img"],
        &["image", "inspect", "none.img"],
        &["key", "ls", "none"],
        &["up", "none"],
    ] {
        let ended = run(words);
        assert_eq!((ended.exit, ended.stdout.len()), (2, 0), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains("none"), "{words:?}: {ended:?}");
    }
}

#[test]
fn the_public_half_of_a_key_is_known_for_what_it_is() {
    let work = tempfile::tempdir().unwrap();
    fades(work.path(), &["key", "new", "a.key"]).done();
    let ended = fades(work.path(), &["task", "ls", "--node", "http://127.0.0.1:9", "--key", "a.key.pub"]);
    ended.refused(2, "a.key.pub is the public half of a key");
}

#[test]
fn the_variable_names_a_node_only_where_one_is_asked() {
    let node = TestNode::start(Script::default());
    let run = |variable: &str, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fades"));
        command.current_dir(node.work.path()).env("FADES_NODE", variable).args(words);
        Ended::of(command.output().unwrap())
    };
    // a folder needs no slash where it is there
    run("n", &["status"]).done();
    run("n/", &["status"]).done();
    let wrong = run("edge-1", &["status"]).refused(2, "FADES_NODE=edge-1");
    assert!(wrong.stderr.contains("DIR/"), "{wrong:?}");
    run("edge-1", &["status", "--node", &node.url]).done();
    run("edge-1", &["explain", "E1203"]).done();
    run("edge-1", &["key", "ls", "."]).done();
}

#[test]
fn a_second_daemon_on_a_folder_is_refused_in_words() {
    let node = TestNode::start(Script::default());
    fades(node.work.path(), &["up", "n"])
        .refused(1, "fades: E6009: a fadesd answers at n/fadesd.sock already");
}

#[test]
fn help_has_its_own_options_first_and_no_node_where_none_is_asked() {
    let work = tempfile::tempdir().unwrap();
    let help = |words: &[&str]| fades(work.path(), &[words, &["--help"]].concat()).done().text().to_owned();
    let result = help(&["task", "result"]);
    let at = |word: &str| result.find(word).unwrap_or_else(|| panic!("no {word} in {result}"));
    assert!(at("--wrapper <") < at("Options of every command"), "{result}");
    assert!(at("Options of every command") < at("--node <NODE>"), "{result}");
    for words in [&["explain"][..], &["init"], &["up"], &["key", "new"], &["key", "ls"]] {
        let text = help(words);
        assert!(!text.contains("--node ") && text.contains("--output"), "{text}");
    }
}

#[test]
fn the_operator_sees_what_an_issuer_may_read() {
    let node = TestNode::start(Script::default());
    node.local(&["key", "new", "a.key"]).done();
    let words = ["issuer", "add", "a.key.pub", "--image", "stats", "--source", "testbed:humidity.value"];
    node.local(&words).done();
    assert!(node.local(&["issuer", "ls"]).done().text().contains("testbed:humidity.value"));
    // What the node does not have may come; or it is misspelt.
    let misspelt =
        ["issuer", "add", "a.key.pub", "--image", "stat:1.0.0+", "--image", "stats", "--source", "test"];
    let said = node.local(&misspelt).done().stderr;
    let warnings: Vec<&str> = said.lines().collect();
    let none = |what: &str| format!("warning: this node has no {what} yet");
    assert_eq!(warnings, ["source test", "image stat", "image stats"].map(none));
}
