//! Builds what its arguments name (`kernel`, `loader`, or packages) and prints where it is. An architecture's name before all of
//! them: for that one.
//!
//! `cargo run --locked -p fades-image-build --example build -- loader fades-probe-hello`
#![expect(clippy::print_stdout, reason = "a program for the command line")]

use std::error::Error;
use std::path::Path;

use fades_image_build::{Architecture, Builder};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("no workspace")?;
    let mut words = std::env::args().skip(1).peekable();
    let named = words.next_if(|word| word.parse::<Architecture>().is_ok());
    let architecture = named.map_or(Ok(Architecture::default()), |word| word.parse())?;
    let builder = Builder::new(root, &root.join("target")).architecture(architecture);
    let builder = builder.verbose(true).on_stage(|stage| {
        println!(
            "{}: {:.2} s{}",
            stage.what,
            stage.took.as_secs_f64(),
            if stage.cached { " (cached)" } else { "" }
        );
    });
    println!("{:?}", builder.toolchain()?.origin);
    for what in words {
        let path = match what.as_str() {
            "kernel" => builder.kernel()?,
            "loader" => builder.loader()?,
            package => builder.guest(package)?,
        };
        println!("{}", path.display());
    }
    Ok(())
}
