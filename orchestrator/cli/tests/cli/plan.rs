//! `fades dmf plan`: what would be read, taken and said, before anything runs.

use std::io::{Read, Write};
use std::net::TcpListener;

use fades_testkit::Script;

use crate::node::TestNode;

/// Counts of two series, as InfluxDB 1.6 words them; what was asked of it is given back.
fn counting_source() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..count]);
        }
        let series = |room: &str, count: u32| {
            format!(
                r#"{{"name":"temperature","tags":{{"room":"{room}"}},"columns":["time","count"],"values":[["2026-01-01T00:00:00Z",{count}]]}}"#
            )
        };
        let body = format!(
            r#"{{"results":[{{"statement_id":0,"series":[{},{}]}}]}}"#,
            series("r1", 20_000),
            series("r2", 5)
        );
        write!(stream, "HTTP/1.0 200 OK\r\nX-Influxdb-Version: 1.6.7\r\n\r\n{body}").unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, asked)
}

#[test]
fn a_plan_tells_what_would_be_read_and_runs_nothing() {
    let node = TestNode::equipped(Script::default());
    let (url, asked) = counting_source();
    node.local(&["source", "add", "testbed", "influxdb1", &url, "--database", "testbed"]).done();
    let task = node.task("stats");
    let plan = node.local(&["dmf", "plan", task, "--key", "service.key", "-o", "json"]).done().json();
    let asked = asked.join().unwrap();
    assert!(asked.contains("SELECT%20COUNT%28%22value%22%29%20FROM%20%22temperature%22"), "{asked}");
    assert_eq!(plan["verdict"], serde_json::json!({ "accepted": true }), "{plan}");
    assert_eq!(plan["issuer"], "pollution.example");
    // 20,000 points of one series are more than one chunk holds.
    let read = serde_json::json!({ "series": 2, "points": 20_005, "bytes": 320_080, "chunks": 3 });
    assert_eq!((&plan["operations"][0]["read"], &plan["read"]), (&read, &read));
    // Nothing has run here, so nothing is expected.
    assert!(plan["expected"].is_null(), "{plan}");
    assert_eq!(node.local(&["task", "ls", "-o", "json"]).done().json()["tasks"], serde_json::json!([]));
}

#[test]
fn a_plan_tells_why_a_task_would_not_run() {
    let node = TestNode::equipped(Script::default());
    let task = node.task("stats");
    let plan = |words: &[&str]| node.local(&[&["dmf", "plan"], words].concat());
    // Nobody listens there; all else is told all the same.
    node.local(&["source", "add", "testbed", "influxdb1", "http://127.0.0.1:1", "--database", "x"]).done();
    let unreachable = plan(&[task, "--key", "service.key"]);
    assert!(unreachable.exit == 1 && unreachable.stderr.contains("E4000"), "{unreachable:?}");
    assert!(unreachable.text().contains("the node would take it"), "{unreachable:?}");
    assert!(unreachable.text().contains("not all of it could be counted"), "{unreachable:?}");
    // Who has no key here is not let in, whatever it asks.
    let stranger = plan(&[task, "--issuer", "stranger.example"]);
    assert!(stranger.exit == 4 && stranger.stderr.contains("E1111"), "{stranger:?}");
    assert!(stranger.text().contains("would REFUSE it"), "{stranger:?}");
    node.local(&["issuer", "revoke", "pollution.example"]).done();
    let revoked = plan(&[task, "--key", "service.key"]);
    assert!(revoked.exit == 4 && revoked.stderr.contains("E1205"), "{revoked:?}");
    let nobody = plan(&[task]);
    assert!(nobody.exit == 2 && nobody.stderr.contains("--issuer"), "{nobody:?}");
    // Others than the operator are told nothing: the counts are of sources that no policy allows them.
    node.tcp(&["dmf", "plan", task, "--key", "service.key"]).refused(4, "E1218");
}
