//! fadesd: thin entry point.
fn main() {}
