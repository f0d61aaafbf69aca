//! Where in its data a session is: for whoever tells of a panic, on the thread that panicked.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use serde::Serialize;

use crate::function::Series;
use crate::time::rfc3339;

/// Longest [`Place::series`], in bytes: it has to fit into a line on a console.
const SERIES: usize = 512;

thread_local! {
    static LAST: Cell<Option<Chunk>> = const { Cell::new(None) };
}

/// What is noted of a chunk: cheap, as it is done for each.
struct Chunk {
    series: Rc<Series>,
    number: u64,
    points: usize,
    first_ns: i64,
    last_ns: i64,
}

/// The last chunk that a function was given on this thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The operation's id.
    pub operation: String,
    /// Measurement, tags and field, as line protocol writes them; cut after 512 bytes.
    pub series: String,
    /// Which chunk of its operation, from 0.
    pub chunk: u64,
    /// Points in it.
    pub points: usize,
    /// Time of the first of them, RFC 3339.
    pub first: String,
    /// Time of the last of them, RFC 3339.
    pub last: String,
}

impl Place {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

pub(crate) fn enter(series: &Rc<Series>, number: u64, points: usize, (first_ns, last_ns): (i64, i64)) {
    LAST.set(Some(Chunk { series: Rc::clone(series), number, points, first_ns, last_ns }));
}

/// The last chunk that a session on this thread gave to its function, if it gave one since this was asked.
#[must_use]
pub fn last_chunk() -> Option<Place> {
    let chunk = LAST.take()?;
    Some(Place {
        operation: chunk.series.operation.clone(),
        series: named(&chunk.series),
        chunk: chunk.number,
        points: chunk.points,
        first: rfc3339(chunk.first_ns),
        last: rfc3339(chunk.last_ns),
    })
}

fn named(series: &Series) -> String {
    let mut text = series.measurement.clone();
    for (key, value) in &series.tags {
        // Writing to a string cannot fail.
        let _infallible = write!(text, ",{key}={value}");
    }
    let _infallible = write!(text, " {}", series.field);
    let end = (0..=SERIES.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_told_once() {
        let tags = vec![("city".to_owned(), "ü".repeat(300))];
        let (measurement, field) = ("air".to_owned(), "no2".to_owned());
        let series = Series { index: 0, operation: "a".to_owned(), measurement, field, tags };
        enter(&Rc::new(series), 7, 3, (0, 1_500_000_000));
        let place = last_chunk().unwrap();
        assert!(place.series.starts_with("air,city=üü") && place.series.len() <= SERIES, "{place:?}");
        assert_eq!((place.operation.as_str(), place.chunk, place.points), ("a", 7, 3));
        assert_eq!((place.first, place.last), (rfc3339(0), rfc3339(1_500_000_000)));
        assert_eq!(last_chunk(), None);
    }
}
