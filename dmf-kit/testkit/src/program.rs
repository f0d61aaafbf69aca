//! What a function's program does on the host, by its arguments.
#![expect(clippy::print_stdout, reason = "a program for the command line")]

use std::ffi::OsString;

use dmf_reduce::{Description, Function};

/// Does what `arguments` say, and gives the exit code: 0 done, 1 failed, 2 misuse.
pub fn program<F: Function>(image: &str, arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["describe"] => serde_json::to_string(&Description::of::<F>()).map_err(|error| error.to_string()),
        _ => {
            eprintln!("{image}, on the host. Usage: describe");
            return 2;
        }
    };
    match done {
        Ok(text) => {
            println!("{text}");
            0
        }
        Err(words) => {
            eprintln!("{words}");
            1
        }
    }
}
