//! The end that sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use fades_guest::{Identity, boot};
use fades_wire::address::DATA_PORT;
use fades_wire::batch::{BatchBuilder, MAX_POINTS_PER_BATCH, POINT_LEN};
use fades_wire::control::{OperationEnded, OperationTimes, Retrieve, ToGuest};
use fades_wire::data::{End, Series, ToBroker};
use fades_wire::digest::Meter;
use fades_wire::flow::Sender;
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::ids::Role;
use fades_wire::message::to_body;
use sha2::{Digest as _, Sha256};

use crate::{Failure, Manner};

const POINTS: usize = MAX_POINTS_PER_BATCH;
const STEP_NS: i64 = 1_000_000_000;
const LAST_NS: i64 = (POINTS as i64 - 1) * STEP_NS;

/// Sends what each order asks for, and reports.
pub(crate) fn run() -> Result<(), Failure> {
    let guest = boot(Identity { role: Role::Broker, image: "link 1" });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, DATA_PORT)).ok();
    loop {
        if let ToGuest::Retrieve(order) = guest.control.recv()? {
            let ended = send(&order, listener.as_ref())?;
            guest.control.send(ended)?;
        }
    }
}

fn manner(order: &Retrieve) -> Manner {
    order.operations.first().map_or_else(Manner::default, |one| Manner::of(&one.measurement))
}

/// A connection that blocks.
enum Link {
    Tcp(TcpStream),
    #[cfg(target_os = "hermit")]
    Region(fades_guest::region::link::Link, fades_guest::region::Bell),
}

impl Link {
    fn open(order: &Retrieve, listener: Option<&TcpListener>) -> Result<Self, Failure> {
        #[cfg(target_os = "hermit")]
        if let Some(fades_wire::address::Neighbour::Region { number, turn }) = order.near {
            let own =
                fades_guest::region::own().ok_or(ErrorKind::Unsupported).map_err(std::io::Error::from)?;
            let bell = own.bell();
            return Ok(Self::Region(fades_guest::region::link::Link::open(number, turn)?, bell));
        }
        let listener = listener.filter(|_| order.near.is_none()).ok_or(ErrorKind::Unsupported);
        let (stream, _) = listener.map_err(std::io::Error::from)?.accept()?;
        let _ = stream.set_nodelay(!manner(order).nagle);
        Ok(Self::Tcp(stream))
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            #[cfg(target_os = "hermit")]
            Self::Region(link, bell) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    match link.write(rest) {
                        Ok(done) => rest = &rest[done..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => bell.pause(None),
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
        }
    }

    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(space),
            #[cfg(target_os = "hermit")]
            Self::Region(link, bell) => loop {
                match link.read(space) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => bell.pause(None),
                    done => return done,
                }
            },
        }
    }
}

fn send(order: &Retrieve, listener: Option<&TcpListener>) -> Result<OperationEnded, Failure> {
    let mut link = Link::open(order, listener)?;
    let manner = manner(order);
    let mut sha = manner.sha.then(Sha256::new);
    let (mut encoder, mut decoder) = (Encoder::data(), Decoder::data());
    let (mut credit, mut meter, mut out) = (Sender::default(), Meter::default(), Vec::new());
    let series = Series { id: 0, tags: Vec::new(), measurement: "bench".into(), field: "value".into() };
    let described = to_body(&series)?;
    meter.series(&described);
    encoder.frame(Kind::Series, 0, &described, &mut out)?;
    // The same points over and over: how a parser makes them is not what is measured.
    let body = body();
    let mut left = order.budget_bytes / POINT_LEN as u64;
    while left > 0 {
        left = left
            .checked_sub(POINTS as u64)
            .ok_or(Failure::Frame("not a whole number of chunks".to_owned()))?;
        while !credit.take(body.len() as u64) {
            hear(&mut link, &mut decoder, &mut credit)?;
        }
        let hash = encoder.frame(Kind::Chunk, 0, &body, &mut out)?;
        if let Some(sha) = &mut sha {
            sha.update(&body);
        }
        meter.count(POINTS, (0, LAST_NS), hash);
        link.write_all(&out)?;
        out.clear();
    }
    let summary = meter.summary(0);
    encoder.frame(Kind::End, 0, &to_body(&End(summary))?, &mut out)?;
    link.write_all(&out)?;
    // Until the other end has gone: what was written last is still on its way.
    let mut space = [0; 256];
    while link.read(&mut space)? > 0 {}
    let times = OperationTimes::default();
    Ok(OperationEnded { task: order.task, operation: 0, summary, fewest: summary.points, times })
}

/// A chunk of as many points as one has.
fn body() -> Vec<u8> {
    let mut batch = BatchBuilder::new(0);
    let mut time = 0;
    while !batch.push(time, 21.5) {
        time += STEP_NS;
    }
    let mut body = Vec::new();
    batch.write(&mut body);
    body
}

/// Waits for credit.
fn hear(link: &mut Link, decoder: &mut Decoder, credit: &mut Sender) -> Result<(), Failure> {
    let count = link.read(decoder.space())?;
    if count == 0 {
        return Err(Failure::Frame("closed before the end".to_owned()));
    }
    decoder.filled(count);
    while let Some(frame) = decoder.next()? {
        if let ToBroker::Credit(granted) = ToBroker::from_frame(frame.kind, frame.body)? {
            credit.grant(granted.bytes).map_err(|error| Failure::Frame(error.to_string()))?;
        }
    }
    Ok(())
}
