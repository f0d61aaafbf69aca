//! The frame decoder on any bytes: the same frames come out whatever the pieces, and encode to the same bytes.
#![no_main]

use fades_wire::frame::{Decoder, MAX_DATA_BODY, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    fades_fuzz::parse(|| {
        let mut decoder = Decoder::new(MAX_DATA_BODY);
        decoder.push(bytes);
        while let Ok(Some(_)) = decoder.next() {}
    });
    let (mut whole, mut pieces) = (Decoder::new(MAX_DATA_BODY), Decoder::new(MAX_DATA_BODY));
    let mut from_pieces = Vec::new();
    let mut failed = false;
    for chunk in bytes.chunks(usize::from(*piece) + 1) {
        pieces.push(chunk);
        loop {
            match pieces.next() {
                Ok(Some(frame)) => from_pieces.push((frame.kind, frame.stream, frame.body.to_vec())),
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
    }
    whole.push(bytes);
    let (mut consumed, mut count) = (0, 0);
    loop {
        match whole.next() {
            Ok(Some(frame)) => {
                let mut again = Vec::new();
                encode(frame.kind, frame.stream, frame.sequence, frame.body, &mut again)
                    .expect("it was decoded");
                assert_eq!(bytes[consumed..consumed + again.len()], again);
                assert_eq!(from_pieces[count], (frame.kind, frame.stream, frame.body.to_vec()));
                consumed += again.len();
                count += 1;
            }
            Ok(None) => {
                assert!(!failed);
                break;
            }
            Err(_) => {
                assert!(failed);
                break;
            }
        }
    }
    assert_eq!(count, from_pieces.len());
});
