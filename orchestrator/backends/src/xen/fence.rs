//! A network namespace of its own for a domain's device, so that nothing of dom0 is where the domain's frames come out: no
//! address, no route, no socket of any program. Frames are seen by one packet socket, which is opened inside.
//!
//! The namespace lives as long as that socket. If the device outlives it, the kernel takes the device down and gives it
//! back, which is how it was before.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::thread;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::packet;

/// Numbers of the kernel's interface (linux/rtnetlink.h, linux/if_link.h, linux/if.h).
const NEW_LINK: u16 = 16;
const ERROR: u16 = 2;
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
const MTU: u16 = 4;
const QUEUE: u16 = 13;
const NAMESPACE: u16 = 28;
const UP_AND_NO_ARP: u32 = 1 | 0x80;

/// Frames that wait for a slow domain: more than one socket's worth, so that the socket is what is full first.
const QUEUE_LEN: u32 = 1000;

/// Moves the device `interface` into a new namespace, brings it up there, and gives the socket that carries its frames.
///
/// # Errors
/// The system's. It takes the rights `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_SYS_ADMIN`.
pub(super) fn enclose(interface: &str, mtu: u32) -> Result<OwnedFd> {
    // A socket belongs to the namespace in which it was made: this one sees the device where it is now.
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let index = name_to_index(&kernel, interface)?;
    let interface = interface.to_owned();
    // A namespace is a thread's: this one goes with it.
    let inside = move || {
        packet::leave_network()?;
        // Else the new namespace speaks of itself on each device.
        let ipv6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
        match std::fs::write(ipv6, "1") {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
        let namespace = File::open("/proc/thread-self/ns/net")?;
        let words = request(index, namespace.as_raw_fd(), mtu);
        send(&kernel, &words, SendFlags::empty())?;
        acknowledged(&kernel)?;
        packet::open(&interface)
    };
    let thread = thread::Builder::new().name("fades-fence".to_owned()).spawn(inside)?;
    thread.join().unwrap_or_else(|_| Err(Error::other("the thread that encloses a device panicked")))
}

/// `RTM_NEWLINK` for the device `index`: into the namespace first, then its settings.
fn request(index: u32, namespace: RawFd, mtu: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(UP_AND_NO_ARP.to_ne_bytes());
    body.extend(UP_AND_NO_ARP.to_ne_bytes());
    for (kind, value) in
        [(NAMESPACE, namespace.to_ne_bytes()), (MTU, mtu.to_ne_bytes()), (QUEUE, QUEUE_LEN.to_ne_bytes())]
    {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
    }
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    // Its number and its sender: there is one, from whoever has this socket.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Reads the kernel's answer: an error of number 0 is none.
fn acknowledged(kernel: &OwnedFd) -> Result<()> {
    let mut answer = [0_u8; 4096];
    let (count, _) = recv(kernel, &mut answer, RecvFlags::empty())?;
    let number = |at: usize| answer[..count].get(at..at + 4)?.first_chunk::<4>().copied();
    match (answer[..count].get(4..6), number(16)) {
        (Some(kind), Some(code)) if kind == ERROR.to_ne_bytes() => match i32::from_ne_bytes(code) {
            0 => Ok(()),
            code => Err(Error::from_raw_os_error(code.saturating_neg())),
        },
        _ => Err(Error::new(ErrorKind::InvalidData, "the kernel's answer about a device is no answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_the_kernel_reads() {
        let message = request(7, 5, 9000);
        assert_eq!(message.len(), 56);
        assert_eq!(message[..8], [56, 0, 0, 0, 16, 0, 5, 0]);
        assert_eq!(message[20..32], [7, 0, 0, 0, 0x81, 0, 0, 0, 0x81, 0, 0, 0]);
        assert_eq!(message[32..40], [8, 0, 28, 0, 5, 0, 0, 0]);
        assert_eq!(message[40..48], [8, 0, 4, 0, 0x28, 0x23, 0, 0]);
        assert_eq!(message[48..], [8, 0, 13, 0, 0xe8, 3, 0, 0]);
    }

    /// With the rights that it takes, on a device that is not there.
    #[test]
    fn a_missing_device_is_an_error() {
        assert!(enclose("fades-no-device", 9000).is_err());
    }
}
