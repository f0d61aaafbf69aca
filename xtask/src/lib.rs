//! The parts of `cargo xtask`; the whole line's tests and benches use the testbed as well.

#![forbid(unsafe_code)]

pub mod bench;
pub mod bill;
pub mod demo;
pub mod docs;
pub mod fuzz;
pub mod images;
mod known;
pub mod lab;
pub mod layers;
pub mod miri;
pub mod package;
pub mod prepush;
pub mod setup;
pub mod stage;
pub mod supply;
pub mod test;
pub mod testbed;
mod tool;
pub mod torture;
