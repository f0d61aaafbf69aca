//! Any bytes as a source's answer, in pieces of any size: the same points come out, or the same refusal, and what was cut off is never
//! whole.
#![no_main]

use fades_drb::columns::Columns;
use fades_drb::influx1::answer::Answer;
use fades_drb::influx1::document::{Asked, Stop};
use libfuzzer_sys::fuzz_target;

/// Points that are held at once.
const ROOM: usize = 64;

/// Points as the wire has them, how it ended, and whether it was whole.
type Read = (Vec<u8>, Result<(), String>, bool);

fuzz_target!(|input: &[u8]| {
    let Some((piece, answer)) = input.split_first() else { return };
    let whole = fades_fuzz::parse(|| read(answer, answer.len().max(1)));
    assert_eq!(whole, read(answer, usize::from(*piece) + 1));
});

fn read(answer: &[u8], piece: usize) -> Read {
    let asked = Asked {
        measurement: "m".to_owned(),
        field: "f".to_owned(),
        group_by: vec!["t".into()],
        from_ns: 0,
        to_ns: i64::MAX,
    };
    let (mut reader, mut columns, mut points) = (Answer::new(asked), Columns::new(ROOM), Vec::new());
    let mut held: Vec<u8> = Vec::new();
    for chunk in answer.chunks(piece) {
        held.extend(chunk);
        loop {
            match reader.feed(&held, &mut columns) {
                Ok((used, stop)) => {
                    held.drain(..used);
                    match stop {
                        Stop::NeedInput => break,
                        _ => {
                            columns.write(0, &mut points);
                            columns = Columns::new(ROOM);
                        }
                    }
                }
                Err(error) => return (points, Err(error.to_string()), false),
            }
        }
    }
    let closed = reader.closed().map_err(|error| error.to_string());
    (points, closed, reader.is_whole())
}
