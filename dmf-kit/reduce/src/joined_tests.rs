//! A join in its session: streams by credit, from a broker that sends whatever it may.

use fades_wire::batch::{BatchBuilder, MAX_BATCH_LEN, MAX_POINTS_PER_BATCH, POINT_LEN};
use fades_wire::control::{Name, OperationName};
use fades_wire::data::{End, Series as ToldSeries, Tag};
use fades_wire::digest::Meter;
use fades_wire::failure::Failure;
use fades_wire::flow::Sender;
use fades_wire::frame::{BodyHash, Frame, Kind};
use fades_wire::message::to_body;

use super::*;
use crate::function::NoParameters;
use crate::session::Session;

/// Rows per group, and the sum of all values.
struct Rows(Vec<(String, u64)>, f64);

impl JoinFunction for Rows {
    type Parameters = NoParameters;
    type Output = (Vec<(String, u64)>, f64, Vec<Unused>);

    fn start(_: NoParameters) -> Result<Self, Error> {
        Ok(Self(Vec::new(), 0.0))
    }

    fn align(&self) -> Align {
        Align::Carry { max_age_ns: 0 }
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        if row.group == self.0.len() {
            self.0.push((row.tags.iter().map(|(_, value)| value.as_str()).collect(), 0));
        }
        self.0[row.group].1 += 1;
        self.1 += row.values.iter().sum::<f64>();
        Ok(())
    }

    fn finish(self, unused: Vec<Unused>) -> Result<Self::Output, Error> {
        Ok((self.0, self.1, unused))
    }
}

/// What a stream sends: a group, and its number of points, a second apart; each has the value 1.
type Groups = &'static [(&'static str, usize)];

/// Frames of a stream, the last one first.
fn frames(number: u16, groups: Groups, chunk: usize) -> Vec<(Kind, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut meter = Meter::default();
    for ((group, points), id) in groups.iter().zip(0..) {
        let tags = vec![Tag { key: Name::from("room"), value: Name::from(*group) }];
        let series = ToldSeries { id, tags, measurement: "m".into(), field: "v".into() };
        frames.push((Kind::Series, to_body(&series).unwrap()));
        meter.series(&frames.last().unwrap().1);
        for start in (0..*points).step_by(chunk) {
            let mut builder = BatchBuilder::new(id);
            for time in start..(start + chunk).min(*points) {
                builder.push(time as i64 * 1_000_000_000, 1.0);
            }
            let mut body = Vec::new();
            builder.write(&mut body);
            meter.chunk(&Batch::parse(&body).unwrap());
            frames.push((Kind::Chunk, body));
        }
    }
    frames.push((Kind::End, to_body(&End(meter.summary(number))).unwrap()));
    frames.reverse();
    frames
}

/// Sends frames of the streams, `turns` saying whose is next if it has credit.
fn run(streams: &[Groups], chunk: usize, turns: &[usize]) -> Result<serde_json::Value, Failure> {
    let names: Vec<OperationName> = (0..)
        .zip(streams)
        .map(|(index, _)| OperationName { index, id: Name::from(format!("op{index}")) })
        .collect();
    let mut session = Session::<Joined<Rows>, _>::new("{}", &names, 0, || 0)?;
    let mut frames: Vec<_> = (0..).zip(streams).map(|(at, groups)| frames(at, groups, chunk)).collect();
    let mut credit = vec![Sender::default(); streams.len()];
    let mut turn = 0;
    while !session.is_whole() {
        for (stream, granted) in session.due() {
            credit[stream as usize].grant(granted.bytes).unwrap();
        }
        for (at, sender) in credit.iter().enumerate() {
            let held = session.held(at) * POINT_LEN;
            assert!(
                held as u64 + sender.available() <= 2 * MAX_BATCH_LEN as u64,
                "held and granted: over the window"
            );
        }
        let may = |at: usize| match frames[at].last() {
            Some((Kind::Chunk, body)) => credit[at].available() >= body.len() as u64,
            other => other.is_some(),
        };
        let first = turns[turn % turns.len()];
        turn += 1;
        let at = (0..streams.len()).map(|step| (first + step) % streams.len()).find(|at| may(*at));
        let at = at.expect("a stream that goes on");
        let (kind, body) = frames[at].pop().unwrap();
        if kind == Kind::Chunk {
            assert!(credit[at].take(body.len() as u64));
        }
        let stream = u32::try_from(at).unwrap();
        session.frame(&Frame { kind, stream, sequence: 0, body: &body, hash: BodyHash::of(&body) })?;
    }
    Ok(serde_json::from_slice(&session.finish(1 << 20)?.result).unwrap())
}

#[test]
fn streams_of_any_length_are_joined_within_their_windows() {
    // More than a window of points in some, none in others, groups on one side only, a stream that is empty.
    const LONG: usize = 5 * MAX_POINTS_PER_BATCH;
    let cases: &[(&[Groups], &str)] = &[
        (&[&[("a", LONG), ("c", 10)], &[("a", 7), ("b", LONG), ("c", 20)]], "[[\"a\",7],[\"c\",10]]"),
        (&[&[("a", 7), ("b", LONG), ("d", 2)], &[("a", LONG), ("c", 10), ("d", 1)]], "[[\"a\",7],[\"d\",1]]"),
        (&[&[], &[("a", LONG)], &[("b", LONG)]], "[]"),
        (&[&[("a", LONG), ("b", LONG)], &[], &[("b", 1)]], "[]"),
        (&[&[("z", LONG)], &[("a", LONG), ("b", 1)], &[("z", 3)]], "[]"),
        (&[&[("", LONG)], &[("", LONG)], &[("", LONG)]], "[[\"\",81920]]"),
    ];
    for (streams, expected) in cases {
        for chunk in [MAX_POINTS_PER_BATCH, 1000] {
            for turns in [[0, 0, 0].as_slice(), &[2, 2, 1], &[1], &[0, 1, 2, 2, 1, 1, 0]] {
                let report = run(streams, chunk, turns).unwrap();
                assert_eq!(report[0].to_string(), *expected, "{streams:?}");
                let rows: u64 =
                    report[0].as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).sum();
                assert_eq!(report[1].as_f64(), Some(rows as f64 * streams.len() as f64));
                for (unused, groups) in report[2].as_array().unwrap().iter().zip(*streams) {
                    let points: usize = groups.iter().map(|group| group.1).sum();
                    assert_eq!(unused["unmatched"], points as u64 - rows, "{streams:?}: {unused}");
                }
            }
        }
    }
}

#[test]
fn one_operation_is_no_join() {
    let failure = run(&[&[("a", 1)]], 10, &[0]).unwrap_err();
    assert_eq!(failure.message, "1 operations; a join needs two or more");
}
