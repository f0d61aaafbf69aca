//! Tests of the parser: InfluxDB's real byte forms, every split of them, and what must be refused.

use super::document::{Asked, DocumentError, Parser, Stop};
use crate::columns::Columns;
use fades_wire::batch::Batch;

/// Writes MessagePack by hand, as a source would.
#[derive(Default)]
struct Doc(Vec<u8>);

impl Doc {
    fn map(mut self, count: u8) -> Self {
        self.0.push(0x80 | count);
        self
    }
    fn array(mut self, count: u8) -> Self {
        self.0.push(0x90 | count);
        self
    }
    fn text(mut self, text: &str) -> Self {
        self.0.extend([0xd9, u8::try_from(text.len()).unwrap()]);
        self.0.extend(text.as_bytes());
        self
    }
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
    fn partial(self) -> Self {
        self.text("partial").raw(&[0xc3])
    }
    fn row(mut self, time: i64, value: f64) -> Self {
        self.0.extend([0x92, 0xd3]);
        self.0.extend(time.to_be_bytes());
        self.0.push(0xcb);
        self.0.extend(value.to_be_bytes());
        self
    }
    /// The start of a document with one result of one series of `rows` rows.
    fn series(self, result_entries: u8, room: &str, rows: u8) -> Self {
        self.map(1)
            .text("results")
            .array(1)
            .map(result_entries)
            .text("statement_id")
            .raw(&[0])
            .text("series")
            .array(1)
            .one_series(room, rows)
    }
    fn one_series(self, room: &str, rows: u8) -> Self {
        let this = self.map(4).text("name").text("m").text("tags").map(1).text("room").text(room);
        this.text("columns").array(2).text("time").text("v").text("values").array(rows)
    }
}

fn asked() -> Asked {
    Asked {
        measurement: "m".into(),
        field: "v".into(),
        group_by: vec!["room".into()],
        from_ns: -100,
        to_ns: 1_000,
    }
}

type Points = Vec<(String, Vec<(i64, f64)>)>;

/// Feeds `input` in pieces of `step`, with columns of `capacity` points that are emptied when full.
fn parse(input: &[u8], step: usize, capacity: usize) -> Result<(Points, u64), DocumentError> {
    let mut parser = Parser::new(asked());
    let mut columns = Columns::new(capacity);
    let mut all = Points::new();
    for piece in input.chunks(step) {
        let mut at = 0;
        loop {
            let (used, stop) = parser.feed(&piece[at..], &mut columns)?;
            at += used;
            if !columns.is_empty() {
                let mut body = Vec::new();
                columns.write(0, &mut body);
                all.last_mut()
                    .expect("points without a series")
                    .1
                    .extend(Batch::parse(&body).unwrap().points());
            }
            match stop {
                Stop::NeedInput => break,
                Stop::Full => {}
                Stop::Series => all.push((parser.tags()[0].value.0.clone(), Vec::new())),
            }
        }
        assert_eq!(at, piece.len());
    }
    parser.finish()?;
    Ok((all, parser.nulls()))
}

/// What InfluxDB 1.6 really sends: each partial series leaves a stray flag behind its document.
fn real() -> Vec<u8> {
    let doc = Doc::default().series(3, "a", 2).row(-5, 1.0).row(-5, 2.0).partial().partial();
    let doc = doc.series(3, "a", 2).raw(&[0x92, 7, 0x03]).raw(&[0x92, 8, 0xc0]).partial();
    doc.series(2, "b", 1).raw(&[0x92, 0xcd, 0x01, 0x00, 0xca, 0x3f, 0xc0, 0, 0]).0
}

#[test]
fn documents_in_every_split_and_capacity() {
    let bytes = real();
    let expected =
        vec![("a".to_owned(), vec![(-5, 1.0), (-5, 2.0), (7, 3.0)]), ("b".to_owned(), vec![(256, 1.5)])];
    for step in 1..=bytes.len() {
        for capacity in [1, 2, 9] {
            assert_eq!(
                parse(&bytes, step, capacity).unwrap(),
                (expected.clone(), 1),
                "step {step}, capacity {capacity}"
            );
        }
    }
}

#[test]
fn b4_every_cut_is_noticed() {
    let bytes = real();
    let whole: Vec<usize> = (0..bytes.len()).filter(|cut| parse(&bytes[..*cut], 7, 4).is_ok()).collect();
    assert_eq!(whole, [] as [usize; 0]);
}

#[test]
fn the_flag_inside_the_map_and_between_series() {
    // As a version without the miscount would write it, and with two series in one document.
    let doc = Doc::default().map(1).text("results").array(1).map(1).text("series").array(2);
    let doc = doc.one_series("a", 1).row(1, 1.0).text("partial").raw(&[0xc2]).one_series("b", 1).row(1, 2.0);
    let (points, _) = parse(&doc.0, 5, 9).unwrap();
    assert_eq!(points.len(), 2);
    let mut inside = Doc::default().series(2, "a", 1).row(1, 1.0).partial().0;
    let place = inside.iter().position(|byte| *byte == 0x84).unwrap();
    inside[place] = 0x85;
    assert_eq!(parse(&inside, 5, 9), Err(DocumentError::Cut { points: 1 }));
}

#[test]
fn an_empty_answer_is_whole_and_no_answer_is_not() {
    let doc = Doc::default()
        .map(1)
        .text("results")
        .array(1)
        .map(2)
        .text("statement_id")
        .raw(&[0])
        .text("series")
        .array(0);
    assert_eq!(parse(&doc.0, 3, 1).unwrap(), (vec![], 0));
    assert_eq!(parse(&[], 3, 1), Err(DocumentError::Cut { points: 0 }));
}

#[test]
fn the_source_s_own_words() {
    let words = "database not found: nodb";
    let top = Doc::default().map(1).text("error").text(words).0;
    let inner = Doc::default().map(1).text("results").array(1).map(1).text("error").text(words).0;
    // In the middle of a stream: InfluxDB says so in a document of its own.
    let late = Doc::default().series(3, "a", 1).row(1, 1.0).partial().partial().raw(&inner).0;
    for bytes in [top, inner, late] {
        assert_eq!(parse(&bytes, 4, 9), Err(DocumentError::Refused(words.to_owned())));
    }
}

#[test]
fn b4_values_that_are_no_numbers_name_series_and_time() {
    for (value, found) in [
        (&b"\xa3hey"[..], "a text"),
        (b"\xc3", "a boolean"),
        (b"\xd3\x00\x20\x00\x00\x00\x00\x00\x01", "9007199254740993"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\x90", "an array"),
    ] {
        let bytes = Doc::default().series(2, "a", 1).raw(&[0x92, 9]).raw(value).0;
        let error = DocumentError::Type { series: "m,room=a".into(), time_ns: 9, found: found.into() };
        assert_eq!(parse(&bytes, 2, 9), Err(error));
    }
    let exact = Doc::default().series(2, "a", 1).raw(b"\x92\x09\xd3\x00\x20\x00\x00\x00\x00\x00\x02").0;
    assert_eq!(parse(&exact, 2, 9).unwrap().0[0].1, [(9, 9_007_199_254_740_994.0)]);
}

#[test]
fn what_was_not_asked_for_is_malformed() {
    let swap = |from: &str, to: &str| {
        let text = String::from_utf8(Doc::default().series(2, "a", 1).0).unwrap_or_default();
        assert!(text.is_empty(), "headers are not UTF-8");
        let mut bytes = Doc::default().series(2, "a", 1).row(1, 1.0).0;
        let place = bytes.windows(from.len()).rposition(|window| window == from.as_bytes()).unwrap();
        bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let bad: Vec<Vec<u8>> = vec![
        swap("\u{1}m", "\u{1}n"),
        swap("room", "roof"),
        swap("time", "timf"),
        swap("\u{1}v", "\u{1}w"),
        swap("name", "nome"),
        swap("columns", "colunms"),
        Doc::default().series(2, "a", 2).row(5, 1.0).row(4, 1.0).0,
        Doc::default().series(2, "a", 1).row(-101, 1.0).0,
        Doc::default().series(2, "a", 1).row(1_000, 1.0).0,
        Doc::default().series(2, "a", 2).raw(&[0x92, 5, 1]).raw(&[0x92, 4, 1]).0,
        Doc::default().series(2, "a", 1).raw(&[0x93, 5, 1, 1]).0,
        Doc::default().series(2, "a", 1).raw(&[0x92, 0xc0, 1]).0,
        Doc::default().map(1).text("results").array(2).0,
        Doc::default().array(1).0,
        Doc::default().map(1).text("x").raw(&[0xdd, 255, 255, 255, 255]).raw(&[1; 10_000_001]).0,
        Doc::default().map(1).text("x").raw(&[0xdb, 255, 255, 255, 255]).0,
        [real(), real()].concat(),
        vec![0xc1],
    ];
    for (index, bytes) in bad.into_iter().enumerate() {
        let result = parse(&bytes, 1000, 9);
        assert!(matches!(result, Err(DocumentError::Malformed(_))), "case {index}: {result:?}");
    }
}

#[test]
fn not_a_number_and_infinities_pass() {
    let bytes = Doc::default().series(2, "a", 2).row(1, f64::NAN).row(2, f64::NEG_INFINITY).0;
    let points = parse(&bytes, 5, 9).unwrap().0;
    assert!(points[0].1[0].1.is_nan());
    assert_eq!(points[0].1[1], (2, f64::NEG_INFINITY));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, step in 1_usize..9) {
        let _ = parse(&bytes, step, 2);
    }

    #[test]
    fn b4_no_damage_makes_it_panic(place in 0_usize..160, byte: u8, step in 1_usize..40) {
        let mut bytes = real();
        let place = place % bytes.len();
        bytes[place] = byte;
        let _ = parse(&bytes, step, 2);
    }
}
