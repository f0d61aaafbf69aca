//! Numbers in nodes, in the one form in which they are written.

use core::str::FromStr;

/// A number as `to_string` writes it, and no other form: no sign, no leading zero, nothing around it.
pub(crate) fn parse<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    if digits && plain { text.parse().ok() } else { None }
}
