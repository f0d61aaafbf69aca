//! The same reduction as a plain process: `plain HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS` prints the points and the
//! result.
//!
//! What a task costs beyond this is the price of its isolation.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of the benches; it may stop at any error"
)]

use std::io::{Read, Write};
use std::net::TcpStream;

use fades_bench_reduction::{Question, Reduction};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, database, measurement, from, to] = &arguments[..] else {
        panic!("plain HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS");
    };
    let (from_ns, to_ns) = (from.parse().unwrap(), to.parse().unwrap());
    let (mut reduction, request) =
        Reduction::new(&Question { host, database, measurement, from_ns, to_ns }).unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(&request).unwrap();
    loop {
        let count = stream.read(reduction.space()).unwrap();
        assert!(count > 0, "the source has closed");
        if reduction.filled(count).unwrap() {
            break;
        }
    }
    let reduced = reduction.finish().unwrap();
    println!("{} points, {}", reduced.points, String::from_utf8(reduced.result).unwrap());
}
