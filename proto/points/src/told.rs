//! What people are told of a fixture.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{Fixture, Selection};

/// Most names of one kind in a row of words.
const NAMES: usize = 8;

impl Fixture {
    /// That values were left out, if any were.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        match self.skipped() {
            0 => None,
            1 => Some("1 value that is no number was left out".to_owned()),
            many => Some(format!("{many} values that are no numbers were left out")),
        }
    }

    /// Measurements with their fields, and from when to when: for whoever asked for something else.
    #[must_use]
    pub fn contents(&self) -> String {
        let Some((first, last)) = self.range_ns() else { return "no points".to_owned() };
        let mut fields = BTreeMap::<&str, BTreeSet<&str>>::new();
        for series in self.series() {
            fields.entry(series.measurement).or_default().insert(series.field);
        }
        let of = |(measurement, fields): (&str, BTreeSet<&str>)| {
            format!("{measurement:?} ({})", row(fields.into_iter().map(|field| format!("{field:?}"))))
        };
        format!("{}, {} to {}", row(fields.into_iter().map(of)), time(first), time(last))
    }
}

impl Selection {
    /// What is selected, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { measurement, field, tags, from_ns, to_ns, .. } = self;
        let tag = |(key, any): &(String, Vec<String>)| {
            format!(", {key:?} {}", row(any.iter().map(|value| format!("{value:?}"))))
        };
        let tags: String = tags.iter().map(tag).collect();
        format!("measurement {measurement:?}, field {field:?}{tags}, {} to {}", time(*from_ns), time(*to_ns))
    }
}

fn row(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES);
    let row = names.take(NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { row } else { format!("{row} and {more} more") }
}

fn time(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into()).map_or_else(|_| ns.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_counted() {
        let told = |text| Fixture::from_line_protocol(text).unwrap().left_out();
        assert_eq!(told("m v=1 1"), None);
        assert_eq!(told("m v=1,t=\"x\" 1").unwrap(), "1 value that is no number was left out");
        assert_eq!(told("m on=true,t=\"x\" 1").unwrap(), "2 values that are no numbers were left out");
    }

    #[test]
    fn contents_are_measurements_fields_and_times() {
        assert_eq!(Fixture::default().contents(), "no points");
        let fixture = Fixture::from_line_protocol("b,r=1 v=1,a=2 1\nb,r=2 v=1 1000000000\na v=1 0").unwrap();
        let told = "\"a\" (\"v\"), \"b\" (\"a\", \"v\"), 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z";
        assert_eq!(fixture.contents(), told);
        let many: String = (0..11).map(|at| format!("m v{at:02}=1 1\n")).collect();
        let told = Fixture::from_line_protocol(&many).unwrap().contents();
        assert!(told.contains("\"v07\" and 3 more)"), "{told}");
    }

    #[test]
    fn selections_are_told_with_their_tags() {
        let selection = Selection {
            measurement: "m".into(),
            field: "v".into(),
            tags: vec![("room".into(), vec!["r1".into(), "r2".into()])],
            to_ns: 1,
            ..Selection::default()
        };
        let told = "measurement \"m\", field \"v\", \"room\" \"r1\", \"r2\", 1970-01-01T00:00:00Z to 1970-01-01T00:00:00.000000001Z";
        assert_eq!(selection.words(), told);
    }
}
