//! THREATS A1 to A4, A6, A9, A11: every refusal of a wrapper with its code. Nothing is stored, no guest is started, and
//! the refusal is kept.

use fades_core::Role;
use fades_envelope::{Purpose, sign};
use serde_json::{Value, json};

use crate::support::{ISSUER, TestNode, eventually, id, key, policy, proof};

/// What stands before the payload in an envelope, to be edited byte by byte.
fn cbor(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let bytes = |bytes: &[u8]| {
        let mut out = match bytes.len() {
            short @ 0..24 => vec![0x40 | u8::try_from(short).unwrap()],
            medium @ 24..256 => vec![0x58, u8::try_from(medium).unwrap()],
            long => [&[0x59][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        out.extend_from_slice(bytes);
        out
    };
    [&[0xd2, 0x84][..], &bytes(protected), unprotected, &bytes(payload), &bytes(signature)].concat()
}

fn protected(algorithm: &[u8], content_type: &str, key_id: &[u8]) -> Vec<u8> {
    let mut out = vec![0xa3, 0x01];
    out.extend_from_slice(algorithm);
    out.extend([0x03, 0x78, u8::try_from(content_type.len()).unwrap()]);
    out.extend_from_slice(content_type.as_bytes());
    out.extend([0x04, 0x58, u8::try_from(key_id.len()).unwrap()]);
    out.extend_from_slice(key_id);
    out
}

const TASK: &str = "application/vnd.fades.task.v1+json";

/// Submits each; all must be refused with their codes, and leave nothing behind.
async fn refused(node: &TestNode, cases: Vec<(&str, Vec<u8>, &str)>) {
    let before = node.node.store.tasks(None, 1000, |_| true).unwrap().len();
    for (what, envelope, code) in &cases {
        let answer = node.submit(envelope).await;
        assert_eq!(answer.code(), *code, "{what}: {answer:?}");
        assert!((400..600).contains(&answer.status), "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        assert!(!answer.json()["hint"].as_str().unwrap().is_empty(), "{what}");
        assert!(node.node.metrics.refusals.get(code) > 0, "{what} was not counted");
    }
    assert_eq!(node.node.store.tasks(None, 1000, |_| true).unwrap().len(), before, "something was stored");
    assert_eq!(node.backend.started(Role::Function), 0, "a guest was started");
    // Kept without anybody waiting for it.
    eventually("kept", async || {
        let kept = node.local("GET", "/v1/admin/refusals", b"").await.json();
        kept["refusals"].as_array().unwrap().iter().any(|kept| kept["code"] == cases[0].2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_who_signed_and_how() {
    let node = TestNode::new().await;
    let payload = node.wrapper(&id(1), |_| {}).to_string().into_bytes();
    let good = node.signed(&id(1), |_| {});
    let own = node.issuer.public().id().0;
    let mut unsigned = good.clone();
    let end = unsigned.len();
    unsigned[end - 64..].fill(0);
    let mut of_other = sign(&key(9), Purpose::Task, &payload);
    let other = of_other.windows(32).position(|window| window == key(9).public().id().0).unwrap();
    of_other[other..other + 32].copy_from_slice(&own);
    let form = |algorithm: &[u8], unprotected: &[u8]| {
        cbor(&protected(algorithm, TASK, &own), unprotected, &payload, &[1; 64])
    };
    refused(
        &node,
        vec![
            ("zeros for a signature", unsigned, "E1112"),
            ("no signature", cbor(&protected(&[0x27], TASK, &own), &[0xa0], &payload, &[]), "E1110"),
            ("a key nobody knows", sign(&key(9), Purpose::Task, &payload), "E1111"),
            ("the right id, another key", of_other, "E1112"),
            ("ES256", form(&[0x26], &[0xa0]), "E1106"),
            ("a positive algorithm", form(&[0x01], &[0xa0]), "E1106"),
            ("algorithm unprotected", form(&[0x27], &[0xa1, 0x01, 0x27]), "E1104"),
            ("key id unprotected", form(&[0x27], &[0xa1, 0x04, 0x41, 0x00]), "E1104"),
            (
                "a short key id",
                cbor(&protected(&[0x27], TASK, &own[..31]), &[0xa0], &payload, &[1; 64]),
                "E1108",
            ),
            ("no protected headers", cbor(&[], &[0xa0], &payload, &[1; 64]), "E1100"),
            (
                "a detached payload",
                {
                    let mut bytes = cbor(&protected(&[0x27], TASK, &own), &[0xa0], &[], &[1; 64]);
                    let at = bytes.len() - 67;
                    assert_eq!(bytes[at], 0x40);
                    bytes[at] = 0xf6;
                    bytes
                },
                "E1109",
            ),
            ("nothing of the kind", b"hello".to_vec(), "E1101"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_no_mutant_is_taken() {
    let node = TestNode::new().await;
    let good = node.signed(&id(1), |_| {});
    let mut mutants = Vec::new();
    for at in (0..good.len()).step_by(7) {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        mutants.push(flipped);
        let (head, tail) = good.split_at(at);
        mutants.push([head, &[0], tail].concat());
        mutants.push([head, &tail[1..]].concat());
        mutants.push([head, &tail[..1], tail].concat());
        if at > 0 {
            mutants.push(head.to_vec());
        }
    }
    mutants.push([&good[..], &good[..]].concat());
    let many = mutants.len();
    assert!(many > 300);
    for (number, mutant) in mutants.into_iter().enumerate() {
        let answer = node.submit(&mutant).await;
        assert!((400..500).contains(&answer.status), "mutant {number}: {answer:?}");
    }
    assert!(node.node.store.tasks(None, 10, |_| true).unwrap().is_empty());
    assert_eq!(node.backend.started(Role::Function), 0);
    // Refused at a bounded rate of keeping, and the original is still good.
    assert!(node.node.metrics.refusals_dropped.get() > 0);
    assert!(node.node.store.refusals(10_000).unwrap().len() < many);
    assert_eq!(node.submit(&good).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_one_byte_form_only() {
    let node = TestNode::new().await;
    let good = node.signed(&id(1), |_| {});
    let insert = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at..]].concat();
    let replace = |at: usize, count: usize, bytes: &[u8]| [&good[..at], bytes, &good[at + count..]].concat();
    let own = node.issuer.public().id().0;
    let payload = node.wrapper(&id(1), |_| {}).to_string().into_bytes();
    let mut doubled = protected(&[0x27], TASK, &own);
    doubled[0] = 0xa4;
    doubled.extend([0x01, 0x27]);
    let unsorted = [&[0xa3, 0x03, 0x60, 0x01, 0x27, 0x04, 0x58, 0x20][..], &own].concat();
    refused(
        &node,
        vec![
            ("untagged", good[1..].to_vec(), "E1101"),
            ("another tag", replace(0, 1, &[0xd1]), "E1101"),
            ("a tag in two bytes", replace(0, 1, &[0xd8, 0x12]), "E1102"),
            (
                "an endless array",
                insert(2, &[])
                    .into_iter()
                    .enumerate()
                    .map(|(at, byte)| if at == 1 { 0x9f } else { byte })
                    .collect(),
                "E1102",
            ),
            ("an array of five", replace(1, 1, &[0x85]), "E1101"),
            ("a long length", replace(2, 2, &[&[0x59, 0x00][..], &good[3..4]].concat()), "E1102"),
            ("trailing bytes", [&good[..], &[0]].concat(), "E1103"),
            ("a label twice", cbor(&doubled, &[0xa0], &payload, &[1; 64]), "E1105"),
            ("labels out of order", cbor(&unsorted, &[0xa0], &payload, &[1; 64]), "E1105"),
            ("truncated", good[..good.len() - 1].to_vec(), "E1100"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a6_made_for_something_else() {
    let node = TestNode::new().await;
    let payload = node.wrapper(&id(1), |_| {}).to_string().into_bytes();
    let mut cases: Vec<_> = [Purpose::Image, Purpose::Receipt, Purpose::Request]
        .into_iter()
        .map(|purpose| ("another purpose", sign(&node.issuer, purpose, &payload), "E1114"))
        .collect();
    let mut relabelled = sign(&node.issuer, Purpose::Image, &payload);
    let from = b"vnd.fades.image.v1";
    let at = relabelled.windows(from.len()).position(|window| window == from).unwrap();
    // The same length on purpose: the content type is one character shorter, so the map is written anew.
    let signature = relabelled.split_off(relabelled.len() - 64);
    assert!(at > 0);
    let own = node.issuer.public().id().0;
    cases.push((
        "an image's signature under a task's name",
        cbor(&protected(&[0x27], TASK, &own), &[0xa0], &payload, &signature),
        "E1112",
    ));
    let other = "application/vnd.fades.task.v2+json";
    cases.push((
        "another version",
        cbor(&protected(&[0x27], other, &own), &[0xa0], &payload, &[1; 64]),
        "E1107",
    ));
    cases.push((
        "another node",
        node.signed(&id(1), |w| w["credentials"]["audience"] = json!("edge-2")),
        "E1202",
    ));
    cases.push(("another schema", node.signed(&id(1), |w| w["schema"] = json!("fades.task.v2")), "E1316"));
    refused(&node, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_hostile_documents() {
    let node = TestNode::new().await;
    let good = node.wrapper(&id(1), |_| {}).to_string();
    let raw = |text: &str| sign(&node.issuer, Purpose::Task, text.as_bytes());
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        raw(&good.replacen(from, to, 1))
    };
    let own = node.issuer.public().id().0;
    let mut huge = cbor(&protected(&[0x27], TASK, &own), &[0xa0], b"", b"");
    huge.truncate(huge.len() - 2);
    huge.extend([0x5b, 0, 0, 1, 0, 0, 0, 0, 0]);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let mut invalid = good.clone().into_bytes();
    let at = good.find("temperature").unwrap();
    invalid[at] = 0xff;
    refused(
        &node,
        vec![
            ("a payload of 2^40 bytes", huge, "E1100"),
            ("as deep as fits", raw(&deep), "E1306"),
            ("not UTF-8", sign(&node.issuer, Purpose::Task, &invalid), "E1300"),
            ("not JSON", raw("{\"schema\":"), "E1301"),
            ("NaN", swap("\"parameters\":{}", "\"parameters\":{\"x\":NaN}"), "E1301"),
            ("1e999", swap("\"parameters\":{}", "\"parameters\":{\"x\":1e999}"), "E1301"),
            ("a priority of 2^64", swap("\"priority\":5", "\"priority\":18446744073709551616"), "E1309"),
            ("a fraction of a priority", swap("\"priority\":5", "\"priority\":5.5"), "E1309"),
            ("a word for a priority", swap("\"priority\":5", "\"priority\":\"5\""), "E1305"),
            ("a key twice", swap("\"priority\":5", "\"priority\":5,\"priority\":5"), "E1302"),
            ("an unknown key", swap("\"priority\":5", "\"priorty\":5"), "E1303"),
            ("a missing key", swap("\"priority\":5,", ""), "E1304"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_contents_beyond_what_may_be_asked() {
    let node = TestNode::new().await;
    let image = node.image.clone();
    let unknown = format!("stats@sha256:{}", "0".repeat(64));
    let broker = {
        let images = node.get("/v1/node").await.json()["images"].clone();
        let found = images.as_array().unwrap().iter().find(|image| image["role"] == "drb").unwrap().clone();
        found["reference"].as_str().unwrap().to_owned()
    };
    let with = |change: &dyn Fn(&mut Value)| node.signed(&id(1), |wrapper| change(wrapper));
    let operation = |key: &'static str, value: Value| {
        with(&|wrapper| wrapper["drb"]["operations"][0][key] = value.clone())
    };
    let periods = |every_ms: u64, until: &str| {
        let lifetime = json!({ "persistent": { "every_ms": every_ms, "until": until } });
        with(&|wrapper| wrapper["dmf"]["lifetime"] = lifetime.clone())
    };
    let mut cases = vec![
        ("too much memory", with(&|w| w["dmf"]["resources"]["memory_mib"] = json!(257)), "E1404"),
        ("no memory", with(&|w| w["dmf"]["resources"]["memory_mib"] = json!(0)), "E1309"),
        ("memory of 2^63", with(&|w| w["dmf"]["resources"]["memory_mib"] = json!(1u64 << 63)), "E1309"),
        (
            "less memory than the image needs",
            with(&|w| w["dmf"]["resources"]["memory_mib"] = json!(16)),
            "E1415",
        ),
        ("too much time", with(&|w| w["dmf"]["resources"]["timeout_ms"] = json!(60_001)), "E1405"),
        ("no time", with(&|w| w["dmf"]["resources"]["timeout_ms"] = json!(0)), "E1309"),
        ("too urgent", with(&|w| w["credentials"]["priority"] = json!(8)), "E1406"),
        ("a priority of 10", with(&|w| w["credentials"]["priority"] = json!(10)), "E1309"),
        (
            "too long a life",
            with(&|w| w["credentials"]["expires_at"] = json!("2027-01-01T00:00:00Z")),
            "E1414",
        ),
        ("an unknown source", operation("source", json!("other")), "E1401"),
        ("a measurement not allowed", operation("measurement", json!("humidity")), "E1402"),
        ("a field not allowed", operation("field", json!("raw")), "E1416"),
        ("too long a range", operation("from", json!("2026-10-01T00:00:00Z")), "E1411"),
        ("an empty range", operation("to", json!("2026-11-01T00:00:00Z")), "E1312"),
        ("a range from year 1", operation("from", json!("0001-01-01T00:00:00Z")), "E1312"),
        ("an unknown image", with(&|w| w["dmf"]["image"] = json!(unknown)), "E1500"),
        ("an image not allowed", with(&|w| w["dmf"]["image"] = json!(broker)), "E1403"),
        (
            "another name for the image",
            with(&|w| w["dmf"]["image"] = json!(image.replace("stats", "statz"))),
            "E1403",
        ),
        ("no digest", with(&|w| w["dmf"]["image"] = json!("stats")), "E1314"),
        ("a sink", with(&|w| w["result"] = json!({ "sinks": ["http"] })), "E1408"),
        (
            "an address for a sink",
            with(&|w| w["result"] = json!({ "sinks": ["http://127.0.0.1/"] })),
            "E1313",
        ),
        ("periods after the wrapper's end", periods(1000, &node.in_seconds(61)), "E1328"),
        ("no period", periods(1000, "2026-11-01T11:59:59Z"), "E1328"),
        ("more periods than allowed", periods(1000, "2026-11-01T12:00:50Z"), "E1420"),
        ("periods without pause", periods(999, "2026-11-01T12:00:10Z"), "E1309"),
        (
            "too many operations",
            with(&|w| {
                let operation = w["drb"]["operations"][0].clone();
                w["drb"]["operations"] = (0..5)
                    .map(|n| {
                        let mut operation = operation.clone();
                        operation["id"] = json!(format!("o{n}"));
                        operation
                    })
                    .collect();
            }),
            "E1412",
        ),
        ("no operation", with(&|w| w["drb"]["operations"] = json!([])), "E1320"),
        ("not a ULID", with(&|w| w["credentials"]["task_id"] = json!("../../etc/passwd")), "E1315"),
    ];
    for name in ["../edison", "edi\0son", "edi\nson", "edison,readonly=on", "-edison", ""] {
        cases.push(("a name with a meaning", operation("source", json!(name)), "E1313"));
        cases.push((
            "an issuer with a meaning",
            with(&|w| w["credentials"]["issuer"] = json!(name)),
            "E1313",
        ));
    }
    refused(&node, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_another_issuers_name_and_ids() {
    let node = TestNode::new().await;
    let rival = key(20);
    let update = json!({ "proof": proof(&rival, "rival.example"), "policy": policy() });
    assert_eq!(node.admin("PUT", "/v1/admin/issuers/rival.example", &update).await.status, 200);
    let in_name_of_other = node.wrapper(&id(1), |_| {}).to_string();
    refused(
        &node,
        vec![("signed in another's name", sign(&rival, Purpose::Task, in_name_of_other.as_bytes()), "E1208")],
    )
    .await;
    assert_eq!(node.submit(&node.signed(&id(2), |_| {})).await.status, 202);
    let own = node.wrapper(&id(2), |w| w["credentials"]["issuer"] = json!("rival.example")).to_string();
    let taken = node.submit(&sign(&rival, Purpose::Task, own.as_bytes())).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "E1203"));
    assert_eq!(node.ended(&id(2)).await["issuer"], ISSUER);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_allowed_by_default_and_rates_hold() {
    let node = TestNode::new().await;
    let new = key(21);
    let update = json!({ "proof": proof(&new, "new.example") });
    node.admin("PUT", "/v1/admin/issuers/new.example", &update).await;
    let of_new = |number: u32| {
        let own =
            node.wrapper(&id(number), |w| w["credentials"]["issuer"] = json!("new.example")).to_string();
        sign(&new, Purpose::Task, own.as_bytes())
    };
    refused(&node, vec![("no policy", of_new(1), "E1400")]).await;
    let mut slow = policy();
    slow["per_minute"] = json!(1);
    slow["burst"] = json!(2);
    node.admin("PUT", "/v1/admin/issuers/new.example", &json!({ "policy": slow })).await;
    assert_eq!(node.submit(&of_new(1)).await.status, 202);
    let second = of_new(2);
    assert_eq!(node.submit(&second).await.status, 202);
    let limited = node.submit(&of_new(3)).await;
    assert_eq!((limited.status, limited.code().as_str()), (429, "E1407"));
    assert!(limited.header("retry-after").is_some());
    // A repetition asks for nothing new.
    assert_eq!(node.submit(&second).await.status, 202);
}
