//! Addresses of the virtual network: fixed ones, and the pool that guests get theirs from.
//!
//! A hardware address follows from the IP address, so both are unique together, and no neighbour cache can go stale.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::wire::EthernetAddress;

use fades_wire::address::NETWORK;
pub use fades_wire::address::{CONTROL_PORT, DATA_PORT, FIRST_SOURCE_PORT, GATEWAY, MASK_BITS};

/// How many other addresses are given out before one that came back may be used again.
pub(crate) const QUARANTINE: usize = 4096;

/// The hardware address that belongs to an address of the network. Locally administered, unicast.
#[must_use]
pub fn mac_of(address: Ipv4Addr) -> EthernetAddress {
    let [_, _, high, low] = address.octets();
    EthernetAddress([0x02, 0xfa, 0xde, 0x00, high, low])
}

/// Free addresses, oldest first: what comes back goes to the end, so reuse is as late as it can be.
#[derive(Debug)]
pub(crate) struct AddressPool {
    free: VecDeque<u16>,
    quarantine: usize,
}

impl AddressPool {
    /// All guest addresses of the network but the network's own, the gateway's and the broadcast address.
    pub(crate) fn new() -> Self {
        Self::with(2..=u16::MAX - 1, QUARANTINE)
    }

    fn with(hosts: impl IntoIterator<Item = u16>, quarantine: usize) -> Self {
        Self { free: hosts.into_iter().collect(), quarantine }
    }

    /// The address that has been free for longest; none when only quarantined ones are left.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        if self.free.len() <= self.quarantine {
            return None;
        }
        let host = self.free.pop_front()?;
        Some(Ipv4Addr::from_bits(NETWORK.to_bits() | u32::from(host)))
    }

    /// Takes an address back that [`Self::take`] gave.
    pub(crate) fn give_back(&mut self, address: Ipv4Addr) {
        let [_, _, high, low] = address.octets();
        self.free.push_back(u16::from_be_bytes([high, low]));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_living_never_share_and_reuse_is_late() {
        let mut pool = AddressPool::with(2..12, 4);
        let living: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(living.len(), 6, "four of ten stay back");
        assert_eq!(living.iter().copied().map(mac_of).collect::<HashSet<_>>().len(), 6);
        pool.give_back(living[0]);
        let next = pool.take().unwrap();
        assert!(!living.contains(&next), "{next} came back at once");
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn an_address_is_reused_only_after_the_quarantine() {
        let mut pool = AddressPool::new();
        let first = pool.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 77, 0, 2));
        pool.give_back(first);
        for _ in 0..QUARANTINE {
            let other = pool.take().unwrap();
            assert_ne!(other, first);
            assert_ne!(other, GATEWAY);
            pool.give_back(other);
        }
    }

    #[test]
    fn hardware_addresses_are_local_and_unicast() {
        let mac = mac_of(Ipv4Addr::new(10, 77, 1, 2));
        assert_eq!(mac.0, [0x02, 0xfa, 0xde, 0, 1, 2]);
        assert!(mac.is_unicast());
    }
}
