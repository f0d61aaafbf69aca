//! PVH boot loader for Hermit applications.
//!
//! A hypervisor (QEMU by `-kernel`, Xen by `type="pvh"`) enters at `entry` in 32-bit mode with the application's ELF
//! as first module. The loader goes to long mode, lets `fades-loader-core` read the start information and the ELF, places
//! and relocates the application, builds the device tree and boot information, and jumps. What fails is told in one line
//! on the serial console and by an exit code of the loader's own.
//!
//! All `unsafe` is in `entry` (mode switch, jump), `memory` (physical memory as slices), `port` (I/O ports) and
//! `builtins` (`memcpy` and its kin). On a host the crate is an empty program, so that the workspace checks as one.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod builtins;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod port;

#[cfg(not(target_os = "none"))]
fn main() {}
