//! A domain's network device in dom0: found, taken away from dom0's own network, and connected.
//!
//! How it comes up, as libxl and Linux' netback have it: libxl writes the device's nodes, `hotplug-status` empty among
//! them; netback sets its `state` to 2 and makes the device `vif<domain>.0`; libxl sees that, runs the script (which
//! does nothing, so that the name stays, whatever `vifname` says) and lets the domain run. The domain's driver connects;
//! netback does so only once `hotplug-status` is `connected`. That word is written here, when frames can be carried: so
//! no frame is lost, whoever is first. An MTU over 1500 stays only if the domain's driver has `feature-sg`.
//!
//! The device is on no bridge, has no address, and lies in a namespace of its own ([`super::fence`]).

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use fades_xen_store::{DomainId, PathError};
use fades_xen_toolstack::{Store, StoreError};

use super::{device, fence};

/// What the virtual network has, and the guests' kernels are told.
const MTU: u32 = 9000;
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
    let socket = fence::enclose(&interface, MTU).map_err(|source| {
        let action = format!("take {interface} to a network of its own (it takes the rights of root)");
        NetworkError::System { action, source }
    })?;
    store.write(&backend.join("hotplug-status")?, b"connected")?;
    Ok(socket)
}
