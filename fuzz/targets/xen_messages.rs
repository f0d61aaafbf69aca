//! The decoder on any bytes: the same messages come out whatever the pieces, encode to the same bytes, and what is
//! understood of them says the same when it is written again.
#![no_main]

use fades_xen_store::{Decoder, Message, Request, WatchEvent, reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    let (whole, failed) = fades_fuzz::parse(|| decode(bytes, bytes.len().max(1)));
    assert_eq!((whole.clone(), failed), decode(bytes, usize::from(*piece) + 1));
    let again: Vec<u8> = whole.iter().flat_map(Message::encode).collect();
    assert_eq!(bytes[..again.len()], again);
    for message in &whole {
        let header = message.header();
        if let Ok(request) = Request::decode(message) {
            let again = request.message(header.request, header.transaction).expect("it was in a message");
            assert_eq!(&again, message);
        }
        if let Ok(event) = WatchEvent::decode(message) {
            let again = event.message().expect("it was in a message");
            assert_eq!(WatchEvent::decode(&again), Ok(event));
        }
        let payload = message.payload();
        let _ = (reply::done(payload), reply::names(payload), reply::permissions(payload));
        let _ = (reply::path(payload), reply::transaction(payload), reply::domain(payload));
    }
});

/// All messages, and whether the connection failed.
fn decode(bytes: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    for mut chunk in bytes.chunks(piece) {
        loop {
            match decoder.push(&mut chunk) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
