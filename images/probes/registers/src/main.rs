//! Probe: do threads that compute side by side keep their vector registers? Prints `SUCCESS`, or what was lost where.
//!
//! Every other thread sleeps between its rounds, so that threads are woken as well as cut off. Arguments: how many threads,
//! and for how many milliseconds.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the console is the answer")]

use std::time::{Duration, Instant};

/// Additions between two looks at the sum; exact in doubles.
const STEPS: u32 = 100_000;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [threads, millis] = numbers[..] else {
        println!("FAILED: two numbers are needed");
        return;
    };
    let until = Instant::now() + Duration::from_millis(millis);
    let workers: Vec<_> = (1..=threads).map(|own| std::thread::spawn(move || compute(own, until))).collect();
    let (mut rounds, mut lost) = (0, 0);
    for worker in workers {
        match worker.join() {
            Ok((of_it, lost_by_it)) => (rounds, lost) = (rounds + of_it, lost + lost_by_it),
            Err(_) => lost += 1,
        }
    }
    if lost == 0 && rounds >= threads {
        println!("SUCCESS after {rounds} rounds");
    } else {
        println!("FAILED: {lost} of {rounds} rounds");
    }
}

/// Adds its own number again and again, in a register; how many rounds it took, and how many had another sum at their end.
fn compute(number: u64, until: Instant) -> (u64, u64) {
    let own = f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let (mut rounds, mut lost) = (0, 0);
    let (sleeps, steps) = if number.is_multiple_of(2) { (true, STEPS / 100) } else { (false, STEPS) };
    while Instant::now() < until {
        if sleeps {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut sum = 0.0;
        for _ in 0..steps {
            // Hidden, so that the sum is not known before; a load, and an addition in a register.
            sum += std::hint::black_box(own);
        }
        rounds += 1;
        let expected = own * f64::from(steps);
        // Sums of small whole numbers are exact.
        if (sum - expected).abs() > 0.0 {
            lost += 1;
            println!("thread {own}: {sum} instead of {expected} in round {rounds}");
        }
    }
    (rounds, lost)
}
