//! Probe: does an application boot, and what was it told? Prints its arguments and `SUCCESS`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the console is the answer")]

fn main() {
    for argument in std::env::args().skip(1) {
        println!("argument: {argument}");
    }
    println!("SUCCESS");
}
