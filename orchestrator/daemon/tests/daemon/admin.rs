//! THREATS A4, A7 and B2: keys at enrolment, keys out of force, images that must not boot.

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_envelope::{Purpose, SigningKey, sign};
use fades_testkit::{FunctionAct, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{ISSUER, TestNode, folder, id, image, key, policy, proof};

#[tokio::test(flavor = "multi_thread")]
async fn a4_keys_are_admitted_with_proof_only() {
    let node = TestNode::new().await;
    let path = "/v1/admin/issuers/new.example";
    let put = async |proof: String| node.admin("PUT", path, &json!({ "proof": proof })).await.code();
    let claim = |hex: &str| {
        let payload =
            json!({ "schema": "fades.key.v1", "public_key": hex, "name": "new.example" }).to_string();
        Base64UrlUnpadded::encode_string(&sign(&key(50), Purpose::Request, payload.as_bytes()))
    };
    let little = |number: &str| format!("{number:0<64}");
    assert_eq!(put(claim(&little("01"))).await, "E1122", "the neutral point");
    assert_eq!(put(claim(&"0".repeat(64))).await, "E1122", "a point of order 4");
    assert_eq!(put(claim(&format!("ee{}7f", "f".repeat(60)))).await, "E1121", "y = p + 1");
    assert_eq!(put(claim(&little("02"))).await, "E1127", "not a point");
    let other = key(51).public().to_string();
    assert_eq!(put(claim(&other)).await, "E1124", "another's key");
    assert_eq!(put(proof(&key(50), "old.example")).await, "E1124", "another name");
    assert_eq!(put("****".to_owned()).await, "E1124");
    let stolen = node
        .admin(
            "PUT",
            "/v1/admin/issuers/new.example",
            &json!({ "proof": proof(&node.issuer, "new.example") }),
        )
        .await;
    assert_eq!(stolen.code(), "E1208", "one key, one issuer");
    let issuers = node.local("GET", "/v1/admin/issuers", b"").await.json();
    assert_eq!(issuers["issuers"].as_array().unwrap().len(), 1, "{issuers}");
    assert_eq!(put(proof(&key(50), "new.example")).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_keys_out_of_force_open_nothing() {
    let node = TestNode::new().await;
    let issuer = format!("/v1/admin/issuers/{ISSUER}");
    let add = async |key: &SigningKey, extra: Value| {
        let mut update = json!({ "proof": proof(key, ISSUER) });
        update.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(node.admin("PUT", &issuer, &update).await.status, 200);
    };
    let submit = async |key: &SigningKey, number: u32| {
        let payload = node.wrapper(&id(number), |_| {}).to_string();
        node.submit(&sign(key, Purpose::Task, payload.as_bytes())).await.code()
    };
    let (expired, early, good) = (key(60), key(61), key(62));
    add(&expired, json!({ "not_after": node.in_seconds(-1) })).await;
    add(&early, json!({ "not_before": node.in_seconds(100) })).await;
    add(&good, json!({ "not_before": node.in_seconds(-100), "not_after": node.in_seconds(100) })).await;
    assert_eq!(submit(&expired, 1).await, "E1206");
    assert_eq!(submit(&early, 2).await, "E1207");
    assert_eq!(submit(&good, 3).await, "");

    let revoke = format!("{issuer}/keys/{}", good.public().id());
    let revoked = node.local("DELETE", &revoke, b"").await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(submit(&good, 4).await, "E1205");
    // For ever: it cannot be enrolled again.
    let again = node.admin("PUT", &issuer, &json!({ "proof": proof(&good, ISSUER) })).await;
    assert_eq!(again.code(), "E1205");
    assert_eq!(submit(&node.issuer, 5).await, "");
    assert_eq!(node.local("DELETE", &issuer, b"").await.status, 200);
    assert_eq!(submit(&node.issuer, 6).await, "E1205");
    // And over a restart.
    let image = node.image.clone();
    let dir = node.stop().await;
    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    node.image = image;
    node.until_ready().await;
    let envelope = node.signed(&id(7), |_| {});
    assert_eq!(node.submit(&envelope).await.code(), "E1205");
}

/// Whoever puts an older copy of the store back, of before the revocation or even of before the key was known, puts no key back.
#[tokio::test(flavor = "multi_thread")]
async fn a7_a_revoked_key_stays_revoked_whatever_store_is_put_back() {
    let node = TestNode::new().await;
    let (issuer, late) = (format!("/v1/admin/issuers/{ISSUER}"), key(63));
    let before = {
        let (image, dir) = (node.image.clone(), node.stop().await);
        (std::fs::read(dir.path().join("store.redb")).unwrap(), image, dir)
    };
    let (copy, image, dir) = before;
    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    node.image = image.clone();
    node.until_ready().await;
    let enrol = async |node: &TestNode, key| {
        node.admin("PUT", &issuer, &json!({ "proof": proof(key, ISSUER) })).await
    };
    assert_eq!(enrol(&node, &late).await.status, 200);
    for key in [&node.issuer, &late] {
        let path = format!("{issuer}/keys/{}", key.public().id());
        assert_eq!(node.local("DELETE", &path, b"").await.status, 200);
    }
    let dir = node.stop().await;
    std::fs::write(dir.path().join("store.redb"), copy).unwrap();
    let mut node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    node.image = image;
    node.until_ready().await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.code(), "E1205");
    for key in [&node.issuer, &late] {
        let again = enrol(&node, key).await;
        assert_eq!(again.code(), "E1205", "{again:?}");
    }
    let shown = node.local("GET", "/v1/admin/issuers", b"").await.json();
    assert_eq!(shown["issuers"][0]["keys"][0]["state"], "revoked", "{shown}");
    // Another key is taken as before.
    assert_eq!(enrol(&node, &key(64)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_images_are_what_their_signer_made() {
    let node = TestNode::new().await;
    let good = image("other", fades_pack::Role::Dmf, &key(3));
    let add = async |bytes: &[u8]| node.local("POST", "/v1/admin/images", bytes).await.code();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert_eq!(add(&image("other", fades_pack::Role::Dmf, &key(4))).await, "E1513");
    assert_eq!(add(&good[..good.len() - 1]).await, "E1502");
    assert_eq!(add(&[&good[..], &[0]].concat()).await, "E1503");
    assert_eq!(add(&changed(0)).await, "E1504");
    assert_eq!(add(&changed(8)).await, "E1505");
    assert_eq!(add(&changed(good.len() - 1)).await, "E1501");
    assert_eq!(add(&changed(200)).await, "E1507");
    assert_eq!(add(&vec![0; 9 << 20]).await, "E1002");
    let files = || std::fs::read_dir(node.dir.path().join("images")).unwrap().count();
    assert_eq!(files(), 2);
    assert_eq!(add(&good).await, "");
    assert_eq!(files(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_an_image_swapped_after_its_check_does_not_boot() {
    let node = TestNode::new().await;
    let path =
        node.dir.path().join("images").join(format!("{}.img", node.image.split(':').next_back().unwrap()));
    std::fs::write(&path, image("stats", fades_pack::Role::Dmf, &key(4))).unwrap();
    node.submit(&node.signed(&id(1), |_| {})).await;
    let view = node.ended(&id(1)).await;
    assert_eq!(view["state"], "failed", "{view}");
    assert!(view["detail"].as_str().unwrap().contains("not trusted"), "{view}");
    assert_eq!(node.backend.started(Role::Function), 0);
    // One of the right signer, but another image.
    std::fs::write(&path, image("stats2", fades_pack::Role::Dmf, &key(3))).unwrap();
    node.submit(&node.signed(&id(2), |_| {})).await;
    assert_eq!(node.ended(&id(2)).await["state"], "failed");
    assert_eq!(node.backend.started(Role::Function), 0);
    std::fs::write(&path, image("stats", fades_pack::Role::Dmf, &key(3))).unwrap();
    node.submit(&node.signed(&id(3), |_| {})).await;
    assert_eq!(node.ended(&id(3)).await["state"], "succeeded");
    // Once its signer is not trusted any more it does not boot, sealed or not.
    let signer = format!("/v1/admin/signers/{}", key(3).public().id());
    assert_eq!(node.local("DELETE", &signer, b"").await.status, 204);
    node.submit(&node.signed(&id(4), |_| {})).await;
    assert_eq!(node.ended(&id(4)).await["state"], "failed");
    assert_eq!(node.backend.started(Role::Function), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_use_stays() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    let path = |reference: &str| format!("/v1/admin/images/{}", reference.split(':').next_back().unwrap());
    let broker = node.get("/v1/node").await.json()["broker"]["image"].as_str().unwrap().to_owned();
    let refused = node.local("DELETE", &path(&broker), b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "E1515"), "{refused:?}");
    node.submit(&node.signed(&id(1), |_| {})).await;
    assert_eq!(node.local("DELETE", &path(&node.image), b"").await.code(), "E1515");
    assert_eq!(node.local("DELETE", &format!("/v1/tasks/{}", id(1)), b"").await.status, 202);
    node.ended(&id(1)).await;
    assert_eq!(node.local("DELETE", &path(&node.image), b"").await.status, 204);
    assert_eq!(node.local("DELETE", &path(&node.image), b"").await.code(), "E1500");
    let left = node.get("/v1/node").await.json()["images"].clone();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["reference"]), (1, &json!(broker)));
}

/// Listens, and answers the next connections with these bytes.
async fn answering(answers: Vec<String>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let mut stream = listener.accept().await.unwrap().0;
            let mut question = [0; 4096];
            let _ = stream.read(&mut question).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_a_source_tells_that_its_database_is_missing() {
    let node = TestNode::new().await;
    let answer = |result: Value| {
        let body = json!({ "results": [result] });
        format!("HTTP/1.0 200 OK\r\nX-Influxdb-Version: 1.6.7\r\n\r\n{body}")
    };
    let missing = answer(json!({ "statement_id": 0, "error": "database not found: iot" }));
    let there = answer(json!({ "series": [{ "columns": ["name"], "values": [["autogen"]] }] }));
    let port = answering(vec![missing, there]).await;
    let source = json!({ "kind": "influxdb1", "host": "127.0.0.1", "port": port, "database": "iot" });
    assert_eq!(node.admin("PUT", "/v1/admin/sources/edison", &source).await.status, 200);
    let test = async || node.local("POST", "/v1/admin/sources/edison/test", b"").await.json();
    let failed = test().await;
    assert_eq!((&failed["ok"], &failed["code"]), (&json!(false), &json!("E4008")), "{failed}");
    assert!(failed["detail"].as_str().unwrap().contains("database not found: iot"), "{failed}");
    let passed = test().await;
    assert_eq!((&passed["ok"], &passed["code"]), (&json!(true), &Value::Null), "{passed}");
    // Nobody listens there any more.
    let refused = test().await;
    assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("E4000")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_broker_says_so() {
    let node = TestNode::start(folder(), Script::default(), Clock::default(), |_| {}).await;
    let ready = node.get("/readyz").await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "E2006"));
    assert_eq!(node.get("/v1/node").await.json()["broker"]["state"], "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_registered_where_the_broker_finds_them() {
    let node = TestNode::new().await;
    assert_eq!(node.network_source("edison"), Some(("127.0.0.1".to_owned(), 8086)));
    let source = json!({
        "kind": "influxdb1", "host": "db.example", "port": 8087, "database": "iot", "user": "u", "password": "secret",
    });
    let put = node.admin("PUT", "/v1/admin/sources/edison", &source).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(node.network_source("edison"), Some(("db.example".to_owned(), 8087)));
    let listed = node.local("GET", "/v1/admin/sources", b"").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("secret"));
    assert!(!String::from_utf8_lossy(&node.get("/v1/node").await.body).contains("db.example"));
    for (key, value) in
        [("host", json!("a b")), ("host", json!("")), ("port", json!(0)), ("database", json!("x\ny"))]
    {
        let mut bad = source.clone();
        bad[key] = value;
        assert_eq!(node.admin("PUT", "/v1/admin/sources/edison", &bad).await.status, 400, "{bad}");
    }
    let mut policy = policy();
    policy["images"] = json!(["../stats"]);
    let bad = node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &json!({ "policy": policy })).await;
    assert_eq!(bad.code(), "E1314");
    assert_eq!(node.local("DELETE", "/v1/admin/sources/edison", b"").await.status, 204);
    assert_eq!(node.network_source("edison"), None);
    assert_eq!(node.local("DELETE", "/v1/admin/sources/edison", b"").await.code(), "E1418");
}
