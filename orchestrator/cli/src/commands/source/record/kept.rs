//! What was recorded, per operation, and whether one file may hold it: read from the file, each operation has to find the points
//! that it found in the source.
//!
//! Two ways lead to others. A file has one point of a series at a time, so of points that differ in tags that are not kept one
//! would be left. And a point that two operations keep with different tags is two points of the file, of which one operation may
//! find both.

use std::collections::{BTreeMap, BTreeSet};

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_api::task::{Label, Operation};
use fades_points::{Fixture, Selection};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::IMAGE;
use crate::failure::{Failure, Result, chain};

/// The points of one operation.
pub(super) struct Kept {
    operation: Operation,
    points: Fixture,
}

/// What the function gives.
#[derive(Debug, Deserialize)]
struct Report {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    measurement: String,
    field: String,
    tags: BTreeMap<String, String>,
    times: String,
    values: String,
}

impl Kept {
    /// Nothing yet of an operation, which groups by all tags that it keeps.
    pub(super) fn of(operation: Operation) -> Self {
        Self { operation, points: Fixture::default() }
    }

    /// Takes what a task gave of a part of the operation's range that no other task has given.
    pub(super) fn take(&mut self, result: Value) -> Result<()> {
        let report: Report = serde_json::from_value(result)
            .map_err(|error| Failure::system(format!("what image {IMAGE} gave"), &error))?;
        for group in report.groups {
            let (times, values) = (words(&group.times)?, words(&group.values)?);
            if times.len() != values.len() {
                let message = format!("image {IMAGE} gave {} times and {} values", times.len(), values.len());
                return Err(Failure::new(codes::ANSWER_MALFORMED, message));
            }
            // A tag that points lack is empty in an answer; line protocol and InfluxDB know no empty tags.
            let tags = group.tags.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            for (time, value) in times.into_iter().zip(values) {
                let (time, value) = (i64::from_le_bytes(time), f64::from_le_bytes(value));
                if self.points.push(&group.measurement, &group.field, &tags, time, value).is_some() {
                    return Err(self.twice(&tags, time));
                }
            }
        }
        Ok(())
    }

    fn twice(&self, tags: &BTreeMap<String, String>, time: i64) -> Failure {
        let Operation { id, measurement, field, .. } = &self.operation;
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let at = Timestamp::from_nanosecond(time.into())
            .map_or_else(|_| time.to_string(), |time| time.to_string());
        let message = format!(
            "operation {id}: measurement {measurement}, field {field} has two points of {at} with {}; they differ in tags that the \
             operation does not group by",
            if tags.is_empty() { "no tags".to_owned() } else { tags.join(",") }
        );
        Failure::new(codes::POINTS_NOT_TOLD_APART, message)
            .hint("Group by the tags that tell them apart, in the task that is recorded.")
    }

    /// What was asked for in vain, if the operation has no points.
    pub(super) fn in_vain(&self) -> Option<String> {
        let nothing = || format!("operation {}: {}", self.operation.id, self.selection().words());
        self.points.is_empty().then(nothing)
    }

    /// What the operation will find in a file.
    fn selection(&self) -> Selection {
        let Operation { measurement, field, tags, group_by, .. } = &self.operation;
        let (from_ns, to_ns) = self.operation.range_ns();
        let text = |label: &Label| label.as_str().to_owned();
        Selection {
            measurement: text(measurement),
            field: text(field),
            tags: tags.iter().map(|(tag, any)| (text(tag), any.iter().map(text).collect())).collect(),
            from_ns,
            to_ns,
            group_by: group_by.iter().map(text).collect(),
        }
    }

    fn tags(&self) -> BTreeSet<&Label> {
        self.operation.group_by.iter().collect()
    }

    /// Whether this operation would find points of the other one besides its own. Never where both keep the same tags: a point of
    /// both is one point then.
    fn is_mixed_by(&self, other: &Self) -> bool {
        let of = |kept: &Self| (kept.operation.measurement.clone(), kept.operation.field.clone());
        if of(self) != of(other) || self.tags() == other.tags() {
            return false;
        }
        let found = |points: &Fixture| -> usize {
            points.select(&self.selection()).iter().map(|group| group.points.len()).sum()
        };
        let mut both = self.points.clone();
        both.add(other.points.clone());
        found(&both) != found(&self.points)
    }
}

/// The points of all operations, for one file.
///
/// # Errors
/// There are none, or an operation would find others than its own.
pub(super) fn joined(kept: Vec<Kept>) -> Result<Fixture> {
    if kept.iter().all(|kept| kept.points.is_empty()) {
        let asked: Vec<String> = kept.iter().filter_map(Kept::in_vain).collect();
        return Err(Failure::new(
            codes::NO_POINTS,
            format!("the source gave no points: {}", asked.join("; ")),
        ));
    }
    for one in &kept {
        if let Some(other) = kept.iter().find(|other| one.is_mixed_by(other)) {
            return Err(mixed(one, other));
        }
    }
    let mut points = Fixture::default();
    kept.into_iter().for_each(|kept| points.add(kept.points));
    Ok(points)
}

fn mixed(one: &Kept, other: &Kept) -> Failure {
    let tags = |kept: &Kept| {
        let tags: Vec<&str> = kept.tags().into_iter().map(Label::as_str).collect();
        if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") }
    };
    let Operation { measurement, field, .. } = &one.operation;
    let message = format!(
        "operations {} and {} both read measurement {measurement}, field {field}, and keep different tags of it: {}, and {}; in one \
         file the first would find points of the second besides its own",
        one.operation.id,
        other.operation.id,
        tags(one),
        tags(other)
    );
    let hint =
        "Record each by a task of its own into a file of its own, or have both group by the same tags.";
    Failure::new(codes::POINTS_NOT_TOLD_APART, message).hint(hint)
}

fn words(text: &str) -> Result<Vec<[u8; 8]>> {
    let refused =
        |why: String| Failure::new(codes::ANSWER_MALFORMED, format!("what image {IMAGE} gave: {why}"));
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|error| refused(chain(&error)))?;
    match bytes.as_chunks::<8>() {
        (words, []) => Ok(words.to_vec()),
        (_, rest) => Err(refused(format!("{} bytes too many", rest.len()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An operation on `m.v` that keeps these tags.
    fn kept(id: &str, keeps: &[&str], from: i64, to: i64) -> Kept {
        let at = |ns: i64| Timestamp::from_nanosecond(ns.into()).unwrap();
        let label = |text: &str| text.parse().unwrap();
        Kept::of(Operation {
            id: id.parse().unwrap(),
            source: "s".parse().unwrap(),
            measurement: label("m"),
            field: label("v"),
            tags: BTreeMap::new(),
            from: at(from),
            to: at(to),
            group_by: keeps.iter().map(|tag| label(tag)).collect(),
        })
    }

    /// What the function gives for points of one group.
    fn gave(tags: &[(&str, &str)], points: &[(i64, f64)]) -> Value {
        let coded = |words: Vec<[u8; 8]>| Base64UrlUnpadded::encode_string(words.as_flattened());
        let times = coded(points.iter().map(|(time, _)| time.to_le_bytes()).collect());
        let values = coded(points.iter().map(|(_, value)| value.to_le_bytes()).collect());
        let tags: BTreeMap<&str, &str> = tags.iter().copied().collect();
        json!({ "groups": [{ "measurement": "m", "field": "v", "tags": tags, "times": times, "values": values }] })
    }

    fn with(mut kept: Kept, tags: &[(&str, &str)], points: &[(i64, f64)]) -> Kept {
        kept.take(gave(tags, points)).unwrap();
        kept
    }

    fn refused(kept: Vec<Kept>) -> Failure {
        let failure = joined(kept).unwrap_err();
        assert_eq!(failure.code, Some(codes::POINTS_NOT_TOLD_APART), "{failure:?}");
        failure
    }

    #[test]
    fn points_come_back_to_the_bit_and_nonsense_is_told() {
        let good = with(kept("a", &["room"], 0, 9), &[("room", "r1"), ("floor", "")], &[(5, 0.1)]);
        let series = good.points.series().next().unwrap();
        assert_eq!((series.points[&5].to_bits(), series.tags.len()), (0.1f64.to_bits(), 1));
        let of = |times: &str, values: &str| json!({ "groups": [{ "measurement": "m", "field": "v", "tags": {}, "times": times, "values": values }] });
        for bad in [of("AAAAAAAAAAA", ""), of("AAAA", "AAAA"), of("%", ""), json!(7)] {
            assert!(kept("a", &[], 0, 9).take(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_twice_in_one_series_is_refused() {
        let failure =
            kept("a", &["room"], 0, 9).take(gave(&[("room", "r1")], &[(5, 0.1), (5, 0.1)])).unwrap_err();
        assert_eq!(failure.code, Some(codes::POINTS_NOT_TOLD_APART));
        assert!(failure.message.contains("two points of 1970-01-01T00:00:00.000000005Z with room=r1"));
    }

    #[test]
    fn the_same_tags_may_overlap() {
        let (r1, points) = ([("room", "r1")], [(5, 1.0), (6, 2.0)]);
        let fixture = joined(vec![
            with(kept("a", &["room"], 0, 7), &r1, &points),
            with(kept("b", &["room"], 5, 9), &r1, &[(5, 1.0), (6, 2.0), (8, 3.0)]),
        ]);
        assert_eq!(fixture.unwrap().len(), 3);
    }

    #[test]
    fn other_tags_of_the_same_points_are_refused_wherever_one_would_find_them_twice() {
        let fine = || with(kept("fine", &["room"], 0, 9), &[("room", "r1")], &[(5, 1.0)]);
        let coarse = |from, time| with(kept("coarse", &[], from, 20), &[], &[(time, 1.0)]);
        let failure = refused(vec![fine(), coarse(0, 5)]);
        assert!(
            failure.message.contains("operations fine and coarse") && failure.message.contains("no tags")
        );
        refused(vec![coarse(0, 5), fine()]);
        // Apart in time neither finds the other's.
        assert_eq!(joined(vec![fine(), coarse(9, 9)]).unwrap().len(), 2);
        // A range that holds the other's time finds its points, though its own lie elsewhere.
        refused(vec![fine(), coarse(0, 12)]);
        // A tag that no point has tells nothing apart.
        let floors = with(kept("floors", &["room", "floor"], 0, 9), &[("room", "r1")], &[(5, 1.0)]);
        assert_eq!(joined(vec![fine(), floors]).unwrap().len(), 1);
    }

    #[test]
    fn filters_keep_operations_apart() {
        let mut filtered = kept("filtered", &["room", "floor"], 0, 9);
        let label = |text: &str| -> Label { text.parse().unwrap() };
        filtered.operation.tags.insert(label("floor"), vec![label("2")]);
        let filtered = with(filtered, &[("room", "r1"), ("floor", "2")], &[(5, 1.0)]);
        // Without its floor a point is on none, so the filter does not find it; the other way round the filter's point is in the room.
        let failure =
            refused(vec![filtered, with(kept("all", &["room"], 0, 9), &[("room", "r1")], &[(5, 1.0)])]);
        assert!(failure.message.contains("operations all and filtered"), "{}", failure.message);
    }

    #[test]
    fn nothing_at_all_is_refused_and_nothing_of_one_is_not() {
        let failure = joined(vec![kept("a", &["room"], 0, 9)]).unwrap_err();
        assert_eq!(failure.code, Some(codes::NO_POINTS));
        let told = "operation a: measurement \"m\", field \"v\", 1970-01-01T00:00:00Z to 1970-01-01T00:00:00.000000009Z";
        assert!(failure.message.ends_with(told), "{}", failure.message);
        let one = with(kept("b", &["room"], 0, 9), &[("room", "r1")], &[(5, 1.0)]);
        assert_eq!((one.in_vain(), kept("a", &[], 0, 9).in_vain()), (None, Some(told.to_owned())));
        assert_eq!(joined(vec![kept("a", &["room"], 0, 9), one]).unwrap().len(), 1);
    }
}
