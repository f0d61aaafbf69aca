//! Probe: do time, threads, memory, floating point and several connections work as a program expects?
//!
//! Prints one line per answer, the figures that others wait for, and `SUCCESS`. With `PROBE_PORT` it then serves connections
//! there, each in a thread of its own, and answers each line that it reads with the same line; a line `end` ends the probe.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the console is the answer")]

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, Builder};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    time()?;
    threads()?;
    busy_main_does_not_stop_others()?;
    floating_point()?;
    memory()?;
    if let Ok(port) = std::env::var("PROBE_PORT") {
        serve(port.parse()?)?;
    }
    println!("SUCCESS");
    Ok(())
}

fn check(what: &str, holds: bool) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("{what} does not hold").into()) }
}

fn time() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(200));
    let slept = start.elapsed();
    println!(
        "time: slept {} us for 200000, it is {:.3}",
        slept.as_micros(),
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64()
    );
    check("a sleep takes its time", slept >= Duration::from_millis(199) && slept < Duration::from_secs(2))
}

fn threads() -> Result<(), Box<dyn Error>> {
    let count = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let all: Vec<_> = (0..8)
        .map(|_| {
            let count = Arc::clone(&count);
            Builder::new().stack_size(64 << 10).spawn(move || count.fetch_add(1, Ordering::Relaxed))
        })
        .collect::<Result<_, _>>()?;
    for thread in all {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    println!("threads: 8 started and joined in {} us", start.elapsed().as_micros());
    check("every thread ran", count.load(Ordering::Relaxed) == 8)
}

/// There is no time slice: a thread that computes is interrupted by timers and devices only.
fn busy_main_does_not_stop_others() -> Result<(), Box<dyn Error>> {
    let (ticks, received) = mpsc::channel();
    let ticker = Builder::new().stack_size(64 << 10).spawn(move || {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(20));
            if ticks.send(Instant::now()).is_err() {
                return;
            }
        }
    })?;
    let start = Instant::now();
    let mut sum = 0u64;
    while start.elapsed() < Duration::from_millis(400) {
        sum = std::hint::black_box(sum.wrapping_mul(3).wrapping_add(1));
    }
    let during = received.try_iter().count();
    println!("preemption: {during} of 10 ticks of a sleeping thread came while the main thread computed");
    ticker.join().map_err(|_| "the ticker panicked")?;
    check("a computing thread is preempted by timers", during >= 8)
}

fn floating_point() -> Result<(), Box<dyn Error>> {
    let x = std::hint::black_box(2.0f64);
    let (ln, exp, pow, sqrt, sin) = (x.ln(), x.exp(), x.powf(0.5), x.sqrt(), x.sin());
    println!("floating point: ln {ln} exp {exp} pow {pow} sqrt {sqrt} sin {sin} fma {}", x.mul_add(3.0, 1.0));
    check("ln(2) is right", (ln - std::f64::consts::LN_2).abs() < 1e-15)?;
    check("pow agrees with sqrt", (pow - sqrt).abs() < 1e-15)?;
    check("exp(2) is right", (exp - 7.38905609893065).abs() < 1e-13)
}

fn memory() -> Result<(), Box<dyn Error>> {
    const LEN: usize = 8 << 20;
    let from = vec![7u8; LEN];
    let mut to = vec![0u8; LEN];
    let gigabytes =
        |start: Instant, rounds: usize| (LEN * rounds) as f64 / start.elapsed().as_secs_f64() / 1e9;
    let start = Instant::now();
    (0..16).for_each(|_| std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from)));
    let copy = gigabytes(start, 16);
    let start = Instant::now();
    (0..16).for_each(|i| std::hint::black_box(&mut to).fill(i));
    let fill = gigabytes(start, 16);
    println!("memory: copy {copy:.2} GB/s, fill {fill:.2} GB/s");
    let mut impossible = Vec::<u8>::new();
    let refused = impossible.try_reserve_exact(1 << 40).is_err();
    let mut most = 0;
    while Vec::<u8>::new().try_reserve_exact((most + 1) << 20).is_ok() {
        most += 1;
    }
    println!("memory: largest single allocation {most} MiB");
    check("an impossible allocation is an error", refused)
}

fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    listener.set_nonblocking(true)?;
    check(
        "accept on a nonblocking listener would block",
        matches!(listener.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock),
    )?;
    listener.set_nonblocking(false)?;
    println!("LISTENING");
    let (ended, end) = mpsc::channel();
    Builder::new().stack_size(128 << 10).spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let ended = ended.clone();
            let spawned = Builder::new().stack_size(128 << 10).spawn(move || {
                let outcome = answer(stream);
                println!("connection ended: {outcome:?}");
                if matches!(outcome, Ok(true)) {
                    let _ = ended.send(());
                }
            });
            if let Err(error) = spawned {
                println!("no thread: {error}");
            }
        }
    })?;
    end.recv()?;
    Ok(())
}

/// Whether the peer asked the probe to end.
fn answer(stream: TcpStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let start = Instant::now();
    let mut byte = [0];
    match (&stream).read(&mut byte) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            println!("read timeout of 300 ms came after {} ms", start.elapsed().as_millis());
        }
        other => println!("read before the timeout: {other:?}"),
    }
    stream.set_read_timeout(None)?;
    let mut lines = BufReader::new(&stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        (&stream).write_all(line.as_bytes())?;
        if line.trim() == "end" {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}
