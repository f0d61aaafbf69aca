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
    let json = document.json();
    // no progress where nobody watches, but the id at once
    let said = format!("task {} is accepted\n", json["task"].as_str().unwrap());
    assert_eq!(document.stderr, said);
    assert_eq!(json["result"]["groups"][0]["count"], 3);
    let id = json["task"].as_str().unwrap();
    let table = run(&node, &["task", "result", id]).done();
    assert!(table.text().starts_with("OPERATION  ROOM  COUNT\nt          r1        3\n"), "{}", table.text());
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
    let failure: Value = serde_json::from_str(crashed.stderr.lines().last().unwrap()).unwrap();
    assert!(
        crashed.stderr.starts_with(&format!("task {} is", failure["task"].as_str().unwrap())),
        "{crashed:?}"
    );
    assert!(failure["message"].as_str().unwrap().contains("boo"), "{failure}");

    let slow = run(&node, &["task", "submit", task, "--wait", "--timeout", "1s"]).refused(6, "E1031");
    let listed = run(&node, &["task", "ls", "-o", "json"]).done().json();
    let looping = listed["tasks"][0]["task"].as_str().unwrap();
    assert!(slow.stderr.contains(&format!("`fades task watch {looping}`")), "{slow:?}");
    run(&node, &["task", "result", looping]).refused(1, "E5003");
    assert!(run(&node, &["task", "cancel", looping]).done().stderr.contains("asked for"));
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
fn waiting_survives_a_restart_of_the_node() {
    let mut node = TestNode::equipped(Script::default().functions([FunctionAct::Loops]));
    let task = node.task("stats");
    let words =
        ["--node", "n/", "task", "submit", task, "--key", "service.key", "--wait", "--timeout", "60s"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fades"));
    command.current_dir(node.work.path()).env_remove("FADES_NODE").args(words);
    let waiting = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let reads = |list: &str| list.contains("streaming") || list.contains("computing");
    while !reads(node.local(&["task", "ls"]).done().text()) {
        assert!(std::time::Instant::now() < deadline, "{:?}", node.local(&["task", "ls"]));
    }
    node.stop();
    std::thread::sleep(std::time::Duration::from_secs(1));
    // guests of the second daemon behave
    node.run(Script::default());
    let ended = Ended::of(waiting.unwrap().wait_with_output().unwrap()).done();
    assert!(ended.text().contains("count") && ended.stderr.contains("is accepted"), "{ended:?}");
}

#[test]
fn a_persistent_task_is_followed_period_by_period() {
    let mut acts = vec![FunctionAct::Counts(8); 4];
    acts.insert(1, FunctionAct::Dies(ExitCause::Signal(9)));
    let node = TestNode::equipped(Script::default().functions(acts));
    let text = std::fs::read_to_string(node.path(node.task("stats"))).unwrap();
    let lifetime = "lifetime = { persistent = { every_ms = 3600000, until = 2026-01-02T03:30:00Z, missed = \"catch_up\" } }";
    std::fs::write(node.path("four.toml"), format!("{text}{lifetime}\n")).unwrap();
    let waited =
        run(&node, &["task", "submit", "four.toml", "--wait", "--timeout", "30s", "-o", "json"]).done();
    let document = waited.json();
    // 00:00 to 03:00: four periods, of which the second died.
    assert_eq!((&document["period"]["number"], &document["result"]["seen"]), (&3.into(), &3.into()));
    let id = document["task"].as_str().unwrap();
    // Each period is a task that the next one of its image is expected to be like.
    let plan = node.local(&["dmf", "plan", "task.toml", "--key", "service.key", "-o", "json"]).json();
    assert_eq!(plan["memory"]["heap_peak_bytes"], 4096, "{plan}");
    let listed = run(&node, &["task", "periods", id]).done();
    let lines: Vec<&str> = listed.text().lines().collect();
    assert_eq!(lines.len(), 5, "{listed:?}");
    assert!(lines[0].starts_with("PERIOD  STATE   DUE"), "{listed:?}");
    assert!(lines[3].contains("failed") && lines[3].contains("2026-01-02T01:00:00Z"), "{listed:?}");
    assert!(lines[3].contains("E3"), "{listed:?}");
    let shown = run(&node, &["task", "get", id]).done();
    assert!(shown.text().contains("3 done, 1 failed, 0 missed"), "{shown:?}");
    let all = run(&node, &["task", "ls"]).done();
    assert!(all.text().contains("PERIODS") && all.text().contains("3 done, 1 failed"), "{all:?}");
    let watched = run(&node, &["task", "watch", id]).done();
    assert!(watched.text().contains("waiting    period 0 done"), "{watched:?}");
    assert!(watched.text().contains("period 1 failed  E3"), "{watched:?}");
    let key = node.status()["public_key"].as_str().unwrap().to_owned();
    let third = run(&node, &["task", "result", id, "--period", "2", "--node-key", &key]).done();
    assert!(third.stderr.contains("the receipt holds") && third.text().contains("\"seen\": 2"), "{third:?}");
    assert!(third.text().contains("2, due 2026-01-02T02:00:00Z: 2026-01-01T02:00:00Z to"), "{third:?}");
    run(&node, &["task", "result", id, "--period", "1"]).refused(3, "E5016");
    run(&node, &["task", "result", id, "--period", "4"]).refused(3, "E5015");
    assert_eq!(run(&node, &["task", "result", "saved.json", "--period", "4"]).exit, 2);
    // a document is what its receipt says, its period too
    for (at, value, figure) in [
        ("/period/number", serde_json::json!(2), "period.number"),
        ("/period/windows/0/to", serde_json::json!("2026-01-02T02:00:00Z"), "period.windows[0].to"),
        ("/period/state_before", serde_json::json!("0".repeat(64)), "period.state_before"),
        ("/period", Value::Null, "period"),
    ] {
        let mut changed = document.clone();
        *changed.pointer_mut(at).unwrap() = value;
        std::fs::write(node.path("saved.json"), changed.to_string()).unwrap();
        let refused = fades(node.work.path(), &["task", "result", "saved.json", "--node-key", &key])
            .refused(4, "E5008");
        assert!(refused.stderr.contains(figure), "{refused:?}");
    }
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
    let keyless = node.tcp(&["task", "ls"]).refused(4, "E1212");
    assert!(keyless.stderr.contains("--key FILE") && !keyless.stderr.contains("ENVELOPE"), "{keyless:?}");
    node.local(&["task", "ls"]).done();
    run(&node, &["task", "get", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).refused(3, "E1013");
    node.tcp(&["task", "ls", "--key", "nowhere.key"]).refused(2, "E1126");
    fades(node.work.path(), &["--node", "http://127.0.0.1:9", "task", "ls"]).refused(5, "E1030");
}
