//! Bytes that were made to harm (THREATS A9), and bytes at random.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn bytes_refused(bytes: &[u8], code: Code) -> TaskError {
    let error = Wrapper::from_json(bytes).expect_err("a refusal was expected");
    assert_eq!(error.code, code, "{error}");
    error
}

#[test]
fn duplicates_at_every_level() {
    let text = serde_json::to_string(&full()).unwrap();
    for (key, path) in [
        (r#""schema":"#, "schema"),
        (r#""priority":"#, "credentials.priority"),
        (r#""operations":"#, "drb.operations"),
        (r#""measurement":"#, "drb.operations[0].measurement"),
        (r#""room":"#, "drb.operations[0].tags.room"),
        (r#""memory_mib":"#, "dmf.resources.memory_mib"),
        (r#""z":"#, "dmf.parameters.z"),
        (r#""y":"#, "dmf.parameters.a.y"),
        (r#""sinks":"#, "result.sinks"),
    ] {
        assert_eq!(text.matches(key).count(), 1, "{key}");
        let doubled = text.replace(key, &format!("{key}0,{key}"));
        assert_eq!(bytes_refused(doubled.as_bytes(), codes::KEY_DUPLICATE).path, path);
    }
    // the same key in another spelling
    let escaped = text.replace(r#""z":"#, r#""\u007a":0,"z":"#);
    assert_eq!(bytes_refused(escaped.as_bytes(), codes::KEY_DUPLICATE).path, "dmf.parameters.z");
}

#[test]
fn depth() {
    let nested = |levels: usize| {
        let text = serde_json::to_string(&with("/dmf/parameters/a", "HERE".into())).unwrap();
        text.replace("\"HERE\"", &format!("{}{}", "[".repeat(levels), "]".repeat(levels)))
    };
    // the document, dmf and parameters are three levels already
    assert!(Wrapper::from_json(nested(13).as_bytes()).is_ok());
    bytes_refused(nested(14).as_bytes(), codes::TOO_DEEP);
    bytes_refused("[".repeat(60_000).as_bytes(), codes::TOO_DEEP);
    bytes_refused("{\"a\":".repeat(13_000).as_bytes(), codes::TOO_DEEP);
    bytes_refused("[".repeat(1_000_000).as_bytes(), codes::DOCUMENT_TOO_LARGE);
}

#[test]
fn sizes() {
    bytes_refused(format!("[{}0]", "0,".repeat(9000)).as_bytes(), codes::TOO_MANY_VALUES);
    bytes_refused(format!("[\"{}\"]", "x".repeat(5000)).as_bytes(), codes::STRING_TOO_LONG);
    bytes_refused(format!("{{\"{}\":1}}", "x".repeat(5000)).as_bytes(), codes::STRING_TOO_LONG);
    bytes_refused(&vec![b' '; 64 * 1024 + 1], codes::DOCUMENT_TOO_LARGE);
}

#[test]
fn no_json() {
    for text in [
        "",
        "{",
        "nul",
        "NaN",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[1e400]",
        "[-1e999]",
        "[01]",
        "[1,]",
        "{'a':1}",
        "[\"\n\"]",
        "[\"\\ud800\"]",
        "/**/[]",
        "[] []",
        "{}x",
        "\u{feff}{}",
    ] {
        bytes_refused(text.as_bytes(), codes::JSON_SYNTAX);
    }
    let mut bytes = serde_json::to_vec(&full()).unwrap();
    bytes.extend_from_slice(b"{}");
    bytes_refused(&bytes, codes::JSON_SYNTAX);
    bytes_refused(b"\"\xff\xfe\"", codes::NOT_UTF8);
    bytes_refused(b"\xc0\x80", codes::NOT_UTF8);
}

#[test]
fn huge_numbers_in_parameters_do_no_harm() {
    for number in ["18446744073709551616", "1e308", "-9223372036854775809", "1e-400"] {
        let text = serde_json::to_string(&with("/dmf/parameters/z", "HERE".into())).unwrap();
        let wrapper = Wrapper::from_json(text.replace("\"HERE\"", number).as_bytes()).unwrap();
        assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
    }
}

/// The plain reader of floats is off by a digit here and there, so that canonical output would not be stable.
#[test]
fn floats_keep_every_digit() {
    let value = -1.896_300_265_661_839_6e-205;
    let wrapper = read(&with("/dmf/parameters/z", json!(value))).unwrap();
    assert_eq!(wrapper.dmf.parameters["z"].as_f64(), Some(value));
}

#[test]
fn long_unknown_keys_and_values_are_cut_in_messages() {
    let document = with(&format!("/{}", "k".repeat(4000)), json!(1));
    let error = read(&document).unwrap_err();
    assert!(error.to_string().len() < 400, "{} bytes", error.to_string().len());
    let error = read(&with("/schema", "s".repeat(4000).into())).unwrap_err();
    assert!(error.to_string().len() < 400, "{} bytes", error.to_string().len());
}

#[test]
fn control_characters_do_not_reach_a_message() {
    for document in [with("/schema", "\u{1b}[2J\n".into()), with("/\u{1b}[2J\n", json!(1))] {
        let error = read(&document).unwrap_err();
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    }
    let doubled = "{\"\\u001b\":1,\"\\u001b\":2}";
    let error = bytes_refused(doubled.as_bytes(), codes::KEY_DUPLICATE);
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
}

/// One edit of a wrapper's text.
#[derive(Debug, Clone)]
enum Edit {
    Replace(u8),
    Insert(u8),
    Delete,
    Repeat(usize),
    Cut,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<u8>().prop_map(Edit::Replace),
        any::<u8>().prop_map(Edit::Insert),
        Just(Edit::Delete),
        (1..40_usize).prop_map(Edit::Repeat),
        Just(Edit::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Wrapper::from_json(&bytes);
        let _ = Wrapper::from_toml(&String::from_utf8_lossy(&bytes));
        let _ = TaskDraft::from_toml(&String::from_utf8_lossy(&bytes));
    }

    /// Whatever an edited wrapper still says, it says canonically, and its error names a known code.
    #[test]
    fn edited_wrappers_are_read_whole_or_refused(edits in proptest::collection::vec((any::<prop::sample::Index>(), edit()), 1..4)) {
        let mut bytes = serde_json::to_vec(&full()).unwrap();
        for (at, edit) in edits {
            if bytes.is_empty() { break }
            let at = at.index(bytes.len());
            match edit {
                Edit::Replace(byte) => bytes[at] = byte,
                Edit::Insert(byte) => bytes.insert(at, byte),
                Edit::Delete => drop(bytes.remove(at)),
                Edit::Repeat(length) => {
                    let piece = bytes[at..bytes.len().min(at + length)].to_vec();
                    bytes.splice(at..at, piece);
                }
                Edit::Cut => bytes.truncate(at),
            }
        }
        match Wrapper::from_json(&bytes) {
            Ok(wrapper) => {
                let canonical = wrapper.to_json();
                let again = Wrapper::from_json(&canonical).unwrap();
                prop_assert_eq!(again.to_json(), canonical);
                prop_assert_eq!(again, wrapper);
            }
            Err(error) => prop_assert!(error.code.entry().is_some()),
        }
    }

    #[test]
    fn json_of_any_shape_never_panics(value in json_value()) {
        if let Err(error) = read(&value) {
            prop_assert!((1300..1400).contains(&error.code.number()), "{}", error);
        }
        for pointer in ["/dmf/parameters/a", "/drb/operations/0", "/credentials", "/dmf/lifetime"] {
            if let Ok(wrapper) = read(&with(pointer, value.clone())) {
                prop_assert_eq!(Wrapper::from_json(&wrapper.to_json()).unwrap(), wrapper);
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,10}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
