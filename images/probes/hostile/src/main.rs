//! Probe: a guest that means harm to the machine that it runs on, and through it to its monitor.
//!
//! Arguments: what to do, a seed, and how often. It tells `cases: N` now and then, and `done` if it comes to its end.
//!
//! | what | what happens |
//! |---|---|
//! | `ports` | reads and writes of any size at any port, with any value |
//! | `queues` | the same in the registers of its virtio device and in its configuration space, with queues that loop, lead out of memory and jump, notified again and again, and reset in the midst |
//! | `console` | so many MiB to the console |
//! | `halt` | it halts for ever, with interrupts off |
//! | `triple` | an exception that nobody can take |
//!
//! The registers are reached through the window that virtio has in configuration space (VIRTIO 1.2, 4.1.4.9), so by ports alone.
#![expect(clippy::print_stdout, reason = "the console is the answer")]

mod machine;
mod virtio;

use machine::{Random, any_port, halt, triple};

/// Cases between two lines.
const TOLD_EVERY: u64 = 1000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    let ([what, ..], [seed, count]) = (&words[..], &numbers[..]) else {
        println!("FAILED: what, a seed and a count are needed");
        return;
    };
    // Its own kernel is not to answer what its devices say meanwhile.
    machine::deafen();
    let mut random = Random::new(*seed);
    match what.as_str() {
        "ports" => again(*count, || any_port(&mut random)),
        "queues" => match virtio::Device::find() {
            Some(mut device) => again(*count, || device.harm(&mut random)),
            None => println!("FAILED: there is no virtio device"),
        },
        "console" => (0..*count).for_each(|_| machine::write_console(&[b'x'; 1 << 20])),
        "halt" => halt(),
        "triple" => triple(),
        other => println!("FAILED: {other} is nothing that it does"),
    }
    println!("done");
}

fn again(count: u64, mut act: impl FnMut()) {
    for number in 1..=count {
        act();
        if number.is_multiple_of(TOLD_EVERY) {
            println!("cases: {number}");
        }
    }
}
