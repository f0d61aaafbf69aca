//! Probe: does everything that a guest does with Xen work from an application? Hypercalls, XenStore with a watch, an event
//! that it sends itself, and a channel to itself over granted pages. Prints a line for each and `SUCCESS`; the console that
//! they come by, and the network device that the kernel has connected before, are parts, too.
#![forbid(unsafe_code)]
#![cfg_attr(target_os = "hermit", expect(clippy::print_stdout, reason = "the console is the answer"))]

#[cfg(target_os = "hermit")]
mod channel;
#[cfg(target_os = "hermit")]
mod parts;

#[cfg(target_os = "hermit")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    parts::all()?;
    println!("SUCCESS");
    Ok(())
}

/// There is nothing to be asked elsewhere.
#[cfg(not(target_os = "hermit"))]
fn main() {}
