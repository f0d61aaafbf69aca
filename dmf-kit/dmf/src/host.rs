//! A function's program on the host: what an author runs, and `fades dmf` for them.

use dmf_reduce::Function;

/// As a process that an orchestrator started, or in a Linux guest: works like the unikernel. Otherwise does what its arguments
/// say (see `dmf_testkit::program`). Does not return.
pub fn main<F: Function>(image: &'static str) -> ! {
    if fades_wire::boot::GuestParameters::are_told(|name| std::env::var(name).ok()) {
        crate::run::run::<F>(image)
    }
    std::process::exit(dmf_testkit::program::<F>(image, std::env::args_os().skip(1)).into())
}
