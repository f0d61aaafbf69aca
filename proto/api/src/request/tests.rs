use proptest::prelude::*;

use super::*;

const PATH: &str = "/v1/tasks?state=queued";

fn now() -> Timestamp {
    "2026-11-20T08:00:00Z".parse().unwrap()
}

fn request() -> Request {
    Request::new(Method::Get, PATH, "edge-1".parse().unwrap(), now(), Nonce([9; 16]))
}

fn seconds(count: i64) -> Timestamp {
    now() + SignedDuration::from_secs(count)
}

#[test]
fn it_reads_back_and_holds_for_its_own_request() {
    let request = request();
    let again = Request::from_json(&request.to_json()).unwrap();
    assert_eq!(again, request);
    assert_eq!(again.check("GET", PATH, "edge-1", now()), Ok(()));
    assert_eq!(again.check("GET", PATH, "edge-1", seconds(-30)), Ok(()));
    assert_eq!(again.check("GET", PATH, "edge-1", seconds(59)), Ok(()));
    assert_eq!(again.forget_at(), seconds(90));
}

#[test]
fn it_holds_for_nothing_else() {
    let request = request();
    for (method, path, node, now, code) in [
        ("DELETE", PATH, "edge-1", now(), codes::REQUEST_MISMATCH),
        ("get", PATH, "edge-1", now(), codes::REQUEST_MISMATCH),
        ("GET", "/v1/tasks", "edge-1", now(), codes::REQUEST_MISMATCH),
        ("GET", "/v1/tasks?state=queued&", "edge-1", now(), codes::REQUEST_MISMATCH),
        ("GET", PATH, "edge-2", now(), codes::AUDIENCE_WRONG),
        ("GET", PATH, "edge-1", seconds(60), codes::EXPIRED),
        ("GET", PATH, "edge-1", seconds(-31), codes::ISSUED_IN_FUTURE),
    ] {
        let refusal = request.check(method, path, node, now).unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    for life in [121, 0, -1] {
        let request = Request { expires_at: seconds(life), ..request.clone() };
        assert_eq!(request.check("GET", PATH, "edge-1", now()).unwrap_err().code(), codes::LIFE_TOO_LONG);
    }
    let longest = Request { expires_at: seconds(120), ..request };
    assert_eq!(longest.check("GET", PATH, "edge-1", now()), Ok(()));
}

#[test]
fn malformed_payloads() {
    let good: serde_json::Value = serde_json::from_slice(&request().to_json()).unwrap();
    for (key, value, code) in [
        ("schema", "fades.task.v1", codes::SCHEMA_WRONG),
        ("method", "POST", codes::REQUEST_MALFORMED_PAYLOAD),
        ("method", "get", codes::REQUEST_MALFORMED_PAYLOAD),
        ("path", "v1/tasks", codes::REQUEST_MALFORMED_PAYLOAD),
        ("path", "/v1/ tasks", codes::REQUEST_MALFORMED_PAYLOAD),
        ("path", "/v1/t\r\nasks", codes::REQUEST_MALFORMED_PAYLOAD),
        ("audience", "../edge", codes::NAME_REFUSED),
        ("issued_at", "now", codes::TIME_MALFORMED),
        ("nonce", "00", codes::NONCE_MALFORMED),
        ("nonce", "0909090909090909090909090909090A", codes::NONCE_MALFORMED),
        ("none", "x", codes::KEY_NOT_KNOWN),
    ] {
        let mut document = good.clone();
        document[key] = value.into();
        let error = Request::from_json(&serde_json::to_vec(&document).unwrap()).unwrap_err();
        assert_eq!((error.code, error.path.as_str()), (code, key), "{error}");
    }
    for key in ["schema", "method", "path", "audience", "issued_at", "expires_at", "nonce"] {
        let mut document = good.clone();
        document.as_object_mut().unwrap().remove(key);
        let error = Request::from_json(&serde_json::to_vec(&document).unwrap()).unwrap_err();
        assert_eq!((error.code, error.path.as_str()), (codes::KEY_MISSING, key));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Request::from_json(&bytes);
    }
}
