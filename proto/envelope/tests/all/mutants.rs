//! THREATS A2: no mutant of a signed wrapper is accepted, whichever the reason.

use crate::common::{accept, key, reason, wrapper};
use fades_envelope::{Purpose, sign};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::collections::BTreeMap;

const SEED: u64 = 0xfade_2026;
const MUTANTS: u64 = 200_000;
/// The machines here have two cores; each thread takes every second mutant.
const THREADS: u64 = 2;

/// One change to `from`, which `other` may lend a piece to.
fn mutate(from: &[u8], other: &[u8], rng: &mut StdRng) -> (&'static str, Vec<u8>) {
    let mut out = from.to_vec();
    let at = rng.random_range(0..from.len());
    let length = rng.random_range(1..=16.min(from.len() - at));
    match rng.random_range(0..8) {
        0 => {
            out[at] ^= 1 << rng.random_range(0..8);
            ("bit flip", out)
        }
        1 => {
            for _ in 0..rng.random_range(2..6) {
                let at = rng.random_range(0..out.len());
                out[at] = rng.random();
            }
            ("some bytes", out)
        }
        2 => {
            out.insert(at, rng.random());
            ("insertion", out)
        }
        3 => {
            out.drain(at..at + length);
            ("deletion", out)
        }
        4 => {
            let piece = from[at..at + length].to_vec();
            out.splice(at..at, piece);
            ("duplication", out)
        }
        5 => {
            out.truncate(at);
            ("truncation", out)
        }
        6 => {
            // The head of one and the tail of the other, at the same place or not.
            let back = if rng.random() { at } else { rng.random_range(0..other.len()) };
            out.truncate(at);
            out.extend(&other[back.min(other.len())..]);
            ("splice", out)
        }
        _ => {
            let to = rng.random_range(0..from.len());
            out.swap(at, to);
            ("swap", out)
        }
    }
}

#[test]
fn a2_two_hundred_thousand_mutants_and_none_accepted() {
    let genuine = sign(&key(), Purpose::Task, &wrapper("01JD0000000000000000000000"));
    let second = sign(&key(), Purpose::Task, &wrapper("01JD0000000000000000000001"));
    assert!(accept(&genuine).is_ok() && accept(&second).is_ok());
    let run = |thread: u64| {
        let mut reasons = BTreeMap::<(&str, String), u64>::new();
        let mut index = thread;
        while index < MUTANTS {
            // A generator for each mutant, so that one can be had again from its index alone.
            let mut rng = StdRng::seed_from_u64(SEED ^ index << 32);
            let (kind, mutant) = loop {
                let (kind, mutant) = mutate(&genuine, &second, &mut rng);
                if mutant != genuine && mutant != second {
                    break (kind, mutant);
                }
            };
            match accept(&mutant) {
                Ok(_) => panic!("seed {SEED:#x}, mutant {index} ({kind}) is accepted"),
                Err(error) => *reasons.entry((kind, reason(&error))).or_default() += 1,
            }
            index += THREADS;
        }
        reasons
    };
    let mut reasons = BTreeMap::<(&str, String), u64>::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        for thread in threads {
            for (reason, count) in thread.join().unwrap() {
                *reasons.entry(reason).or_default() += count;
            }
        }
    });
    println!("{reasons:#?}");
    assert_eq!(reasons.values().sum::<u64>(), MUTANTS);
    let count = |wanted: &str| -> u64 {
        reasons.iter().filter(|((_, reason), _)| reason == wanted).map(|(_, count)| count).sum()
    };
    // Not vacuous: a good part got as far as the signature, and the reader had its share.
    assert!(count("Signature") > MUTANTS / 10, "{reasons:#?}");
    for reader in
        ["Truncated", "Shape", "Count", "NotMinimal", "Trailing", "Label", "ContentType", "WrongKey"]
    {
        assert!(count(reader) > 0, "no mutant was refused as {reader}: {reasons:#?}");
    }
}

#[test]
fn a2_every_bit_flip_deletion_duplication_and_truncation() {
    let genuine = sign(&key(), Purpose::Task, &wrapper("01JD0000000000000000000000"));
    let refused = |what: &str, at: usize, mutant: &[u8]| {
        assert!(mutant == genuine || accept(mutant).is_err(), "{what} at {at} is accepted");
    };
    for at in 0..genuine.len() {
        for bit in 0..8 {
            let mut mutant = genuine.clone();
            mutant[at] ^= 1 << bit;
            refused("bit flip", at, &mutant);
        }
        refused("truncation", at, &genuine[..at]);
        let mut mutant = genuine.clone();
        let byte = mutant.remove(at);
        refused("deletion", at, &mutant);
        mutant.splice(at..at, [byte, byte]);
        refused("duplication", at, &mutant);
    }
}
