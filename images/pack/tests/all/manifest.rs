//! Manifests are read strictly, and in one form.

use crate::common::manifest_text;
use fades_pack::{Manifest, ManifestError};

fn reason(text: &str) -> String {
    let error = match Manifest::parse(text.as_bytes()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    };
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn the_good_one_reads_back() {
    let text = manifest_text();
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.to_payload().unwrap(), text.as_bytes());
}

#[test]
fn everything_else_is_refused() {
    let text = manifest_text();
    let table = [
        (r#""name":"stats""#, r#""name":"stats","note":"x""#, "Json"),
        (r#""name":"stats""#, r#""name":"stats","name":"stats""#, "Json"),
        (r#""name":"stats","#, "", "Json"),
        (r#""name":"stats""#, r#""name":"../stats""#, "Json"),
        (r#""name":"stats""#, r#""name":"-stats""#, "Json"),
        (r#""name":"stats""#, r#""name":"st\u0000ats""#, "Json"),
        (r#""name":"stats""#, r#""name":7"#, "Json"),
        (r#""version":"0.2.1""#, r#""version":"0.2""#, "Json"),
        (r#""version":"0.2.1""#, r#""version":"0.02.1""#, "Json"),
        (r#""role":"dmf""#, r#""role":"DMF""#, "Json"),
        (r#""role":"dmf""#, r#""role":"loader""#, "Json"),
        (r#""architecture":"x86_64""#, r#""architecture":"riscv64""#, "Json"),
        (r#":32,"#, r#":-1,"#, "Json"),
        (r#":32,"#, r#":32.5,"#, "Json"),
        (r#":32,"#, r#":1e400,"#, "Json"),
        (r#":32,"#, r#":4294967296,"#, "Json"),
        (r#":32,"#, r#":NaN,"#, "Json"),
        (r#":32,"#, r#":0,"#, "Memory"),
        (r#":32,"#, r#":65537,"#, "Memory"),
        (r#""schema":"fades.image.v1""#, r#""schema":"fades.image.v2""#, "Schema"),
        (r#""schema":"fades.image.v1""#, r#""schema":"fades.task.v1""#, "Schema"),
        (r#""schema":"fades.image.v1","#, "", "Json"),
        (r#""name":"loader""#, r#""name":"application""#, "Parts"),
        (r#""name":"application""#, r#""name":"loader""#, "Parts"),
        (r#""name":"loader""#, r#""name":"kernel""#, "Json"),
        (r#""parts":["#, r#""parts":[[],"#, "Json"),
        (r#"],"digest""#, r#",{}],"digest""#, "Json"),
        (r#"{"schema""#, r#"{ "schema""#, "NotCanonical"),
        (r#""role":"dmf""#, r#""role":"\u0064mf""#, "NotCanonical"),
    ];
    for (from, to, expected) in table {
        assert!(text.contains(from), "{from}");
        assert_eq!(reason(&text.replacen(from, to, 1)), expected, "{to}");
    }
    let reordered =
        text.replacen(r#""role":"dmf","#, "", 1).replacen(r#"{"schema""#, r#"{"role":"dmf","schema""#, 1);
    assert_eq!(reason(&reordered), "NotCanonical");
    assert_eq!(reason(&format!("{text}\n")), "NotCanonical");
    for broken in [format!("{text}{text}"), String::new(), "null".into(), "[]".into(), "[".repeat(60_000)] {
        assert_eq!(reason(&broken), "Json");
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let text = manifest_text();
    let mut sizes = text.match_indices(r#""size":"#).map(|(at, _)| at);
    let (first, second) = (sizes.next().unwrap(), sizes.next().unwrap());
    let end = |at: usize| at + text[at..].find('}').unwrap();
    let max = format!(r#""size":{}"#, u64::MAX);
    let both = [&text[..first], &max, &text[end(first)..second], &max, &text[end(second)..]].concat();
    assert!(matches!(Manifest::parse(both.as_bytes()), Err(ManifestError::Size { .. })));
}
