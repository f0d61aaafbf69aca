//! Reading and cancelling over the network: signed requests, and who may see what.

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_daemon::clock::timestamp;
use fades_envelope::{Purpose, SigningKey, sign};
use fades_testkit::{FunctionAct, Script};
use serde_json::{Value, json};

use crate::http::{Answer, over_tcp, request};
use crate::support::{TestNode, id, key, policy, proof};

/// A request's payload, changed.
fn payload(node: &TestNode, method: &str, path: &str, nonce: u32, change: impl FnOnce(&mut Value)) -> Value {
    let now = node.node.clock.unix_us();
    let mut payload = json!({
        "schema": "fades.request.v1", "method": method, "path": path, "audience": "edge-1",
        "issued_at": timestamp(now).to_string(), "expires_at": timestamp(now + 60_000_000).to_string(),
        "nonce": format!("{nonce:032x}"),
    });
    change(&mut payload);
    payload
}

async fn send(node: &TestNode, method: &str, path: &str, key: &SigningKey, payload: &Value) -> Answer {
    let envelope = sign(key, Purpose::Request, payload.to_string().as_bytes());
    let header = format!("Fades {}", Base64UrlUnpadded::encode_string(&envelope));
    over_tcp(node.tcp, &request(method, path, &[("Authorization", &header)], b"")).await
}

async fn signed(node: &TestNode, method: &str, path: &str, key: &SigningKey, nonce: u32) -> Answer {
    send(node, method, path, key, &payload(node, method, path, nonce, |_| {})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_network_reading_needs_a_signature() {
    let node = TestNode::new().await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    node.ended(&id(1)).await;
    let path = format!("/v1/tasks/{}", id(1));
    for path in [&path, &format!("{path}/result"), &format!("{path}/events"), "/v1/tasks", "/v1/events"] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "E1212"), "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Fades"));
    }
    assert_eq!(signed(&node, "GET", &path, &node.issuer, 1).await.json()["state"], "succeeded");
    assert_eq!(signed(&node, "GET", &format!("{path}/result"), &node.issuer, 2).await.status, 200);
    let listed = signed(&node, "GET", "/v1/tasks?state=succeeded", &node.issuer, 3).await.json();
    assert_eq!(listed["tasks"][0]["task"], id(1));
    for path in ["/livez", "/readyz", "/metrics", "/v1/node", "/openapi.json"] {
        assert_eq!(node.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_for_one_thing_once() {
    let node = TestNode::new().await;
    let path = "/v1/tasks";
    let cases: Vec<(&str, Value, &str)> = vec![
        ("another path", payload(&node, "GET", "/v1/events", 1, |_| {}), "E1210"),
        ("another query", payload(&node, "GET", "/v1/tasks?state=failed", 2, |_| {}), "E1210"),
        ("another method", payload(&node, "DELETE", path, 3, |_| {}), "E1210"),
        ("another node", payload(&node, "GET", path, 4, |p| p["audience"] = json!("edge-2")), "E1202"),
        (
            "a long life",
            payload(&node, "GET", path, 5, |p| p["expires_at"] = json!("2030-01-01T00:00:00Z")),
            "E1209",
        ),
        (
            "expired",
            payload(&node, "GET", path, 6, |p| {
                p["issued_at"] = json!(node.in_seconds(-100));
                p["expires_at"] = json!(node.in_seconds(-1));
            }),
            "E1200",
        ),
        (
            "from the future",
            payload(&node, "GET", path, 7, |p| {
                p["issued_at"] = json!(node.in_seconds(60));
                p["expires_at"] = json!(node.in_seconds(100));
            }),
            "E1201",
        ),
        ("no nonce", payload(&node, "GET", path, 8, |p| p["nonce"] = json!("x")), "E1325"),
    ];
    for (what, payload, code) in &cases {
        let answer = send(&node, "GET", path, &node.issuer, payload).await;
        assert_eq!(answer.code(), *code, "{what}: {answer:?}");
    }
    let once = payload(&node, "GET", path, 9, |_| {});
    assert_eq!(send(&node, "GET", path, &node.issuer, &once).await.status, 200);
    assert_eq!(send(&node, "GET", path, &node.issuer, &once).await.code(), "E1211");
    assert_eq!(
        send(&node, "GET", path, &key(77), &payload(&node, "GET", path, 10, |_| {})).await.code(),
        "E1111"
    );
    let header = |value: String| async move { value };
    for (value, code) in [
        ("Bearer x".to_owned(), "E1213"),
        ("Fades".to_owned(), "E1213"),
        ("Fades ****".to_owned(), "E1213"),
        ("Fades AAAA".to_owned(), "E1101"),
        (format!("Fades {}", Base64UrlUnpadded::encode_string(&node.signed(&id(1), |_| {}))), "E1114"),
    ] {
        let value = header(value).await;
        let answer = over_tcp(node.tcp, &request("GET", path, &[("Authorization", &value)], b"")).await;
        assert_eq!(answer.code(), code, "{value}");
    }
    let before =
        payload(&node, "DELETE", "/v1/tasks/x", 11, |p| p["issued_at"] = json!(node.in_seconds(-50)));
    let answer = send(&node, "DELETE", "/v1/tasks/x", &node.issuer, &before).await;
    assert_eq!(answer.code(), "E1211", "signed before the daemon was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_tasks_do_not_exist_unless_policy_says_so() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    let rival = key(40);
    let update = json!({ "proof": proof(&rival, "rival.example"), "policy": policy() });
    node.admin("PUT", "/v1/admin/issuers/rival.example", &update).await;
    node.submit(&node.signed(&id(1), |_| {})).await;
    let path = format!("/v1/tasks/{}", id(1));
    let unknown = format!("/v1/tasks/{}", id(2));
    for (nonce, method, path) in [(1, "GET", &path), (2, "DELETE", &path), (3, "GET", &unknown)] {
        let answer = signed(&node, method, path, &rival, nonce).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "E1013"), "{method} {path}");
    }
    assert_eq!(signed(&node, "GET", "/v1/tasks", &rival, 4).await.json()["tasks"], json!([]));
    let mut reading = policy();
    reading["reads"] = json!([crate::support::ISSUER]);
    node.admin("PUT", "/v1/admin/issuers/rival.example", &json!({ "policy": reading })).await;
    assert_eq!(signed(&node, "GET", &path, &rival, 5).await.status, 200);
    // Reading is not cancelling.
    assert_eq!(signed(&node, "DELETE", &path, &rival, 6).await.code(), "E1215");
    assert_eq!(signed(&node, "DELETE", &path, &node.issuer, 7).await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_queries_are_strict() {
    let node = TestNode::new().await;
    for number in 1..=120 {
        assert_eq!(node.submit(&node.signed(&id(number), |_| {})).await.status, 202);
    }
    let first = node.local("GET", "/v1/tasks", b"").await.json();
    assert_eq!(first["tasks"].as_array().unwrap().len(), 100);
    assert_eq!(first["tasks"][0]["task"], id(120));
    let next = format!("/v1/tasks?cursor={}", first["next"].as_str().unwrap());
    let second = node.local("GET", &next, b"").await.json();
    assert_eq!(second["tasks"].as_array().unwrap().len(), 20);
    assert_eq!((&second["tasks"][19]["task"], &second["next"]), (&json!(id(1)), &Value::Null));
    for (query, code) in [
        ("state=done", "E1011"),
        ("state=queued&state=queued", "E1011"),
        ("sort=up", "E1011"),
        ("cursor=1", "E1012"),
    ] {
        assert_eq!(node.local("GET", &format!("/v1/tasks?{query}"), b"").await.code(), code, "{query}");
    }
    let others = node.local("GET", "/v1/tasks?issuer=rival.example", b"").await.json();
    assert_eq!(others["tasks"], json!([]));
}
