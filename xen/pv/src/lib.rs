//! What a guest needs to live in a Xen domain (PVH, x86_64, one processor): hypercalls, events, grants, the console,
//! XenStore, the network, and the data channel between two guests.
//!
//! Two programs of one address space use it: the kernel (set-up, the event upcall, console, network) and the
//! application linked with it (XenStore later on, data channels). So nothing here is global: everything is a value with
//! one owner. What differs between a guest and a test on a host is behind [`hypercall::Call`],
//! [`hypercall::Ports`] and [`page::Pages`]; the rest is tested where it is built.
//!
//! What another domain or Xen wrote is hostile: it is read once, checked, and has one way out. A violation stops the
//! device with an error; it is never a panic and never an access outside its pages.
//!
//! How a guest begins:
//!
//! ```text
//! detect::here                 is this Xen, and how is it called
//! Hypercalls::new              from here on: version, parameters, shutdown
//! page::install, SharedInfo    -> Events::new, mask_all, set_callback_vector
//! page::install, GrantTable    frame 0, 1, … -> Grants::new (each owner takes frames of its own)
//! Pages::map, ConsoleFrame     -> Console::new
//! Pages::map, StoreFrame       -> Xenstore::new
//! Netfront::connect            with the store; then unmask its port
//! ```
//!
//! `unsafe` is in [`shared`] (looking at pages that others write), [`hypercall`] (the trap) and [`page`] (putting
//! other memory below a page of ours), and one line per page layout says that it is made of atomics.
//!
//! The crate `xen-sys` is not used: its hypercalls `call` through a page that the linker must place, from
//! assembly that claims not to touch the stack, and put a fifth argument into the wrong register.
//!
//! To add a device: its page layouts as overlays of atomics ([`shared::Overlay`]) with their offsets asserted, its
//! logic over [`front_ring`] or `fades_ring`, a test that plays the back end, and one that plays a hostile one.
//!
//! Rings and parsers of hostile contents are fuzzed by the targets in `fuzz`.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod channel;
pub mod console;
pub mod detect;
pub mod event;
pub mod front_ring;
pub mod grant;
pub mod hypercall;
pub mod net;
pub mod page;
pub mod shared;
#[cfg(test)]
mod testing;
pub mod xenstore;
