//! Starting a guest: a thread that attaches, boots, waits for the end, and tells the actor of each.

use std::sync::Arc;
use std::time::Duration;

use fades_core::backend::{Backend, GuestSpec};
use fades_core::engine::GuestOrder;
use fades_core::network::{Network, Port};
use fades_envelope::Digest;
use fades_wire::address::{CONTROL_PORT, Endpoint, GATEWAY, MASK_BITS};
use fades_wire::boot::{BootParameters, GuestParameters};
use tokio::sync::mpsc;

use super::Message;
use super::guests::Control;
use crate::clock::Clock;
use crate::images::Images;
use crate::trust::Trust;

/// Log level of guests: warnings.
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
        let spawned = thread.spawn(move || starter.live(&order, name, &trust, &control));
        if let Err(error) = spawned {
            self.tell(Message::StartFailed(guest, format!("no thread for it: {error}")));
        }
    }

    fn tell(&self, message: Message) {
        // Nobody listens any more when the daemon ends; the guest's handle then ends it.
        drop(self.inbox.send(message));
    }

    /// A guest's life from here to its end.
    fn live(&self, order: &GuestOrder, name: String, trust: &Trust, control: &Control) {
        let port = match self.network.attach(order.role) {
            Ok(port) => port,
            Err(error) => return self.tell(Message::StartFailed(order.guest, error.to_string())),
        };
        let id = port.id;
        self.tell(Message::Attached(order.guest, id));
        let (spec, port) = match self.spec(order, name, port, trust) {
            Ok(ready) => ready,
            Err(why) => {
                self.network.detach(id);
                return self.tell(Message::StartFailed(order.guest, why));
            }
        };
        let guest = match self.backend.start(spec) {
            Ok(guest) => guest,
            Err(error) => {
                self.network.detach(id);
                return self.tell(Message::StartFailed(order.guest, words(&error)));
            }
        };
        control.started(&guest);
        self.tell(Message::Started(order.guest, port));
        let exit = guest.wait();
        self.tell(Message::Exited(order.guest, exit));
    }

    fn spec(
        &self,
        order: &GuestOrder,
        name: String,
        port: Port,
        trust: &Trust,
    ) -> Result<(GuestSpec, super::Attachment), String> {
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
            guest: GuestParameters {
                role: order.role.into(),
                control: Endpoint::new(GATEWAY, CONTROL_PORT),
                log: LOG,
            },
        };
        let spec = GuestSpec {
            name,
            role: order.role,
            memory_mib: order.memory_mib,
            command_line: parameters.command_line(),
            loader: bootable.loader,
            application: bootable.application,
            link: port.link,
            mac: port.mac,
            time_limit: order.time_limit_us.map(Duration::from_micros),
        };
        Ok((spec, super::Attachment { address: port.address }))
    }
}

fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
