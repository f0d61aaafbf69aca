//! What an operator does: make a node, say whom it trusts and with what, look after it.

use fades_testkit::Script;

use crate::node::{TestNode, fades};

#[test]
fn a_folder_made_by_init_is_one_the_daemon_takes() {
    // that it starts at all is the daemon's own reading of fades.toml, node.key and the folder's mode
    let node = TestNode::start(Script::default());
    let status = node.status();
    assert_eq!(status["node"], "edge-1");
    let shown = node.tcp(&["status"]).done();
    assert!(shown.text().contains(status["key_id"].as_str().unwrap()), "{}", shown.text());
    node.local(&["init", "n"]).refused(1, "E6017");
}

#[test]
fn every_setting_that_init_writes_or_hints_at_is_one_of_the_daemons() {
    let work = tempfile::tempdir().unwrap();
    fades(work.path(), &["init", "n", "--backend", "qemu-tcg", "--qemu", "/usr/bin/qemu"]).done();
    let file = work.path().join("n/fades.toml");
    let hinted: String = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    std::fs::write(&file, &hinted).unwrap();
    let config = fades_daemon::config::Config::read(&file).unwrap();
    assert_eq!(config.backend.kind.as_deref(), Some("qemu-tcg"));
    let plain = fades_daemon::config::Config { broker: config.broker.clone(), ..config.clone() };
    assert_eq!(config.limits, fades_daemon::config::LimitsConfig::default(), "{hinted}");
    assert_eq!(plain.broker.memory_mib, fades_daemon::config::BrokerConfig::default().memory_mib);
}

#[test]
fn issuers_sources_and_images() {
    let node = TestNode::equipped(Script::default());
    let issuers = node.local(&["issuer", "ls", "-o", "json"]).done().json();
    assert_eq!(issuers["issuers"][0]["name"], "pollution.example");
    assert_eq!(issuers["issuers"][0]["policy"]["sources"]["testbed"]["everything"], true);
    let key_id = issuers["issuers"][0]["keys"][0]["key_id"].as_str().unwrap().to_owned();

    // nothing listens there
    let test = node.local(&["source", "test", "testbed"]);
    assert_eq!(test.exit, 1, "{test:?}");
    assert!(test.stderr.contains("E4000") && !test.stderr.contains("source test"), "{test:?}");
    assert!(node.local(&["source", "ls"]).done().text().contains("127.0.0.1:8086"));
    node.local(&["source", "rm", "testbed"]).done();
    node.local(&["source", "rm", "testbed"]).refused(3, "E1418");

    let images = node.tcp(&["image", "ls", "-o", "json"]).done().json();
    assert_eq!(images.as_array().unwrap().len(), 6);
    let window = images
        .as_array()
        .unwrap()
        .iter()
        .find(|image| image["reference"].as_str().unwrap().starts_with("window@"));
    let window = window.unwrap()["reference"].as_str().unwrap().to_owned();
    node.local(&["image", "rm", &window]).done();
    node.local(&["image", "rm", &window]).refused(3, "E1500");

    let revoked =
        node.local(&["issuer", "revoke", "pollution.example", "--key", &key_id, "-o", "json"]).done();
    assert_eq!(revoked.json()["keys"][0]["state"], "revoked");
    node.local(&["issuer", "add", "service.key.pub"]).refused(4, "E1205");
    node.local(&["issuer", "revoke", "nobody"]).refused(3, "E1000");
}

#[test]
fn what_is_the_operators_is_not_done_over_tcp() {
    let node = TestNode::start(Script::default());
    node.tcp(&["issuer", "ls"]).refused(4, "E1218");
    node.tcp(&["source", "ls"]).refused(4, "E1218");
}

#[test]
fn an_image_is_trusted_by_its_makers_key_alone() {
    let node = TestNode::equipped(Script::default());
    let inspected =
        node.local(&["image", "inspect", "stats.img", "--signer", "maker.key.pub", "-o", "json"]).done();
    assert_eq!(inspected.json()["signature"], "verified");
    assert!(node.local(&["image", "inspect", "stats.img"]).done().text().contains("not checked"));
    node.local(&["image", "inspect", "stats.img", "--signer", "service.key.pub"]).refused(4, "E1507");
    let maker = node.local(&["image", "signers", "-o", "json"]).done().json();
    let key_id = maker["signers"].as_object().unwrap().keys().next().unwrap().clone();
    node.local(&["image", "distrust", &key_id]).done();
    node.local(&["image", "add", "stats.img"]).refused(4, "E1513");
    // whoever did not sign it is not trusted on the way
    node.local(&["image", "add", "stats.img", "--trust", "service.key.pub"]).refused(4, "E1507");
    assert!(node.local(&["image", "signers"]).done().text().contains("no signers"));
}

#[test]
fn doctor_says_what_is_missing() {
    let node = TestNode::start(Script::default());
    let ended = node.local(&["doctor", "-o", "json"]);
    assert_eq!(ended.exit, 7, "{ended:?}");
    let findings = ended.json()["findings"].as_array().unwrap().clone();
    let of = |what: &str| {
        findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}"))
    };
    for what in ["clock", "folder", "node key", "disk", "daemon", "node's clock"] {
        assert_eq!(of(what)["verdict"], "ok", "{}", of(what));
    }
    assert_eq!((&of("broker")["verdict"], &of("broker")["code"]), (&"fail".into(), &"E6006".into()));
    assert_eq!(of("images")["verdict"], "fail");
    let gone = fades(node.work.path(), &["doctor", "nowhere"]);
    assert_eq!(gone.exit, 7);
    assert!(gone.text().contains("FAIL  folder") && gone.text().contains("FAIL  daemon"), "{gone:?}");
}

#[test]
fn up_becomes_the_daemon_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let work = tempfile::tempdir().unwrap();
    fades(work.path(), &["init", "n"]).done();
    let (program, daemon) = (work.path().join("fades"), work.path().join("fadesd"));
    std::fs::copy(env!("CARGO_BIN_EXE_fades"), &program).unwrap();
    let up = || {
        let mut command = std::process::Command::new(&program);
        command.args(["up", "n"]).current_dir(work.path()).env("PATH", "");
        loop {
            match command.output() {
                // Another test's child has what was copied open for writing, from its fork until it is a program of its own.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now()
                }
                ended => break crate::node::Ended::of(ended.unwrap()),
            }
        }
    };
    assert_eq!(up().exit, 7);
    std::fs::write(&daemon, "#!/bin/sh\necho $$ $*\nexit 42\n").unwrap();
    std::fs::set_permissions(&daemon, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = up();
    assert_eq!(ended.exit, 42, "{ended:?}");
    assert!(ended.text().ends_with(" n\n"), "{ended:?}");
}

#[test]
fn the_node_comes_from_the_environment_or_the_current_folder() {
    let node = TestNode::start(Script::default());
    let status = |folder: &str, address: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fades"));
        command
            .current_dir(node.work.path().join(folder))
            .env_remove("FADES_NODE")
            .args(["status", "-o", "json"]);
        address.map(|address| command.env("FADES_NODE", address));
        crate::node::Ended::of(command.output().unwrap())
    };
    assert_eq!(status("n", None).done().json()["node"], "edge-1");
    assert_eq!(status(".", Some(&node.url)).done().json()["node"], "edge-1");
    assert_eq!(status("n", Some("http://127.0.0.1:9")).exit, 5);
}

#[test]
fn codes_are_explained_offline() {
    let work = tempfile::tempdir().unwrap();
    assert!(fades(work.path(), &["explain", "1203"]).done().text().contains("What to do: "));
    assert_eq!(
        fades(work.path(), &["explain", "E1203", "-o", "json"]).done().json()["name"],
        "TASK_ID_REUSED"
    );
    assert_eq!(fades(work.path(), &["explain", "E9999"]).exit, 3);
    fades(work.path(), &["up", "."]).refused(2, "E6014");
}
