//! A domain's network device in dom0: found, kept away from dom0's own network, and connected.
//!
//! How it comes up, as libxl and Linux' netback have it: libxl writes the device's nodes, `hotplug-status` empty among
//! them; netback sets its `state` to 2 and makes the device `vif<domain>.0`; libxl sees that, runs the script (which
//! does nothing, so that the name stays, whatever `vifname` says) and lets the domain run. The domain's driver connects;
//! netback does so only once `hotplug-status` is `connected`. That word is written here, when frames can be carried: so
//! no frame is lost, whoever is first. An MTU over 1500 stays only if the domain's driver has `feature-sg`.
//!
//! The device is on no bridge and has no address. What keeps dom0 itself from taking part: it does not answer ARP there
//! (`NOARP`), speaks no IPv6 there, forwards nothing, and drops IPv4 packets from there, as with no route back their
//! sender cannot be true (`rp_filter`). Frames are seen by the socket of [`super::packet`] all the same. What is left:
//! UDP to everybody from nobody (0.0.0.0 to 255.255.255.255, as DHCP begins) reaches programs of dom0 that listen on
//! every device.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use fades_xen_store::{DomainId, PathError};
use fades_xen_toolstack::{Store, StoreError};

use super::{device, packet};

/// What the virtual network has, and the guests' kernels are told.
const MTU: u32 = 9000;
/// Up, and no ARP (`IFF_UP`, `IFF_NOARP`).
const FLAGS: &str = "0x81";
/// Frames that wait for a slow domain: more than one socket's worth, so that the socket is what is full first.
const QUEUE: &str = "1000";
/// States of a device in which netback has made it: waiting for its driver, or already beyond.
const MADE: [&[u8]; 3] = [b"2", b"3", b"4"];

/// Why a domain has no network.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    /// XenStore could not say, or be told.
    #[error("its network device could not be looked up or connected")]
    Store(#[from] StoreError),
    /// Nothing made the device in time.
    #[error("its network device did not come in time: is the kernel's xen-netback loaded?")]
    Absent,
    /// The domain ended before.
    #[error("it was gone before its network device was there")]
    Gone,
    /// The system refused something.
    #[error("could not {action}")]
    System {
        /// What was tried.
        action: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl From<PathError> for NetworkError {
    fn from(error: PathError) -> Self {
        Self::Store(error.into())
    }
}

/// Waits for the device of `domain`, sets it up, and gives the socket that carries its frames.
pub(super) fn attach(store: &Store, domain: DomainId, deadline: Instant) -> Result<OwnedFd, NetworkError> {
    let backend = DomainId::ZERO.home().join(&format!("backend/vif/{domain}/0"))?;
    let state = backend.join("state")?;
    let made = store.wait_until(&state, deadline, |store| {
        match store.read(&state)? {
            Some(state) if MADE.contains(&state.as_slice()) => Ok(Some(true)),
            // Its nodes go when it does, and then the backend's, which is an event here.
            _ if !store.has_domain(domain)? => Ok(Some(false)),
            _ => Ok::<_, StoreError>(None),
        }
    })?;
    match made {
        Some(true) => {}
        Some(false) => return Err(NetworkError::Gone),
        None => return Err(NetworkError::Absent),
    }
    let interface = format!("vif{domain}.0");
    let looking = |source| NetworkError::System { action: format!("wait for {interface}"), source };
    if !device::is_there(&interface, deadline).map_err(looking)? {
        return Err(NetworkError::Absent);
    }
    fence(Path::new("/"), &interface)?;
    let socket = packet::open(&interface).map_err(|source| {
        let action = format!("open a raw socket on {interface} (it takes CAP_NET_RAW)");
        NetworkError::System { action, source }
    })?;
    set(Path::new("/"), &format!("sys/class/net/{interface}/flags"), FLAGS)?;
    store.write(&backend.join("hotplug-status")?, b"connected")?;
    Ok(socket)
}

/// Settings of the device, before it is up, in the trees under `root` (`/` but in tests).
fn fence(root: &Path, interface: &str) -> Result<(), NetworkError> {
    let ipv4 = |key: &str| format!("proc/sys/net/ipv4/conf/{interface}/{key}");
    set(root, &ipv4("rp_filter"), "1")?;
    set(root, &ipv4("arp_ignore"), "8")?;
    set(root, &ipv4("forwarding"), "0")?;
    let ipv6 = format!("proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    // A kernel without IPv6 speaks none.
    if root.join("proc/sys/net/ipv6").exists() {
        set(root, &ipv6, "1")?;
    }
    let device = |key: &str| format!("sys/class/net/{interface}/{key}");
    set(root, &device("tx_queue_len"), QUEUE)?;
    set(root, &device("mtu"), &MTU.to_string())
}

fn set(root: &Path, path: &str, value: &str) -> Result<(), NetworkError> {
    // Opened as it is: a file that is not there must not be made.
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open(root.join(path))
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    written.map_err(|source| NetworkError::System { action: format!("set /{path} to {value}"), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_device_is_fenced_in_or_it_is_an_error() {
        let root = std::env::temp_dir().join(format!("fades-fence-{}", std::process::id()));
        let files = [
            ("proc/sys/net/ipv4/conf/vif3.0/rp_filter", "1"),
            ("proc/sys/net/ipv4/conf/vif3.0/arp_ignore", "8"),
            ("proc/sys/net/ipv4/conf/vif3.0/forwarding", "0"),
            ("proc/sys/net/ipv6/conf/vif3.0/disable_ipv6", "1"),
            ("sys/class/net/vif3.0/tx_queue_len", "1000"),
            ("sys/class/net/vif3.0/mtu", "9000"),
        ];
        for (file, _) in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        fence(&root, "vif3.0").unwrap();
        for (file, value) in files {
            assert_eq!(fs::read_to_string(root.join(file)).unwrap(), value, "{file}");
        }
        for (file, _) in files {
            fs::remove_file(root.join(file)).unwrap();
            let error = fence(&root, "vif3.0").unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            fs::write(root.join(file), "").unwrap();
        }
        fs::remove_dir_all(root).unwrap();
    }
}
