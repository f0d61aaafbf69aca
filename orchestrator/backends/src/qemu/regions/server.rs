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
//! The peers come before the own bell, so that a guest that is woken can wake them. All of it waits in the socket when QEMU
//! starts; nothing is said later.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fades_wire::region::peer;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

/// The number of the protocol, and before what each kind of descriptor comes.
const VERSION: i64 = 0;
const REGION: i64 = -1;

/// A server for one QEMU, which has said all that it has to say. To be kept for as long as the QEMU runs.
pub(in crate::qemu) struct Server {
    /// QEMU's end.
    pub(in crate::qemu) client: OwnedFd,
    _server: OwnedFd,
}

impl Server {
    /// Tells of a region, of peers with their bells, and of the guest's own bell.
    pub(super) fn new(
        region: BorrowedFd<'_>,
        peers: &[(u16, BorrowedFd<'_>)],
        own: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let (server, client) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Each number with a descriptor takes about a kilobyte of it.
        set_socket_send_buffer_size(&server, 1 << 20)?;
        let say = |number: i64, file: Option<BorrowedFd<'_>>| say(server.as_fd(), number, file);
        say(VERSION, None)?;
        say(peer::OWN.into(), None)?;
        say(REGION, Some(region))?;
        for (peer, bell) in peers {
            say(i64::from(*peer), Some(*bell))?;
        }
        say(peer::OWN.into(), Some(own))?;
        Ok(Self { client, _server: server })
    }
}

fn say(to: BorrowedFd<'_>, number: i64, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
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
