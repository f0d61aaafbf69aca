use serde_json::json;

use super::*;
use crate::codes::{self, Code};

mod drafts;
mod hostile;
mod periods;
mod tables;

/// A wrapper that uses every key.
pub(super) fn full() -> Value {
    json!({
        "schema": "fades.task.v1",
        "credentials": {
            "task_id": "01JD3V9WQK8Z6N2M4P5R7T9XYZ",
            "issuer": "pollution.example",
            "audience": "edge-1",
            "node_epoch": "00112233445566778899aabbccddeeff",
            "priority": 5,
            "issued_at": "2026-11-20T08:00:00Z",
            "expires_at": "2026-11-20T08:10:00Z",
        },
        "drb": { "operations": [{
            "id": "temp",
            "source": "edison",
            "measurement": "temperature",
            "field": "value",
            "tags": { "room": ["r1", "r2"] },
            "from": "2026-11-01T00:00:00Z",
            "to": "2026-11-02T00:00:00Z",
            "group_by": ["room"],
        }] },
        "dmf": {
            "image": format!("stats@sha256:{}", "ab".repeat(32)),
            "parameters": { "z": 1, "a": { "y": [1.5, null, true], "b": "x" } },
            "resources": { "memory_mib": 64, "timeout_ms": 30000 },
            "lifetime": "ephemeral",
        },
        "result": { "sinks": ["archive"] },
    })
}

pub(super) fn read(value: &Value) -> Result<Wrapper, TaskError> {
    Wrapper::from_json(&serde_json::to_vec(value).unwrap())
}

/// `full()` with the value at a JSON pointer replaced (or the key added).
pub(super) fn with(pointer: &str, value: Value) -> Value {
    let mut document = full();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        other => panic!("{parent} is {other}"),
    }
    document
}

/// `full()` without the key at a JSON pointer.
pub(super) fn without(pointer: &str) -> Value {
    let mut document = full();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    document
}

#[track_caller]
pub(super) fn refused(document: &Value, code: Code, path: &str) -> TaskError {
    let error = read(document).expect_err(&format!("{code} was expected at {path}"));
    assert_eq!((error.code, error.path.as_str()), (code, path), "{error}");
    error
}

#[test]
fn every_key_arrives() {
    let wrapper = read(&full()).unwrap();
    assert_eq!(wrapper.credentials.issuer.as_str(), "pollution.example");
    assert_eq!(wrapper.credentials.priority, 5);
    assert_eq!(wrapper.credentials.task_id.to_string(), "01JD3V9WQK8Z6N2M4P5R7T9XYZ");
    assert_eq!(wrapper.credentials.node_epoch.0[..3], [0x00, 0x11, 0x22]);
    let operation = &wrapper.drb.operations[0];
    assert_eq!(operation.range_ns(), (1_793_491_200_000_000_000, 1_793_577_600_000_000_000));
    assert_eq!(operation.tags.len(), 1);
    assert_eq!(operation.group_by[0].as_str(), "room");
    assert_eq!(wrapper.dmf.image.digest, [0xab; 32]);
    assert_eq!(wrapper.dmf.parameters_json(), r#"{"a":{"b":"x","y":[1.5,null,true]},"z":1}"#);
    assert_eq!(wrapper.dmf.resources, Resources { memory_mib: 64, timeout_ms: 30_000 });
    assert_eq!(wrapper.dmf.lifetime, Lifetime::Ephemeral);
    assert_eq!(wrapper.result.unwrap().sinks[0].as_str(), "archive");
}

#[test]
fn canonical_json_is_stable_and_reads_back() {
    let wrapper = read(&full()).unwrap();
    let bytes = wrapper.to_json();
    let again = Wrapper::from_json(&bytes).unwrap();
    assert_eq!(again, wrapper);
    assert_eq!(again.to_json(), bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with(r#"{"schema":"fades.task.v1","credentials":{"task_id":"#), "{text}");
}

#[test]
fn canonical_json_does_not_depend_on_the_order_of_keys() {
    let one = r#"{"a":{"c":1,"b":2},"d":3}"#;
    let other = r#"{"d":3,"a":{"b":2,"c":1}}"#;
    let bytes = |parameters: &str| {
        let document = serde_json::to_string(&with("/dmf/parameters", "HERE".into())).unwrap();
        Wrapper::from_json(document.replace("\"HERE\"", parameters).as_bytes()).unwrap().to_json()
    };
    assert_eq!(bytes(one), bytes(other));
}

#[test]
fn both_lifetimes_are_read_and_stay_apart() {
    let persistent = json!({ "persistent": { "every_ms": 60000, "until": "2026-12-01T00:00:00Z" } });
    let wrapper = read(&with("/dmf/lifetime", persistent)).unwrap();
    let Lifetime::Persistent { every_ms, until, missed: Missed::Skip } = wrapper.dmf.lifetime else {
        panic!("not persistent")
    };
    assert_eq!((every_ms, until.to_string().as_str()), (60_000, "2026-12-01T00:00:00Z"));
    assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
    // What is left out is left out of the canonical form as well: it is what older nodes read.
    assert!(!String::from_utf8(wrapper.to_json()).unwrap().contains("missed"));
    let persistent = |missed: &str| json!({ "persistent": { "every_ms": 1000, "until": "2026-12-01T00:00:00Z", "missed": missed } });
    let wrapper = read(&with("/dmf/lifetime", persistent("catch_up"))).unwrap();
    let Lifetime::Persistent { missed, .. } = wrapper.dmf.lifetime else { panic!("not persistent") };
    assert_eq!(missed, Missed::CatchUp);
    assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
    let error = read(&with("/dmf/lifetime", persistent("catchup"))).unwrap_err();
    assert_eq!(
        (error.code, error.path.as_str()),
        (codes::LIFETIME_MALFORMED, "dmf.lifetime.persistent.missed")
    );
}

#[test]
fn what_may_be_absent_may_be() {
    for pointer in ["/result", "/dmf/parameters", "/drb/operations/0/tags", "/drb/operations/0/group_by"] {
        let wrapper = read(&without(pointer)).unwrap_or_else(|error| panic!("{pointer}: {error}"));
        assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
    }
}
