//! The ring's page.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::shared::{Overlay, PeerU32, PeerU64};

/// Bytes of each of the two rings.
pub(super) const RING_SIZE: usize = 1024;

/// The page that a domain shares with XenStore. (`io/xs_wire.h`, `struct xenstore_domain_interface`, without the words
/// about reconnection, which are not used.)
#[repr(C)]
pub struct StorePage {
    pub(super) requests: [AtomicU64; RING_SIZE / 8],
    pub(super) replies: [PeerU64; RING_SIZE / 8],
    pub(super) requests_consumed: PeerU32,
    pub(super) requests_produced: AtomicU32,
    pub(super) replies_consumed: AtomicU32,
    pub(super) replies_produced: PeerU32,
}
const _: () = assert!(offset_of!(StorePage, replies) == 1024);
const _: () = assert!(offset_of!(StorePage, requests_consumed) == 2048);
const _: () = assert!(offset_of!(StorePage, requests_produced) == 2052);
const _: () = assert!(offset_of!(StorePage, replies_consumed) == 2056);
const _: () = assert!(offset_of!(StorePage, replies_produced) == 2060);

// SAFETY: atomics only.
unsafe impl Overlay for StorePage {}
