//! Places for connections: in all, per address, and on the local socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Door, Peer};

/// Counts connections; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Slots(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    local: usize,
    remote: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A taken place; free again on drop.
pub(crate) struct Slot {
    slots: Slots,
    network: Option<IpAddr>,
}

impl Slots {
    /// Takes a place for `peer`, if there is one.
    pub(crate) fn take(&self, peer: Peer, door: &Door) -> Option<Slot> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = peer.network();
        match network {
            None if taken.local >= door.local_connections => return None,
            None => taken.local += 1,
            Some(_) if taken.remote >= door.connections => return None,
            Some(address) => {
                let here = taken.by_address.entry(address).or_default();
                if *here >= door.connections_per_address {
                    return None;
                }
                *here += 1;
                taken.remote += 1;
            }
        }
        Some(Slot { slots: self.clone(), network })
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.local + taken.remote
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(address) = self.network else {
            taken.local -= 1;
            return;
        };
        taken.remote -= 1;
        // The map holds those with connections only, so it is as bounded as they are.
        if let Some(here) = taken.by_address.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_come_back() {
        let door =
            Door { connections: 3, connections_per_address: 2, local_connections: 1, ..Door::default() };
        let slots = Slots::default();
        let from = |text: &str| Peer::Remote(text.parse().unwrap());
        let first = slots.take(from("10.0.0.1"), &door).unwrap();
        let _second = slots.take(from("10.0.0.1"), &door).unwrap();
        assert!(slots.take(from("10.0.0.1"), &door).is_none());
        let _six = slots.take(from("2001:db8::1"), &door).unwrap();
        assert!(slots.take(from("10.0.0.2"), &door).is_none());
        let _local = slots.take(Peer::Local { uid: 0 }, &door).unwrap();
        assert!(slots.take(Peer::Local { uid: 0 }, &door).is_none());
        assert_eq!(slots.open(), 4);
        drop(first);
        assert!(slots.take(from("2001:db8:0:0:ffff::9"), &door).is_some());
        assert_eq!(slots.open(), 3);
    }

    #[test]
    fn one_holder_of_an_ipv6_network_is_one_address() {
        let one = Peer::Remote("2001:db8:0:1::1".parse().unwrap());
        let two = Peer::Remote("2001:db8:0:1:ffff::2".parse().unwrap());
        let other = Peer::Remote("2001:db8:0:2::1".parse().unwrap());
        assert_eq!(one.network(), two.network());
        assert_ne!(one.network(), other.network());
        let mapped = Peer::Remote("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(mapped.network(), Peer::Remote("10.0.0.1".parse().unwrap()).network());
    }
}
