//! A function as the broker meets it: shows a ticket, grants credit as it likes, checks everything it receives.

use super::{Data, Dice};
use fades_wire::batch::Batch;
use fades_wire::data::{Credit, FromBroker, Open, StreamSummary, ToBroker};
use fades_wire::digest::Meter;
use fades_wire::failure::Failure;
use fades_wire::flow::Receiver;
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::ids::Ticket;

/// One stream as received.
#[derive(Debug, Default)]
pub struct Stream {
    pub data: Data,
    /// Tags of each series, in the order of the question.
    pub tags: Vec<Vec<(String, String)>>,
    pub meter: Meter,
    pub end: Option<Result<StreamSummary, Failure>>,
}

#[derive(Debug)]
pub struct Peer {
    encoder: Encoder,
    decoder: Decoder,
    flows: Vec<Receiver>,
    /// Chunk bytes received and not dealt with, per stream.
    backlog: Vec<u64>,
    pub streams: Vec<Stream>,
    /// What stream 0 said to somebody without a task.
    pub turned_away: Option<Failure>,
    /// Takes its streams side by side, as a join does: grants nothing to a stream that is ahead of another, in the order of
    /// series and then of time.
    pub in_step: bool,
}

impl Peer {
    pub fn new(operations: usize, window: u64) -> Self {
        Self {
            encoder: Encoder::data(),
            decoder: Decoder::data(),
            flows: vec![Receiver::new(window); operations],
            backlog: vec![0; operations],
            streams: (0..operations).map(|_| Stream::default()).collect(),
            turned_away: None,
            in_step: false,
        }
    }

    /// How far a stream is: its last series and time; `None` behind its end.
    fn place(&self, stream: usize) -> Option<(&str, i64)> {
        let Stream { data, end: None, .. } = &self.streams[stream] else { return None };
        let (room, points) = data.last().map_or(("", [].as_slice()), |(room, points)| (room, points));
        Some((room, points.last().map_or(i64::MIN, |point| point.0)))
    }

    fn is_ahead(&self, stream: usize) -> bool {
        let last = (0..self.streams.len()).filter_map(|other| self.place(other)).min();
        self.place(stream).is_some_and(|place| last.is_some_and(|last| place > last))
    }

    pub fn open(&mut self, ticket: Ticket) -> Vec<u8> {
        let mut out = Vec::new();
        self.say(0, &ToBroker::Open(Open { ticket }), &mut out);
        out
    }

    pub fn say(&mut self, stream: usize, message: &ToBroker, out: &mut Vec<u8>) {
        let body = message.to_body().unwrap();
        self.encoder.frame(message.kind(), stream as u32, &body, out).unwrap();
    }

    /// The credit that is due: on every stream, or on those that the dice choose.
    pub fn grants(&mut self, mut dice: Option<&mut Dice>) -> Vec<u8> {
        let mut out = Vec::new();
        for stream in 0..self.flows.len() {
            let waits = self.in_step && self.is_ahead(stream);
            if !waits && dice.as_mut().is_none_or(|dice| dice.one_in(2)) {
                self.flows[stream].consumed(std::mem::take(&mut self.backlog[stream]));
                if let Some(bytes) = self.flows[stream].due() {
                    self.say(stream, &ToBroker::Credit(Credit { bytes }), &mut out);
                }
            }
        }
        out
    }

    /// Takes bytes from the broker, which must keep to the protocol.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Some(frame) = self.decoder.next().expect("the broker's frames are right") {
            if frame.kind == Kind::Abort && self.streams.is_empty() {
                let FromBroker::Abort(abort) = FromBroker::from_frame(frame.kind, frame.body).unwrap() else {
                    unreachable!()
                };
                self.turned_away = Some(abort.0);
                continue;
            }
            let place = frame.stream as usize;
            let stream = &mut self.streams[place];
            assert!(stream.end.is_none(), "stream {place} goes on behind its end");
            match FromBroker::from_frame(frame.kind, frame.body).expect("the broker's messages are right") {
                FromBroker::Series(series) => {
                    assert_eq!(series.id, stream.meter.series_count());
                    assert_eq!((series.measurement.as_str(), series.field.as_str()), ("m", "v"));
                    stream.meter.series(frame.body);
                    let tags = series.tags.iter().map(|tag| (tag.key.0.clone(), tag.value.0.clone()));
                    stream.tags.push(tags.collect());
                    stream.data.push((series.tags[0].value.0.clone(), Vec::new()));
                }
                FromBroker::Chunk(batch) => {
                    self.flows[place]
                        .received(frame.body.len() as u64)
                        .expect("no more in flight than granted");
                    self.backlog[place] += frame.body.len() as u64;
                    take(stream, &batch);
                }
                FromBroker::End(end) => {
                    assert_eq!(
                        end.0,
                        stream.meter.summary(frame.stream as u16),
                        "counts and digest of stream {place}"
                    );
                    stream.end = Some(Ok(end.0));
                }
                FromBroker::Abort(abort) => stream.end = Some(Err(abort.0)),
            }
        }
    }
}

fn take(stream: &mut Stream, batch: &Batch<'_>) {
    assert_eq!(batch.series() + 1, stream.meter.series_count(), "chunks follow their series");
    stream.meter.chunk(batch);
    stream.data.last_mut().unwrap().1.extend(batch.points());
}
