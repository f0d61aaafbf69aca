//! Ending the guest, with one line on the console that says why.

use fades_wire::exit::{END_MARK, ExitCode};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set by the first thread that ends the guest: what follows from that in others is not the cause.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Time for the first thread to come to its end.
const ENDING_WITHIN: Duration = Duration::from_secs(1);

/// Ends the guest. Anything but [`ExitCode::Ok`] is told on the console. If another thread is ending the guest
/// already, that one's reason stands.
pub fn end(code: ExitCode, message: &str) -> ! {
    if !claim() {
        std::thread::sleep(ENDING_WITHIN);
    } else if code != ExitCode::Ok {
        console(&end_line(code, message));
    }
    std::process::exit(i32::from(code as u8))
}

/// Waits for the end that whoever noticed the channel's is about to bring, with its reason; brings it if nobody does. For an
/// application that has lost its work: to return from `main` would be a good end, and hide the reason.
pub fn await_end() -> ! {
    std::thread::sleep(ENDING_WITHIN);
    end(ExitCode::ControlLost, "the control channel is over")
}

/// Whether the caller is the first to end the guest.
pub(crate) fn claim() -> bool {
    !ENDING.swap(true, Ordering::SeqCst)
}

fn end_line(code: ExitCode, message: &str) -> String {
    let number = code as u8;
    format!("{END_MARK}{{\"message\":{},\"code\":{number},\"name\":\"{}\"}}", json(message), code.name())
}

/// An error and its causes, in one line.
#[must_use]
pub fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Writes a line on the console. There is nobody to tell if that fails.
pub(crate) fn console(line: &str) {
    // One write, so that lines of several threads do not mix; it starts on a new line, whatever stands there.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}

/// Longest text inside a console line: readers give up on lines over 4 KiB.
const MAX_TEXT: usize = 2048;

/// A text as a JSON string, cut at [`MAX_TEXT`] bytes.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if out.len() >= MAX_TEXT {
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_json() {
        let line = end_line(ExitCode::ControlLost, "a \"b\"\n\\c\u{7}é");
        let expected =
            "FADES-END {\"message\":\"a \\\"b\\\"\\n\\\\c\\u0007é\",\"code\":14,\"name\":\"control-lost\"}";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let text = json(&"\u{1}".repeat(100_000));
        assert!(text.len() < MAX_TEXT + 10 && text.ends_with('"'), "{}", text.len());
    }
}
