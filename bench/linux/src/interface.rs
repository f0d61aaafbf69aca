//! An interface of Linux, by the requests of netdevice(7).

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::{Errno, Result};
use rustix::ioctl::{Opcode, Setter, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};

const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
const SIOCSIFMTU: Opcode = 0x8922;
const SIOCGIFINDEX: Opcode = 0x8933;
const SIOCETHTOOL: Opcode = 0x8946;
const SIOCBRADDBR: Opcode = 0x89a0;
const SIOCBRADDIF: Opcode = 0x89a2;
const ETHTOOL_GLINK: u32 = 0xa;
const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;
const IFF_UP: u16 = 0x1;

/// How long a device may take to be there, and to be joined to its other end.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);

/// `struct ifreq`: a name, and a union that a request reads or writes.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Request {
    name: [u8; 16],
    value: [u8; 24],
}

const _: () = assert!(size_of::<Request>() == 40);

/// A network device, by its name.
pub(crate) struct Interface {
    socket: OwnedFd,
    name: [u8; 16],
}

impl Interface {
    /// The device of this name, once its driver has made it.
    pub(crate) fn wait(name: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(name.as_bytes());
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        let interface = Self { socket, name: bytes };
        until(|| match interface.flags() {
            Err(Errno::NODEV) => Ok(None),
            flags => flags.map(Some),
        })?;
        Ok(interface)
    }

    /// A bridge with this one port, to which it gives frames whole.
    pub(crate) fn bridge(name: &str, port: &Self) -> Result<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(name.as_bytes());
        // SAFETY: SIOCBRADDBR reads a name of 16 bytes, and keeps no pointer to it.
        unsafe { ioctl(&port.socket, Setter::<SIOCBRADDBR, [u8; 16]>::new(bytes))? };
        let bridge = Self::wait(name)?;
        let mut index = Request { name: port.name, value: [0; 24] };
        // SAFETY: SIOCGIFINDEX reads the name of a `struct ifreq` and writes into its union; `Request` is one.
        unsafe { ioctl(&port.socket, Updater::<SIOCGIFINDEX, Request>::new(&mut index))? };
        bridge.set::<SIOCBRADDIF>(&index.value[..4])?;
        bridge.send_whole_frames()?;
        bridge.set_up()?;
        Ok(bridge)
    }

    pub(crate) fn set_address(&self, address: Ipv4Addr, mask: Ipv4Addr) -> Result<()> {
        self.set::<SIOCSIFADDR>(&socket_address(address))?;
        self.set::<SIOCSIFNETMASK>(&socket_address(mask))
    }

    pub(crate) fn set_up(&self) -> Result<()> {
        let flags = self.flags()? | IFF_UP;
        self.set::<SIOCSIFFLAGS>(&flags.to_ne_bytes())
    }

    /// Waits until it is joined to its other end. By the driver's word: the interface's own state (`IFF_RUNNING`) follows up to
    /// a second later, as Linux saves work there.
    pub(crate) fn wait_until_it_is_joined(&self) -> Result<()> {
        until(|| Ok(self.is_joined()?.then_some(())))
    }

    /// Whether frames leave with their checksums. A domain's device leaves IPv4's to the other end, which here is no Linux, and
    /// cannot be told otherwise.
    pub(crate) fn sends_whole_frames(&self) -> Result<bool> {
        Ok(self.ethtool(ETHTOOL_GTXCSUM)? == 0)
    }

    fn send_whole_frames(&self) -> Result<()> {
        self.ethtool(ETHTOOL_STXCSUM).map(drop)
    }

    fn is_joined(&self) -> Result<bool> {
        Ok(self.ethtool(ETHTOOL_GLINK)? != 0)
    }

    /// Sets something to 0, or asks for it.
    fn ethtool(&self, command: u32) -> Result<u32> {
        // `struct ethtool_value`: what is wanted, and its value.
        let mut question = [command, 0];
        let mut request = Request { name: self.name, value: [0; 24] };
        let address = (&raw mut question).expose_provenance();
        request.value[..size_of::<usize>()].copy_from_slice(&address.to_ne_bytes());
        // SAFETY: SIOCETHTOOL reads a `struct ifreq` whose union is a pointer; with these commands the kernel reads and writes a
        // `struct ethtool_value` behind it, which is `question`, alive until after the call and used by nobody else. An
        // `Updater`, as the compiler may take it that the calls of a `Setter` write nowhere.
        unsafe { ioctl(&self.socket, Updater::<SIOCETHTOOL, Request>::new(&mut request))? };
        Ok(question[1])
    }

    pub(crate) fn set_mtu(&self, mtu: u16) -> Result<()> {
        self.set::<SIOCSIFMTU>(&i32::from(mtu).to_ne_bytes())
    }

    fn flags(&self) -> Result<u16> {
        let mut request = Request { name: self.name, value: [0; 24] };
        // SAFETY: SIOCGIFFLAGS reads the name of a `struct ifreq` and writes into its union; `Request` is one.
        unsafe { ioctl(&self.socket, Updater::<SIOCGIFFLAGS, Request>::new(&mut request))? };
        Ok(u16::from_ne_bytes([request.value[0], request.value[1]]))
    }

    /// `OPCODE` is one of those that read a `struct ifreq`.
    fn set<const OPCODE: Opcode>(&self, value: &[u8]) -> Result<()> {
        let mut request = Request { name: self.name, value: [0; 24] };
        request.value[..value.len()].copy_from_slice(value);
        // SAFETY: the requests of this file that set something read a `struct ifreq`, whole, and keep no pointer to it.
        unsafe { ioctl(&self.socket, Setter::<OPCODE, Request>::new(request)) }
    }
}

/// `struct sockaddr_in`, without a port.
fn socket_address(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&AddressFamily::INET.as_raw().to_ne_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

fn until<T>(mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(Errno::TIMEDOUT);
        }
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there_and_joined() {
        let loopback = Interface::wait("lo").unwrap();
        assert_ne!(loopback.flags().unwrap() & IFF_UP, 0);
        loopback.wait_until_it_is_joined().unwrap();
    }

    #[test]
    fn an_address_is_where_linux_looks_for_it() {
        let bytes = socket_address([10, 77, 0, 2].into());
        assert_eq!(bytes[..8], [2, 0, 0, 0, 10, 77, 0, 2]);
    }
}
