//! What the boot loader decides, without touching the machine.
//!
//! The loader itself runs where nothing can be tested: no system, no allocator, no way to report but a serial port. So
//! everything that is arithmetic or parsing lives here and is tested on the host:
//!
//! - [`elf`]: a hostile-safe view of the application, and its copy into memory with relocations applied;
//! - [`start_info`]: what a PVH hypervisor hands over on x86-64 (memory map, module, command line);
//! - [`tree`]: what whoever boots Linux on aarch64 hands over: the same, in a device tree;
//! - [`place`]: where the application goes, so that nothing that is still needed is overwritten;
//! - [`fdt`] and [`boot_info`]: the two structures the kernel reads;
//! - [`page`]: which 2 MiB pages the kernel finds mapped.
//!
//! Order of use: `StartInfo::read` or `Tree::read` → `Elf::parse` on the module → `place::base_for` → `Elf::load` → `fdt::write` or
//! `Tree::copy_to` → `boot_info::encode`. Nothing here panics on any input; every failure is a [`LoadError`] with a number of its own.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod boot_info;
pub mod bytes;
pub mod elf;
mod error;
pub mod fdt;
mod machine;
pub mod page;
pub mod place;
mod relocate;
pub mod span;
pub mod start_info;
pub mod tree;

pub use error::LoadError;
pub use machine::Machine;
pub use span::Span;
