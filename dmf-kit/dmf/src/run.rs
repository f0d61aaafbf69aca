//! The unikernel around a function: orchestrator on one side, broker on the other, one task, then the end.

use std::time::{Duration, Instant};

use dmf_reduce::habit::{Forgets, Habit, Remembers};
use dmf_reduce::recurring::{Kept, Parts};
use dmf_reduce::session::{Outcome, Session};
use dmf_reduce::{Function, Recurring};
use fades_guest::control::{ControlChannel, ControlSender};
use fades_guest::data::{DataLink, Received};
use fades_guest::{Identity, boot, exit};
use fades_wire::control::{
    Failed, Finished, Keep, MAX_RESULT_PART, MAX_STATE_PART, Memory, Progress, ResultPart, Run, Started,
    ToGuest,
};
use fades_wire::data::{Open, ToBroker};
use fades_wire::exit::ExitCode;
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::{Encoder, Frame, Kind};
use fades_wire::ids::Role;

/// Time between two reports of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Runs `F` as a unikernel: waits for its task, does it, reports, and stays until it is told to shut down, so that nothing
/// that was said is lost with it. Does not return.
pub fn run<F: Function>(image: &'static str) -> ! {
    live::<F, Forgets>(image)
}

/// The same for a function that keeps a state between periods.
pub fn run_recurring<F: Recurring>(image: &'static str) -> ! {
    live::<F, Remembers>(image)
}

fn live<F: Function, H: Habit<F>>(image: &'static str) -> ! {
    let guest = boot(Identity { role: Role::Function, image });
    fades_guest::crash::data(|| dmf_reduce::last_chunk()?.to_json());
    let control = guest.control;
    let sender = control.sender();
    let mut busy = false;
    while let Ok(message) = control.recv() {
        let ToGuest::Run(task) = message else {
            exit::end(ExitCode::Protocol, "a function is only told to run");
        };
        if std::mem::replace(&mut busy, true) {
            exit::end(ExitCode::Protocol, "a function is told to run once");
        }
        let done = recall(&control, task.memory).and_then(|kept| work::<F, H>(&task, kept, &sender));
        if let Err(failure) = done {
            tell(&sender, Failed(failure));
        }
    }
    exit::await_end()
}

/// What an earlier period has kept, as it comes behind the order to run.
fn recall(control: &ControlChannel, memory: Option<Memory>) -> Result<Option<Kept>, Failure> {
    let Some(head) = memory.and_then(|memory| memory.state) else { return Ok(None) };
    let mut parts = Parts::new(head)?;
    while !parts.is_whole() {
        match control.recv() {
            Ok(ToGuest::Recall(part)) => parts.take(part.index, &part.bytes)?,
            Ok(_) => exit::end(ExitCode::Protocol, "a function is told its whole state before anything else"),
            Err(_) => exit::await_end(),
        }
    }
    Ok(Some(parts.into_kept()))
}

fn work<F: Function, H: Habit<F>>(
    task: &Run,
    kept: Option<Kept>,
    sender: &ControlSender,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let clock = || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let function = H::begin(&task.parameters, kept.as_ref())?;
    drop(kept);
    let mut session = Session::of(function, &task.operations, task.window_bytes, clock)?;
    let mut link = Link::open(task)?;
    tell(sender, Started);
    let mut chunks = None;
    let mut reported = Instant::now();
    while !session.is_whole() {
        link.grant(session.due())?;
        link.receive(|frame| {
            if frame.kind == Kind::Chunk {
                let now = clock();
                chunks = Some((chunks.map_or(now, |(first, _)| first), now));
            }
            session.frame(frame)
        })?;
        if reported.elapsed() >= PROGRESS {
            reported = Instant::now();
            tell(sender, Progress { points: session.points() });
        }
    }
    let transfer_us = chunks.map_or(0, |(first, last)| last - first);
    // Outside of a period there is nothing to keep for.
    let kept = match &task.memory {
        Some(memory) => H::keep(session.function(), memory.limit)?,
        None => None,
    };
    publish(sender, session.finish(task.result_limit)?, kept, transfer_us);
    Ok(())
}

fn publish(sender: &ControlSender, outcome: Outcome, kept: Option<Kept>, transfer_us: u64) {
    let Outcome { result, summaries, compute_us } = outcome;
    let parts = result.chunks(MAX_RESULT_PART);
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        tell(sender, ResultPart { index: number, last: index == last, bytes: part.to_vec() });
    }
    let state = kept.as_ref().map(Kept::head);
    let bytes = kept.map(|kept| kept.bytes).unwrap_or_default();
    for (part, index) in bytes.chunks(MAX_STATE_PART).zip(0..) {
        tell(sender, Keep { index, bytes: part.to_vec() });
    }
    let (result_len, heap_peak) = (result.len() as u64, fades_guest::heap::peak());
    tell(sender, Finished { summaries, transfer_us, compute_us, result_len, state, heap_peak });
}

/// Tells the orchestrator something. If that is impossible, the guest has nobody to work for and ends.
fn tell(sender: &ControlSender, message: impl Into<fades_wire::control::FromGuest>) {
    if let Err(error) = sender.send(message) {
        exit::end(error.exit_code(), &exit::words(&error));
    }
}

/// The connection to the broker.
struct Link {
    link: DataLink,
    encoder: Encoder,
    out: Vec<u8>,
}

impl Link {
    fn open(task: &Run) -> Result<Self, Failure> {
        let link = DataLink::connect(task.broker)
            .map_err(|error| Failure::new(Code::PeerSilent, format!("broker at {}: {error}", task.broker)))?;
        let mut link = Self { link, encoder: Encoder::data(), out: Vec::new() };
        link.put(0, Open { ticket: task.ticket }.into())?;
        link.flush()?;
        Ok(link)
    }

    fn grant(&mut self, due: Vec<(u32, fades_wire::data::Credit)>) -> Result<(), Failure> {
        for (stream, credit) in due {
            self.put(stream, credit.into())?;
        }
        self.flush()
    }

    fn put(&mut self, stream: u32, message: ToBroker) -> Result<(), Failure> {
        let body = message.to_body().map_err(|error| Failure::new(Code::Protocol, error.to_string()))?;
        self.encoder.frame(message.kind(), stream, &body, &mut self.out).map_err(|error| broken(&error))?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if !self.out.is_empty() {
            self.link.write_all(&self.out).map_err(|error| lost(&error))?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for frames and has them dealt with.
    fn receive(&mut self, deal: impl FnMut(&Frame<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        match self.link.receive(deal).map_err(|error| lost(&error))? {
            Received::Some => Ok(()),
            Received::Closed => {
                Err(Failure::new(Code::ClosedEarly, "the broker closed the connection before the end"))
            }
            Received::Wrong(error) => Err(broken(&error)),
            Received::Failed(failure) => Err(failure),
        }
    }
}

fn broken(error: &fades_wire::frame::FrameError) -> Failure {
    use fades_wire::frame::FrameError;
    let code = match error {
        FrameError::Crc { .. } => Code::Crc,
        FrameError::Sequence { .. } => Code::Sequence,
        _ => Code::Protocol,
    };
    Failure::new(code, format!("from the broker: {error}"))
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(Code::ClosedEarly, format!("the connection to the broker broke: {error}"))
}
