use std::collections::BTreeSet;

use super::*;

#[test]
fn numbers_and_names_are_unique_and_in_order() {
    let numbers: Vec<u16> = entries().map(|entry| entry.code.number()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order or twice: {numbers:?}");
    let names: BTreeSet<_> = entries().map(|entry| entry.name).collect();
    assert_eq!(names.len(), numbers.len());
    let titles: BTreeSet<_> = entries().map(|entry| entry.title).collect();
    assert_eq!(titles.len(), numbers.len(), "two codes have the same title");
}

#[test]
fn each_range_holds_its_own_numbers() {
    let hundreds = [10, 11, 12, 13, 14, 15, 20, 30, 40, 50, 60, 70];
    for (entries, hundred) in RANGES.into_iter().zip(hundreds) {
        assert!(!entries.is_empty());
        for entry in entries {
            assert_eq!(entry.code.number() / 100, hundred, "{}", entry.name);
        }
    }
}

#[test]
fn every_entry_says_what_to_do_in_whole_sentences() {
    for Entry { code, status, title, hint, explanation, .. } in entries() {
        assert!((400..600).contains(status), "{code}: status {status}");
        assert!(!title.is_empty() && !title.ends_with('.') && title.len() < 70, "{code}: {title}");
        assert!(hint.ends_with('.') && hint.len() > 10, "{code}: {hint}");
        assert!(explanation.ends_with('.') && explanation.len() > 30, "{code}: {explanation}");
        assert_ne!(hint, explanation, "{code}");
    }
}

#[test]
fn lookup_takes_what_people_type() {
    for text in ["E1203", "e1203", "1203", " E1203\n"] {
        assert_eq!(lookup(text).map(|entry| entry.code), Some(TASK_ID_REUSED), "{text:?}");
    }
    for text in
        ["", "E", "E120", "E12030", "E999", "X1203", "E+203", "E9999", "E\u{661}\u{662}\u{663}\u{664}"]
    {
        assert_eq!(lookup(text), None, "{text:?}");
    }
}

#[test]
fn every_entry_is_found_by_its_text_and_survives_json() {
    for entry in entries() {
        assert_eq!(lookup(&entry.code.to_string()), Some(entry));
        let json = serde_json::to_string(&entry.code).unwrap();
        assert_eq!(json, format!("\"{}\"", entry.code));
        assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), entry.code);
    }
}

#[test]
fn codes_of_other_versions_survive() {
    let code: Code = serde_json::from_str("\"E9876\"").unwrap();
    assert_eq!((code.number(), code.entry(), code.status()), (9876, None, 500));
    assert!(serde_json::from_str::<Code>("\"E98765\"").is_err());
    assert!(serde_json::from_str::<Code>("9876").is_err());
}

/// Numbers are promises: scripts and logs name them. A change here breaks someone.
#[test]
fn well_known_numbers_keep_their_meaning() {
    for (code, number) in [
        (BODY_TOO_LARGE, 1002),
        (NOT_DETERMINISTIC, 1102),
        (KEY_UNKNOWN, 1111),
        (SIGNATURE_INVALID, 1112),
        (EXPIRED, 1200),
        (TASK_ID_REUSED, 1203),
        (EPOCH_WRONG, 1204),
        (KEY_DUPLICATE, 1302),
        (KEY_NOT_KNOWN, 1303),
        (NAME_REFUSED, 1313),
        (SOURCE_NOT_ALLOWED, 1401),
        (PERSISTENT_NOT_SUPPORTED, 1410),
        (IMAGE_UNKNOWN, 1500),
        (QUEUE_FULL, 2000),
        (GUEST_PANICKED, 3000),
        (GUEST_OUT_OF_MEMORY, 3001),
        (GUEST_TIMED_OUT, 3002),
        (SOURCE_UNREACHABLE, 4000),
        (RESULT_TOO_LARGE, 5000),
        (QEMU_MISSING, 6000),
        (STORE_WRITE_FAILED, 7000),
    ] {
        assert_eq!(code.number(), number);
    }
}
