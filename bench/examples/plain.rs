//! The same reduction as a plain process: the broker's parser, the frames, the checks and the function's code, without
//! guests, network and daemon. `plain HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS` prints the points and their mean.
//!
//! What a task costs beyond this is the price of its isolation.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of the benches; it may stop at any error"
)]

use std::io::{Read, Write};
use std::net::TcpStream;

use dmf_kit::prelude::*;
use dmf_kit::session::Session;
use fades_drb::columns::Columns;
use fades_drb::influx1::answer::Answer;
use fades_drb::influx1::document::{Asked, Stop};
use fades_drb::influx1::query::Query;
use fades_drb::influx1::request::request;
use fades_wire::control::{Name, OperationName};
use fades_wire::data::End;
use fades_wire::digest::Meter;
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::message::to_body;

/// What the image `stats` does.
#[derive(Default)]
struct Stats(Groups<Moments>);

impl Function for Stats {
    type Parameters = NoParameters;
    type Output = Vec<Summary>;

    fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
        Ok(Self::default())
    }
    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.0.state(series, Moments::default).batch(&batch);
        Ok(())
    }
    fn finish(self) -> Result<Vec<Summary>, Error> {
        Ok(self.0.into_rows().map(|(_, moments)| moments.summary()).collect())
    }
}

/// Both ends of the data connection.
struct Line<C: FnMut() -> u64> {
    session: Session<Stats, C>,
    meter: Meter,
    encoder: Encoder,
    decoder: Decoder,
    bytes: Vec<u8>,
}

impl<C: FnMut() -> u64> Line<C> {
    fn carry(&mut self, kind: Kind, body: &[u8]) {
        match kind {
            Kind::Series => self.meter.series(body),
            Kind::Chunk => self.meter.chunk(&Batch::parse(body).unwrap()),
            _ => {}
        }
        let _ = self.session.due();
        self.bytes.clear();
        self.encoder.frame(kind, 0, body, &mut self.bytes).unwrap();
        self.decoder.push(&self.bytes);
        while let Some(frame) = self.decoder.next().unwrap() {
            self.session.frame(&frame).unwrap();
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, database, measurement, from, to] = &arguments[..] else {
        panic!("plain HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS");
    };
    let (from_ns, to_ns) = (from.parse().unwrap(), to.parse().unwrap());
    let group_by = [Name::from("room")];
    let query = Query {
        retention: None,
        measurement,
        field: "value",
        tags: &[],
        from_ns,
        to_ns,
        group_by: &group_by,
    };
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(&request(host, database, None, &query.to_influxql().unwrap())).unwrap();

    let asked = Asked {
        measurement: measurement.clone(),
        field: "value".into(),
        group_by: group_by.to_vec(),
        from_ns,
        to_ns,
    };
    let (mut answer, mut columns) = (Answer::new(asked), Columns::new(8192));
    let names = [OperationName { index: 0, id: Name::from("all") }];
    let mut line = Line {
        session: Session::new("{}", &names, 1 << 20, || 0).unwrap(),
        meter: Meter::default(),
        encoder: Encoder::data(),
        decoder: Decoder::data(),
        bytes: Vec::new(),
    };
    let (mut buffer, mut start, mut end) = (vec![0; 256 << 10], 0, 0);
    let mut chunk = Vec::new();
    while !answer.is_whole() {
        let (used, stop) = answer.feed(&buffer[start..end], &mut columns).unwrap();
        start += used;
        if !columns.is_empty() && (stop != Stop::NeedInput || answer.is_whole()) {
            chunk.clear();
            columns.write(line.meter.series_count() - 1, &mut chunk);
            line.carry(Kind::Chunk, &chunk);
        }
        if stop == Stop::Series {
            let series = fades_wire::data::Series {
                id: line.meter.series_count(),
                tags: answer.tags().to_vec(),
                measurement: measurement.clone(),
                field: "value".into(),
            };
            line.carry(Kind::Series, &to_body(&series).unwrap());
        } else if stop == Stop::NeedInput && !answer.is_whole() {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            let count = stream.read(&mut buffer[end..]).unwrap();
            assert!(count > 0, "the source has closed");
            end += count;
        }
    }
    let end = to_body(&End(line.meter.summary(0))).unwrap();
    line.carry(Kind::End, &end);
    let outcome = line.session.finish(1 << 20).unwrap();
    println!("{} points, {}", outcome.summaries[0].points, String::from_utf8(outcome.result).unwrap());
}
