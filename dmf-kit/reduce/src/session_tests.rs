use fades_wire::batch::BatchBuilder;
use fades_wire::control::Name;
use fades_wire::data::{Series as ToldSeries, Tag};
use fades_wire::frame::Kind;
use fades_wire::message::to_body;

use super::*;
use crate::function::{Error, NoParameters};

/// Counts points; fails on a value of 13.
struct Count(u64);

impl Function for Count {
    type Parameters = NoParameters;
    type Output = u64;

    fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
        Ok(Self(0))
    }

    fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.0 += batch.len() as u64;
        if batch.values().any(|value| value == 13.0) {
            Err(Error::new("value 13 is unlucky"))
        } else {
            Ok(())
        }
    }

    fn finish(self) -> Result<u64, Error> {
        Ok(self.0)
    }
}

fn session() -> Session<Count, impl FnMut() -> u64> {
    let operations = [OperationName { index: 0, id: Name::from("temp") }];
    let mut session = Session::<Count, _>::new("{}", &operations, 1 << 20, || 0).unwrap();
    assert_eq!(session.due(), [(0, Credit { bytes: 1 << 20 })]);
    session
}

fn feed(
    session: &mut Session<Count, impl FnMut() -> u64>,
    stream: u32,
    kind: Kind,
    body: &[u8],
) -> Result<(), Failure> {
    session.frame(&Frame { kind, stream, sequence: 0, body, hash: BodyHash::of(body) })
}

fn series(id: u32) -> Vec<u8> {
    let tags = vec![Tag { key: Name::from("room"), value: Name::from("r1") }];
    to_body(&ToldSeries { id, tags, measurement: "temperature".into(), field: "value".into() }).unwrap()
}

fn chunk(series: u32, values: &[f64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(series);
    for value in values {
        builder.push(7, *value);
    }
    let mut body = Vec::new();
    builder.write(&mut body);
    body
}

/// A chunk of series 0 with points at these times.
fn at(times: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0);
    for time in times {
        builder.push(*time, 1.0);
    }
    let mut body = Vec::new();
    builder.write(&mut body);
    body
}

#[test]
fn times_of_a_series_never_go_back() {
    let mut session = session();
    feed(&mut session, 0, Kind::Series, &series(0)).unwrap();
    feed(&mut session, 0, Kind::Chunk, &at(&[i64::MIN, 1, 1, 7])).unwrap();
    feed(&mut session, 0, Kind::Chunk, &at(&[7, 8])).unwrap();
    // Another series begins where it likes; the one before does not go on.
    feed(&mut session, 0, Kind::Series, &series(1)).unwrap();
    let gone = feed(&mut session, 0, Kind::Chunk, &at(&[9])).unwrap_err();
    assert_eq!(gone.message, "operation temp: chunk of series 0, which is not the one that comes");
    let mut other = super::tests::session();
    feed(&mut other, 0, Kind::Series, &series(0)).unwrap();
    feed(&mut other, 0, Kind::Chunk, &at(&[3, 7])).unwrap();
    let back = feed(&mut other, 0, Kind::Chunk, &at(&[6, 8])).unwrap_err();
    assert_eq!(
        (back.code, &*back.message),
        (Code::Protocol, "operation temp: series 0: time 6 comes after 7")
    );
}

fn summary_of(bodies: &[(Kind, Vec<u8>)]) -> StreamSummary {
    let mut meter = Meter::default();
    for (kind, body) in bodies {
        match kind {
            Kind::Series => meter.series(body),
            _ => meter.chunk(&Batch::parse(body).unwrap()),
        }
    }
    meter.summary(0)
}

#[test]
fn a_whole_stream_gives_its_result() {
    let bodies =
        [(Kind::Series, series(0)), (Kind::Chunk, chunk(0, &[1.0, 2.0])), (Kind::Chunk, chunk(0, &[3.0]))];
    let mut session = session();
    for (kind, body) in &bodies {
        feed(&mut session, 0, *kind, body).unwrap();
    }
    assert!(!session.is_whole());
    feed(&mut session, 0, Kind::End, &to_body(&End(summary_of(&bodies))).unwrap()).unwrap();
    assert!(session.is_whole());
    let outcome = session.finish(10).unwrap();
    assert_eq!(outcome.result, b"3");
    assert_eq!(outcome.summaries[0], summary_of(&bodies));
}

#[test]
fn what_is_wrong_fails_with_its_code() {
    let described = || {
        let mut session = session();
        feed(&mut session, 0, Kind::Series, &series(0)).unwrap();
        session
    };
    let mut wrong = summary_of(&[(Kind::Series, series(0))]);
    wrong.points = 1;
    let cases: [(&str, u32, Kind, Vec<u8>, Code); 9] = [
        ("a time that goes back", 0, Kind::Chunk, at(&[5, 5, 6, 4, 9]), Code::Protocol),
        ("another stream", 1, Kind::Chunk, chunk(0, &[1.0]), Code::Protocol),
        ("a stream far away", u32::MAX, Kind::Chunk, chunk(0, &[1.0]), Code::Protocol),
        ("an undescribed series", 0, Kind::Chunk, chunk(1, &[1.0]), Code::Protocol),
        ("a series twice", 0, Kind::Series, series(0), Code::Protocol),
        ("a kind of another connection", 0, Kind::Hello, Vec::new(), Code::Protocol),
        ("wrong counts", 0, Kind::End, to_body(&End(wrong)).unwrap(), Code::Digest),
        ("the function's own refusal", 0, Kind::Chunk, chunk(0, &[13.0]), Code::Function),
        (
            "the broker's own failure",
            0,
            Kind::Abort,
            to_body(&Abort(Failure::new(Code::SourceSilent, "nothing for 5 s"))).unwrap(),
            Code::SourceSilent,
        ),
    ];
    for (what, stream, kind, body, code) in cases {
        assert_eq!(feed(&mut described(), stream, kind, &body).unwrap_err().code, code, "{what}");
    }
}

#[test]
fn nothing_is_published_of_half_a_stream_or_over_the_limit() {
    let mut half = session();
    feed(&mut half, 0, Kind::Series, &series(0)).unwrap();
    assert_eq!(half.finish(100).unwrap_err().code, Code::ClosedEarly);
    let mut long = session();
    feed(&mut long, 0, Kind::End, &to_body(&End(summary_of(&[]))).unwrap()).unwrap();
    assert_eq!(long.finish(0).unwrap_err().code, Code::ResultTooLarge);
}

#[test]
fn chunks_beyond_the_credit_are_refused() {
    let mut session = session();
    feed(&mut session, 0, Kind::Series, &series(0)).unwrap();
    let full = chunk(0, &vec![0.5; fades_wire::batch::MAX_POINTS_PER_BATCH]);
    for _ in 0..(1 << 20) / full.len() {
        feed(&mut session, 0, Kind::Chunk, &full).unwrap();
    }
    assert_eq!(feed(&mut session, 0, Kind::Chunk, &full).unwrap_err().code, Code::CreditExceeded);
}

#[test]
fn parameters_are_strict() {
    for bad in ["{\"evry\":1}", "[]", "", "{} {}"] {
        let failure = Session::<Count, _>::new(bad, &[], 0, || 0).err().unwrap();
        assert_eq!(failure.code, Code::Parameters, "{bad}");
    }
}
