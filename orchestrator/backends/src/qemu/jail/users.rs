//! User ids for monitors: one for each that lives, of a range that no account and no container has.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::thread::Gid;

/// Where the range begins: above containers' and below that of foreign images, as systemd's "Users, Groups, UIDs and GIDs on
/// systemd Systems" gives them (0x0008_0000 to 0x6FFF_FFFF, and from 0x7FFE_0000).
const FIRST: u32 = 0x7000_0000;
/// Ids of a node.
const BLOCK: u32 = 1 << 16;
/// Blocks in the range.
const BLOCKS: u32 = 0x0ffe;
const _: () = assert!(FIRST + BLOCKS * BLOCK == 0x7ffe_0000);

/// The ids of one node.
#[derive(Debug)]
pub(super) struct Users {
    first: u32,
    taken: Mutex<BTreeSet<u32>>,
}

impl Users {
    /// Those of the node of this name. Two of 4,094 nodes on one machine may come to share theirs; the other defences stand between
    /// their monitors then.
    pub(super) fn of(node: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "less than the divisor")]
        let block = (hasher.finish() % u64::from(BLOCKS)) as u32;
        Self { first: FIRST + block * BLOCK, taken: Mutex::default() }
    }

    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    /// One that no living monitor of this node has.
    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Guests are some hundred at most: there is always one.
        let id = (self.first..self.first + BLOCK).find(|id| taken.insert(*id)).unwrap_or(self.first);
        Lease { id, of: Arc::clone(self) }
    }
}

/// A user id while its monitor lives.
#[derive(Debug)]
pub(crate) struct Lease {
    id: u32,
    of: Arc<Users>,
}

impl Lease {
    pub(super) const fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.of.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The group by which a user without rights opens `device`, if it takes one.
///
/// # Errors
/// It opens for root only, or is not there.
pub(super) fn group_of(device: Option<&Path>) -> io::Result<Option<Gid>> {
    let Some(device) = device else { return Ok(None) };
    let found = std::fs::metadata(device)?;
    match (found.mode() & 0o006, found.mode() & 0o060, found.gid()) {
        (0o006, ..) => Ok(None),
        (_, 0o060, gid) if gid != 0 => Ok(Some(Gid::from_raw(gid))),
        _ => Err(io::Error::other(format!(
            "{} opens for root only; give it to a group, as udev does (chgrp kvm, chmod 660)",
            device.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn living_monitors_share_no_id_and_nodes_have_their_own() {
        let users = Arc::new(Users::of("one"));
        let (first, second) = (users.lease(), users.lease());
        assert_eq!((first.id(), second.id()), (users.first(), users.first() + 1));
        drop(first);
        assert_eq!(users.lease().id(), users.first());
        assert_ne!(Users::of("other").first(), users.first());
        for node in 0..1000 {
            let first = Users::of(&node.to_string()).first();
            assert!((FIRST..0x7ffe_0000).contains(&first) && first.is_multiple_of(BLOCK), "{first:#x}");
        }
    }

    #[test]
    fn a_device_is_opened_by_its_group_unless_that_is_roots() {
        assert_eq!(group_of(None).unwrap(), None);
        assert!(group_of(Some(Path::new("/dev/nothing-here"))).is_err());
        let device = tempfile::NamedTempFile::new().unwrap();
        let with = |mode, group| {
            std::fs::set_permissions(device.path(), PermissionsExt::from_mode(mode)).unwrap();
            // Only root gives files to groups that it is not in.
            let _ = chown(device.path(), None, Some(group));
            group_of(Some(device.path()))
        };
        assert_eq!(with(0o606, 0).unwrap(), None);
        assert!(with(0o600, 104).unwrap_err().to_string().contains("opens for root only"));
        if rustix::process::geteuid().is_root() {
            assert_eq!(with(0o660, 104).unwrap(), Some(Gid::from_raw(104)));
            assert!(with(0o660, 0).is_err(), "root's group opens more than this");
        }
    }
}
