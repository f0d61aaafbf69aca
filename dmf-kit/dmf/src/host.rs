//! A function's program on the host: what an author runs, and `fades dmf` for them.

use dmf_reduce::habit::{Forgets, Habit, Remembers};
use dmf_reduce::{Function, Recurring};

/// As a process that an orchestrator started, or in a Linux guest: works like the unikernel. Otherwise does what its arguments
/// say (see `dmf_testkit::program`). Does not return.
pub fn main<F: Function>(image: &'static str) -> ! {
    if is_guest() {
        crate::run::run::<F>(image)
    }
    by_arguments::<F, Forgets>(image)
}

/// The same for a function with a state.
pub fn recurring<F: Recurring>(image: &'static str) -> ! {
    if is_guest() {
        crate::run::run_recurring::<F>(image)
    }
    by_arguments::<F, Remembers>(image)
}

fn is_guest() -> bool {
    fades_wire::boot::GuestParameters::are_told(|name| std::env::var(name).ok())
}

fn by_arguments<F: Function, H: Habit<F>>(image: &str) -> ! {
    std::process::exit(dmf_testkit::program::<F, H>(image, std::env::args_os().skip(1)).into())
}
