//! The broker's supervision.
//!
//! ```text
//! down ──(pause over)──> booting ──(place known, Hello)──> ready
//!   ^                       │                                  │
//!   │      (exit, deadline, disconnect, silence, protocol error, start failed)
//!   └──(guest gone)──── dying <────────────────────────────────┘
//! ```
//!
//! The pause doubles with every death in a row, and is short again after the broker was ready for a while. Heartbeats go
//! through the control channel, so a live machine with a dead network counts as dead. A missed ping only counts when it
//! was sent: a daemon that slept does not take its broker for dead.

use fades_wire::PROTOCOL;
use fades_wire::address::Place;
use fades_wire::control::{Heartbeat, Hello, Ping, Welcome};
use fades_wire::ids::Role as WireRole;

use super::guests::{Guests, Wanted};
use super::port::{Effect, Now};
use crate::ids::{GuestId, Role};
use crate::limits::Patience;
use crate::task::ImageRef;

/// What to boot as the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Its image.
    pub image: ImageRef,
    /// Its memory.
    pub memory_mib: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Down { retry_us: u64 },
    Booting { guest: GuestId, since_us: u64, deadline_us: u64, place: Option<Place>, greeted: bool },
    Ready(Ready),
    Dying { guest: GuestId },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ready {
    guest: GuestId,
    place: Place,
    since_us: u64,
    ping_us: u64,
    sent: u64,
    answered: u64,
    heap_used: u64,
}

/// The broker, from the engine's side.
#[derive(Debug)]
pub(super) struct Broker {
    config: BrokerConfig,
    phase: Phase,
    /// Deaths in a row.
    failures: u32,
    deaths: u64,
    last_failure: Option<String>,
    last_boot_us: Option<u64>,
}

/// How the broker is, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// `down`, `booting`, `ready` or `dying`.
    pub phase: &'static str,
    /// The guest that runs it, if there is one.
    pub guest: Option<GuestId>,
    /// Where functions find it, once ready.
    pub place: Option<Place>,
    /// Ready since, monotonic µs.
    pub ready_since_us: Option<u64>,
    /// From its order to its hello, of the last start that came so far, µs.
    pub boot_us: Option<u64>,
    /// Bytes on its heap, as of its last heartbeat; 0 when not measured.
    pub heap_used: u64,
    /// How often it died since the daemon started.
    pub deaths: u64,
    /// Why it died last.
    pub last_failure: Option<String>,
}

impl Broker {
    pub(super) const fn new(config: BrokerConfig) -> Self {
        let phase = Phase::Down { retry_us: 0 };
        Self { config, phase, failures: 0, deaths: 0, last_failure: None, last_boot_us: None }
    }

    pub(super) const fn memory_mib(&self) -> u32 {
        self.config.memory_mib
    }

    /// The ready broker and its place.
    pub(super) const fn ready(&self) -> Option<(GuestId, Place)> {
        match &self.phase {
            Phase::Ready(ready) => Some((ready.guest, ready.place)),
            _ => None,
        }
    }

    /// Whether this guest is the broker and not given up.
    pub(super) fn is(&self, guest: GuestId) -> bool {
        match &self.phase {
            Phase::Booting { guest: own, .. } => *own == guest,
            Phase::Ready(ready) => ready.guest == guest,
            Phase::Down { .. } | Phase::Dying { .. } => false,
        }
    }

    /// Starts, pings and judges, as time goes by.
    ///
    /// # Errors
    /// Why the broker must be taken for dead; the caller then calls [`Broker::lost`].
    pub(super) fn tick(
        &mut self,
        now: Now,
        patience: &Patience,
        guests: &mut Guests,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        match &mut self.phase {
            Phase::Down { retry_us } if *retry_us <= now.mono_us => {
                let BrokerConfig { image, memory_mib } = &self.config;
                let wanted = Wanted {
                    role: Role::Broker,
                    image,
                    memory_mib: *memory_mib,
                    task: None,
                    time_limit_us: None,
                };
                let guest = guests.order(&wanted, out);
                let deadline_us = now.mono_us.saturating_add(patience.broker_boot_us);
                self.phase =
                    Phase::Booting { guest, since_us: now.mono_us, deadline_us, place: None, greeted: false };
            }
            Phase::Booting { deadline_us, since_us, .. } if *deadline_us <= now.mono_us => {
                return Err(format!("was not ready after {} ms", (now.mono_us - *since_us) / 1000));
            }
            Phase::Ready(ready) if ready.ping_us <= now.mono_us => {
                if ready.sent - ready.answered >= u64::from(patience.heartbeat_misses) {
                    return Err(format!("left {} pings unanswered", ready.sent - ready.answered));
                }
                ready.sent += 1;
                ready.ping_us = now.mono_us.saturating_add(patience.heartbeat_us);
                let message = Ping { nonce: ready.sent }.into();
                out.push(Effect::Send { guest: ready.guest, message });
                if ready.ping_us.saturating_sub(ready.since_us) > patience.stable_us {
                    self.failures = 0;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nobody could be heard for so long.
    pub(super) const fn stalled(&mut self, us: u64) {
        match &mut self.phase {
            Phase::Booting { deadline_us, .. } => *deadline_us = deadline_us.saturating_add(us),
            // What answers the last ping may be on its way.
            Phase::Ready(ready) => ready.ping_us = ready.ping_us.saturating_add(us),
            Phase::Down { .. } | Phase::Dying { .. } => {}
        }
    }

    /// The backend has started it.
    pub(super) fn started(&mut self, at: Place, now: Now, patience: &Patience) {
        if let Phase::Booting { place, .. } = &mut self.phase {
            *place = Some(at);
        }
        self.get_ready(now, patience);
    }

    /// Its first message; answered with a welcome.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn hello(
        &mut self,
        hello: &Hello,
        now: Now,
        patience: &Patience,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let Phase::Booting { guest, greeted, .. } = &mut self.phase else {
            return Err("said hello twice".into());
        };
        if *greeted {
            return Err("said hello twice".into());
        }
        check_hello(hello, WireRole::Broker)?;
        *greeted = true;
        out.push(Effect::Send { guest: *guest, message: welcome(now, patience).into() });
        self.get_ready(now, patience);
        Ok(())
    }

    /// Ready once both the place is known and the hello has come, in whichever order.
    fn get_ready(&mut self, now: Now, patience: &Patience) {
        if let Phase::Booting { guest, place: Some(place), greeted: true, since_us, .. } = self.phase {
            self.last_boot_us = Some(now.mono_us.saturating_sub(since_us));
            self.phase = Phase::Ready(Ready {
                guest,
                place,
                since_us: now.mono_us,
                ping_us: now.mono_us.saturating_add(patience.heartbeat_us),
                sent: 0,
                answered: 0,
                heap_used: 0,
            });
        }
    }

    /// An answer to a ping.
    ///
    /// # Errors
    /// When no such ping was sent.
    pub(super) fn heartbeat(&mut self, beat: Heartbeat) -> Result<(), String> {
        let sent = if let Phase::Ready(ready) = &self.phase { ready.sent } else { 0 };
        if beat.nonce > sent {
            return Err(format!("answered ping {}, the last one was {sent}", beat.nonce));
        }
        if let Phase::Ready(ready) = &mut self.phase {
            ready.answered = ready.answered.max(beat.nonce);
            ready.heap_used = beat.heap_used;
        }
        Ok(())
    }

    /// Takes the broker for dead, whatever it does from here on; true when it was not yet.
    pub(super) fn lost(
        &mut self,
        now: Now,
        why: &str,
        patience: &Patience,
        guests: &mut Guests,
        out: &mut Vec<Effect>,
    ) -> bool {
        let guest = match &self.phase {
            Phase::Booting { guest, .. } => *guest,
            Phase::Ready(ready) => ready.guest,
            Phase::Down { .. } | Phase::Dying { .. } => return false,
        };
        self.failures = self.failures.saturating_add(1);
        self.deaths += 1;
        self.last_failure = Some(why.to_owned());
        guests.stop(guest, &format!("the broker {why}"), out);
        self.phase = Phase::Dying { guest };
        if guests.get(guest).is_none() {
            self.buried(guest, now, patience);
        }
        true
    }

    /// A guest is gone; when it was the dying broker, the pause begins.
    pub(super) fn buried(&mut self, guest: GuestId, now: Now, patience: &Patience) {
        if self.phase == (Phase::Dying { guest }) {
            let retry_us = now.mono_us.saturating_add(patience.backoff_us(self.failures));
            self.phase = Phase::Down { retry_us };
        }
    }

    /// When [`Broker::tick`] has something to do next, monotonic µs.
    pub(super) const fn due_us(&self) -> Option<u64> {
        match &self.phase {
            Phase::Down { retry_us } => Some(*retry_us),
            Phase::Booting { deadline_us, .. } => Some(*deadline_us),
            Phase::Ready(ready) => Some(ready.ping_us),
            Phase::Dying { .. } => None,
        }
    }

    pub(super) fn status(&self) -> BrokerStatus {
        let (phase, guest) = match &self.phase {
            Phase::Down { .. } => ("down", None),
            Phase::Booting { guest, .. } => ("booting", Some(*guest)),
            Phase::Ready(ready) => ("ready", Some(ready.guest)),
            Phase::Dying { guest } => ("dying", Some(*guest)),
        };
        let ready = if let Phase::Ready(ready) = &self.phase { Some(ready) } else { None };
        BrokerStatus {
            phase,
            guest,
            place: ready.map(|ready| ready.place),
            ready_since_us: ready.map(|ready| ready.since_us),
            boot_us: self.last_boot_us,
            heap_used: ready.map_or(0, |ready| ready.heap_used),
            deaths: self.deaths,
            last_failure: self.last_failure.clone(),
        }
    }
}

/// Whether a hello is of our protocol and of the role the guest was booted for.
pub(super) fn check_hello(hello: &Hello, role: WireRole) -> Result<(), String> {
    if hello.protocol != PROTOCOL {
        return Err(format!("speaks protocol {}, this node speaks {PROTOCOL}", hello.protocol));
    }
    if hello.role != role {
        return Err(format!("says it is a {}, it was booted as a {}", hello.role.name(), role.name()));
    }
    Ok(())
}

/// The answer to every hello.
pub(super) fn welcome(now: Now, patience: &Patience) -> Welcome {
    let heartbeat_ms = u32::try_from(patience.heartbeat_us / 1000).unwrap_or(u32::MAX);
    Welcome { heartbeat_ms, time_unix_us: now.unix_us }
}
