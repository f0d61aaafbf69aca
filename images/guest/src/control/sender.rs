//! Sending on the control channel, from any thread.

use super::ControlError;
use super::line::Out;
use crate::exit::console;
use crate::log::{Budget, level};
use fades_wire::control::{Failed, FromGuest, Log};
use fades_wire::failure::Failure;
use fades_wire::frame::Encoder;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

/// The sending half of a control channel.
#[derive(Clone)]
pub struct ControlSender(Arc<Shared>);

struct Shared {
    writer: Mutex<Writer>,
    budget: Mutex<Budget>,
    log: u8,
}

/// Numbers frames and writes them. A frame that was written in part leaves the stream useless, so the first
/// error is the last attempt.
struct Writer {
    out: Out,
    encoder: Encoder,
    buffer: Vec<u8>,
    broken: bool,
}

impl Writer {
    fn send(
        &mut self,
        message: &FromGuest,
        write: impl FnOnce(&mut Out, &[u8]) -> io::Result<()>,
    ) -> Result<(), ControlError> {
        if self.broken {
            return Err(ControlError::Ended);
        }
        self.buffer.clear();
        self.encoder.frame(message.kind(), 0, &message.to_body()?, &mut self.buffer)?;
        write(&mut self.out, &self.buffer).map_err(|error| {
            self.broken = true;
            ControlError::Io("writing", error)
        })
    }
}

impl fmt::Debug for ControlSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSender").field("log", &self.0.log).finish_non_exhaustive()
    }
}

impl ControlSender {
    pub(super) fn new(out: Out, log: u8) -> Self {
        let writer = Writer { out, encoder: Encoder::control(), buffer: Vec::new(), broken: false };
        Self(Arc::new(Shared {
            writer: Mutex::new(writer),
            budget: Mutex::new(Budget::new(Instant::now())),
            log,
        }))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message. Blocks while the orchestrator does not read.
    ///
    /// # Errors
    /// Something in the message is over its cap (then nothing was sent, and the channel goes on), or the
    /// connection broke.
    pub fn send(&self, message: impl Into<FromGuest>) -> Result<(), ControlError> {
        self.writer().send(&message.into(), Out::write_all)
    }

    /// Sees to it that the orchestrator takes note of what was sent. False while that is not certain.
    pub(super) fn urge(&self) -> bool {
        self.writer().out.urge()
    }

    /// Sends a line for the node's log, if its level is wanted and its rate is bearable. Errors and warnings go
    /// to the console as well.
    pub fn log(&self, at: u8, text: impl Into<String>) {
        if at > self.0.log {
            return;
        }
        let allowed = self.0.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let Some(dropped) = allowed else { return };
        let mut text = text.into();
        if dropped > 0 {
            text = format!("({dropped} lines dropped) {text}");
        }
        let log = Log::new(at, text);
        if at <= level::WARNING {
            console(&log.text);
        }
        // A log line is not worth more than this attempt; that the channel is broken is told by its reader.
        let _ = self.send(log);
    }

    /// The last message of a guest that dies, unless another thread is in its way, which may be this one further down its stack:
    /// one that writes, or that uses XenStore where that carries the message. Returns whether it was sent.
    pub(crate) fn try_fail(&self, failure: Failure) -> bool {
        let mut writer = match self.0.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(writer)) => writer.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        writer.send(&Failed(failure).into(), Out::write_last).is_ok()
    }
}
