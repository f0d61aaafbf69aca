//! Boot loader for Hermit applications.
//!
//! A hypervisor enters at `entry` with the application's ELF beside it: on x86-64 by PVH (QEMU by `-kernel`, Xen by `type="pvh"`)
//! in 32-bit mode, on aarch64 (QEMU's `virt`) as it enters Linux, with a device tree. The loader gets the processor to where Rust
//! can run, lets `fades-loader-core` read what it was handed and the ELF, places and relocates the application, writes the device
//! tree and boot information, and jumps. What fails is told in one line on the serial console and by an exit code of the
//! loader's own.
//!
//! All `unsafe` is in `entry` (mode switch, jump), `memory` (physical memory as slices), `port` (I/O ports), `builtins` (`memcpy` and
//! its kin) and `console` (a device's registers, the call that ends the machine) of each architecture. On a host the crate is an
//! empty program, so that the workspace checks as one.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod aarch64;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
mod x86_64;

#[cfg(not(target_os = "none"))]
fn main() {}
