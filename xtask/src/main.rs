//! Drives the built programs.
fn main() {}
