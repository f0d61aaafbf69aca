//! When a series was beyond a threshold.

use schemars::JsonSchema;
use serde::Serialize;

use super::moments::Reading;
use crate::function::Error;
use crate::reducer::{NotFinite, Reducer, seconds};
use crate::time::rfc3339;

/// Most events that are kept: 48 bytes each. What comes after them is counted.
const MOST: usize = 10_000;

/// Events: from a value at or beyond one threshold to the first that is back behind another. A value that is not
/// finite is counted and kept out: it neither begins nor ends an event.
///
/// - **Formula**: an event begins with the first value `>= begin` and ends with the next that is `< end` (of
///   [`Events::below`] the other way round); its end is the time of that value, which is not part of it. With two
///   thresholds (hysteresis) a value that wavers about one of them does not make an event of each reading.
/// - **Units**: values have their own, durations are in seconds.
/// - **Error**: none, but that an event begins and ends at readings.
/// - **Memory**: 48 bytes per event, and 10,000 of them at most; further ones are counted.
/// - **Source**: the Schmitt trigger: O. H. Schmitt, "A thermionic trigger", J. Sci. Instrum. 15, 1938.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    begin: f64,
    end: f64,
    above: bool,
    open: Option<Span>,
    closed: Vec<Span>,
    more: u64,
    last: i64,
    left_out: NotFinite,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    start: i64,
    end: Option<i64>,
    points: u64,
    extreme: (i64, f64),
}

#[cfg(test)]
pub(super) const SPAN: usize = size_of::<Span>();

impl Events {
    /// Of values from `begin` upwards, until one is below `end`.
    ///
    /// # Errors
    /// `end` is above `begin`, or one of them is not finite.
    pub fn above(begin: f64, end: f64) -> Result<Self, Error> {
        Self::new(begin, end, true)
    }

    /// Of values from `begin` downwards, until one is above `end`.
    ///
    /// # Errors
    /// `end` is below `begin`, or one of them is not finite.
    pub fn below(begin: f64, end: f64) -> Result<Self, Error> {
        Self::new(begin, end, false)
    }

    fn new(begin: f64, end: f64, above: bool) -> Result<Self, Error> {
        if !(begin.is_finite() && end.is_finite()) {
            return Err(Error::new(format!("thresholds {begin} and {end} are not both finite")));
        }
        if (above && end > begin) || (!above && end < begin) {
            let (side, wrong) = if above { ("above", "above") } else { ("below", "below") };
            return Err(Error::new(format!(
                "events {side} {begin} cannot end at {end}, which is {wrong} that"
            )));
        }
        let (closed, left_out) = (Vec::new(), NotFinite::default());
        Ok(Self { begin, end, above, open: None, closed, more: 0, last: 0, left_out })
    }

    fn point(&mut self, time: i64, value: f64) {
        let beyond = |threshold: f64| if self.above { value >= threshold } else { value <= threshold };
        match &mut self.open {
            None if beyond(self.begin) => {
                self.open = Some(Span { start: time, end: None, points: 1, extreme: (time, value) });
            }
            None => {}
            Some(span) if beyond(self.end) => {
                span.points += 1;
                let further = if self.above { value > span.extreme.1 } else { value < span.extreme.1 };
                if further {
                    span.extreme = (time, value);
                }
            }
            Some(span) => {
                span.end = Some(time);
                let span = *span;
                self.keep(span);
                self.open = None;
            }
        }
        self.last = time;
    }

    fn keep(&mut self, span: Span) {
        if self.closed.len() < MOST {
            self.closed.push(span);
        } else {
            self.more += 1;
        }
    }
}

impl Reducer for Events {
    type Output = EventList;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (time, value) in self.left_out.sift(points) {
            self.point(time, value);
        }
    }

    fn finish(mut self) -> EventList {
        if let Some(open) = self.open.take() {
            self.keep(open);
        }
        let event = |span: Span| Event {
            start: rfc3339(span.start),
            end: span.end.map(rfc3339),
            seconds: seconds(span.start, span.end.unwrap_or(self.last)),
            points: span.points,
            extreme: span.extreme.into(),
        };
        let events = self.closed.iter().copied().map(event).collect();
        EventList { events, more: self.more, left_out: self.left_out }
    }
}

/// The events of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventList {
    /// In the order of time.
    pub events: Vec<Event>,
    /// Events after these, which were not kept.
    pub more: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Time of the first value beyond the threshold.
    pub start: String,
    /// Time of the first value that is back; `null` of an event that had not ended with the data.
    pub end: Option<String>,
    /// How long it took, in seconds; if it had not ended, until the last point.
    pub seconds: f64,
    /// Points that are part of it.
    pub points: u64,
    /// The one that is furthest beyond, and of equal ones the first.
    pub extreme: Reading,
}
