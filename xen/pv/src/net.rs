//! The network device: a netfront (`io/netif.h`).
//!
//! ```text
//! connect: read the configuration -> wait for the back end (InitWait) -> grant rings and buffers, make a port
//!          -> write the keys, our state last (Connected) -> wait for the back end (Connected)
//! send:    copy into granted pages, one request for each, notify if the ring says so
//! receive: copy out of granted pages, put the same requests in again
//! ```
//! All buffers are pages that are granted once, when connecting: those that are sent read-only, those that are received
//! into writable. No packet needs a grant or a hypercall but the notification. Frames are whole, with all
//! checksums computed in both directions: no offloads are asked for. A frame may take several slots in
//! both directions, up to [`MAX_FRAME`].
//!
//! What the back end says is hostile: each field is checked, and a violation stops the device ([`NetError`]); nothing
//! else of the program is touched.

mod connect;
mod errors;
mod receive;
mod slots;
mod transmit;

use alloc::vec::Vec;

pub use connect::{Link, Setup};
pub use errors::{ConnectError, NetError, Unsent};

use crate::grant::{GrantRef, Grants};
use crate::hypercall::{Access, Domain, Port, Ports};
use crate::page::Pages;
use crate::shared::{Overlay, Shared};
use crate::xenstore::{Wait, Xenstore};

/// Longest frame in bytes, with its Ethernet header.
pub const MAX_FRAME: usize = 9014;
/// Shortest frame that a back end takes: the Ethernet header. What is shorter is filled up with zeros.
const MIN_FRAME: usize = 14;
/// Slots of each ring, and pages of buffers for each direction.
pub const SLOTS: usize = 256;

/// A page that the back end may use.
#[derive(Debug)]
struct Buffer<T: Overlay> {
    page: Shared<T>,
    reference: GrantRef,
}

impl<T: Overlay> Buffer<T> {
    fn new(
        pages: &impl Pages,
        grants: &mut Grants,
        domain: Domain,
        access: Access,
    ) -> Result<Self, ConnectError> {
        let page = pages.take().ok_or(ConnectError::Memory)?;
        match grants.grant(domain, page.frame(), access) {
            Ok(reference) => Ok(Self { page: page.share(), reference }),
            Err(error) => {
                pages.give(page);
                Err(ConnectError::Grant(error))
            }
        }
    }

    /// Gives it back, unless the back end still has it mapped: then it stays granted, and nobody uses it again.
    fn release(self, pages: &impl Pages, grants: &mut Grants) {
        if grants.revoke(self.reference).is_ok() {
            pages.give(self.page.into_page());
        }
    }
}

/// What has happened, since connecting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to the back end.
    pub sent: u64,
    /// Requests that it did not send on.
    pub send_failures: u64,
    /// Frames received.
    pub received: u64,
    /// Frames that were not received whole, or were too long.
    pub receive_failures: u64,
}

/// A connected network device.
#[derive(Debug)]
pub struct Netfront<P> {
    ports: P,
    link: Link,
    transmit: transmit::Transmit,
    receive: receive::Receive,
    /// The frame being sent.
    scratch: Vec<u8>,
    sent: u64,
    stopped: Option<NetError>,
}

impl<P: Ports> Netfront<P> {
    /// Connects device `vif` (0 is the first). Takes `2 * SLOTS + 2` pages and grants of `setup`.
    ///
    /// # Errors
    /// See [`ConnectError`]. What was taken is given back, but for pages that the back end still has mapped.
    pub fn connect<S: Ports, W: Wait>(
        vif: u32,
        ports: P,
        setup: &mut Setup<'_, impl Pages>,
        store: &mut Xenstore<S, W>,
    ) -> Result<Self, ConnectError> {
        connect::connect(vif, ports, setup, store)
    }

    /// What was agreed on with the back end.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The hardware address.
    pub const fn mac(&self) -> [u8; 6] {
        self.link.mac
    }

    /// The port on which the back end says that there is something; see [`Netfront::arm`].
    pub const fn port(&self) -> Port {
        self.link.port
    }

    /// Why the device was stopped, if it was. It neither sends nor receives any more.
    pub const fn stopped(&self) -> Option<NetError> {
        self.stopped
    }

    /// What has happened so far.
    pub const fn counters(&self) -> Counters {
        Counters {
            sent: self.sent,
            send_failures: self.transmit.failures,
            received: self.receive.received,
            receive_failures: self.receive.failures,
        }
    }

    /// Whether a frame of any permitted length can be sent now. If not, the back end notifies when one of its
    /// responses makes room; ask again then.
    pub fn can_send(&mut self) -> bool {
        let slots = self.link.max_frame.div_ceil(transmit::PAGE);
        self.unless_stopped(|this| this.transmit.make_room(slots)) == Ok(true)
    }

    /// Sends a frame of `len` bytes that `fill` writes into the zeroed buffer that it is given. `fill` is called in any
    /// case.
    ///
    /// # Errors
    /// Beside what `fill` returned: why the frame was not sent.
    pub fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> (R, Result<(), Unsent>) {
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.resize(len.max(MIN_FRAME), 0);
        let result = fill(&mut scratch[..len]);
        let sent = if len > self.link.max_frame {
            Err(Unsent::TooLong { len, most: self.link.max_frame })
        } else {
            self.send_frame(&scratch)
        };
        scratch.truncate(MAX_FRAME);
        self.scratch = scratch;
        (result, sent)
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<(), Unsent> {
        let room =
            self.unless_stopped(|this| this.transmit.make_room(frame.len().div_ceil(transmit::PAGE)))?;
        if !room {
            return Err(Unsent::Full);
        }
        let notify = self.unless_stopped(|this| this.transmit.send(frame))?;
        self.sent += 1;
        self.notify_if(notify)?;
        Ok(())
    }

    /// Whether [`Netfront::receive`] may have a frame.
    pub fn has_packet(&self) -> bool {
        self.stopped.is_none() && self.receive.has_news()
    }

    /// The next frame, or `None` if there is none now. Looks at no more than [`SLOTS`] of the back end's responses.
    ///
    /// # Errors
    /// Why the device was stopped.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        self.receive_with(<[u8]>::to_vec)
    }

    /// The same, with the frame shown to `take`, where it lies in a buffer of the driver's.
    ///
    /// # Errors
    /// Why the device was stopped.
    pub fn receive_with<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, NetError> {
        let complete = self.unless_stopped(|this| this.receive.advance())?;
        let result = complete.then(|| take(self.receive.frame()));
        if complete {
            self.receive.next_frame();
        }
        let notify = self.receive.publish();
        self.notify_if(notify)?;
        Ok(result)
    }

    /// Has the back end notify us of what it puts in from now on, and looks once more: true if there is
    /// something already, which has to be taken instead of waiting. Without this it does not notify.
    ///
    /// # Errors
    /// Why the device was stopped.
    pub fn arm(&mut self) -> Result<bool, NetError> {
        self.unless_stopped(|this| this.receive.arm())
    }

    fn notify_if(&mut self, notify: bool) -> Result<(), NetError> {
        if notify {
            self.unless_stopped(|this| this.ports.send(this.link.port).map_err(NetError::Notify))?;
        }
        Ok(())
    }

    /// Does what may find a violation out, which then stops the device for good.
    fn unless_stopped<R>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<R, NetError>,
    ) -> Result<R, NetError> {
        if let Some(error) = self.stopped {
            return Err(error);
        }
        act(self).inspect_err(|error| self.stopped = Some(*error))
    }
}

#[cfg(test)]
mod tests;
