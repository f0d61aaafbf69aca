//! All benches that need no guest: `cargo bench --locked -p fades-bench [-- FILTER]`, or `cargo xtask bench` for everything.
#![expect(clippy::unwrap_used, reason = "a bench may stop at any error")]

mod accept;
mod envelope;
#[expect(dead_code, reason = "the bench of loads asks it more")]
mod node;
mod source;
mod switch;
mod wire;

use std::time::Duration;

criterion::criterion_group! {
    name = figures;
    config = criterion::Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = envelope::benches, wire::benches, switch::benches, source::benches, accept::benches
}
criterion::criterion_main!(figures);
