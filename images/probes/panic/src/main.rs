//! Probe: is every way in which a guest may die told, with its cause?
//!
//! `FADES_PROBE_MODE` says how to die. With `FADES_CONTROL` set, the guest is connected to an orchestrator first.
//!
//! | mode | what happens | what must be seen |
//! |---|---|---|
//! | `panic` | the application panics | `FADES-PANIC {..}`, exit code 10, `Failed` over the control channel |
//! | `thread` | another thread panics | the same |
//! | `oom` | it allocates without end | `FADES-OOM {..}`, exit code 11 |
//! | `abort` | it aborts | the kernel's exit code for it, 104 |
//! | `stack` | it recurses without end | the kernel's `FADES-PANIC {..}` and exit code 102 |
//! | `loop` | it computes without end | heartbeats go on; only a kill ends it |
//! | `wait` | it waits to be told to end | exit code 0 after `Shutdown`, 14 when the connection is lost |
//! | `exit` | it ends by itself | exit code 0 |

#![forbid(unsafe_code)]

use fades_guest::{Boot, Identity, boot, crash, exit};
use fades_wire::exit::ExitCode;
use fades_wire::ids::Role;
use std::hint::black_box;
use std::time::Duration;

const IDENTITY: Identity =
    Identity { role: Role::Probe, image: concat!("probe-panic ", env!("CARGO_PKG_VERSION")) };

fn main() {
    let mode = std::env::var("FADES_PROBE_MODE").unwrap_or_default();
    let guest = if std::env::var_os("FADES_CONTROL").is_some() {
        Some(boot(IDENTITY))
    } else {
        crash::install();
        None
    };
    match mode.as_str() {
        "panic" => panic!("asked to panic, with a \"quote\""),
        "thread" => {
            let _ = std::thread::spawn(|| panic!("asked to panic in a thread")).join();
            std::thread::sleep(Duration::from_secs(60));
        }
        "oom" => fill_memory(),
        "abort" => std::process::abort(),
        "stack" => {
            black_box(recurse(black_box(1)));
        }
        "loop" => compute_for_ever(),
        "wait" => wait(guest),
        "exit" => exit::end(ExitCode::Ok, "done"),
        other => exit::end(ExitCode::Failed, &format!("probe mode {other:?} is unknown")),
    }
    exit::end(ExitCode::Failed, &format!("lived through {mode:?}"));
}

/// Takes memory in pieces of 64 KiB and touches every page of it.
fn fill_memory() {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; 64 * 1024]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(depth) == 0 { 0 } else { recurse(depth + 1) + frame[0] }
}

fn compute_for_ever() {
    let mut state = 1_u64;
    loop {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn wait(guest: Option<Boot>) {
    match guest {
        Some(guest) => while guest.control.recv().is_ok() {},
        None => exit::end(ExitCode::Failed, "nobody to wait for"),
    }
}
