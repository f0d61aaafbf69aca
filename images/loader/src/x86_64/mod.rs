//! 64-bit x86, by PVH.

mod boot;
mod builtins;
mod console;
mod entry;
mod memory;
mod port;
