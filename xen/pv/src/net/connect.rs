//! Finding the back end in XenStore, and agreeing with it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fades_xen_store::{Path, Token};

use super::receive::Receive;
use super::transmit::{PAGE, Transmit};
use super::{Buffer, ConnectError, MAX_FRAME, Netfront, SLOTS};
use crate::grant::Grants;
use crate::hypercall::{Access, Domain, Port, Ports};
use crate::page::Pages;
use crate::shared::{PeerWords, Words};
use crate::xenstore::{StoreError, Wait, Xenstore};

/// States of the two ends. (`io/xenbus.h`)
const INIT_WAIT: u32 = 2;
const CONNECTED: u32 = 4;
const CLOSING: u32 = 5;
const CLOSED: u32 = 6;

/// What connecting takes from.
#[derive(Debug)]
pub struct Setup<'a, M> {
    /// Where pages come from.
    pub pages: &'a M,
    /// Where grants come from.
    pub grants: &'a mut Grants,
    /// When to give up, by the store's clock.
    pub deadline: u64,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The domain of the back end.
    pub backend: Domain,
    /// Our hardware address.
    pub mac: [u8; 6],
    /// What the toolstack set as the longest payload of a frame, if it did.
    pub mtu: Option<u16>,
    /// Longest frame that can be sent: [`MAX_FRAME`], or a page if the back end takes only one slot for each.
    pub max_frame: usize,
    /// The port to wait on.
    pub port: Port,
}

/// The store, with the device's directory.
struct Device<'a, S, W> {
    store: &'a mut Xenstore<S, W>,
    home: String,
    deadline: u64,
}

impl<S: Ports, W: Wait> Device<'_, S, W> {
    /// The text of a node, or `None` if it is not there.
    fn find(&mut self, path: &Path, name: &'static str) -> Result<Option<String>, ConnectError> {
        match self.store.read(path, self.deadline) {
            Ok(value) => String::from_utf8(value).map(Some).map_err(|_| ConnectError::Node(name)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(ConnectError::Store(name, error)),
        }
    }

    fn path(&self, name: &'static str) -> Result<Path, ConnectError> {
        Path::new(&format!("{}/{name}", self.home)).map_err(|_| ConnectError::Node(name))
    }

    /// One of our own nodes, in the form that `parse` wants.
    fn own<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConnectError> {
        let text = self.find(&self.path(name)?, name)?;
        text.as_deref().and_then(parse).ok_or(ConnectError::Node(name))
    }

    /// Whether a feature of the back end is there and 1.
    fn feature(&mut self, backend: &Path, name: &'static str) -> Result<bool, ConnectError> {
        let path = backend.join(name).map_err(|_| ConnectError::Node(name))?;
        Ok(self.find(&path, name)?.as_deref() == Some("1"))
    }

    fn write(&mut self, name: &'static str, value: &str) -> Result<(), ConnectError> {
        let path = self.path(name)?;
        self.store
            .write(&path, value.as_bytes(), self.deadline)
            .map_err(|error| ConnectError::Store(name, error))
    }

    /// Waits until the back end is in the state `wanted`. Its state is being watched.
    fn await_state(&mut self, state: &Path, wanted: u32) -> Result<(), ConnectError> {
        loop {
            let text = self.find(state, "state")?;
            let found = text.as_deref().map_or(Some(0), number).ok_or(ConnectError::Node("state"))?;
            match found {
                found if found == wanted => return Ok(()),
                // A back end that was used before may still be on its way back to the beginning.
                CLOSING | CLOSED if wanted != INIT_WAIT => return Err(ConnectError::State(found)),
                _ => {}
            }
            match self.store.next_event(self.deadline) {
                Ok(Some(_)) => {}
                Ok(None) | Err(StoreError::Deadline) => return Err(ConnectError::Deadline(found)),
                Err(error) => return Err(ConnectError::Store("state", error)),
            }
        }
    }
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Six bytes in hexadecimal with colons between.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split(':');
    let mut bytes = [0; 6];
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

pub(super) fn connect<P: Ports, S: Ports, W: Wait>(
    vif: u32,
    ports: P,
    setup: &mut Setup<'_, impl Pages>,
    store: &mut Xenstore<S, W>,
) -> Result<Netfront<P>, ConnectError> {
    let mut device = Device { store, home: format!("device/vif/{vif}"), deadline: setup.deadline };
    let backend = device.own("backend", |text| Path::new(text).ok().filter(Path::is_absolute))?;
    let state = backend.join("state").map_err(|_| ConnectError::Node("backend"))?;
    let token = Token::new(&format!("vif{vif}")).map_err(|_| ConnectError::Node("backend"))?;
    device
        .store
        .watch(&state, &token, setup.deadline)
        .map_err(|error| ConnectError::Store("state", error))?;
    let connected = agree(&mut device, &backend, &state, ports, setup);
    // What comes of it does not matter: a connection stands without it, and a failure has its own reason.
    let _ = device.store.unwatch(&state, &token, setup.deadline);
    connected
}

/// With the back end's state being watched.
fn agree<P: Ports, S: Ports, W: Wait>(
    device: &mut Device<'_, S, W>,
    backend: &Path,
    state: &Path,
    ports: P,
    setup: &mut Setup<'_, impl Pages>,
) -> Result<Netfront<P>, ConnectError> {
    let domain = device.own("backend-id", |text| {
        let domain = u16::try_from(number(text)?).ok()?;
        (domain < Domain::SELF.0).then_some(Domain(domain))
    })?;
    let mac = device.own("mac", mac)?;
    let mtu = device.find(&device.path("mtu")?, "mtu")?;
    let mtu = mtu.as_deref().and_then(number).and_then(|mtu| u16::try_from(mtu).ok());
    device.await_state(state, INIT_WAIT)?;
    if !device.feature(backend, "feature-rx-copy")? {
        return Err(ConnectError::Feature("feature-rx-copy"));
    }
    let max_frame = if device.feature(backend, "feature-sg")? { MAX_FRAME } else { PAGE };
    let rings = Rings::new(domain, setup)?;
    let port = match ports.alloc_unbound(domain) {
        Ok(port) => port,
        Err(error) => {
            rings.release(setup);
            return Err(ConnectError::Port(error));
        }
    };
    let told = rings.tell(device, port).and_then(|()| device.await_state(state, CONNECTED));
    if let Err(error) = told {
        // So that the back end lets go of what it may have mapped; it may not do it before we look.
        let _ = device.write("state", &CLOSED.to_string());
        let _ = ports.close(port);
        rings.release(setup);
        return Err(error);
    }
    // There are pages to receive into. A failure shows at the next notification as well.
    let _ = ports.send(port);
    Ok(Netfront {
        ports,
        link: Link { backend: domain, mac, mtu, max_frame, port },
        transmit: rings.transmit,
        receive: rings.receive,
        scratch: Vec::with_capacity(max_frame),
        sent: 0,
        stopped: None,
    })
}

/// The two rings with all their pages granted.
struct Rings {
    transmit: Transmit,
    receive: Receive,
    references: [crate::grant::GrantRef; 2],
}

impl Rings {
    fn new(domain: Domain, setup: &mut Setup<'_, impl Pages>) -> Result<Self, ConnectError> {
        let (mut send, mut receive) = (Vec::with_capacity(SLOTS), Vec::with_capacity(SLOTS));
        let (pages, grants) = (setup.pages, &mut *setup.grants);
        let filled = fill::<Words>(&mut send, pages, grants, domain, Access::ReadOnly)
            .and_then(|()| fill::<PeerWords>(&mut receive, pages, grants, domain, Access::ReadWrite))
            .and_then(|()| Buffer::new(pages, grants, domain, Access::ReadWrite))
            .and_then(|first| match Buffer::new(pages, grants, domain, Access::ReadWrite) {
                Ok(second) => Ok((first, second)),
                Err(error) => {
                    Buffer::<super::transmit::Ring>::release(first, pages, grants);
                    Err(error)
                }
            });
        match filled {
            Ok((first, second)) => Ok(Self {
                references: [first.reference, second.reference],
                transmit: Transmit::new(first.page, send),
                receive: Receive::new(second.page, receive),
            }),
            Err(error) => {
                send.into_iter().for_each(|buffer| buffer.release(pages, grants));
                receive.into_iter().for_each(|buffer| buffer.release(pages, grants));
                Err(error)
            }
        }
    }

    /// Tells the back end where they are, and that we are ready. It reads nothing before it sees our state, so
    /// the keys need no transaction.
    fn tell<S: Ports, W: Wait>(&self, device: &mut Device<'_, S, W>, port: Port) -> Result<(), ConnectError> {
        let [transmit, receive] = self.references;
        device.write("tx-ring-ref", &transmit.number().to_string())?;
        device.write("rx-ring-ref", &receive.number().to_string())?;
        device.write("event-channel", &port.0.to_string())?;
        // Received frames are copied into our pages, we notify it of new ones, and take frames of several slots.
        for name in ["request-rx-copy", "feature-rx-notify", "feature-sg"] {
            device.write(name, "1")?;
        }
        // Whole checksums, please. (Version 6 is off unless asked for, and so is segmentation.)
        device.write("feature-no-csum-offload", "1")?;
        device.write("state", &CONNECTED.to_string())
    }

    fn release(self, setup: &mut Setup<'_, impl Pages>) {
        let (pages, grants) = (setup.pages, &mut *setup.grants);
        let [transmit, receive] = self.references;
        self.transmit.buffers.into_iter().for_each(|buffer| buffer.release(pages, grants));
        self.receive.buffers.into_iter().for_each(|buffer| buffer.release(pages, grants));
        Buffer { page: self.transmit.page, reference: transmit }.release(pages, grants);
        Buffer { page: self.receive.page, reference: receive }.release(pages, grants);
    }
}

/// Grants [`SLOTS`] pages. What was granted before a failure is in `buffers`.
fn fill<T: crate::shared::Overlay>(
    buffers: &mut Vec<Buffer<T>>,
    pages: &impl Pages,
    grants: &mut Grants,
    domain: Domain,
    access: Access,
) -> Result<(), ConnectError> {
    for _ in 0..SLOTS {
        buffers.push(Buffer::new(pages, grants, domain, access)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_read_strictly() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        assert_eq!(["", "+1", "-1", "4294967296", "1 ", "0x1"].map(number), [None; 6]);
        assert_eq!(mac("00:16:3e:aA:01:ff"), Some([0, 0x16, 0x3e, 0xaa, 1, 0xff]));
        let wrong = [
            "",
            "00:16:3e:aa:01",
            "00:16:3e:aa:01:ff:00",
            "0:16:3e:aa:01:ff",
            "00:16:3e:aa:01:+f",
            "g0:16:3e:aa:01:ff",
        ];
        assert_eq!(wrong.map(mac), [None; 6]);
    }
}
