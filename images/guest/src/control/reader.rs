//! The reading half: answers pings at once, follows a shutdown, and hands everything else to the application.

use super::line::{Closer, In};
use super::{ControlError, ControlSender, Ended, OnEnd};
use crate::heap;
use fades_wire::control::{Heartbeat, ToGuest, Welcome};
use fades_wire::frame::Decoder;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

/// What reader and watch share: when the orchestrator was last heard, and whether it is over.
pub(super) struct Life {
    closer: Closer,
    start: Instant,
    heard_ms: AtomicU64,
    over: AtomicBool,
    on_end: OnEnd,
}

impl Life {
    pub(super) fn new(closer: Closer, on_end: OnEnd) -> Self {
        let (heard_ms, over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { closer, start: Instant::now(), heard_ms, over, on_end }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&self) {
        self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.heard_ms.load(Ordering::Relaxed)))
    }

    /// Ends it quietly, once. Returns whether this was the end.
    pub(super) fn close(&self) -> bool {
        let first = !self.over.swap(true, Ordering::SeqCst);
        if first {
            // The reader wakes by it.
            self.closer.close();
        }
        first
    }

    fn end(&self, ended: &Ended) {
        if self.close() {
            (self.on_end)(ended);
        }
    }
}

/// Ends the channel when nothing was heard for `intervals` heartbeats.
pub(super) fn watch(life: &Life, interval: Duration, intervals: u32) {
    let patience = interval * intervals;
    while !life.over.load(Ordering::SeqCst) {
        let silence = life.silence();
        if silence > patience {
            return life.end(&Ended::Lost(ControlError::Silent(silence)));
        }
        thread::sleep(interval.min(patience - silence) + Duration::from_millis(1));
    }
}

pub(super) struct Reader {
    input: In,
    decoder: Decoder,
    sender: ControlSender,
    to_application: SyncSender<ToGuest>,
    life: Arc<Life>,
}

impl Reader {
    pub(super) fn new(
        input: In,
        sender: ControlSender,
        to_application: SyncSender<ToGuest>,
        life: Arc<Life>,
    ) -> Self {
        Self { input, decoder: Decoder::control(), sender, to_application, life }
    }

    /// Reads until the end. What happens before the welcome is told to who waits for that, not as an end.
    pub(super) fn run(mut self, welcome: &SyncSender<Result<Welcome, ControlError>>) {
        let first = self.first();
        let welcomed = first.is_ok();
        // Nobody waits any more if it took too long.
        if welcome.send(first).is_err() || !welcomed {
            self.life.close();
            return;
        }
        let ended = loop {
            match self.next().and_then(|message| self.deal_with(message)) {
                Ok(None) => {}
                Ok(Some(ended)) => break ended,
                Err(error) => break Ended::Lost(error),
            }
        };
        self.life.end(&ended);
    }

    fn first(&mut self) -> Result<Welcome, ControlError> {
        match self.next()? {
            ToGuest::Welcome(welcome) => Ok(welcome),
            _ => Err(ControlError::Unexpected("something else before its welcome")),
        }
    }

    fn deal_with(&self, message: ToGuest) -> Result<Option<Ended>, ControlError> {
        match message {
            ToGuest::Ping(ping) => {
                self.sender.send(Heartbeat { nonce: ping.nonce, heap_used: heap::used() })?;
            }
            ToGuest::Shutdown(_) => return Ok(Some(Ended::Shutdown)),
            ToGuest::Welcome(_) => return Err(ControlError::Unexpected("a second welcome")),
            message => match self.to_application.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => return Err(ControlError::Flooded),
                // The application has dropped its end; it lives on for its heartbeats.
                Err(TrySendError::Disconnected(_)) => {}
            },
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<ToGuest, ControlError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(ToGuest::from_frame(frame.kind, frame.body)?);
            }
            match self.input.read(self.decoder.space()) {
                Ok(0) => return Err(ControlError::Closed(self.decoder.buffered())),
                Ok(count) => {
                    self.decoder.filled(count);
                    self.life.heard();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.input.is_reborn(&error) => return Err(ControlError::Reborn),
                Err(error) => return Err(ControlError::Io("reading", error)),
            }
        }
    }
}
