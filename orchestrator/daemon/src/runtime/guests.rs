//! The guests that exist, by name and by port: what arrives for the engine, in the order in which it may arrive.
//!
//! The engine hears of a guest: started, then connected, messages, disconnected, then exited, and nothing after that.
//! The network and the guest's thread know nothing of that order, so it is made here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fades_core::backend::{Guest, GuestExit};
use fades_core::engine::GuestInput;
use fades_core::fault::Fault;
use fades_core::limits::Bucket;
use fades_core::network::{Network, PortId};
use fades_core::{GuestId, Role};
use fades_wire::address::Place;
use fades_wire::control::{FromGuest, Ping, ToGuest};
use fades_wire::frame::{Decoder, Encoder};

use super::log::GuestLog;

/// Messages of one guest per minute, and at once. A result of the largest size and progress of every operation are
/// far below it.
const MESSAGES_PER_MINUTE: u32 = 60_000;
const MESSAGES_BURST: u32 = 5_000;
/// How long a guest's end waits for what it sent before.
const LAST_WORDS_US: u64 = 250_000;

/// Shared with the thread that starts the guest and waits for its end.
#[derive(Default)]
pub(super) struct Control {
    stop: AtomicBool,
    guest: std::sync::Mutex<Option<Arc<dyn Guest>>>,
}

impl Control {
    /// Ends the guest now, or as soon as it exists.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(guest) = self.lock().as_ref() {
            guest.kill();
        }
    }

    /// The guest exists from now on.
    pub(super) fn started(&self, guest: &Arc<dyn Guest>) {
        *self.lock() = Some(Arc::clone(guest));
        if self.stop.load(Ordering::SeqCst) {
            guest.kill();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Guest>>> {
        self.guest.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Entry {
    name: String,
    role: Role,
    control: Arc<Control>,
    port: Option<PortId>,
    started: bool,
    link_lost: bool,
    /// Told before `started`; the backend's answer and the guest's first words race.
    early: Vec<GuestInput>,
    decoder: Decoder,
    encoder: Encoder,
    log: GuestLog,
    messages: Bucket,
    /// It counts from its welcome on for how long nobody speaks to it.
    welcomed: bool,
    /// Nothing that it sends is listened to any more.
    broken: bool,
    /// Its end, and until when that waits for its last words.
    exit: Option<(GuestExit, u64)>,
}

/// All guests of this run that have not ended.
pub(super) struct Guests {
    network: Arc<dyn Network>,
    entries: HashMap<GuestId, Entry>,
    ports: HashMap<PortId, GuestId>,
}

impl Guests {
    pub(super) fn new(network: Arc<dyn Network>) -> Self {
        Self { network, entries: HashMap::new(), ports: HashMap::new() }
    }

    /// Room for a guest that is about to be started.
    pub(super) fn expect(&mut self, guest: GuestId, name: String, role: Role, now_us: u64) -> Arc<Control> {
        let control = Arc::new(Control::default());
        let entry = Entry {
            name,
            role,
            control: Arc::clone(&control),
            port: None,
            started: false,
            link_lost: false,
            early: Vec::new(),
            decoder: Decoder::control(),
            encoder: Encoder::control(),
            log: GuestLog::new(now_us),
            messages: Bucket::new(MESSAGES_PER_MINUTE, MESSAGES_BURST, now_us),
            welcomed: false,
            broken: false,
            exit: None,
        };
        self.entries.insert(guest, entry);
        control
    }

    pub(super) fn attached(&mut self, guest: GuestId, port: PortId) {
        if let Some(entry) = self.entries.get_mut(&guest) {
            entry.port = Some(port);
            self.ports.insert(port, guest);
        }
    }

    pub(super) fn started(&mut self, guest: GuestId, place: Place) -> Vec<(GuestId, GuestInput)> {
        let Some(entry) = self.entries.get_mut(&guest) else { return Vec::new() };
        entry.started = true;
        let first = GuestInput::Started { place };
        let early = std::mem::take(&mut entry.early);
        std::iter::once(first).chain(early).map(|input| (guest, input)).collect()
    }

    pub(super) fn start_failed(&mut self, guest: GuestId, fault: Fault) -> Vec<(GuestId, GuestInput)> {
        self.forget(guest);
        vec![(guest, GuestInput::StartFailed(fault))]
    }

    /// Something came over a port; what the engine hears of it.
    pub(super) fn connected(&mut self, port: PortId) -> Vec<(GuestId, GuestInput)> {
        self.hear(port, |_| vec![GuestInput::Connected])
    }

    pub(super) fn closed(&mut self, port: PortId) -> Vec<(GuestId, GuestInput)> {
        self.hear(port, |_| vec![GuestInput::Disconnected])
    }

    pub(super) fn data(&mut self, port: PortId, bytes: &[u8], now_us: u64) -> Vec<(GuestId, GuestInput)> {
        self.hear(port, |entry| entry.decode(bytes, now_us))
    }

    fn hear(
        &mut self,
        port: PortId,
        what: impl FnOnce(&mut Entry) -> Vec<GuestInput>,
    ) -> Vec<(GuestId, GuestInput)> {
        let Some(guest) = self.ports.get(&port).copied() else { return Vec::new() };
        let Some(entry) = self.entries.get_mut(&guest) else { return Vec::new() };
        let inputs = what(entry);
        if !entry.started {
            entry.early.extend(inputs);
            return Vec::new();
        }
        inputs.into_iter().map(|input| (guest, input)).collect()
    }

    pub(super) fn link_lost(&mut self, port: PortId) -> Vec<(GuestId, GuestInput)> {
        let Some(guest) = self.ports.get(&port).copied() else { return Vec::new() };
        if let Some(entry) = self.entries.get_mut(&guest) {
            entry.link_lost = true;
            if entry.exit.is_some() {
                return self.ended(guest);
            }
        }
        Vec::new()
    }

    /// The guest has ended. What it sent before may still be on its way, so its end waits a little for that.
    pub(super) fn exited(
        &mut self,
        guest: GuestId,
        exit: GuestExit,
        now_us: u64,
    ) -> Vec<(GuestId, GuestInput)> {
        let Some(entry) = self.entries.get_mut(&guest) else { return Vec::new() };
        // A function's end is told with its task. Of the broker's nobody else would hear.
        let (name, cause) = (&entry.name, &exit.cause);
        match entry.role {
            Role::Broker => {
                tracing::info!(name, %cause, console = ?exit.console_tail, "the broker has ended")
            }
            Role::Function => {
                tracing::debug!(name, %cause, console = ?exit.console_tail, "a guest has ended")
            }
        }
        let nothing_to_come = entry.link_lost || entry.control.stop.load(Ordering::SeqCst);
        entry.exit = Some((exit, now_us.saturating_add(LAST_WORDS_US)));
        if nothing_to_come { self.ended(guest) } else { Vec::new() }
    }

    /// Ends that have waited long enough.
    pub(super) fn overdue(&mut self, now_us: u64) -> Vec<(GuestId, GuestInput)> {
        let due: Vec<GuestId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.exit.as_ref().is_some_and(|(_, until)| *until <= now_us))
            .map(|(guest, _)| *guest)
            .collect();
        due.into_iter().flat_map(|guest| self.ended(guest)).collect()
    }

    /// When the next end has waited long enough.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.entries.values().filter_map(|entry| entry.exit.as_ref().map(|(_, until)| *until)).min()
    }

    fn ended(&mut self, guest: GuestId) -> Vec<(GuestId, GuestInput)> {
        match self.forget(guest).and_then(|entry| entry.exit) {
            Some((exit, _)) => vec![(guest, GuestInput::Exited(exit))],
            None => Vec::new(),
        }
    }

    fn forget(&mut self, guest: GuestId) -> Option<Entry> {
        let entry = self.entries.remove(&guest)?;
        if let Some(port) = entry.port {
            self.ports.remove(&port);
            self.network.detach(port);
        }
        Some(entry)
    }

    /// Sends a message; what the engine must hear when that fails.
    pub(super) fn send(&mut self, guest: GuestId, message: &ToGuest) -> Option<GuestInput> {
        let entry = self.entries.get_mut(&guest)?;
        let port = entry.port?;
        entry.welcomed |= matches!(message, ToGuest::Welcome(_));
        let mut bytes = Vec::new();
        let framed = message.to_body().map_err(|error| error.to_string()).and_then(|body| {
            entry.encoder.frame(message.kind(), 0, &body, &mut bytes).map_err(|error| error.to_string())
        });
        if let Err(error) = framed {
            return Some(GuestInput::ProtocolError(format!("a message to it could not be written: {error}")));
        }
        match self.network.send_control(port, bytes) {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(guest = entry.name, %error, "a message could not be sent");
                Some(GuestInput::Disconnected)
            }
        }
    }

    /// Lets every guest hear that the daemon is there, while the engine cannot: else they would give up. The engine knows of no
    /// ping with this number and lets every answer to it pass.
    pub(super) fn reassure(&mut self) {
        let welcomed: Vec<GuestId> =
            self.entries.iter().filter(|(_, entry)| entry.welcomed).map(|(guest, _)| *guest).collect();
        for guest in welcomed {
            // Whom it does not reach is found out by the engine's own pings.
            drop(self.send(guest, &Ping { nonce: 0 }.into()));
        }
    }

    pub(super) fn stop(&mut self, guest: GuestId, why: &str) {
        if let Some(entry) = self.entries.get(&guest) {
            match entry.role {
                Role::Broker => tracing::info!(guest = entry.name, why, "ending the broker"),
                Role::Function => tracing::debug!(guest = entry.name, why, "ending a guest"),
            }
            entry.control.stop();
        }
    }

    pub(super) fn stop_all(&mut self) {
        self.entries.values().for_each(|entry| entry.control.stop());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    fn decode(&mut self, bytes: &[u8], now_us: u64) -> Vec<GuestInput> {
        let mut inputs = Vec::new();
        if self.broken {
            return inputs;
        }
        self.decoder.push(bytes);
        let why = loop {
            let message = match self.decoder.next() {
                Ok(Some(frame)) if frame.stream != 0 => break format!("a frame on stream {}", frame.stream),
                Ok(Some(frame)) => FromGuest::from_frame(frame.kind, frame.body),
                Ok(None) => return inputs,
                Err(error) => break error.to_string(),
            };
            if !self.messages.take(now_us) {
                break format!("more than {MESSAGES_PER_MINUTE} messages per minute");
            }
            match message {
                Ok(FromGuest::Log(log)) => self.log.write(&self.name, &log, now_us),
                Ok(message) => inputs.push(GuestInput::Message(message)),
                Err(error) => break error.to_string(),
            }
        };
        self.broken = true;
        inputs.push(GuestInput::ProtocolError(why));
        inputs
    }
}
