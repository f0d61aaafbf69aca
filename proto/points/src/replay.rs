//! A fixture that answers as an InfluxDB 1.x does: requests in, answers out, without sockets.

use std::sync::Arc;

use crate::influxql::selection;
use crate::{Fixture, Group};

/// Longest head of a request that is looked at.
const MAX_HEAD: usize = 1 << 20;
/// Rows of a document where the request says nothing.
const ROWS: usize = 10_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Replay(Arc<Fixture>);

/// An answer, piece by piece; at most one document each.
#[derive(Debug)]
pub struct Answer {
    head: Option<String>,
    measurement: String,
    field: String,
    groups: Vec<Group>,
    rows: usize,
    /// Which group is next, and from which of its points on.
    at: (usize, usize),
    over: bool,
}

impl Replay {
    /// Answers from these points.
    #[must_use]
    pub fn new(fixture: Fixture) -> Self {
        Self(Arc::new(fixture))
    }

    /// The answer to a request, once all of its head is there; `None` until then.
    #[must_use]
    pub fn answer(&self, request: &[u8]) -> Option<Answer> {
        let end = request.windows(4).position(|window| window == b"\r\n\r\n");
        if end.is_none() && request.len() < MAX_HEAD {
            return None;
        }
        Some(self.respond(request).unwrap_or_else(|words| Answer::refusal(&words)))
    }

    fn respond(&self, request: &[u8]) -> Result<Answer, String> {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let target = line.strip_prefix("GET /query?").and_then(|rest| rest.split(' ').next());
        let target = target.ok_or_else(|| format!("this source answers queries only, not {line:?}"))?;
        let value = |key: &str| {
            let pairs = target.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| plain(value))
        };
        let query = value("q").ok_or("the request has no query")?;
        let rows =
            value("chunk_size").and_then(|rows| rows.parse().ok()).filter(|rows| *rows > 0).unwrap_or(ROWS);
        let wanted = selection(&query)?;
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nTransfer-Encoding: chunked\r\n\r\n";
        Ok(Answer {
            head: Some(head.to_owned()),
            groups: self.0.select(&wanted),
            measurement: wanted.measurement,
            field: wanted.field,
            rows,
            at: (0, 0),
            over: false,
        })
    }
}

impl Answer {
    fn refusal(words: &str) -> Self {
        // Quotes would end the text early.
        let body = format!("{{\"error\":\"{}\"}}", words.replace(['"', '\\', '\r', '\n'], "'"));
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let none = String::new;
        Self {
            head: Some(head),
            measurement: none(),
            field: none(),
            groups: vec![],
            rows: ROWS,
            at: (0, 0),
            over: true,
        }
    }

    /// The next document, and whether others follow. InfluxDB 1.6's documents hold rows of one series each.
    fn document(&mut self) -> Vec<u8> {
        let mut out = vec![];
        let Some(group) = self.groups.get(self.at.0) else {
            self.over = true;
            result(&mut out, false, 0);
            return out;
        };
        let end = group.points.len().min(self.at.1 + self.rows);
        let points = &group.points[self.at.1..end];
        let goes_on = end < group.points.len();
        let next = if goes_on { (self.at.0, end) } else { (self.at.0 + 1, 0) };
        let more = next.0 < self.groups.len();
        result(&mut out, more, 1);
        map(&mut out, 4 + usize::from(goes_on));
        text(&mut out, "name");
        text(&mut out, &self.measurement);
        text(&mut out, "tags");
        map(&mut out, group.tags.len());
        for (key, value) in &group.tags {
            text(&mut out, key);
            text(&mut out, value);
        }
        text(&mut out, "columns");
        array(&mut out, 2);
        text(&mut out, "time");
        text(&mut out, &self.field);
        text(&mut out, "values");
        array(&mut out, points.len());
        for (time, value) in points {
            out.extend([0x92, 0xd3]);
            out.extend(time.to_be_bytes());
            out.push(0xcb);
            out.extend(value.to_be_bytes());
        }
        if goes_on {
            text(&mut out, "partial");
            out.push(0xc3);
        }
        if more {
            text(&mut out, "partial");
            out.push(0xc3);
        }
        (self.at, self.over) = (next, !more);
        out
    }
}

impl Iterator for Answer {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(head) = self.head.take() {
            return Some(head.into_bytes());
        }
        if self.over {
            return None;
        }
        let document = self.document();
        let mut chunk = format!("{:x}\r\n", document.len()).into_bytes();
        chunk.extend(document);
        chunk.extend(b"\r\n");
        if self.over {
            chunk.extend(b"0\r\n\r\n");
        }
        Some(chunk)
    }
}

/// The beginning of a document up to its list of series.
fn result(out: &mut Vec<u8>, more: bool, series: usize) {
    map(out, 1);
    text(out, "results");
    array(out, 1);
    map(out, 1 + usize::from(series > 0) + usize::from(more));
    text(out, "statement_id");
    out.push(0);
    if series > 0 {
        text(out, "series");
        array(out, series);
    }
}

/// The larger forms of MessagePack throughout: readers take any.
fn map(out: &mut Vec<u8>, len: usize) {
    out.push(0xde);
    out.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
}

fn array(out: &mut Vec<u8>, len: usize) {
    out.push(0xdd);
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xdb);
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

/// Percent-encoding undone; `+` is a space.
fn plain(coded: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), coded.bytes());
    while let Some(byte) = bytes.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => {
                let value = hex(bytes.next()).zip(hex(bytes.next())).map(|(high, low)| high * 16 + low);
                out.push(value.and_then(|value| u8::try_from(value).ok()).unwrap_or(b'?'));
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay() -> Replay {
        Replay::new(Fixture::from_line_protocol("m,room=r1 v=1 1\nm,room=r2 v=2 2\n").unwrap())
    }

    #[test]
    fn half_a_request_has_no_answer_yet_and_nonsense_is_refused() {
        assert!(replay().answer(b"GET /query?q=x HTTP/1.1\r\n").is_none());
        for (request, words) in [
            ("GET /query?q=DROP+x HTTP/1.1\r\n\r\n", "expected SELECT"),
            ("POST /write?db=x HTTP/1.1\r\n\r\n", "queries only"),
            ("GET /query?db=x HTTP/1.1\r\n\r\n", "no query"),
        ] {
            let answer: Vec<u8> = replay().answer(request.as_bytes()).unwrap().flatten().collect();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(words), "{answer}");
        }
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(plain("a%20b%22%E2%82%AC+c%"), "a b\"€ c?");
    }
}
