//! The life of one function: one guest, one task, one attempt.
//!
//! ```text
//! booting ──(Hello)──> running ──(Finished)──> waiting for the broker's counts ──> judged
//!    │                    │                          │
//!    └─(exit, deadline)───┴──(failure, deadline)─────┴──(not in time)──> failed
//! ```
//!
//! A function that dies fails its task; it is not tried again, since it would do the same again. The broker's death gives a task
//! another attempt, and so does the end of a function that was started ahead of it and has not said a word since it was taken:
//! that came over it in its sleep.
//!
//! Some signs have a better explanation on its way: a closed connection is explained by the guest's exit, a stream that
//! broke by the broker's death. Such a fault is held back for a while ([`Held`]) and stands if nothing explains it.

use fades_api::codes;
use fades_wire::address::Place;
use fades_wire::control::{FromGuest, Hello, Ping};
use fades_wire::failure::{Code as FailureCode, Failure};
use fades_wire::ids::{Role as WireRole, TaskKey};

use super::broker::check_hello;
use super::port::{Effect, Now};
use super::verdict::Intake;
use crate::backend::{ExitCause, GuestExit};
use crate::fault::Fault;
use crate::ids::GuestId;
use crate::limits::Patience;
use crate::periods::FunctionState;

/// A fault that waits for a better explanation.
#[derive(Debug)]
struct Held {
    fault: Fault,
    until_us: u64,
    /// The function's own end explains nothing more; only the broker's would.
    by_broker: bool,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) guest: GuestId,
    /// What the broker knows this attempt by.
    pub(super) key: TaskKey,
    pub(super) ordered_us: u64,
    /// Where the broker finds it.
    pub(super) place: Option<Place>,
    pub(super) hello_us: Option<u64>,
    /// Its first word as this task's: its hello, or of one that was awake before, what it said first when it was taken.
    pub(super) ready_us: Option<u64>,
    pub(super) intake: Intake,
    pub(super) recall: Recall,
    /// Of the boot, then of the task.
    deadline_us: u64,
    timeout_ms: u64,
    started: bool,
    ping_us: u64,
    pings: u64,
    exited: Option<Fault>,
    disconnected: bool,
    held: Option<Held>,
    /// Nobody was heard for a part of its time.
    stalled: bool,
}

/// What the function is to be given of an earlier period.
#[derive(Debug)]
pub(super) enum Recall {
    /// It is not one of a persistent task.
    Nothing,
    /// It was asked for; the function waits.
    Asked,
    /// Here it is, until it is sent.
    Here(Option<FunctionState>),
}

/// How the guest is called in words.
const WHO: &str = "the function";

impl Attempt {
    pub(super) fn new(
        guest: GuestId,
        key: TaskKey,
        intake: Intake,
        timeout_ms: u64,
        now: Now,
        patience: &Patience,
    ) -> Self {
        Self {
            guest,
            key,
            ordered_us: now.mono_us,
            place: None,
            hello_us: None,
            ready_us: None,
            intake,
            recall: Recall::Nothing,
            deadline_us: now.mono_us.saturating_add(patience.boot_us),
            timeout_ms,
            started: false,
            ping_us: u64::MAX,
            pings: 0,
            exited: None,
            disconnected: false,
            held: None,
            stalled: false,
        }
    }

    /// Nobody could be heard for so long.
    pub(super) fn stalled(&mut self, us: u64) {
        self.stalled = true;
        self.deadline_us = self.deadline_us.saturating_add(us);
        if let Some(held) = &mut self.held {
            held.until_us = held.until_us.saturating_add(us);
        }
    }

    /// Whether this end is its backend's, whose clock ran on while the shell could not go on with it.
    pub(super) fn is_ended_by_stall(&self, exit: &GuestExit) -> bool {
        self.stalled && exit.cause == ExitCause::Killed && !self.intake.is_finished()
    }

    /// The function's first message: from now on the task's own clock runs.
    pub(super) fn hello(&mut self, hello: &Hello, now: Now, patience: &Patience) -> Result<(), Fault> {
        if self.hello_us.is_some() {
            return Err(protocol("said hello twice"));
        }
        check_hello(hello, WireRole::Function).map_err(|why| {
            let other_version = hello.protocol != fades_wire::PROTOCOL;
            let code = if other_version { codes::GUEST_PROTOCOL_VERSION } else { codes::GUEST_PROTOCOL };
            Fault::new(code, format!("{WHO} {why}"))
        })?;
        self.awake(now, patience);
        self.ready_us = Some(now.mono_us);
        Ok(())
    }

    /// Whether it was awake before it was this task's and has said nothing since, so that it may be long gone.
    pub(super) const fn is_untold(&self) -> bool {
        self.hello_us.is_some() && self.ready_us.is_none()
    }

    /// It has said hello, perhaps before it was this task's.
    pub(super) fn awake(&mut self, now: Now, patience: &Patience) {
        self.hello_us = Some(now.mono_us);
        self.deadline_us = now.mono_us.saturating_add(self.timeout_ms.saturating_mul(1000));
        self.ping_us = now.mono_us.saturating_add(patience.heartbeat_us);
    }

    /// Any message but a hello.
    pub(super) fn message(&mut self, message: FromGuest, now: Now, patience: &Patience) -> Result<(), Fault> {
        let early = self.hello_us.is_none() && !matches!(message, FromGuest::Failed(_) | FromGuest::Log(_));
        if early {
            return Err(protocol("spoke before its hello"));
        }
        // A line for the log may have been on its way when it was taken.
        if self.hello_us.is_some() && !matches!(message, FromGuest::Log(_)) {
            self.ready_us.get_or_insert(now.mono_us);
        }
        match message {
            FromGuest::Heartbeat(beat) if beat.nonce > self.pings => {
                Err(protocol("answered a ping that was never sent"))
            }
            FromGuest::Heartbeat(_) | FromGuest::Progress(_) | FromGuest::Log(_) => Ok(()),
            FromGuest::Started(_) if self.started => Err(protocol("started twice")),
            FromGuest::Started(_) => {
                self.started = true;
                Ok(())
            }
            FromGuest::ResultPart(part) => self.intake.part(&part, now.mono_us),
            FromGuest::Keep(part) => self.intake.keep(&part),
            FromGuest::Finished(finished) => {
                self.intake.finished(finished)?;
                self.held = None;
                if let Some(missing) = self.intake.missing() {
                    let why = format!("{WHO} finished, but the broker never told the end of {missing}");
                    self.hold(Fault::new(codes::RESULT_BEFORE_INPUT, why), true, now, patience);
                }
                Ok(())
            }
            FromGuest::Failed(failed) => self.failed(WHO, &failed.0, true, now, patience),
            FromGuest::Hello(_)
            | FromGuest::OperationProgress(_)
            | FromGuest::OperationEnded(_)
            | FromGuest::OperationFailed(_) => Err(protocol("sent a message that only the broker may send")),
        }
    }

    /// One end of the stream gave up. That the other end went away is only a sign; everything else is a reason.
    pub(super) fn failed(
        &mut self,
        who: &str,
        failure: &Failure,
        by_function: bool,
        now: Now,
        patience: &Patience,
    ) -> Result<(), Fault> {
        let fault = Fault::reported(who, failure);
        if matches!(failure.code, FailureCode::ClosedEarly | FailureCode::PeerSilent) {
            self.hold(fault, by_function, now, patience);
            return Ok(());
        }
        Err(fault)
    }

    /// Its control connection is gone.
    pub(super) fn disconnected(&mut self, now: Now, patience: &Patience) -> Result<(), Fault> {
        self.disconnected = true;
        self.ping_us = u64::MAX;
        self.hold(
            Fault::new(codes::GUEST_CONTROL_LOST, "the function closed its control connection"),
            false,
            now,
            patience,
        );
        self.gone()
    }

    /// The guest is gone. What it said before may still be on its way.
    pub(super) fn exited(&mut self, exit: &GuestExit, now: Now, patience: &Patience) -> Result<(), Fault> {
        let fault = Fault::ended(WHO, exit);
        let spoke_for_itself = matches!(exit.cause, ExitCause::Code(_)) && self.hello_us.is_some();
        if !spoke_for_itself && !self.intake.is_finished() {
            return Err(fault);
        }
        self.exited = Some(fault.clone());
        self.ping_us = u64::MAX;
        self.hold(fault, false, now, patience);
        self.gone()
    }

    /// With both the guest and its connection gone, nothing more will come from it.
    fn gone(&self) -> Result<(), Fault> {
        match (&self.exited, &self.held) {
            (Some(fault), Some(held)) if self.disconnected && !held.by_broker => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    /// Keeps a fault for a while; the first one is kept.
    fn hold(&mut self, fault: Fault, by_broker: bool, now: Now, patience: &Patience) {
        let until_us = now.mono_us.saturating_add(patience.settle_us);
        match &mut self.held {
            None => self.held = Some(Held { fault, until_us, by_broker }),
            // The function's own words about a broken stream say more than that it then went away.
            Some(held) if by_broker && !held.by_broker => *held = Held { fault, until_us, by_broker },
            Some(_) => {}
        }
    }

    /// Pings, and judges by the clock.
    pub(super) fn tick(&mut self, now: Now, patience: &Patience, out: &mut Vec<Effect>) -> Result<(), Fault> {
        if let Some(held) = &self.held
            && held.until_us.min(self.deadline_us) <= now.mono_us
        {
            return Err(held.fault.clone());
        }
        if self.deadline_us <= now.mono_us {
            return Err(self.late(patience));
        }
        if self.ping_us <= now.mono_us {
            self.pings += 1;
            self.ping_us = now.mono_us.saturating_add(patience.heartbeat_us);
            out.push(Effect::Send { guest: self.guest, message: Ping { nonce: self.pings }.into() });
        }
        Ok(())
    }

    fn late(&self, patience: &Patience) -> Fault {
        if self.hello_us.is_none() {
            let why = format!("{WHO} was not ready after {} ms", patience.boot_us / 1000);
            return Fault::new(codes::GUEST_BOOT_TIMED_OUT, why);
        }
        let state = match self.intake.missing() {
            None => "the function had all of its data".to_owned(),
            Some(missing) => format!("the data of {missing} was not complete"),
        };
        Fault::new(codes::GUEST_TIMED_OUT, format!("not done after {} ms: {state}", self.timeout_ms))
    }

    /// When [`Attempt::tick`] has something to do next, monotonic µs.
    pub(super) fn due_us(&self) -> u64 {
        let held = self.held.as_ref().map_or(u64::MAX, |held| held.until_us);
        self.deadline_us.min(self.ping_us).min(held)
    }
}

/// The function broke the protocol.
pub(super) fn protocol(what: &str) -> Fault {
    Fault::new(codes::GUEST_PROTOCOL, format!("{WHO} {what}"))
}
