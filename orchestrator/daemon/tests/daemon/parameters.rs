//! Parameters against what the function's image says of them: checked when they come, not when a guest has booted.

use fades_core::Role;
use fades_pack::Function;
use serde_json::{Value, json};

use crate::support::{TestNode, described, id, key, policy, proof};

/// What a function with one parameter says of itself.
fn windowed(parameters: Value) -> Function {
    Function { parameters, result: json!({ "type": "object" }), together: false }
}

fn every() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["every"],
        "properties": { "every": { "type": "string", "pattern": "^[1-9][0-9]*(s|m|h)$" } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_do_not_fit_are_refused_by_their_key() {
    let node = TestNode::new().await;
    let image = described("window", Some(windowed(every())), &key(3));
    let added = node.local("POST", "/v1/admin/images", &image).await;
    assert_eq!(added.status, 201, "{added:?}");
    let reference = added.json()["reference"].clone();
    let mut allowed = policy();
    allowed["images"] = json!(["stats", "window"]);
    let update = json!({ "proof": proof(&node.issuer, crate::support::ISSUER), "policy": allowed });
    let put = node.admin("PUT", &format!("/v1/admin/issuers/{}", crate::support::ISSUER), &update).await;
    assert_eq!(put.status, 200, "{put:?}");
    let asked = |number: u8, parameters: Value| {
        node.signed(&id(number.into()), |wrapper| {
            wrapper["dmf"]["image"] = reference.clone();
            wrapper["dmf"]["parameters"] = parameters;
        })
    };
    for (number, parameters, words) in [
        (1, json!({}), "dmf.parameters.every"),
        (2, json!({ "every": "soon" }), "dmf.parameters.every"),
        (3, json!({ "every": "1h", "evry": 1 }), "dmf.parameters.evry"),
    ] {
        let answer = node.submit(&asked(number, parameters)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "E1327"), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{answer:?}");
    }
    assert_eq!(node.backend.started(Role::Function), 0, "a guest was started");
    // The refused id is free, and what fits runs.
    assert_eq!(node.submit(&asked(1, json!({ "every": "15m" }))).await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    // After a restart the store says the same.
    let dir = node.stop().await;
    let node =
        TestNode::start(dir, fades_testkit::Script::default(), fades_daemon::clock::Clock::default(), |_| {})
            .await;
    node.until_ready().await;
    let again = node.signed(&id(9), |wrapper| wrapper["dmf"]["image"] = reference.clone());
    assert_eq!(node.submit(&again).await.code(), "E1327");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_schema_is_none_is_refused() {
    let node = TestNode::new().await;
    for schema in [json!({ "type": "thing" }), json!({ "$ref": "http://127.0.0.1:1/x" })] {
        let image = described("odd", Some(windowed(schema.clone())), &key(3));
        assert_eq!(node.local("POST", "/v1/admin/images", &image).await.code(), "E1523");
        let function = Function { parameters: json!({}), result: schema, together: false };
        let image = described("odd", Some(function), &key(3));
        assert_eq!(node.local("POST", "/v1/admin/images", &image).await.code(), "E1523");
    }
}

/// A function's image says what its results are, and its signer stands for that; what the function writes else does not leave.
#[tokio::test(flavor = "multi_thread")]
async fn g9_a_result_off_its_schema_does_not_leave() {
    let results = [
        r#"{"mean":1.5}"#,
        r#"{"mean":1.5,"raw":[1,2,3]}"#,
        r#"{"mean":"1.5"}"#,
        "[]",
        r#"{"mean":1,"mean":2}"#,
    ];
    let acts = results.map(|result| fades_testkit::FunctionAct::Reduces(result.into()));
    let script = fades_testkit::Script::default().functions(acts);
    let node = TestNode::with(script, |config| config.limits.running = 1).await;
    let result = json!({
        "type": "object", "additionalProperties": false, "required": ["mean"],
        "properties": { "mean": { "type": "number" } },
    });
    let function = Function { parameters: json!({}), result, together: false };
    let added = node.local("POST", "/v1/admin/images", &described("mean", Some(function), &key(3))).await;
    let mut allowed = policy();
    allowed["images"] = json!(["mean"]);
    let update = json!({ "policy": allowed });
    let put = node.admin("PUT", &format!("/v1/admin/issuers/{}", crate::support::ISSUER), &update).await;
    assert_eq!(put.status, 200, "{put:?}");
    let (mut number, mut words) = (0, String::new());
    for code in [None, Some("E5002"), Some("E5002"), Some("E5002"), Some("E5001")] {
        number += 1;
        let reference = added.json()["reference"].clone();
        let envelope = node.signed(&id(number), |wrapper| wrapper["dmf"]["image"] = reference);
        assert_eq!(node.submit(&envelope).await.status, 202);
        let view = node.ended(&id(number)).await;
        assert_eq!(view["code"].as_str(), code, "{view}");
        words += view["detail"].as_str().unwrap_or_default();
    }
    assert!(words.contains("'raw' was unexpected") && words.contains("at \"/mean\""), "{words}");
}
