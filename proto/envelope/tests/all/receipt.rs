//! Receipts bind what they name: nothing in one can be changed, and none serves for another result.

use crate::common::{key, reason};
use fades_envelope::{
    Digest, Purpose, ReceiptError, SigningKey, open_receipt, parse,
    receipt::{
        Defences, ImageRef, Images, Leak, NodeRef, OperationRead, PeriodRef, Receipt, ResultRef, Timings,
        WindowRef, WrapperRef,
    },
    sign, verify_receipt,
};

const RESULT: &[u8] = br#"{"schema":"stats.v1","count":3}"#;

fn receipt() -> Receipt {
    let image = |name: &str| ImageRef { name: name.into(), sha256: Digest::of(name.as_bytes()) };
    let read = |id: &str, points, first: Option<&str>| OperationRead {
        id: id.into(),
        source: "edison".into(),
        points,
        bytes: points * 16,
        first: first.map(|time| time.parse().unwrap()),
        last: first.map(|time| time.parse().unwrap()),
        digest: Digest::of(id.as_bytes()),
        digest_algorithm: "sha256".into(),
    };
    Receipt {
        task: "01JD0000000000000000000000".into(),
        period: None,
        wrapper: WrapperRef {
            sha256: Digest::of(b"wrapper"),
            issuer: "pollution.example".into(),
            key: SigningKey::from_seed(&[8; 32]).public().id(),
        },
        images: Images { function: image("stats"), broker: image("drb") },
        node: NodeRef { id: "node-1".into(), epoch: "00ff".into(), backend: "qemu-tcg".into() },
        operations: vec![read("temp", 3, Some("2026-11-20T00:00:00.123456789Z")), read("none", 0, None)],
        result: ResultRef { sha256: Digest::of(RESULT), bytes: RESULT.len() as u64 },
        leak: None,
        timings_us: Timings { verify: Some(60), boot: Some(200_000), return_: Some(5), ..Timings::default() },
        defences: Defences { on: vec!["qemu-sandbox".into()], off: vec!["landlock".into()] },
        started: "2026-11-21T00:00:00Z".parse().unwrap(),
        ended: "2026-11-21T00:00:01.5Z".parse().unwrap(),
    }
}

fn payload(envelope: &[u8]) -> String {
    String::from_utf8(parse(envelope).unwrap().unverified_payload().to_vec()).unwrap()
}

#[test]
fn a_receipt_reads_back_as_it_was_signed() {
    let envelope = receipt().sign(&key()).unwrap();
    assert_eq!(verify_receipt(&envelope, &key().public(), RESULT).unwrap(), receipt());
    assert_eq!(open_receipt(&envelope, &key().public()).unwrap(), receipt());
}

#[test]
fn the_form_is_an_in_toto_statement() {
    let statement: serde_json::Value =
        serde_json::from_str(&payload(&receipt().sign(&key()).unwrap())).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:fades:receipt:v1");
    assert_eq!(statement["subject"][0]["name"], "result");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], Digest::of(RESULT).to_string());
    let predicate = &statement["predicate"];
    assert_eq!(predicate["operations"][0]["first"], "2026-11-20T00:00:00.123456789Z");
    assert!(predicate["operations"][1].get("first").is_none());
    assert_eq!(predicate["timings_us"], serde_json::json!({"verify": 60, "boot": 200_000, "return": 5}));
    assert_eq!(predicate["ended"], "2026-11-21T00:00:01.5Z");
}

/// The same for a period.
fn of_a_period() -> Receipt {
    let time = |text: &str| text.parse().unwrap();
    let window =
        WindowRef { id: "temp".into(), from: time("2026-11-20T01:00:00Z"), to: time("2026-11-20T02:00:00Z") };
    let period = PeriodRef {
        number: 1,
        due: time("2026-11-20T02:00:00Z"),
        windows: vec![window],
        state_before: Some(Digest::of(b"before")),
        state_after: Some(Digest::of(b"after")),
    };
    Receipt { period: Some(period), ..receipt() }
}

#[test]
fn a_period_is_bound_with_its_windows_and_states() {
    let envelope = of_a_period().sign(&key()).unwrap();
    assert_eq!(verify_receipt(&envelope, &key().public(), RESULT).unwrap(), of_a_period());
    let statement: serde_json::Value = serde_json::from_str(&payload(&envelope)).unwrap();
    assert_eq!(statement["predicateType"], "urn:fades:receipt:v2");
    let period = &statement["predicate"]["period"];
    assert_eq!((&period["number"], &period["windows"][0]["to"]), (&1.into(), &"2026-11-20T02:00:00Z".into()));
    assert_eq!(period["state_before"], Digest::of(b"before").to_string());
    // Neither passes for the other.
    for (from, to) in [("receipt:v2", "receipt:v1"), ("receipt:v2", "receipt:v3")] {
        let lie = payload(&envelope).replacen(from, to, 1);
        let refusal =
            open_receipt(&sign(&key(), Purpose::Receipt, lie.as_bytes()), &key().public()).unwrap_err();
        assert!(matches!(refusal, ReceiptError::Type { .. }), "{to}: {refusal:?}");
    }
}

#[test]
fn what_left_for_what_was_read_is_accounted_for() {
    let leak = Leak { bytes_read: 48, bytes_sent: RESULT.len() as u64, budget_per_mille: Some(700) };
    for receipt in [receipt(), of_a_period()] {
        let with = |leak| Receipt { leak: Some(leak), ..receipt.clone() }.sign(&key()).unwrap();
        let envelope = with(leak);
        let opened = verify_receipt(&envelope, &key().public(), RESULT).unwrap();
        assert_eq!((opened.leak, &opened.period), (Some(leak), &receipt.period));
        assert!(payload(&envelope).contains("receipt:v3"));
        assert!(
            verify_receipt(&with(Leak { budget_per_mille: None, ..leak }), &key().public(), RESULT).is_ok()
        );
        for lie in [Leak { bytes_read: 49, ..leak }, Leak { bytes_sent: 1, ..leak }] {
            let refusal = open_receipt(&with(lie), &key().public()).unwrap_err();
            assert!(matches!(refusal, ReceiptError::Leak(said) if said == lie), "{refusal:?}");
        }
        let older = payload(&envelope).replacen("receipt:v3", "receipt:v2", 1);
        let refusal = open_receipt(&sign(&key(), Purpose::Receipt, older.as_bytes()), &key().public());
        assert!(matches!(refusal, Err(ReceiptError::Type { .. })), "{refusal:?}");
    }
}

#[test]
fn another_result_is_refused() {
    let envelope = receipt().sign(&key()).unwrap();
    for other in [&b""[..], &RESULT[1..], br#"{"schema":"stats.v1","count":4}"#] {
        let outcome = verify_receipt(&envelope, &key().public(), other);
        assert!(matches!(outcome, Err(ReceiptError::Result { .. })), "{outcome:?}");
    }
    let mut lying = receipt();
    lying.result.bytes += 1;
    let outcome = verify_receipt(&lying.sign(&key()).unwrap(), &key().public(), RESULT);
    assert!(matches!(outcome, Err(ReceiptError::Result { .. })), "{outcome:?}");
}

#[test]
fn only_the_nodes_signature_counts() {
    let envelope = receipt().sign(&key()).unwrap();
    let refused = |envelope: &[u8], key: &SigningKey| match verify_receipt(envelope, &key.public(), RESULT) {
        Err(ReceiptError::Envelope(error)) => reason(&error),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(refused(&envelope, &SigningKey::from_seed(&[1; 32])), "WrongKey");
    let task = sign(&key(), Purpose::Task, payload(&envelope).as_bytes());
    assert_eq!(refused(&task, &key()), "Purpose");
    let mut changed = envelope;
    let at = changed.windows(8).position(|window| window == b"qemu-tcg").unwrap();
    changed[at + 5..at + 8].copy_from_slice(b"kvm");
    assert_eq!(refused(&changed, &key()), "Signature");
}

#[test]
fn receipts_are_read_strictly() {
    let genuine = payload(&receipt().sign(&key()).unwrap());
    let open =
        |payload: String| open_receipt(&sign(&key(), Purpose::Receipt, payload.as_bytes()), &key().public());
    assert!(open(genuine.clone()).is_ok());
    let change = |from: &str, to: &str| {
        assert!(genuine.contains(from), "{from}");
        open(genuine.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to) in [
        ("Statement/v1", "Statement/v2"),
        ("urn:fades:receipt:v1", "urn:fades:receipt:v2"),
        (r#""name":"result""#, r#""name":"other""#),
    ] {
        let refusal = change(from, to);
        assert!(matches!(refusal, ReceiptError::Type { .. }), "{to}: {refusal:?}");
    }
    for (from, to) in [
        (r#""points":3"#, r#""points":3,"more":1"#),
        (r#""points":3"#, r#""points":3,"points":3"#),
        (r#""points":3"#, r#""points":3.0"#),
        (r#""points":3"#, r#""points":-3"#),
        (r#""points":3,"#, ""),
        (r#""predicateType""#, r#""predicatetype""#),
        (r#""backend":"qemu-tcg""#, r#""backend":null"#),
    ] {
        let refusal = change(from, to);
        assert!(matches!(refusal, ReceiptError::Json(_)), "{to}: {refusal:?}");
    }
    for (from, to) in [
        (r#""points":3"#, r#""points": 3"#),
        (r#""backend":"qemu-tcg""#, r#""backend":"qemu\u002dtcg""#),
        ("2026-11-21T00:00:00Z", "2026-11-21T01:00:00+01:00"),
        (r#""verify":60"#, r#""verify":60,"queue":null"#),
    ] {
        let refusal = change(from, to);
        assert!(matches!(refusal, ReceiptError::NotCanonical), "{to}: {refusal:?}");
    }
    let subject = Digest::of(RESULT).to_string();
    let refusal = change(&subject, &Digest::of(b"other").to_string());
    assert!(matches!(refusal, ReceiptError::Subject { .. }), "{refusal:?}");
    assert!(matches!(open(format!("{genuine} ")).unwrap_err(), ReceiptError::NotCanonical));
    assert!(matches!(open(format!("{genuine}{genuine}")).unwrap_err(), ReceiptError::Json(_)));
}
