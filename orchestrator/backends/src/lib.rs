//! Backends: what runs guests. Each implements `fades_core::backend::Backend`; none knows another.
//!
//! | kind | machinery | chosen when |
//! |---|---|---|
//! | `qemu-kvm` | QEMU on hardware virtualisation | a few instructions ran on it under a deadline |
//! | `qemu-tcg` | QEMU's code generator | KVM did not run them; said aloud with its cost |
//! | `xen` | domains of a Xen host | this is its dom0 |
//!
//! To add a backend: a module here that implements `Backend` and `Guest`, a [`BackendKind`],
//! and one line in the daemon's `wiring.rs`.

mod console;
mod orphans;
mod postal;
mod qemu;
mod select;
mod xen;

#[doc(hidden)] // for its fuzzer
pub use console::Console;
pub use fades_core::backend::BackendKind;
pub use postal::{Post, PostalNetwork};
#[doc(hidden)] // likewise
pub use qemu::converse;
pub use qemu::probe::Probe;
pub use qemu::{
    ARM_PROGRAM, Accelerator, Defence, Jail, MOST_FUNCTIONS, PROGRAM, QemuBackend, RegionPost, Sharing,
};
pub use select::{Programs, Selection, Wanted, select};
pub use xen::{XenBackend, XenPost};
