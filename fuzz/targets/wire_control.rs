//! Control messages on any bytes: what decodes has this byte form and no other.
#![no_main]

use fades_wire::control::{FromGuest, ToGuest};
use fades_wire::frame::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((index, body)) = input.split_first() else { return };
    let kind = Kind::ALL[usize::from(*index) % Kind::ALL.len()];
    if let Ok(message) = fades_fuzz::parse(|| FromGuest::from_frame(kind, body)) {
        assert_eq!(message.to_body().as_deref(), Ok(body));
    }
    if let Ok(message) = fades_fuzz::parse(|| ToGuest::from_frame(kind, body)) {
        assert_eq!(message.to_body().as_deref(), Ok(body));
    }
});
