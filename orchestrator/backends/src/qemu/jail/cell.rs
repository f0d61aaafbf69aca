//! One monitor's place in the jail, and the way in: system calls between `fork` and `exec`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use super::calls::Filters;
use super::users::Lease;

/// What one monitor is kept by.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(super) filters: Option<Arc<Filters>>,
    pub(super) view: Option<Arc<OwnedFd>>,
    pub(super) user: Option<Lease>,
    pub(super) group: Option<Gid>,
    pub(super) network: bool,
}

impl Cell {
    /// Whether limits that count by user count this monitor alone.
    pub(crate) const fn has_user(&self) -> bool {
        self.user.is_some()
    }

    /// Gives up, for good, what a monitor does not need. To be called between `fork` and `exec`: system calls only, no allocation,
    /// no lock.
    ///
    /// # Errors
    /// As the kernel tells: the monitor must not be started then.
    pub(crate) fn enter(&self) -> io::Result<()> {
        set_no_new_privs(true)?;
        if self.network {
            leave_the_network()?;
        }
        if let Some(view) = &self.view {
            look_through(view)?;
        }
        if let Some(user) = &self.user {
            become_user(user.id(), self.group)?;
        }
        renounce()
    }

    /// The last step: what comes before may need calls that are then denied.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.filters.as_ref().map_or(Ok(()), |filters| filters.apply())
    }
}

/// System calls only.
pub(super) fn leave_the_network() -> io::Result<()> {
    let flags = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: no open file, address or memory changes its meaning by these three.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// System calls only.
pub(super) fn look_through(view: &OwnedFd) -> io::Result<()> {
    set_no_new_privs(true)?;
    // SAFETY: two numbers; the descriptor is open. The crate's own way in allocates, which a child of several threads must not.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, view.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// System calls only.
pub(super) fn become_user(id: u32, group: Option<Gid>) -> io::Result<()> {
    let (user, own) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(group.as_slice())?;
    set_thread_res_gid(own, own, own)?;
    Ok(set_thread_res_uid(user, user, user)?)
}

/// Root without them is a user whom some files belong to.
fn renounce() -> io::Result<()> {
    let none = CapabilitySet::empty();
    clear_ambient_capability_set()?;
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
