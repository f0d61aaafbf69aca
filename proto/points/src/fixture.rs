//! Points in memory, and what a query selects of them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Fault, FixtureError, csv, fpt, line};

/// What tells series apart: measurement, field, tags.
type Key = (String, String, BTreeMap<String, String>);

/// Points of several series, each in the order of time. A later point of the same series and time takes the place of an earlier
/// one, as in InfluxDB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixture {
    series: BTreeMap<Key, BTreeMap<i64, f64>>,
    skipped: u64,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// What was measured.
    pub measurement: &'a str,
    /// Which field of it.
    pub field: &'a str,
    /// Its tags.
    pub tags: &'a BTreeMap<String, String>,
    /// Its points: nanoseconds since 1970 UTC, value.
    pub points: &'a BTreeMap<i64, f64>,
}

/// What is asked of a fixture: as an operation of a wrapper has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The measurement.
    pub measurement: String,
    /// The field.
    pub field: String,
    /// All must hold; within one, any of its values will do. A tag that a series has not is empty.
    pub tags: Vec<(String, Vec<String>)>,
    /// First instant, nanoseconds since 1970 UTC.
    pub from_ns: i64,
    /// End of the range, not itself part of it.
    pub to_ns: i64,
    /// Tags that split the answer.
    pub group_by: Vec<String>,
}

/// The part of an answer that has the same values of the tags that it is grouped by.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Key and value, in the order of the question.
    pub tags: Vec<(String, String)>,
    /// In the order of time.
    pub points: Vec<(i64, f64)>,
}

impl Fixture {
    /// Reads a file; its ending says what it is. A CSV without a column `measurement` has that of its name.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn read(path: &Path) -> Result<Self, FixtureError> {
        let bytes =
            std::fs::read(path).map_err(|source| FixtureError::Read { path: path.to_owned(), source })?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let read = match ending {
            "lp" => line::text(&bytes).and_then(Self::from_line_protocol),
            "csv" => Self::from_csv(&bytes, &stem),
            "fpt" => Self::from_fpt(&bytes),
            _ => return Err(FixtureError::Kind { path: path.to_owned() }),
        };
        read.map_err(|fault| FixtureError::Content { path: path.to_owned(), fault })
    }

    /// Reads InfluxDB's line protocol, times in nanoseconds.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn from_line_protocol(text: &str) -> Result<Self, Fault> {
        line::read(text)
    }

    /// Reads CSV with a header: a column `time` (RFC 3339 or nanoseconds since 1970), perhaps one `measurement`; of the others
    /// those are fields in which every cell is a number or empty, and the rest are tags. `NAME:tag` and `NAME:field` in the header
    /// say it for one column.
    ///
    /// # Errors
    /// The first line that does not fit.
    pub fn from_csv(bytes: &[u8], measurement: &str) -> Result<Self, Fault> {
        csv::read(bytes, measurement)
    }

    /// Reads what [`Self::to_fpt`] wrote.
    ///
    /// # Errors
    /// It is damaged, cut, or of another version.
    pub fn from_fpt(bytes: &[u8]) -> Result<Self, Fault> {
        fpt::read(bytes)
    }

    /// The recorded form: the wire's own frames, so that each has its checksum, with the stream's counts and digest at the end.
    ///
    /// # Errors
    /// Names are longer than the wire takes, or a series has more tags.
    pub fn to_fpt(&self) -> Result<Vec<u8>, Fault> {
        fpt::write(self)
    }

    /// Adds a point, and gives the value whose place it took.
    pub fn push(
        &mut self,
        measurement: &str,
        field: &str,
        tags: &BTreeMap<String, String>,
        time_ns: i64,
        value: f64,
    ) -> Option<f64> {
        let key = (measurement.to_owned(), field.to_owned(), tags.clone());
        self.series.entry(key).or_default().insert(time_ns, value)
    }

    /// Notes a value that is no number: a text, or true or false.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Values that were no numbers and were left out.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Adds all points of another one; its own give way.
    pub fn add(&mut self, other: Self) {
        for (key, points) in other.series {
            self.series.entry(key).or_default().extend(points);
        }
        self.skipped += other.skipped;
    }

    /// All series, in the order of measurement, field and tags.
    pub fn series(&self) -> impl Iterator<Item = Series<'_>> {
        self.series.iter().map(|((measurement, field, tags), points)| Series {
            measurement,
            field,
            tags,
            points,
        })
    }

    /// Points of all series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First and last time, if there are points.
    #[must_use]
    pub fn range_ns(&self) -> Option<(i64, i64)> {
        let first = self
            .series
            .values()
            .filter_map(|points| points.first_key_value())
            .map(|(time, _)| *time)
            .min()?;
        let last =
            self.series.values().filter_map(|points| points.last_key_value()).map(|(time, _)| *time).max()?;
        Some((first, last))
    }

    /// What is selected, in the order in which InfluxDB gives it: by the values of the tags, these in the order of their keys,
    /// and within a group by time. Groups without points are left out.
    #[must_use]
    pub fn select(&self, selection: &Selection) -> Vec<Group> {
        let value =
            |tags: &BTreeMap<String, String>, key: &String| tags.get(key).cloned().unwrap_or_default();
        let mut keys = selection.group_by.clone();
        keys.sort();
        let mut groups: BTreeMap<Vec<String>, Vec<(i64, f64)>> = BTreeMap::new();
        for ((measurement, field, tags), points) in &self.series {
            let fits = *measurement == selection.measurement
                && *field == selection.field
                && selection.tags.iter().all(|(key, any)| any.contains(&value(tags, key)));
            if !fits || selection.from_ns >= selection.to_ns {
                continue;
            }
            let group = groups.entry(keys.iter().map(|key| value(tags, key)).collect()).or_default();
            group.extend(
                points.range(selection.from_ns..selection.to_ns).map(|(time, value)| (*time, *value)),
            );
        }
        let groups = groups.into_iter().filter(|(_, points)| !points.is_empty());
        let named = |values: &[String]| {
            let of = |key: &String| {
                keys.iter().position(|sorted| sorted == key).map_or("", |at| values[at].as_str())
            };
            selection.group_by.iter().map(|key| (key.clone(), of(key).to_owned())).collect()
        };
        groups
            .map(|(values, mut points)| {
                points.sort_by_key(|(time, _)| *time); // stable: series that are joined keep their order
                Group { tags: named(&values), points }
            })
            .collect()
    }
}
