//! From the body of an answer to points: a streaming parser of InfluxDB's MessagePack documents.
//!
//! ```text
//! { "results": [ { "statement_id": 0,
//!                  "series": [ { "name": m, "tags": {k: v}, "columns": ["time", f], "values": [[t, v], ...] } ],
//!                  "partial": true } ] }
//! ```
//! `partial` says that another document follows. InfluxDB 1.6 counts a series' own `partial` out of the series' map
//! while it writes it, so that one more `"partial": true` stands behind the document, or between two series: both are
//! taken for what they are.
//!
//! Nothing grows with the answer: an incomplete token is kept (at most 4 KiB), one series' name and tags, and counts.
//! The answer is distrusted: it must be about what was asked for, within the range of time, and ascending.

use super::MAX_WORDS;
use super::place::{Back, State};
use super::token::{MAX_TOKEN, Token, TokenError, token};
use crate::columns::Columns;
use fades_wire::control::{MAX_NAME, Name};
use fades_wire::data::Tag;

/// What was asked for, and what the answer therefore must be about.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The measurement.
    pub measurement: String,
    /// The field.
    pub field: String,
    /// Tags that split the answer into series.
    pub group_by: Vec<Name>,
    /// First instant, nanoseconds since 1970 UTC.
    pub from_ns: i64,
    /// End of the range, not part of it.
    pub to_ns: i64,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// InfluxDB's own words.
    #[error("the source says: {0}")]
    Refused(String),
    /// Not the format that was asked for.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// A value that is no number, or an integer that no f64 equals.
    #[error("the value at {time_ns} in series {series} is {found}, not a number that fits")]
    Type {
        /// Name and tags of the series.
        series: String,
        /// The point's time.
        time_ns: i64,
        /// What stands there.
        found: String,
    },
    /// The answer ended although it said that more would follow, or never began.
    #[error("the answer ends in the middle, after {points} points")]
    Cut {
        /// Points so far.
        points: u64,
    },
}

/// Why [`Parser::feed`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All input is used.
    NeedInput,
    /// The columns are full.
    Full,
    /// Another series begins: see [`Parser::tags`]. The points so far belong to the one before.
    Series,
}

/// Values that may be skipped in one answer under keys that mean nothing here (`messages`, `statement_id`).
const MAX_SKIPPED: u64 = 10_000_000;

/// The parser. It starts at the first byte of the body.
#[derive(Debug)]
pub struct Parser {
    asked: Asked,
    state: State,
    /// Elements still to come, from the outermost level inwards.
    top_left: u32,
    results_left: u32,
    result_left: u32,
    list_left: u32,
    series_left: u32,
    tags_left: u32,
    columns_seen: u32,
    rows_left: u32,
    skip_left: u64,
    skipped: u64,
    /// Whether another document must follow: true until one has come that says it is the last.
    more: bool,
    named: bool,
    tags: Vec<Tag>,
    announced: Option<Vec<Tag>>,
    last_ns: i64,
    points: u64,
    nulls: u64,
    carry: Vec<u8>,
}

impl Parser {
    /// A parser for the answer to this question.
    #[must_use]
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            state: State::Document,
            top_left: 0,
            results_left: 0,
            result_left: 0,
            list_left: 0,
            series_left: 0,
            tags_left: 0,
            columns_seen: 0,
            rows_left: 0,
            skip_left: 0,
            skipped: 0,
            more: true,
            named: false,
            tags: Vec::new(),
            announced: None,
            last_ns: i64::MIN,
            points: 0,
            nulls: 0,
            carry: Vec::new(),
        }
    }

    /// Tags of the series that [`Stop::Series`] told of, in the order of the question.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        self.announced.as_deref().unwrap_or_default()
    }

    /// Points so far.
    #[must_use]
    pub const fn points(&self) -> u64 {
        self.points
    }

    /// Rows without a value, which were left out.
    #[must_use]
    pub const fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Most memory that a parser takes beside its own size and the names it was given.
    pub const MEMORY: usize = 2 * MAX_TOKEN + 128 * MAX_NAME;

    /// Says that the body has ended.
    ///
    /// # Errors
    /// The answer is not whole.
    pub fn finish(&self) -> Result<(), DocumentError> {
        if self.more || self.state != State::Document || !self.carry.is_empty() {
            return Err(DocumentError::Cut { points: self.points });
        }
        Ok(())
    }

    /// Takes bytes of the body and puts points into `columns`. Gives how many bytes were used; with
    /// [`Stop::NeedInput`] that is all of them, otherwise the rest is to be fed again.
    ///
    /// # Errors
    /// What no further bytes can repair; the parser is of no use after it.
    pub fn feed(&mut self, input: &[u8], columns: &mut Columns) -> Result<(usize, Stop), DocumentError> {
        let mut at = 0;
        while !self.carry.is_empty() {
            // A token was cut by the end of the input before. Most are a row: a few bytes complete it.
            let held = self.carry.len();
            let wanted = if held < 64 { 64 } else { MAX_TOKEN };
            let more = wanted.min(input.len() - at);
            let mut joined = core::mem::take(&mut self.carry);
            joined.extend_from_slice(&input[at..at + more]);
            let (used, stop) = self.run(&joined, columns)?;
            if used < held {
                // Either still incomplete (then all of the input may be in there), or nothing could be taken.
                let keep = if stop == Stop::NeedInput { joined.len() } else { held };
                joined.truncate(keep);
                at += keep - held;
                self.carry = joined;
                if stop != Stop::NeedInput || at == input.len() {
                    return Ok((at, stop));
                }
                if held >= MAX_TOKEN {
                    return Err(malformed("a value without end"));
                }
                continue;
            }
            at += used - held;
            joined.clear();
            self.carry = joined;
            if stop != Stop::NeedInput {
                return Ok((at, stop));
            }
        }
        let (used, stop) = self.run(&input[at..], columns)?;
        at += used;
        if stop == Stop::NeedInput {
            self.carry.extend_from_slice(&input[at..]);
            at = input.len();
        }
        Ok((at, stop))
    }

    /// Takes whole tokens from the start of `input`.
    fn run(&mut self, input: &[u8], columns: &mut Columns) -> Result<(usize, Stop), DocumentError> {
        let mut at = 0;
        loop {
            if self.state == State::Rows {
                if self.rows_left == 0 {
                    self.state = State::SeriesKey;
                } else {
                    at += self.rows(&input[at..], columns)?;
                    if self.rows_left == 0 {
                        continue;
                    }
                    if columns.room() == 0 {
                        return Ok((at, Stop::Full));
                    }
                    match self.odd_row(&input[at..], columns)? {
                        Some(used) => at += used,
                        None => return Ok((at, Stop::NeedInput)),
                    }
                    continue;
                }
            }
            if self.at_an_end() {
                continue;
            }
            if self.state == State::Refusal {
                return match refusal(&input[at..]) {
                    Some(words) => Err(DocumentError::Refused(words)),
                    None => Ok((at, Stop::NeedInput)),
                };
            }
            let Some((token, used)) = token(&input[at..]).map_err(unreadable)? else {
                return Ok((at, Stop::NeedInput));
            };
            at += used;
            if self.take(token)? {
                return Ok((at, Stop::Series));
            }
        }
    }

    /// The fast path: rows of exactly `[int64, float64]`. Stops before the first that is another, or cut.
    fn rows(&mut self, input: &[u8], columns: &mut Columns) -> Result<usize, DocumentError> {
        const ROW: usize = 19;
        let most = (self.rows_left as usize).min(columns.room());
        let (mut last, from, to) = (self.last_ns, self.asked.from_ns, self.asked.to_ns);
        let mut count = 0;
        let mut wrong = None;
        for row in input.as_chunks::<ROW>().0.iter().take(most) {
            let [0x92, 0xd3, a, b, c, d, e, f, g, h, 0xcb, i, j, k, l, m, n, o, p] = *row else { break };
            let time_ns = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
            if time_ns < last || time_ns < from || time_ns >= to {
                wrong = Some(time_ns);
                break;
            }
            last = time_ns;
            columns.push(time_ns, f64::from_be_bytes([i, j, k, l, m, n, o, p]));
            count += 1;
        }
        if let Some(time_ns) = wrong {
            return Err(self.misplaced(time_ns));
        }
        self.last_ns = last;
        self.points += count as u64;
        self.rows_left -= u32::try_from(count).unwrap_or(self.rows_left);
        Ok(count * ROW)
    }

    /// A row in any other shape, or `None` while it is incomplete. There is room in the columns.
    fn odd_row(&mut self, input: &[u8], columns: &mut Columns) -> Result<Option<usize>, DocumentError> {
        let Some((row, mut used)) = token(input).map_err(unreadable)? else { return Ok(None) };
        if row != Token::Array(2) {
            return Err(malformed(format!("a row is {}, not a time and a value", row.kind())));
        }
        let Some((time, length)) = token(&input[used..]).map_err(unreadable)? else { return Ok(None) };
        used += length;
        let Token::Int(time_ns) = time else {
            return Err(malformed(format!("a row's time is {}", time.kind())));
        };
        let Some((value, length)) = token(&input[used..]).map_err(unreadable)? else { return Ok(None) };
        used += length;
        let value = match value {
            Token::Nil => None,
            Token::Float(value) => Some(value),
            Token::Int(integer) => {
                Some(exact(integer).ok_or_else(|| self.mistyped(time_ns, &integer.to_string()))?)
            }
            Token::Huge(integer) => return Err(self.mistyped(time_ns, &integer.to_string())),
            other => return Err(self.mistyped(time_ns, other.kind())),
        };
        if time_ns < self.last_ns || time_ns < self.asked.from_ns || time_ns >= self.asked.to_ns {
            return Err(self.misplaced(time_ns));
        }
        self.last_ns = time_ns;
        self.rows_left -= 1;
        match value {
            Some(value) => {
                columns.push(time_ns, value);
                self.points += 1;
            }
            None => self.nulls += 1,
        }
        Ok(Some(used))
    }

    /// Leaves a level all of whose elements have come. Says whether there was one to leave.
    fn at_an_end(&mut self) -> bool {
        self.state = match self.state {
            State::TopKey if self.top_left == 0 => State::Document,
            State::ResultEntry if self.results_left == 0 => State::TopKey,
            State::ResultKey if self.result_left == 0 => State::ResultEntry,
            State::SeriesEntry if self.list_left == 0 => State::ResultKey,
            State::SeriesKey if self.series_left == 0 => State::SeriesEntry,
            State::TagKey if self.tags_left == 0 => State::SeriesKey,
            State::Column if self.columns_seen == 2 => State::SeriesKey,
            State::Skip(back) if self.skip_left == 0 => back.state(),
            _ => return false,
        };
        true
    }

    /// Takes a token. Says whether it begins a new series.
    fn take(&mut self, token: Token<'_>) -> Result<bool, DocumentError> {
        self.state = match (self.state, token) {
            (State::Document, Token::Text(b"partial")) => State::Flag(Back::Document),
            (State::Document, Token::Map(_)) if !self.more => {
                return Err(malformed("more follows behind the last document"));
            }
            (State::Document, Token::Map(count)) => {
                self.more = false;
                self.top_left = count;
                State::TopKey
            }
            (State::TopKey, Token::Text(key)) => {
                self.top_left -= 1;
                match key {
                    b"results" => State::Results,
                    b"error" => State::Refusal,
                    _ => self.skip(Back::Top),
                }
            }
            (State::Results, Token::Array(count @ 0..=1)) => {
                self.results_left = count;
                State::ResultEntry
            }
            (State::ResultEntry, Token::Map(count)) => {
                self.results_left -= 1;
                self.result_left = count;
                State::ResultKey
            }
            (State::ResultKey, Token::Text(key)) => {
                self.result_left -= 1;
                match key {
                    b"series" => State::SeriesList,
                    b"partial" => State::Flag(Back::Result),
                    b"error" => State::Refusal,
                    _ => self.skip(Back::Result),
                }
            }
            (State::SeriesList, Token::Array(count)) => {
                self.list_left = count;
                State::SeriesEntry
            }
            (State::SeriesEntry, Token::Text(b"partial")) => State::Flag(Back::List),
            (State::SeriesEntry, Token::Map(count)) => {
                self.list_left -= 1;
                self.series_left = count;
                self.named = false;
                self.columns_seen = 0;
                self.tags.clear();
                State::SeriesKey
            }
            (State::SeriesKey, Token::Text(key)) => {
                self.series_left -= 1;
                match key {
                    b"name" => State::Name,
                    b"tags" => State::Tags,
                    b"columns" => State::Columns,
                    b"values" => State::Values,
                    b"partial" => State::Flag(Back::Series),
                    _ => self.skip(Back::Series),
                }
            }
            (State::Name, Token::Text(name)) => {
                if name != self.asked.measurement.as_bytes() {
                    return Err(malformed(format!(
                        "a series of measurement {}, which was not asked for",
                        shown(name)
                    )));
                }
                self.named = true;
                State::SeriesKey
            }
            (State::Tags, Token::Map(count)) => {
                self.tags_left = count;
                State::TagKey
            }
            (State::TagKey, Token::Text(key)) => {
                self.tags_left -= 1;
                self.tag_key(key)?;
                State::TagValue
            }
            (State::TagValue, Token::Text(value)) => {
                self.tag_value(value)?;
                State::TagKey
            }
            (State::Columns, Token::Array(2)) => State::Column,
            (State::Column, Token::Text(name)) => {
                let expected = if self.columns_seen == 0 { "time" } else { &self.asked.field };
                if name != expected.as_bytes() {
                    return Err(malformed(format!(
                        "column {} where {expected:?} was asked for",
                        shown(name)
                    )));
                }
                self.columns_seen += 1;
                State::Column
            }
            (State::Values, Token::Array(count)) => {
                if !self.named || self.columns_seen != 2 {
                    return Err(malformed("values of a series before its name and columns"));
                }
                self.rows_left = count;
                self.state = State::Rows;
                return Ok(count > 0 && self.announce());
            }
            (State::Flag(back), Token::Bool(flag)) => {
                self.more |= flag;
                back.state()
            }
            (State::Skip(back), token) => {
                self.skipped += 1;
                if self.skipped > MAX_SKIPPED {
                    return Err(malformed("too much in it that was not asked for"));
                }
                self.skip_left = self.skip_left - 1
                    + match token {
                        Token::Array(count) => u64::from(count),
                        Token::Map(count) => 2 * u64::from(count),
                        _ => 0,
                    };
                State::Skip(back)
            }
            (state, token) => {
                return Err(malformed(format!("{} where {} should be", token.kind(), state.expects())));
            }
        };
        Ok(false)
    }

    fn skip(&mut self, back: Back) -> State {
        self.skip_left = 1;
        State::Skip(back)
    }

    fn tag_key(&mut self, key: &[u8]) -> Result<(), DocumentError> {
        let known = self.asked.group_by.iter().find(|name| name.0.as_bytes() == key);
        let name = known.filter(|name| self.tags.iter().all(|tag| tag.key != **name));
        let name = name.ok_or_else(|| malformed(format!("tag {} was not asked for", shown(key))))?;
        self.tags.push(Tag { key: name.clone(), value: Name(String::new()) });
        Ok(())
    }

    fn tag_value(&mut self, value: &[u8]) -> Result<(), DocumentError> {
        if value.len() > MAX_NAME {
            return Err(malformed(format!("a tag's value of {} bytes, over {MAX_NAME}", value.len())));
        }
        let value = core::str::from_utf8(value)
            .map_err(|error| malformed(format!("the tag value {} is not UTF-8: {error}", shown(value))))?;
        if let Some(tag) = self.tags.last_mut() {
            value.clone_into(&mut tag.value.0);
        }
        Ok(())
    }

    /// Compares the series with the one before, and makes it the current one if it is another.
    fn announce(&mut self) -> bool {
        let tags: Vec<Tag> = self
            .asked
            .group_by
            .iter()
            .map(|key| {
                let given = self.tags.iter().find(|tag| tag.key == *key);
                Tag {
                    key: key.clone(),
                    value: given.map_or_else(|| Name(String::new()), |tag| tag.value.clone()),
                }
            })
            .collect();
        if self.announced.as_ref() == Some(&tags) {
            return false;
        }
        self.announced = Some(tags);
        self.last_ns = i64::MIN;
        true
    }

    fn series_for_people(&self) -> String {
        let tags: String = self.tags().iter().map(|tag| format!(",{}={}", tag.key.0, tag.value.0)).collect();
        format!("{}{tags}", self.asked.measurement).chars().take(MAX_WORDS).collect()
    }

    fn mistyped(&self, time_ns: i64, found: &str) -> DocumentError {
        DocumentError::Type { series: self.series_for_people(), time_ns, found: found.to_owned() }
    }

    fn misplaced(&self, time_ns: i64) -> DocumentError {
        let series = self.series_for_people();
        malformed(format!(
            "the time {time_ns} in series {series} is before its predecessor or outside the range asked for"
        ))
    }
}

/// The f64 that equals `integer`, if there is one.
fn exact(integer: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line asks whether it was lost")]
    let value = integer as f64;
    #[expect(clippy::cast_possible_truncation, reason = "an f64 that came from an i64 fits an i128")]
    let back = value as i128;
    (back == i128::from(integer)).then_some(value)
}

/// The text of an error, as far as it is worth repeating, or `None` while it is incomplete.
fn refusal(input: &[u8]) -> Option<String> {
    match token(input) {
        Ok(None) => None,
        Ok(Some((Token::Text(words), _))) => Some(
            String::from_utf8_lossy(words)
                .chars()
                .filter(|letter| !letter.is_control())
                .take(MAX_WORDS)
                .collect(),
        ),
        Ok(Some((other, _))) => Some(format!("an error that is {}", other.kind())),
        Err(_) => Some("an error too long to repeat".to_owned()),
    }
}

fn unreadable(error: TokenError) -> DocumentError {
    match error {
        TokenError::Reserved => malformed("byte 0xc1, which MessagePack never uses"),
        TokenError::TooLong(length) => malformed(format!("a text of {length} bytes")),
    }
}

fn malformed(words: impl Into<String>) -> DocumentError {
    DocumentError::Malformed(words.into())
}

/// Bytes of the source, for people: printable, and not many.
fn shown(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
    format!("{text:?}")
}
