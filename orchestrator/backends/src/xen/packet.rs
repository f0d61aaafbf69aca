//! A socket that has every frame of one network device. The one place of this backend that speaks to the system by
//! itself, as nothing safe does: `libc` for calls with structures of the kernel.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// Bytes of frames that wait to be read: some hundred of the longest.
const RECEIVED: usize = 8 << 20;
/// Bytes of frames that wait for the device: less than the device's own queue holds of the longest, so that this is what is
/// full first, and says so.
const SENT: usize = 4 << 20;
/// Every protocol (`ETH_P_ALL`), in the byte order of the wire.
#[expect(clippy::cast_possible_truncation, reason = "it is 3")]
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
/// The socket's family as an address has it.
#[expect(clippy::cast_possible_truncation, reason = "it is 17")]
const FAMILY: u16 = libc::AF_PACKET as u16;

/// Opens a socket on the device `interface`: reading gives what comes from there, each frame whole and once, and not
/// what this machine sends there; writing sends a frame as it is. Does not block.
///
/// # Errors
/// The system's: without the right `CAP_NET_RAW`, or when there is no such device.
pub(super) fn open(interface: &str) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Without a protocol nothing is received before the socket is bound: no frame of another device gets in.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVED)?;
    sockopt::set_socket_send_buffer_size_force(&socket, SENT)?;
    let index = name_to_index(&socket, interface)?;
    set_ignore_outgoing(&socket)?;
    refuse_tagged(&socket)?;
    bind(&socket, i32::try_from(index).map_err(Error::other)?)?;
    Ok(socket)
}

/// The length of a structure, as the kernel is told it.
#[expect(clippy::cast_possible_truncation, reason = "structures here have some bytes")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn set_ignore_outgoing(socket: &OwnedFd) -> Result<()> {
    let on: libc::c_int = 1;
    let length = length_of::<libc::c_int>();
    // SAFETY: the kernel reads `length` bytes at `on`, which lives until the call returns, and writes nothing.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            length,
        )
    };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Takes this thread, and no other of the process, to a network namespace that is new and empty.
///
/// # Errors
/// The system's: without the right `CAP_SYS_ADMIN`.
pub(super) fn leave_network() -> Result<()> {
    // SAFETY: it changes which devices and addresses this thread sees, and touches no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Has frames with a VLAN tag dropped. The kernel takes the outer tag out of a frame and tells of it beside, so the policy
/// would take the rest for a frame without one.
fn refuse_tagged(socket: &OwnedFd) -> Result<()> {
    /// Load a word from an absolute place; compare; return.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where a program finds whether there was a tag (`SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT`).
    const TAGGED: u32 = 0xffff_f000 + 48;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps =
        [step(LOAD, 0, 0, TAGGED), step(EQUAL, 0, 1, 0), step(RETURN, 0, 0, u32::MAX), step(RETURN, 0, 0, 0)];
    let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    let length = length_of::<libc::sock_fprog>();
    // SAFETY: the kernel reads `length` bytes at `program`, and the four steps that it points to, all of which live until
    // the call returns, and writes nothing.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

fn bind(socket: &OwnedFd, index: i32) -> Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: FAMILY,
        sll_protocol: ALL,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = length_of::<libc::sockaddr_ll>();
    // SAFETY: the kernel reads `length` bytes at `address`, a whole `sockaddr_ll` as the socket's family wants it, which
    // lives until the call returns, and writes nothing.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loopback gives back what is sent there. Needs the right to raw sockets, as the backend does.
    #[test]
    fn frames_of_one_device_are_read_and_a_missing_one_is_an_error() {
        match open("fades-no-device") {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                eprintln!("SKIPPED: no right to raw sockets here: {error}");
                return;
            }
            found => assert!(found.is_err()),
        }
        let (sender, receiver) = (open("lo").unwrap(), open("lo").unwrap());
        // A protocol number of local experiments, so that other traffic is told apart.
        let mut frame = [0u8; 60];
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        frame[14..30].copy_from_slice(b"fades packet 001");
        assert_eq!(rustix::io::write(&sender, &frame).unwrap(), frame.len());
        let mut block = [0u8; 2048];
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let mut seen = 0;
        while std::time::Instant::now() < until {
            match rustix::io::read(&receiver, &mut block) {
                Ok(count) if block[..count] == frame => seen += 1,
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) if seen > 0 => break,
                Err(rustix::io::Errno::AGAIN) => std::thread::sleep(std::time::Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen, 1, "once as it comes in, and not as it goes out");
    }
}
