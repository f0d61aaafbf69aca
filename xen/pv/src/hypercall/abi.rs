//! Numbers and structures of Xen's public headers (`xen.h`, `event_channel.h`, `grant_table.h`, `memory.h`,
//! `sched.h`, `hvm/hvm_op.h`; MIT), as 64-bit guests see them.

use core::mem::offset_of;

pub(super) const MEMORY_OP: u64 = 12;
pub(super) const XEN_VERSION: u64 = 17;
pub(super) const GRANT_TABLE_OP: u64 = 20;
pub(super) const SCHED_OP: u64 = 29;
pub(super) const EVENT_CHANNEL_OP: u64 = 32;
pub(super) const HVM_OP: u64 = 34;

pub(super) const XENMEM_DECREASE_RESERVATION: u64 = 1;
pub(super) const XENMEM_POPULATE_PHYSMAP: u64 = 6;
pub(super) const XENMEM_ADD_TO_PHYSMAP: u64 = 7;

pub(super) const EVTCHNOP_BIND_INTERDOMAIN: u64 = 0;
pub(super) const EVTCHNOP_CLOSE: u64 = 3;
pub(super) const EVTCHNOP_SEND: u64 = 4;
pub(super) const EVTCHNOP_ALLOC_UNBOUND: u64 = 6;
pub(super) const EVTCHNOP_UNMASK: u64 = 9;

pub(super) const GNTTABOP_MAP_GRANT_REF: u64 = 0;
pub(super) const GNTTABOP_UNMAP_GRANT_REF: u64 = 1;
pub(super) const GNTTABOP_QUERY_SIZE: u64 = 6;
pub(super) const GNTTABOP_SET_VERSION: u64 = 8;
pub(super) const GNTMAP_HOST_MAP: u32 = 1 << 1;
pub(super) const GNTMAP_READONLY: u32 = 1 << 2;

pub(super) const SCHEDOP_YIELD: u64 = 0;
pub(super) const SCHEDOP_SHUTDOWN: u64 = 2;

pub(super) const HVMOP_SET_PARAM: u64 = 0;
pub(super) const HVMOP_GET_PARAM: u64 = 1;

#[repr(C)]
pub(super) struct AddToPhysmap {
    pub(super) domain: u16,
    pub(super) size: u16,
    pub(super) space: u32,
    pub(super) index: u64,
    pub(super) frame: u64,
}
const _: () = assert!(size_of::<AddToPhysmap>() == 24);
const _: () = assert!(offset_of!(AddToPhysmap, space) == 4 && offset_of!(AddToPhysmap, index) == 8);
const _: () = assert!(offset_of!(AddToPhysmap, frame) == 16);

#[repr(C)]
pub(super) struct MemoryReservation {
    pub(super) extent_start: u64,
    pub(super) extents: u64,
    pub(super) order: u32,
    pub(super) flags: u32,
    pub(super) domain: u16,
    pub(super) pad: [u16; 3],
}
const _: () = assert!(size_of::<MemoryReservation>() == 32 && offset_of!(MemoryReservation, extents) == 8);
const _: () = assert!(offset_of!(MemoryReservation, order) == 16);
const _: () = assert!(offset_of!(MemoryReservation, domain) == 24);

#[repr(C)]
pub(super) struct HvmParam {
    pub(super) domain: u16,
    pub(super) pad: u16,
    pub(super) index: u32,
    pub(super) value: u64,
}
const _: () = assert!(size_of::<HvmParam>() == 16 && offset_of!(HvmParam, index) == 4);
const _: () = assert!(offset_of!(HvmParam, value) == 8);

#[repr(C)]
pub(super) struct AllocUnbound {
    pub(super) domain: u16,
    pub(super) remote: u16,
    pub(super) port: u32,
}
const _: () = assert!(size_of::<AllocUnbound>() == 8 && offset_of!(AllocUnbound, port) == 4);

#[repr(C)]
pub(super) struct BindInterdomain {
    pub(super) remote: u16,
    pub(super) pad: u16,
    pub(super) remote_port: u32,
    pub(super) local_port: u32,
}
const _: () = assert!(size_of::<BindInterdomain>() == 12 && offset_of!(BindInterdomain, remote_port) == 4);
const _: () = assert!(offset_of!(BindInterdomain, local_port) == 8);

/// Of `send`, `close` and `unmask`.
#[repr(C)]
pub(super) struct OnePort {
    pub(super) port: u32,
}
const _: () = assert!(size_of::<OnePort>() == 4);

#[repr(C)]
pub(super) struct MapGrantRef {
    pub(super) address: u64,
    pub(super) flags: u32,
    pub(super) reference: u32,
    pub(super) domain: u16,
    pub(super) status: i16,
    pub(super) handle: u32,
    pub(super) bus_address: u64,
}
const _: () = assert!(size_of::<MapGrantRef>() == 32 && offset_of!(MapGrantRef, flags) == 8);
const _: () = assert!(offset_of!(MapGrantRef, domain) == 16 && offset_of!(MapGrantRef, status) == 18);
const _: () = assert!(offset_of!(MapGrantRef, handle) == 20 && offset_of!(MapGrantRef, bus_address) == 24);

#[repr(C)]
pub(super) struct UnmapGrantRef {
    pub(super) address: u64,
    pub(super) bus_address: u64,
    pub(super) handle: u32,
    pub(super) status: i16,
    pub(super) pad: u16,
}
const _: () = assert!(size_of::<UnmapGrantRef>() == 24 && offset_of!(UnmapGrantRef, handle) == 16);
const _: () = assert!(offset_of!(UnmapGrantRef, status) == 20);

#[repr(C)]
pub(super) struct GrantQuerySize {
    pub(super) domain: u16,
    pub(super) pad: u16,
    pub(super) frames: u32,
    pub(super) most: u32,
    pub(super) status: i16,
    pub(super) pad2: u16,
}
const _: () = assert!(size_of::<GrantQuerySize>() == 16 && offset_of!(GrantQuerySize, frames) == 4);
const _: () = assert!(offset_of!(GrantQuerySize, most) == 8 && offset_of!(GrantQuerySize, status) == 12);

#[repr(C)]
pub(super) struct GrantSetVersion {
    pub(super) version: u32,
}
const _: () = assert!(size_of::<GrantSetVersion>() == 4);

#[repr(C)]
pub(super) struct SchedShutdown {
    pub(super) reason: u32,
}
const _: () = assert!(size_of::<SchedShutdown>() == 4);
