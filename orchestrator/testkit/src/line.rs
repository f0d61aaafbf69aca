//! A scripted guest's end of its control connection.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fades_core::backend::ExitCause;
use fades_core::network::PortId;
use fades_wire::control::{FromGuest, ToGuest};
use fades_wire::frame::{Decoder, Encoder};

use crate::network::ScriptedNetwork;

/// What reaches a scripted guest.
pub(crate) enum Arrival {
    /// Bytes on its control connection.
    Bytes(Vec<u8>),
    /// Its end.
    End(ExitCause),
}

/// Why a guest's act is over.
pub(crate) type Over = ExitCause;

pub(crate) struct Line {
    network: Arc<ScriptedNetwork>,
    port: PortId,
    arrivals: Receiver<Arrival>,
    encoder: Encoder,
    decoder: Decoder,
}

impl Line {
    pub(crate) fn new(network: Arc<ScriptedNetwork>, port: PortId, arrivals: Receiver<Arrival>) -> Self {
        Self { network, port, arrivals, encoder: Encoder::control(), decoder: Decoder::control() }
    }

    pub(crate) fn connect(&self) {
        self.network.guest_connects(self.port);
    }

    pub(crate) fn close(&self) {
        self.network.close(self.port);
    }

    pub(crate) fn say(&mut self, message: impl Into<FromGuest>) {
        let message = message.into();
        let mut bytes = Vec::new();
        let body = message.to_body().expect("scripted messages keep to their caps");
        self.encoder.frame(message.kind(), 0, &body, &mut bytes).expect("scripted frames keep to their caps");
        self.network.guest_sends(self.port, bytes);
    }

    pub(crate) fn say_garbage(&self) {
        self.network.guest_sends(self.port, vec![0x55; 64]);
    }

    /// The next message from the daemon.
    pub(crate) fn hear(&mut self) -> Result<ToGuest, Over> {
        loop {
            let refuse = |why: String| ExitCause::Panicked { message: why, location: String::new() };
            match self.decoder.next() {
                Ok(Some(frame)) => {
                    let message = ToGuest::from_frame(frame.kind, frame.body);
                    return message.map_err(|error| refuse(format!("the daemon sent no message: {error}")));
                }
                Ok(None) => {}
                Err(error) => return Err(refuse(format!("the daemon sent no frame: {error}"))),
            }
            match self.arrivals.recv() {
                Ok(Arrival::Bytes(bytes)) => self.decoder.push(&bytes),
                Ok(Arrival::End(cause)) => return Err(cause),
                Err(_) => return Err(ExitCause::Killed),
            }
        }
    }

    /// Lets time pass, but not beyond the guest's end. What comes meanwhile is kept.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Over> {
        let until = Instant::now() + time;
        loop {
            match self.arrivals.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Arrival::Bytes(bytes)) => self.decoder.push(&bytes),
                Ok(Arrival::End(cause)) => return Err(cause),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(ExitCause::Killed),
            }
        }
    }

    /// Does nothing until the guest's end.
    pub(crate) fn wait_for_the_end(&self) -> Over {
        loop {
            match self.arrivals.recv() {
                Ok(Arrival::Bytes(_)) => {}
                Ok(Arrival::End(cause)) => return cause,
                Err(_) => return ExitCause::Killed,
            }
        }
    }
}
