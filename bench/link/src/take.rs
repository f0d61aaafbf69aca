//! The end that takes.

use std::time::Instant;

use fades_guest::data::{DataLink, Received};
use fades_guest::{Identity, boot};
use fades_wire::control::{Finished, ResultPart, Run, Started, ToGuest};
use fades_wire::data::{Credit, End, FromBroker, Open};
use fades_wire::digest::Meter;
use fades_wire::flow::Receiver;
use fades_wire::frame::{Encoder, Frame, Kind};
use fades_wire::ids::Role;
use fades_wire::message::to_body;
use sha2::{Digest as _, Sha256};

use crate::{Failure, Manner};

/// Takes what the orchestrator says, once, and reports.
pub(crate) fn run() -> Result<(), Failure> {
    let guest = boot(Identity { role: Role::Function, image: "link 1" });
    loop {
        if let ToGuest::Run(run) = guest.control.recv()? {
            guest.control.send(Started)?;
            let finished = take(&run)?;
            guest.control.send(ResultPart { index: 0, last: true, bytes: b"{}".to_vec() })?;
            guest.control.send(finished)?;
        }
    }
}

struct Taking {
    meter: Meter,
    credit: Receiver,
    sha: Option<Sha256>,
    chunks: Option<(Instant, Instant)>,
    end: Option<End>,
}

fn take(run: &Run) -> Result<Finished, Failure> {
    let mut link = DataLink::connect(run.broker)?;
    let (mut encoder, mut out) = (Encoder::data(), Vec::new());
    encoder.frame(Kind::Open, 0, &to_body(&Open { ticket: run.ticket })?, &mut out)?;
    let sha = Manner::of(&run.parameters).sha.then(Sha256::new);
    let credit = Receiver::new(run.window_bytes);
    let mut taking = Taking { meter: Meter::default(), credit, sha, chunks: None, end: None };
    while taking.end.is_none() {
        if let Some(bytes) = taking.credit.due() {
            encoder.frame(Kind::Credit, 0, &to_body(&Credit { bytes })?, &mut out)?;
        }
        if !out.is_empty() {
            link.write_all(&out)?;
            out.clear();
        }
        match link.receive(|frame| taking.frame(frame))? {
            Received::Some => {}
            Received::Closed => return Err(Failure::Frame("closed before the end".to_owned())),
            Received::Wrong(error) => return Err(error.into()),
            Received::Failed(failure) => return Err(failure),
        }
    }
    let summary = taking.meter.summary(0);
    if taking.end != Some(End(summary)) {
        return Err(Failure::Frame("the two ends disagree".to_owned()));
    }
    let transfer = taking.chunks.map_or_else(Default::default, |(first, last)| last - first);
    let transfer_us = u64::try_from(transfer.as_micros()).unwrap_or(u64::MAX);
    Ok(Finished {
        summaries: vec![summary],
        transfer_us,
        compute_us: 0,
        result_len: 2,
        state: None,
        heap_peak: 0,
    })
}

impl Taking {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        match FromBroker::from_frame(frame.kind, frame.body)? {
            FromBroker::Series(_) => self.meter.series(frame.body),
            FromBroker::Chunk(batch) => {
                let length = frame.body.len() as u64;
                self.credit.received(length).map_err(|error| Failure::Frame(error.to_string()))?;
                self.meter.hashed_chunk(&batch, frame.hash);
                if let Some(sha) = &mut self.sha {
                    sha.update(frame.body);
                }
                self.credit.consumed(length);
                let now = Instant::now();
                self.chunks = Some((self.chunks.map_or(now, |(first, _)| first), now));
            }
            FromBroker::End(end) => self.end = Some(end),
            FromBroker::Abort(abort) => return Err(Failure::Frame(abort.0.to_string())),
        }
        Ok(())
    }
}
