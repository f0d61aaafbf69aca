//! Everything that the schema refuses, with code and path.

use super::*;

#[test]
fn required_keys() {
    for pointer in [
        "/schema",
        "/credentials",
        "/drb",
        "/dmf",
        "/credentials/task_id",
        "/credentials/issuer",
        "/credentials/audience",
        "/credentials/node_epoch",
        "/credentials/priority",
        "/credentials/issued_at",
        "/credentials/expires_at",
        "/drb/operations",
        "/drb/operations/0/id",
        "/drb/operations/0/source",
        "/drb/operations/0/measurement",
        "/drb/operations/0/field",
        "/drb/operations/0/from",
        "/drb/operations/0/to",
        "/dmf/image",
        "/dmf/resources",
        "/dmf/lifetime",
        "/dmf/resources/memory_mib",
        "/dmf/resources/timeout_ms",
        "/result/sinks",
    ] {
        let path = pointer[1..].replace("/0", "[0]").replace('/', ".");
        refused(&without(pointer), codes::KEY_MISSING, &path);
    }
}

#[test]
fn unknown_keys_at_every_level_name_the_nearest() {
    for (pointer, path, hint) in [
        ("/creds", "creds", "the keys here are schema, credentials, drb, dmf, result"),
        ("/results", "results", "did you mean `result`?"),
        ("/credentials/prioritiy", "credentials.prioritiy", "did you mean `priority`?"),
        ("/drb/operation", "drb.operation", "did you mean `operations`?"),
        ("/drb/operations/0/measurment", "drb.operations[0].measurment", "did you mean `measurement`?"),
        ("/dmf/resources/memory_mb", "dmf.resources.memory_mb", "did you mean `memory_mib`?"),
        ("/result/sink", "result.sink", "did you mean `sinks`?"),
    ] {
        let error = refused(&with(pointer, json!(1)), codes::KEY_NOT_KNOWN, path);
        assert_eq!(error.hint, hint, "{error}");
    }
    let lifetime =
        json!({ "persistent": { "every_ms": 1000, "until": "2027-01-01T00:00:00Z", "evry_ms": 1 } });
    refused(&with("/dmf/lifetime", lifetime), codes::KEY_NOT_KNOWN, "dmf.lifetime.persistent.evry_ms");
}

#[test]
fn wrong_types() {
    for (pointer, path) in [
        ("/schema", "schema"),
        ("/credentials", "credentials"),
        ("/credentials/priority", "credentials.priority"),
        ("/credentials/issued_at", "credentials.issued_at"),
        ("/drb/operations", "drb.operations"),
        ("/drb/operations/0", "drb.operations[0]"),
        ("/drb/operations/0/tags", "drb.operations[0].tags"),
        ("/drb/operations/0/tags/room", "drb.operations[0].tags.room"),
        ("/drb/operations/0/group_by", "drb.operations[0].group_by"),
        ("/dmf/image", "dmf.image"),
        ("/dmf/parameters", "dmf.parameters"),
        ("/dmf/resources/memory_mib", "dmf.resources.memory_mib"),
        ("/result", "result"),
        ("/result/sinks", "result.sinks"),
    ] {
        for wrong in [Value::Null, json!(true)] {
            refused(&with(pointer, wrong), codes::TYPE_WRONG, path);
        }
    }
    refused(&json!([]), codes::TYPE_WRONG, "");
    refused(&with("/credentials/priority", json!("5")), codes::TYPE_WRONG, "credentials.priority");
}

#[test]
fn numbers() {
    let memory = ("/dmf/resources/memory_mib", "dmf.resources.memory_mib");
    let timeout = ("/dmf/resources/timeout_ms", "dmf.resources.timeout_ms");
    let priority = ("/credentials/priority", "credentials.priority");
    for ((pointer, path), value) in [
        (memory, json!(0)),
        (memory, json!(15)),
        (memory, json!(65_537)),
        (memory, json!(1_u64 << 63)),
        (memory, json!(u64::MAX)),
        (memory, json!((1_u64 << 32) + 64)),
        (memory, json!(-64)),
        (memory, json!(64.0)),
        (memory, json!(1e300)),
        (timeout, json!(0)),
        (timeout, json!(86_400_001)),
        (timeout, json!(1_u64 << 63)),
        (timeout, json!(0.5)),
        (priority, json!(10)),
        (priority, json!(256)),
        (priority, json!(-1)),
    ] {
        let error = refused(&with(pointer, value.clone()), codes::NUMBER_OUT_OF_RANGE, path);
        assert!(error.message.contains(&value.to_string()), "{error} does not name {value}");
    }
    for every_ms in [0, 999, 31 * 86_400_000_u64 + 1] {
        let lifetime = json!({ "persistent": { "every_ms": every_ms, "until": "2027-01-01T00:00:00Z" } });
        let path = "dmf.lifetime.persistent.every_ms";
        refused(&with("/dmf/lifetime", lifetime), codes::NUMBER_OUT_OF_RANGE, path);
    }
}

#[test]
fn names_that_mean_something_to_someone() {
    let bad = [
        "../etc",
        "a/b",
        "a\0b",
        "a\nb",
        "a,b",
        "-drive",
        "a..b",
        "",
        "a\\b",
        "a'b",
        "a\"b",
        "a;b",
        "a|b",
        "a$b",
        "a`b",
        "a\u{202e}b",
    ];
    let names = [
        ("/credentials/issuer", "credentials.issuer"),
        ("/credentials/audience", "credentials.audience"),
        ("/drb/operations/0/id", "drb.operations[0].id"),
        ("/drb/operations/0/source", "drb.operations[0].source"),
        ("/result/sinks/0", "result.sinks[0]"),
    ];
    let labels = [
        ("/drb/operations/0/measurement", "drb.operations[0].measurement"),
        ("/drb/operations/0/field", "drb.operations[0].field"),
        ("/drb/operations/0/tags/room/0", "drb.operations[0].tags.room[0]"),
        ("/drb/operations/0/group_by/0", "drb.operations[0].group_by[0]"),
    ];
    for (pointer, path) in names.into_iter().chain(labels) {
        for text in bad {
            refused(&with(pointer, text.into()), codes::NAME_REFUSED, path);
        }
        refused(&with(pointer, "x".repeat(129).into()), codes::STRING_TOO_LONG, path);
    }
    for (pointer, path) in names {
        for text in [".hidden", "_a", "a b", "caf\u{e9}", "a:b"] {
            refused(&with(pointer, text.into()), codes::NAME_REFUSED, path);
        }
        assert!(read(&with(pointer, "x".repeat(64).into())).is_ok());
        refused(&with(pointer, "x".repeat(65).into()), codes::STRING_TOO_LONG, path);
    }
    for (pointer, path) in labels {
        for text in ["Room 12", "caf\u{e9}", "CO2 (ppm)", "cpu.load:1m", "温度", "100%"] {
            assert!(read(&with(pointer, text.into())).is_ok(), "{path} {text}");
        }
        for text in [" a", "a ", "\u{a0}", "a\u{200b}b"] {
            refused(&with(pointer, text.into()), codes::NAME_REFUSED, path);
        }
    }
    let path = "drb.operations[0].tags";
    refused(&with("/drb/operations/0/tags", json!({ "a,b": ["x"] })), codes::NAME_REFUSED, path);
}

#[test]
fn times_and_ranges() {
    for text in [
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T08:00:00",
        "2026-13-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "1793491200",
    ] {
        refused(
            &with("/drb/operations/0/from", text.into()),
            codes::TIME_MALFORMED,
            "drb.operations[0].from",
        );
        refused(&with("/credentials/issued_at", text.into()), codes::TIME_MALFORMED, "credentials.issued_at");
    }
    for (from, to, key) in [
        ("2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z", "to"),
        ("2026-11-02T00:00:01Z", "2026-11-02T00:00:00Z", "to"),
        ("2026-11-02T00:00:00Z", "2026-11-02T01:00:00+02:00", "to"),
        ("1969-12-31T23:59:59Z", "2026-11-02T00:00:00Z", "from"),
        ("0001-01-01T00:00:00Z", "2026-11-02T00:00:00Z", "from"),
        ("2026-11-02T00:00:00Z", "2262-04-12T00:00:00Z", "to"),
        ("2026-11-02T00:00:00Z", "9999-12-30T00:00:00Z", "to"),
    ] {
        let mut document = with("/drb/operations/0/from", from.into());
        document["drb"]["operations"][0]["to"] = to.into();
        refused(&document, codes::TIME_RANGE_WRONG, &format!("drb.operations[0].{key}"));
    }
    let mut widest = with("/drb/operations/0/from", "1970-01-01T00:00:00Z".into());
    widest["drb"]["operations"][0]["to"] = "2262-04-11T23:47:16.854775807Z".into();
    assert_eq!(read(&widest).unwrap().drb.operations[0].range_ns(), (0, i64::MAX));
    for expires in ["2026-11-20T08:00:00Z", "2026-11-20T07:59:59Z", "2027-11-22T08:00:00Z"] {
        refused(
            &with("/credentials/expires_at", expires.into()),
            codes::VALIDITY_WRONG,
            "credentials.expires_at",
        );
    }
}

#[test]
fn forms() {
    let digest = "ab".repeat(32);
    for image in [
        "stats".to_owned(),
        format!("stats@{digest}"),
        format!("stats@sha256:{}", digest.to_uppercase()),
        format!("stats@sha256:{digest}0"),
        format!("stats@sha256:{}", &digest[1..]),
        format!("stats@sha512:{digest}"),
    ] {
        refused(&with("/dmf/image", image.into()), codes::IMAGE_REFERENCE_MALFORMED, "dmf.image");
    }
    refused(
        &with("/dmf/image", format!("../stats@sha256:{digest}").into()),
        codes::NAME_REFUSED,
        "dmf.image",
    );
    for id in [
        "",
        "01JD3V9WQK8Z6N2M4P5R7T9XY",
        "01jd3v9wqk8z6n2m4p5r7t9xyz",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "01JD3V9WQK8Z6N2M4P5R7T9XYU",
        "01JD3V9WQK8Z6N2M4P5R7T9XYZ0",
    ] {
        refused(&with("/credentials/task_id", id.into()), codes::TASK_ID_MALFORMED, "credentials.task_id");
    }
    for epoch in [
        "",
        "00",
        "00112233445566778899AABBCCDDEEFF",
        "00112233445566778899aabbccddeeffaa",
        "zz112233445566778899aabbccddeeff",
    ] {
        refused(
            &with("/credentials/node_epoch", epoch.into()),
            codes::EPOCH_MALFORMED,
            "credentials.node_epoch",
        );
    }
    for schema in ["fades.task.v2", "fades.request.v1", "", "FADES.TASK.V1"] {
        refused(&with("/schema", schema.into()), codes::SCHEMA_WRONG, "schema");
    }
    for lifetime in [json!("forever"), json!(null), json!(["ephemeral"]), json!(1)] {
        refused(&with("/dmf/lifetime", lifetime), codes::LIFETIME_MALFORMED, "dmf.lifetime");
    }
    refused(
        &with("/dmf/lifetime", json!({ "ephemeral": {} })),
        codes::KEY_NOT_KNOWN,
        "dmf.lifetime.ephemeral",
    );
}

#[test]
fn lists() {
    refused(&with("/drb/operations", json!([])), codes::LIST_EMPTY, "drb.operations");
    refused(&with("/result/sinks", json!([])), codes::LIST_EMPTY, "result.sinks");
    refused(
        &with("/drb/operations/0/tags/room", json!([])),
        codes::LIST_EMPTY,
        "drb.operations[0].tags.room",
    );
    refused(&with("/result/sinks", json!(["a", "b", "a"])), codes::ITEM_DUPLICATE, "result.sinks[2]");
    let twice = json!(["room", "room"]);
    refused(
        &with("/drb/operations/0/group_by", twice),
        codes::ITEM_DUPLICATE,
        "drb.operations[0].group_by[1]",
    );
    let operation = full()["drb"]["operations"][0].clone();
    let doubled = with("/drb/operations", json!([operation, operation]));
    refused(&doubled, codes::ITEM_DUPLICATE, "drb.operations[1]");
    let many = |count: usize| {
        let named = |index| {
            let mut operation = operation.clone();
            operation["id"] = format!("op{index}").into();
            operation
        };
        with("/drb/operations", (0..count).map(named).collect())
    };
    assert_eq!(read(&many(64)).unwrap().drb.operations.len(), 64);
    refused(&many(65), codes::TOO_MANY_ITEMS, "drb.operations");
    let labels = |count: usize| (0..count).map(|index| format!("v{index}")).collect::<Vec<_>>();
    refused(
        &with("/drb/operations/0/tags/room", json!(labels(257))),
        codes::TOO_MANY_ITEMS,
        "drb.operations[0].tags.room",
    );
    refused(
        &with("/drb/operations/0/group_by", json!(labels(17))),
        codes::TOO_MANY_ITEMS,
        "drb.operations[0].group_by",
    );
    refused(&with("/result/sinks", json!(labels(9))), codes::TOO_MANY_ITEMS, "result.sinks");
    let tags: serde_json::Map<_, _> = labels(33).into_iter().map(|tag| (tag, json!(["x"]))).collect();
    refused(&with("/drb/operations/0/tags", tags.into()), codes::TOO_MANY_ITEMS, "drb.operations[0].tags");
    let large: Vec<String> = (0..5).map(|_| "x".repeat(4000)).collect();
    refused(&with("/dmf/parameters", json!({ "a": large })), codes::DOCUMENT_TOO_LARGE, "dmf.parameters");
}
