//! 64-bit Arm: QEMU's machine `virt`, by the protocol that Linux is booted with.

mod boot;
mod console;
mod entry;
mod memory;
