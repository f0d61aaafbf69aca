//! What a QEMU is told of its region and of the bells, by the protocol of QEMU's `docs/specs/ivshmem-spec`, version 0: numbers of
//! eight bytes, little-endian, some with a descriptor.
//!
//! ```text
//! 0                     the protocol's version
//! 0                     what the guest is called
//! -1   + region
//! peer + its bell       for each peer
//! 0    + own bell
//! ```
//! The peers come before the own bell, so that a guest that is woken can wake them. QEMU waits for all up to the region when it
//! starts, and for nothing that comes behind that. A QEMU that loads a saved guest is told of bells when it has: with KVM it has the own
//! bell interrupt the guest by itself (`irqfd`) if the guest's device wants interrupts by then, and never if it does not.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use fades_wire::region::peer;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

/// The number of the protocol, and before what each kind of descriptor comes.
const VERSION: i64 = 0;
const REGION: i64 = -1;

/// A server for one QEMU. To be kept for as long as the QEMU runs.
pub(in crate::qemu) struct Server {
    /// QEMU's end.
    pub(in crate::qemu) client: OwnedFd,
    server: OwnedFd,
}

impl Server {
    /// Tells of a region.
    pub(super) fn new(region: BorrowedFd<'_>) -> io::Result<Self> {
        let (server, client) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Each number with a descriptor takes about a kilobyte of it.
        set_socket_send_buffer_size(&server, 1 << 20)?;
        say(&server, VERSION, None)?;
        say(&server, peer::OWN.into(), None)?;
        say(&server, REGION, Some(region))?;
        Ok(Self { client, server })
    }

    /// Tells of peers with their bells, and of the guest's own bell; once.
    pub(super) fn introduce(&self, peers: &[(u16, BorrowedFd<'_>)], own: BorrowedFd<'_>) -> io::Result<()> {
        for (peer, bell) in peers {
            say(&self.server, i64::from(*peer), Some(*bell))?;
        }
        say(&self.server, peer::OWN.into(), Some(own))
    }
}

fn say(to: &OwnedFd, number: i64, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: &[BorrowedFd<'_>] = file.as_slice();
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let bytes = number.to_le_bytes();
    let sent = sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
