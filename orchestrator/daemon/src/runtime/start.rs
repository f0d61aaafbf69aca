//! Starting a guest: a thread that attaches, boots, waits for the end, and tells the actor of each.

use std::sync::Arc;
use std::time::Duration;

use fades_api::codes;
use fades_core::GuestId;
use fades_core::backend::{Backend, Guest, GuestSpec};
use fades_core::engine::GuestOrder;
use fades_core::fault::Fault;
use fades_core::network::{Network, Port, PortId};
use fades_envelope::Digest;
use fades_wire::address::{Control as Channel, DATA_PORT, Endpoint, GATEWAY, MASK_BITS, Place};
use fades_wire::boot::{BootParameters, GuestParameters};
use tokio::sync::mpsc;

use super::Message;
use super::guests::Control;
use crate::clock::Clock;
use crate::images::Images;
use crate::trust::Trust;

/// Log level of guests: all but traces. What of it is shown is for the daemon's own filter.
const LOG: u8 = 4;
/// Bytes of each TCP buffer in a guest: several windows of the largest packet.
const TCP_BUFFER: u32 = 256 * 1024;

/// What starting needs.
#[derive(Clone)]
pub(crate) struct Starter {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) images: Arc<Images>,
    pub(crate) clock: Clock,
    pub(crate) tsc_mhz: Option<u32>,
    pub(crate) inbox: mpsc::UnboundedSender<Message>,
}

impl Starter {
    /// Starts a guest on a thread of its own; returns at once.
    pub(super) fn start(&self, order: GuestOrder, name: String, trust: Arc<Trust>, control: Arc<Control>) {
        let (starter, guest) = (self.clone(), order.guest);
        let thread = std::thread::Builder::new().name(name.clone());
        let spawned = thread.spawn(move || {
            let mut watch = Watch { starter: &starter, guest, control: &control, port: None, over: false };
            let last = watch.live(&order, name, &trust);
            watch.over = true;
            starter.tell(last);
        });
        if let Err(error) = spawned {
            self.tell(Message::StartFailed(guest, fault(format!("no thread for it: {error}"))));
        }
    }

    fn tell(&self, message: Message) {
        // Nobody listens any more when the daemon ends; the guest's handle then ends it.
        drop(self.inbox.send(message));
    }

    fn spec(&self, order: &GuestOrder, name: String, port: Port, trust: &Trust) -> Result<GuestSpec, String> {
        let bootable =
            self.images.bootable(Digest(order.image.digest), trust).map_err(|refusal| refusal.to_string())?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("no random bytes for its seed: {error}"))?;
        let parameters = BootParameters {
            address: port.address,
            gateway: GATEWAY,
            mask_bits: MASK_BITS,
            mtu: port.mtu,
            tcp_buffer: TCP_BUFFER,
            tsc_mhz: self.tsc_mhz,
            seed,
            time_unix_us: self.clock.now().unix_us,
            guest: GuestParameters { role: order.role.into(), control: port.control, log: LOG },
        };
        Ok(GuestSpec {
            name,
            role: order.role,
            image: order.image.digest,
            architecture: bootable.architecture,
            memory_mib: order.memory_mib,
            command_line: parameters.command_line(),
            seed,
            time_unix_us: parameters.time_unix_us,
            loader: bootable.loader,
            application: bootable.application,
            port: port.id,
            control: port.control,
            link: port.link,
            mac: port.mac,
            time_limit: order.time_limit_us.map(Duration::from_micros),
        })
    }
}

/// A guest's life on its thread. Dropped by a panic it ends the guest and reports that, as the engine would else wait
/// for ever for what is said exactly once: that a guest could not be started, or has ended.
struct Watch<'a> {
    starter: &'a Starter,
    guest: GuestId,
    control: &'a Control,
    port: Option<PortId>,
    over: bool,
}

impl Watch<'_> {
    /// A guest's life from here to its end; the last that is to be told of it.
    fn live(&mut self, order: &GuestOrder, name: String, trust: &Trust) -> Message {
        match self.boot(order, name, trust) {
            Ok(guest) => Message::Exited(self.guest, guest.wait()),
            Err(fault) => {
                self.detach();
                Message::StartFailed(self.guest, fault)
            }
        }
    }

    fn boot(&mut self, order: &GuestOrder, name: String, trust: &Trust) -> Result<Arc<dyn Guest>, Fault> {
        let starter = self.starter;
        let port = starter.network.attach(order.role).map_err(|error| fault(error.to_string()))?;
        self.port = Some(port.id);
        starter.tell(Message::Attached(self.guest, port.id));
        let (data, control) = (Endpoint::new(port.address, DATA_PORT), port.control);
        let spec = starter.spec(order, name, port, trust).map_err(fault)?;
        let guest = starter.backend.start(spec).map_err(|error| Fault::not_started(&error))?;
        self.control.started(&guest);
        let place = match control {
            Channel::Network(_) => Some(Place::Network(data)),
            // None if the domain has ended already, which is told next.
            Channel::Store => guest.neighbour().map(Place::Near),
            // A broker has regions of functions, and its own is nobody else's.
            Channel::Region => Some(guest.neighbour().map_or(Place::Network(data), Place::Near)),
        };
        if let Some(place) = place {
            starter.tell(Message::Started(self.guest, place));
        }
        Ok(guest)
    }

    fn detach(&mut self) {
        if let Some(port) = self.port.take() {
            self.starter.network.detach(port);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.control.stop();
            self.detach();
            let why = "the daemon's thread for it panicked; its log says where".to_owned();
            self.starter.tell(Message::StartFailed(self.guest, fault(why)));
        }
    }
}

/// A guest that could not be started for another reason than its backend's.
fn fault(why: String) -> Fault {
    Fault::new(codes::GUEST_START_FAILED, why)
}
