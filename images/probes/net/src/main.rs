//! Probe: how fast does TCP carry bytes out of a guest, into it, and back?
//!
//! Told by its environment: `PROBE_MODE` is `send`, `receive` or `echo`; `PROBE_PEER` is the address to connect to
//! (`send`), `PROBE_PORT` the port to listen at (`receive`, `echo`); `PROBE_MIB` how much to send. Prints what was
//! carried, how fast, and `SUCCESS`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the console is the answer")]

use std::env::var;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

const BLOCK: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    match var("PROBE_MODE").as_deref() {
        Ok("send") => send(&var("PROBE_PEER")?, var("PROBE_MIB")?.parse()?)?,
        Ok("receive") => receive(&mut accept()?)?,
        Ok("echo") => echo(&mut accept()?)?,
        other => return Err(format!("PROBE_MODE is {other:?}").into()),
    }
    println!("SUCCESS");
    Ok(())
}

fn accept() -> Result<TcpStream, Box<dyn Error>> {
    let listener = TcpListener::bind(("0.0.0.0", var("PROBE_PORT")?.parse()?))?;
    println!("LISTENING");
    let (stream, peer) = listener.accept()?;
    println!("connection from {peer}");
    Ok(stream)
}

/// Sends `mib` MiB, ends its side, and waits for the other end to have read it all.
fn send(peer: &str, mib: usize) -> Result<(), Box<dyn Error>> {
    let asked = Instant::now();
    let mut stream = TcpStream::connect(peer)?;
    println!("connected in {} us", asked.elapsed().as_micros());
    stream.set_nodelay(true)?;
    let block = pattern();
    let start = Instant::now();
    for _ in 0..mib * ((1 << 20) / BLOCK) {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    report("sent", mib << 20, start);
    println!("came back: {} bytes", rest.len());
    Ok(())
}

fn receive(stream: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let block = pattern();
    let mut buffer = vec![0; BLOCK];
    let mut total = 0;
    let mut start = Instant::now();
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        if total == 0 {
            start = Instant::now();
        }
        // What is sent is one block over and over.
        let at = total % BLOCK;
        let (first, rest) = buffer[..n].split_at(n.min(BLOCK - at));
        if first != &block[at..at + first.len()] || rest != &block[..rest.len()] {
            return Err(format!("the bytes after {total} are wrong").into());
        }
        total += n;
    }
    report("received", total, start);
    Ok(())
}

fn echo(stream: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![0; BLOCK];
    let start = Instant::now();
    let mut total = 0;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        stream.write_all(&buffer[..n])?;
        total += n;
    }
    report("echoed", total, start);
    Ok(())
}

fn pattern() -> Vec<u8> {
    (0..=250).cycle().take(BLOCK).collect()
}

fn report(what: &str, bytes: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what} {bytes} bytes in {seconds:.3} s: {:.1} MB/s", bytes as f64 / seconds / 1e6);
}
