//! A source that makes its points while it is read: more than any disk here holds. It speaks what InfluxDB speaks, MessagePack
//! in HTTP chunks, so that the real broker asks and parses; it stores nothing and answers one kind of question.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail};

use super::super::task::{MEASUREMENT, ROOMS, STEP_NS};
use crate::testbed::generator::START_NS;

/// As InfluxDB's answers to the broker have it.
const ROWS_PER_DOCUMENT: u64 = 10_000;
/// A row: an array of two, a time, a value.
const ROW: usize = 19;
/// Values repeat after so many, so that their mean is known.
const CYCLE: u64 = 1000;
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/// On a loopback port of its own until the process ends.
pub(super) struct Source {
    port: u16,
}

impl Source {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for a source")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    // A broker that goes away in the middle has its own words for it.
                    if let Err(error) = serve(stream) {
                        eprintln!("   the source of generated points: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The mean of each series of so many points, a whole number of cycles.
pub(super) fn mean() -> f64 {
    // 0, 1/8, 2/8 … are exact.
    f64::from(u32::try_from(CYCLE - 1).unwrap_or(u32::MAX)) / 16.0
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 || head.len() > 1 << 20 {
            return Ok(());
        }
        head.extend_from_slice(&part[..count]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    if !line.contains("/query?") {
        // The node looks whether a source is there.
        return Ok(
            stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?
        );
    }
    let Some((from, to)) = range(&line) else { bail!("no range of time in {line:?}") };
    let steps = to.abs_diff(from) / STEP_NS;
    stream.write_all(HEAD.as_bytes())?;
    let mut document = Vec::new();
    for room in 1..=ROOMS {
        let mut step = 0;
        while step < steps {
            let end = steps.min(step + ROWS_PER_DOCUMENT);
            let more = end < steps || room < ROOMS;
            document.clear();
            write_document(&mut document, room, from, step..end, more);
            let size = format!("{:x}\r\n", document.len());
            document.extend_from_slice(b"\r\n");
            stream.write_all(size.as_bytes())?;
            stream.write_all(&document)?;
            step = end;
        }
    }
    Ok(stream.write_all(b"0\r\n\r\n")?)
}

/// `time >= FROM AND time < TO`, percent-encoded.
fn range(line: &str) -> Option<(i64, i64)> {
    let number = |mark: &str| {
        let (_, rest) = line.split_once(mark)?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    Some((number("time%20%3E%3D%20")?, number("time%20%3C%20")?))
        .filter(|(from, to)| START_NS <= *from && from < to)
}

fn write_document(out: &mut Vec<u8>, room: u64, from: i64, steps: std::ops::Range<u64>, more: bool) {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(0xa0 | u8::try_from(text.len()).unwrap_or(0));
        out.extend_from_slice(text.as_bytes());
    };
    out.push(0x81);
    text(out, "results");
    out.extend([0x91, if more { 0x83 } else { 0x82 }]);
    text(out, "statement_id");
    out.push(0);
    text(out, "series");
    out.extend([0x91, 0x84]);
    for word in ["name", MEASUREMENT, "tags"] {
        text(out, word);
    }
    out.push(0x81);
    text(out, "room");
    text(out, &format!("r{room}"));
    text(out, "columns");
    out.push(0x92);
    text(out, "time");
    text(out, "value");
    text(out, "values");
    out.push(0xdd);
    let count = steps.end - steps.start;
    out.extend(u32::try_from(count).unwrap_or(0).to_be_bytes());
    let (mut time, mut number) = (from.saturating_add_unsigned(steps.start * STEP_NS), steps.start % CYCLE);
    let mut row = [0; ROW];
    (row[0], row[1], row[10]) = (0x92, 0xd3, 0xcb);
    for _ in 0..count {
        row[2..10].copy_from_slice(&time.to_be_bytes());
        #[expect(clippy::cast_precision_loss, reason = "below a thousand")]
        row[11..].copy_from_slice(&(number as f64 / 8.0).to_be_bytes());
        out.extend_from_slice(&row);
        time = time.saturating_add_unsigned(STEP_NS);
        number = if number + 1 == CYCLE { 0 } else { number + 1 };
    }
    if more {
        text(out, "partial");
        out.push(0xc3);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::task::end_ns;
    use super::*;

    #[test]
    fn an_answer_has_every_point_of_the_range_and_says_where_it_ends() {
        let source = Source::start().unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, source.port)).unwrap();
        let points = ROOMS * 12_000;
        let query = format!("time%20%3E%3D%20{START_NS}%20AND%20time%20%3C%20{}", end_ns(points));
        write!(stream, "GET /query?db=x&q={query}%20GROUP%20BY HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(HEAD.as_bytes()) && answer.ends_with(b"0\r\n\r\n"));
        let count = |mark: &[u8]| answer.windows(mark.len()).filter(|window| *window == mark).count();
        // Two documents a room, the last of which is not partial.
        assert_eq!((count(b"\xa7results"), count(b"\xa7partial\xc3")), (8, 7));
        let rows = answer.windows(11).filter(|row| row[..2] == [0x92, 0xd3] && row[10] == 0xcb).count();
        assert_eq!(rows as u64, points);
    }

    #[test]
    fn a_request_without_a_range_has_none() {
        assert_eq!(range("GET /query?q=SHOW%20DATABASES HTTP/1.1"), None);
    }
}
