//! What passed and what did not, by port and by reason.
//!
//! Written by the network's thread only and read by any, hence relaxed atomics: each number is right, a set of them is
//! not one moment's.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use fades_core::network::NetworkCounters;

/// What kind of wrong a dropped frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An address that is not the port's own.
    Spoofed,
    /// Well formed, but not allowed from this port.
    Policy,
    /// Could not be parsed, or of the wrong size.
    Malformed,
    /// The receiver did not take it in time.
    Full,
}

macro_rules! reasons {
    ($($name:ident $class:ident $words:literal;)*) => {
        /// Why a frame was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $words] $name,)*
        }
        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind of wrong.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// In words, for people.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

reasons! {
    Runt Malformed "too short for its headers";
    Giant Malformed "longer than the link's MTU";
    Trailing Malformed "bytes behind the packet's end";
    SourceMac Spoofed "hardware address not the port's own";
    SourceIp Spoofed "IP address not the port's own";
    ArpSender Spoofed "ARP sender not the port's own";
    Vlan Policy "VLAN tag";
    Ipv6 Policy "IPv6";
    EtherType Policy "neither IPv4 nor ARP";
    ArpMalformed Malformed "malformed ARP";
    ArpTarget Policy "ARP request for an address out of reach";
    ArpReply Policy "ARP reply; the switch answers for guests";
    Broadcast Policy "broadcast or multicast";
    DestinationMac Policy "hardware address does not belong to the IP address";
    Ipv4Malformed Malformed "malformed IPv4";
    Ipv4Options Policy "IPv4 options";
    Fragment Policy "IPv4 fragment";
    Protocol Policy "neither TCP nor ARP";
    Destination Policy "address out of reach";
    TcpMalformed Malformed "malformed TCP";
    TcpPort Policy "TCP port out of reach";
    ServerSyn Policy "connection from the broker to a function";
    ReceiverStalled Full "receiver has not read for too long";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// The counters of one port, counted where its frames enter the switch.
#[derive(Debug)]
pub struct PortCounters {
    forwarded: AtomicU64,
    forwarded_bytes: AtomicU64,
    received: AtomicU64,
    pauses: AtomicU64,
    arp_answered: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
}

impl Default for PortCounters {
    fn default() -> Self {
        Self {
            forwarded: AtomicU64::new(0),
            forwarded_bytes: AtomicU64::new(0),
            received: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            arp_answered: AtomicU64::new(0),
            dropped: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        }
    }
}

/// Adds to a counter with one writer.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

impl PortCounters {
    /// Frames from this port that went to another port or the gateway.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Bytes of those frames.
    pub fn forwarded_bytes(&self) -> u64 {
        self.forwarded_bytes.load(Ordering::Relaxed)
    }

    /// Frames queued for this port, from wherever.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How often the port was not read for a while because a receiver was full.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// ARP requests of this port that the switch has answered.
    pub fn arp_answered(&self) -> u64 {
        self.arp_answered.load(Ordering::Relaxed)
    }

    /// Frames from this port that were dropped for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// The reasons that occurred, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.dropped(reason))).filter(|&(_, count)| count > 0)
    }

    pub(crate) fn count_forwarded(&self, bytes: usize) {
        add(&self.forwarded, 1);
        add(&self.forwarded_bytes, bytes as u64);
    }

    pub(crate) fn count_received(&self) {
        add(&self.received, 1);
    }

    pub(crate) fn count_pause(&self) {
        add(&self.pauses, 1);
    }

    pub(crate) fn count_arp(&self) {
        add(&self.arp_answered, 1);
    }

    pub(crate) fn count_drop(&self, reason: Reason) {
        add(&self.dropped[reason as usize], 1);
    }
}

/// The sums over all ports, living and gone.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) all: PortCounters,
    pub(crate) control_connections: AtomicU64,
    pub(crate) source_connections: AtomicU64,
    pub(crate) source_failures: AtomicU64,
    /// Turns of the event loop; a test sees here that an idle network does not spin.
    pub(crate) turns: AtomicU64,
}

impl Totals {
    pub(crate) fn snapshot(&self) -> NetworkCounters {
        let class = |class| self.all.drops().filter(|(r, _)| r.class() == class).map(|(_, n)| n).sum();
        NetworkCounters {
            forwarded: self.all.forwarded(),
            forwarded_bytes: self.all.forwarded_bytes(),
            dropped_spoofed: class(Class::Spoofed),
            dropped_policy: class(Class::Policy),
            dropped_malformed: class(Class::Malformed),
            dropped_full: class(Class::Full),
            control_connections: self.control_connections.load(Ordering::Relaxed),
            source_connections: self.source_connections.load(Ordering::Relaxed),
            source_failures: self.source_failures.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_index_their_own_counter() {
        let counters = PortCounters::default();
        for (index, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
            counters.count_drop(reason);
            assert_eq!(counters.dropped(reason), 1);
        }
        assert_eq!(counters.drops().count(), Reason::ALL.len());
    }
}
