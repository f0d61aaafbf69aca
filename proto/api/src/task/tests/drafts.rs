//! TOML that people write, and its completion.

use super::*;

const TOML: &str = r#"
[[drb.operations]]
id = "temp"
source = "edison"
measurement = "temperature"
field = "value"
tags = { room = ["r1", "r2"] }
from = 2026-11-01T00:00:00Z
to = "2026-11-02T00:00:00Z"
group_by = ["room"]

[dmf]
image = "stats"

[dmf.parameters]
window_ms = 3_600_000
ratio = 0.5
"#;

fn completion() -> Completion {
    Completion {
        task_id: "01JD3V9WQK8Z6N2M4P5R7T9XYZ".parse().unwrap(),
        issuer: "pollution.example".parse().unwrap(),
        audience: "edge-1".parse().unwrap(),
        node_epoch: NodeEpoch([7; 16]),
        priority: 4,
        issued_at: "2026-11-20T08:00:00Z".parse().unwrap(),
        expires_at: "2026-11-20T08:10:00Z".parse().unwrap(),
        image: Some(format!("stats@sha256:{}", "cd".repeat(32)).parse().unwrap()),
    }
}

#[test]
fn what_is_absent_is_filled_in() {
    let draft = TaskDraft::from_toml(TOML).unwrap();
    assert_eq!((draft.image(), draft.needs_image_digest()), ("stats", true));
    let wrapper = draft.complete(&completion()).unwrap();
    assert_eq!(wrapper.credentials.priority, 4);
    assert_eq!(wrapper.credentials.node_epoch, NodeEpoch([7; 16]));
    assert_eq!(wrapper.dmf.image.digest, [0xcd; 32]);
    assert_eq!(wrapper.dmf.resources, Resources { memory_mib: 64, timeout_ms: 30_000 });
    assert_eq!(wrapper.dmf.lifetime, Lifetime::Ephemeral);
    assert_eq!(wrapper.dmf.parameters_json(), r#"{"ratio":0.5,"window_ms":3600000}"#);
    assert_eq!(wrapper.drb.operations[0].from.to_string(), "2026-11-01T00:00:00Z");
    assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
}

#[test]
fn what_is_written_is_kept() {
    let text = format!(
        "[credentials]\npriority = 9\naudience = \"edge-2\"\nexpires_at = 2026-11-20T09:00:00Z\n{}",
        TOML.replace("[dmf]\n", "[dmf]\nresources = { memory_mib = 128 }\n")
    );
    let draft = TaskDraft::from_toml(&text).unwrap();
    assert_eq!(draft.credential("audience"), Some("edge-2"));
    let wrapper = draft.complete(&completion()).unwrap();
    assert_eq!(wrapper.credentials.priority, 9);
    assert_eq!(wrapper.credentials.audience.as_str(), "edge-2");
    assert_eq!(wrapper.credentials.expires_at.to_string(), "2026-11-20T09:00:00Z");
    assert_eq!(wrapper.dmf.resources, Resources { memory_mib: 128, timeout_ms: 30_000 });
}

#[test]
fn an_image_without_digest_must_be_found() {
    let draft = TaskDraft::from_toml(TOML).unwrap();
    let error = draft.complete(&Completion { image: None, ..completion() }).unwrap_err();
    assert_eq!((error.code, error.path.as_str()), (codes::DRAFT_INCOMPLETE, "dmf.image"));
    let other = format!("window@sha256:{}", "cd".repeat(32)).parse().ok();
    let error = draft.complete(&Completion { image: other, ..completion() }).unwrap_err();
    assert_eq!(error.code, codes::DRAFT_INCOMPLETE);
}

#[test]
fn mistakes_are_told_at_once() {
    for (text, code, path) in [
        (TOML.replace("measurement", "measurment"), codes::KEY_NOT_KNOWN, "drb.operations[0].measurment"),
        (TOML.replace("0.5", "nan"), codes::NOT_FINITE, "dmf.parameters.ratio"),
        (TOML.replace("0.5", "inf"), codes::NOT_FINITE, "dmf.parameters.ratio"),
        (
            TOML.replace("from = 2026-11-01T00:00:00Z", "from = 2026-11-01T00:00:00"),
            codes::TIME_MALFORMED,
            "drb.operations[0].from",
        ),
        (
            TOML.replace("from = 2026-11-01T00:00:00Z", "from = 2026-11-01"),
            codes::TIME_MALFORMED,
            "drb.operations[0].from",
        ),
        (TOML.replace("image = \"stats\"", "image = \"st/ats\""), codes::NAME_REFUSED, "dmf.image"),
        (TOML.replace("image = \"stats\"", ""), codes::KEY_MISSING, "dmf.image"),
        (TOML.replace("id = \"temp\"", "id = \"temp\"\nid = \"b\""), codes::KEY_DUPLICATE, ""),
        (TOML.replace("[dmf]", "[dmf"), codes::TOML_SYNTAX, ""),
        ("x".repeat(70_000), codes::DOCUMENT_TOO_LARGE, ""),
        (format!("[credentials]\npriority = 10\n{TOML}"), codes::NUMBER_OUT_OF_RANGE, "credentials.priority"),
        (format!("schema = \"fades.task.v2\"\n{TOML}"), codes::SCHEMA_WRONG, "schema"),
    ] {
        let error = TaskDraft::from_toml(&text).expect_err(&text);
        assert_eq!((error.code, error.path.as_str()), (code, path), "{error}");
    }
    let deep = format!("a = {}{}", "[".repeat(1000), "]".repeat(1000));
    let code = TaskDraft::from_toml(&deep).unwrap_err().code;
    assert!(code == codes::TOO_DEEP || code == codes::TOML_SYNTAX, "{code}");
}

#[test]
fn written_times_far_from_now_are_no_mistake_of_the_draft() {
    for line in [
        "issued_at = 2026-01-01T00:00:00Z",
        "expires_at = 2020-01-01T00:00:00Z",
        "issued_at = 9999-12-30T22:00:00Z",
        "expires_at = 0000-01-01T00:00:00Z",
    ] {
        let _ = TaskDraft::from_toml(&format!("[credentials]\n{line}\n{TOML}"));
    }
    assert!(
        TaskDraft::from_toml(&format!("[credentials]\nissued_at = 2026-01-01T00:00:00Z\n{TOML}")).is_ok()
    );
}

#[test]
fn a_wrapper_goes_through_toml_and_back() {
    let wrapper = read(&without("/dmf/parameters")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&wrapper.to_json()).unwrap();
    let text = toml::to_string(&value).unwrap();
    assert_eq!(Wrapper::from_toml(&text).unwrap().to_json(), wrapper.to_json());
    let draft = TaskDraft::from_json(&wrapper.to_json()).unwrap();
    assert_eq!(draft.complete(&completion()).unwrap(), wrapper);
}

#[test]
fn a_question_is_asked_by_nobody_of_no_build() {
    let plain = TaskDraft::from_toml(TOML).unwrap();
    assert_eq!(plain.clone().question(), plain);
    let digest = "cd".repeat(32);
    let of_yesterday = TOML.replace("\"stats\"", &format!("\"stats@sha256:{digest}\""))
        + "[credentials]\nissuer = \"pollution.example\"\naudience = \"edge-1\"\n";
    let draft = TaskDraft::from_toml(&of_yesterday).unwrap();
    assert_eq!((draft.needs_image_digest(), draft.credential("audience")), (false, Some("edge-1")));
    assert_eq!(draft.question(), plain);
}
