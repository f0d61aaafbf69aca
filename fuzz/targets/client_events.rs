//! A node's stream of events of any bytes, in pieces of any size: the same events come out, or the same refusal.
#![no_main]

use fades_api::client::sse::{Event, Parser, SseError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((piece, stream)) = input.split_first() else { return };
    let whole = fades_fuzz::parse(|| read(stream, stream.len().max(1)));
    assert_eq!(whole, read(stream, usize::from(*piece) + 1));
});

fn read(stream: &[u8], piece: usize) -> (Vec<Event>, Result<(), SseError>) {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for piece in stream.chunks(piece) {
        let pushed = parser.push(piece);
        events.extend(std::iter::from_fn(|| parser.next_event()));
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    (events, Ok(()))
}
