//! Data messages on any bytes: what decodes has this byte form and no other.
#![no_main]

use fades_wire::data::{FromBroker, ToBroker};
use fades_wire::frame::Kind;
use fades_wire::message::to_body;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((index, body)) = input.split_first() else { return };
    let kind = Kind::ALL[usize::from(*index) % Kind::ALL.len()];
    if let Ok(message) = fades_fuzz::parse(|| ToBroker::from_frame(kind, body)) {
        assert_eq!(message.to_body().as_deref(), Ok(body));
    }
    match fades_fuzz::parse(|| FromBroker::from_frame(kind, body)) {
        Ok(FromBroker::Series(series)) => assert_eq!(to_body(&series).as_deref(), Ok(body)),
        Ok(FromBroker::End(end)) => assert_eq!(to_body(&end).as_deref(), Ok(body)),
        Ok(FromBroker::Abort(abort)) => assert_eq!(to_body(&abort).as_deref(), Ok(body)),
        Ok(FromBroker::Chunk(batch)) => assert_eq!(batch.body(), body),
        Err(_) => {}
    }
});
