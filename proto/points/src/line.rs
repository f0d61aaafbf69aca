//! InfluxDB's line protocol, as its reference for 1.x has it:
//!
//! ```text
//! measurement[,tag=value]* field=value[,field=value]* time
//! ```
//! A parser of our own: the published one is no longer kept.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::{Fault, Fixture};

/// Integers beyond this have no f64 of their own, and a broker refuses them.
const EXACT: u64 = 1 << 53;

/// The text of a file; InfluxDB takes no other than UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let line = good.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let byte = bad.first().copied().unwrap_or_default();
        Fault::line(line, format!("it is not UTF-8: byte {byte:#04x} is not part of a character"))
    })
}

pub(crate) fn read(text: &str) -> Result<Fixture, Fault> {
    let mut fixture = Fixture::default();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            point(line, &mut fixture).map_err(|words| Fault::line(number, words))?;
        }
    }
    Ok(fixture)
}

fn point(line: &str, fixture: &mut Fixture) -> Result<(), String> {
    let mut rest = line.chars().peekable();
    let measurement = name(&mut rest, ", ");
    if measurement.is_empty() {
        return Err("it has no measurement".to_owned());
    }
    let mut tags = BTreeMap::new();
    while rest.next_if_eq(&',').is_some() {
        let key = name(&mut rest, ",= ");
        let value = if rest.next_if_eq(&'=').is_some() { name(&mut rest, ",= ") } else { String::new() };
        if key.is_empty() || value.is_empty() {
            return Err(format!("tag {key:?} has no value"));
        }
        tags.insert(key, value);
    }
    if rest.next_if_eq(&' ').is_none() {
        return Err("it has no fields".to_owned());
    }
    let mut values = Vec::new();
    loop {
        let field = name(&mut rest, ",= ");
        if field.is_empty() || rest.next_if_eq(&'=').is_none() {
            return Err(format!("field {field:?} has no value"));
        }
        values.push((field.clone(), value(&mut rest).map_err(|words| format!("field {field:?}: {words}"))?));
        if rest.next_if_eq(&',').is_none() {
            break;
        }
    }
    let time: String = rest.collect();
    let time = match time.trim() {
        "" => return Err("it has no time; write nanoseconds since 1970 at its end".to_owned()),
        digits => {
            digits.parse::<i64>().map_err(|_| format!("{digits:?} is no time in nanoseconds since 1970"))?
        }
    };
    for (field, value) in values {
        match value {
            Some(value) => drop(fixture.push(&measurement, &field, &tags, time, value)),
            None => fixture.skip(),
        }
    }
    Ok(())
}

/// A name up to one of `ends`, which a backslash takes for itself.
fn name(rest: &mut Peekable<Chars<'_>>, ends: &str) -> String {
    let mut name = String::new();
    while let Some(character) = rest.next_if(|character| !ends.contains(*character)) {
        match rest.next_if(|next| character == '\\' && (ends.contains(*next) || "=\\".contains(*next))) {
            Some(escaped) => name.push(escaped),
            None => name.push(character),
        }
    }
    name
}

/// A number, or `None` for a text and for true and false.
fn value(rest: &mut Peekable<Chars<'_>>) -> Result<Option<f64>, String> {
    if rest.next_if_eq(&'"').is_some() {
        loop {
            match rest.next() {
                Some('\\') => drop(rest.next()),
                Some('"') => return Ok(None),
                Some(_) => {}
                None => return Err("its text has no end".to_owned()),
            }
        }
    }
    let word = name(rest, ", ");
    if ["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"].contains(&word.as_str()) {
        return Ok(None);
    }
    let refused = || format!("{word:?} is no number");
    if let Some(digits) = word.strip_suffix(['i', 'u']) {
        let whole: i64 = digits.parse().map_err(|_| refused())?;
        if whole.unsigned_abs() > EXACT {
            return Err(format!("{word} has no floating-point number of its own"));
        }
        #[expect(clippy::cast_precision_loss, reason = "within 2^53")]
        return Ok(Some(whole as f64));
    }
    let number: f64 = word.parse().map_err(|_| refused())?;
    if number.is_finite() { Ok(Some(number)) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> (String, String, Vec<(String, String)>, i64, f64) {
        let fixture = read(line).unwrap();
        let series = fixture.series().next().unwrap();
        let (time, value) = series.points.iter().next().unwrap();
        let tags = series.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        (series.measurement.to_owned(), series.field.to_owned(), tags, *time, *value)
    }

    #[test]
    fn points_are_read_as_influxdb_reads_them() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (line, measurement, field, tags, time, value) in [
            ("m v=1 5", "m", "v", vec![], 5, 1.0),
            ("m,room=r1,a=b v=-1.5e3 -5", "m", "v", vec![tag("a", "b"), tag("room", "r1")], -5, -1500.0),
            (r"my\ m\,x,a\=b=c\ d v\ w=12i 0", "my m,x", "v w", vec![tag("a=b", "c d")], 0, 12.0),
            (r"C:\dir v=7u 0", r"C:\dir", "v", vec![], 0, 7.0),
        ] {
            let expected = (measurement.to_owned(), field.to_owned(), tags, time, value);
            assert_eq!(one(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_number_is_left_out_and_counted() {
        let fixture = read("m text=\"a, \\\"b\\\" c\",on=true,v=1 1\n# a comment\n\nm v=2 1\n").unwrap();
        assert_eq!((fixture.len(), fixture.skipped()), (1, 2));
        assert_eq!(
            fixture.series().next().unwrap().points[&1],
            2.0,
            "the later point takes the place of the earlier"
        );
    }

    #[test]
    fn faults_name_their_line_and_value() {
        for (text, words) in [
            ("m v=1 1\nm v=1", "line 2: it has no time"),
            ("m v=x 1", "line 1: field \"v\": \"x\" is no number"),
            ("m v=NaN 1", "\"NaN\" is no number"),
            ("m 1", "field \"1\" has no value"),
            ("m", "it has no fields"),
            (",a=b v=1 1", "it has no measurement"),
            ("m,a= v=1 1", "tag \"a\" has no value"),
            ("m v=\"x 1", "its text has no end"),
            ("m v=9007199254740993i 1", "no floating-point number of its own"),
            ("m v=-9223372036854775808i 1", "no floating-point number of its own"),
            ("m v=1 2026-01-01", "no time in nanoseconds"),
        ] {
            let fault = read(text).unwrap_err().to_string();
            assert!(fault.contains(words), "{text}: {fault}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_refused_with_its_line() {
        assert_eq!(text("m,ort=Köln v=1 1".as_bytes()), Ok("m,ort=Köln v=1 1"));
        for (bytes, words) in [
            (&b"m v=1 1\nm,ort=K\xf6ln v=1 1\n"[..], "line 2: it is not UTF-8: byte 0xf6 "),
            (b"\xff\n", "line 1: it is not UTF-8"),
            (b"m v=1 1\n\n\xc3", "line 3: it is not UTF-8"),
        ] {
            let fault = text(bytes).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }
}
