//! Probe: a guest that means harm to the machine that it runs on, and through it to its monitor.
//!
//! Arguments: what to do, a seed, and how often. It tells `cases: N` now and then, and `done` if it comes to its end.
//!
//! | what | what happens |
//! |---|---|
//! | `ports` | reads and writes of any size at any port, with any value |
//! | `memory` | the same at any address where there is no memory, most of them at devices' |
//! | `calls` | hypercalls of any number |
//! | `queues` | reads and writes in the registers of its virtio device and in its configuration space, with queues that loop, lead out of memory and jump, notified again and again, and reset in the midst |
//! | `frames` | frames that no guest may send, of all kinds, to the two addresses behind its count: a neighbour's and its broker's |
//! | `console` | so many MiB to the console |
//! | `spin` | it computes without end, with interrupts off |
//! | `halt` | it halts for ever, with interrupts off |
//! | `triple` | an exception that nobody can take |
//! | nothing | as a node starts a function: never a word, but frames without end, if there is a network device |
//!
//! The registers are reached through the window that virtio has in configuration space (VIRTIO 1.2, 4.1.4.9), so by ports alone.

mod calls;
mod frames;
mod machine;
mod memory;
mod net;
mod virtio;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use frames::Attack;
use machine::{Random, any_port, halt, spin, triple};
use net::Sender;

/// A line on the console, past the kernel, which would take interrupts again meanwhile, and so it would for the line's memory.
macro_rules! tell {
    ($($words:tt)*) => {{
        // It never fails.
        let _ = writeln!(machine::Console, $($words)*);
    }};
}

/// Cases between two lines.
const TOLD_EVERY: u64 = 1000;
/// Where a node's first guest is, which is its broker.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    let ([what, ..], [seed, count]) = (&words[..], &numbers[..]) else { never_ready() };
    // Its own kernel is not to answer what its devices say meanwhile.
    machine::deafen();
    let mut random = Random::new(*seed);
    match what.as_str() {
        "ports" => again(*count, || any_port(&mut random)),
        "memory" => match memory::Memory::open() {
            Some(memory) => again(*count, || memory.any_address(&mut random)),
            None => tell!("FAILED: the window's place is taken"),
        },
        "calls" => {
            calls::take_exceptions();
            again(*count, || calls::any_call(&mut random));
        }
        "queues" => match virtio::Device::find() {
            Some(mut device) => again(*count, || device.harm(&mut random)),
            None => tell!("FAILED: there is no virtio device"),
        },
        "frames" => {
            let peers: Vec<Ipv4Addr> = words.iter().filter_map(|word| word.parse().ok()).collect();
            match (Sender::open(), &peers[..]) {
                (Some(sender), &[neighbour, broker]) => {
                    let attack = Attack::new(sender.own(), neighbour, broker, *seed);
                    storm(sender, attack, *count);
                }
                _ => tell!("FAILED: there is no virtio device, or not two peers: {peers:?}"),
            }
        }
        "console" => (0..*count).for_each(|_| machine::write_console(&[b'x'; 1 << 20])),
        "spin" => spin(),
        "halt" => halt(),
        "triple" => triple(),
        other => tell!("FAILED: {other} is nothing that it does"),
    }
    tell!("done");
}

/// As a node starts a function, which is told nothing of all this.
fn never_ready() -> ! {
    if let Some(sender) = Sender::open() {
        machine::deafen();
        let own = sender.own();
        let neighbour = Ipv4Addr::from_bits(own.to_bits() + 1);
        storm(sender, Attack::new(own, neighbour, FIRST, 1), u64::MAX);
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn storm(sender: Sender, attack: Attack, count: u64) {
    let mut send = net::storm(sender, attack);
    again(count, || {
        if !send() {
            tell!("FAILED: the device does not go on");
            halt();
        }
    });
}

fn again(count: u64, mut act: impl FnMut()) {
    for number in 1..=count {
        act();
        if number.is_multiple_of(TOLD_EVERY) {
            tell!("cases: {number}");
        }
    }
}
