//! Frames: round trips in any pieces, limits, order, and no mutant accepted.

use fades_wire::frame::*;
use proptest::collection::vec;
use proptest::prelude::*;

type Owned = (Kind, u32, u64, Vec<u8>);

fn owned(frame: Frame<'_>) -> Owned {
    (frame.kind, frame.stream, frame.sequence, frame.body.to_vec())
}

/// All frames of `bytes`, read in pieces of the given sizes, by pushing or through lent room.
fn decode(bytes: &[u8], max: usize, pieces: &[usize], lend: bool) -> Result<Vec<Owned>, FrameError> {
    let mut decoder = Decoder::new(max);
    let mut frames = Vec::new();
    let (mut rest, mut sizes) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap_or(&usize::MAX)).min(rest.len());
        let taken = if lend {
            let space = decoder.space();
            let size = size.min(space.len());
            space[..size].copy_from_slice(&rest[..size]);
            decoder.filled(size);
            size
        } else {
            decoder.push(&rest[..size]);
            size
        };
        rest = &rest[taken..];
        while let Some(frame) = decoder.next()? {
            frames.push(owned(frame));
        }
    }
    Ok(frames)
}

fn one(kind: Kind, stream: u32, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(kind, stream, sequence, body, &mut bytes).expect("a short body");
    bytes
}

/// A change of bytes that is a change for sure.
fn mutate(bytes: &mut Vec<u8>, at: usize, bits: u8, how: u8) {
    let at = at % bytes.len();
    match how % 4 {
        0 => bytes[at] ^= bits.max(1),
        1 => bytes.insert(at, bits),
        2 => drop(bytes.remove(at)),
        _ => bytes.swap(at, 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn round_trip_in_any_pieces(
        frames in vec((any::<u16>(), 0..4u32, vec(any::<u8>(), 0..2000)), 0..20),
        pieces in vec(1..3000usize, 1..10),
        lend: bool,
    ) {
        let mut encoder = Encoder::control();
        let (mut bytes, mut expected, mut next) = (Vec::new(), Vec::new(), [0; 4]);
        for (kind, stream, body) in frames {
            encoder.frame(Kind::from(kind), stream, &body, &mut bytes).unwrap();
            expected.push((Kind::from(kind), stream, next[stream as usize], body));
            next[stream as usize] += 1;
        }
        prop_assert_eq!(decode(&bytes, MAX_CONTROL_BODY, &pieces, lend), Ok(expected));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), pieces in vec(1..50usize, 1..5), lend: bool) {
        let _ = decode(&bytes, MAX_DATA_BODY, &pieces, lend);
        let mut framed = MAGIC.to_vec();
        framed.extend([VERSION, 0]);
        framed.extend(bytes);
        prop_assert_eq!(decode(&framed, MAX_DATA_BODY, &pieces, lend).unwrap_or_default(), vec![]);
    }

    /// What a mutant yields is a prefix of what was sent, and never the whole of it.
    #[test]
    fn no_mutant_is_accepted(
        bodies in vec(vec(any::<u8>(), 0..100), 1..4), at: usize, bits: u8, how: u8,
    ) {
        let mut encoder = Encoder::data();
        let mut bytes = Vec::new();
        for body in &bodies {
            encoder.frame(Kind::Chunk, 0, body, &mut bytes).unwrap();
        }
        let mut mutant = bytes.clone();
        mutate(&mut mutant, at, bits, how);
        prop_assume!(mutant != bytes);
        let mut decoder = Decoder::data();
        decoder.push(&mutant);
        let mut intact = 0;
        while let Ok(Some(frame)) = decoder.next() {
            prop_assert_eq!(frame.body, &bodies[intact]);
            intact += 1;
        }
        let sound = decoder.next() == Ok(None) && decoder.buffered() == 0;
        prop_assert!(intact < bodies.len() || !sound);
    }
}

/// 200,000 seeded mutants of one frame, none accepted: CRC-32C finds every burst of up to 32 bits.
#[test]
fn mutants_of_a_frame() {
    let original = one(Kind::Credit, 3, 0, b"some bytes of a body");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200_000 {
        let mut mutant = original.clone();
        for _ in 0..=(state % 3) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [_, _, _, how, bits, low, high, _] = state.to_be_bytes();
            mutate(&mut mutant, usize::from(u16::from_be_bytes([low, high])), bits, how);
        }
        if mutant != original {
            let frames = decode(&mutant, MAX_DATA_BODY, &[], false).unwrap_or_default();
            // A byte added behind the frame leaves it whole, and is then left over.
            assert!(frames.is_empty() || mutant.starts_with(&original), "{mutant:02x?}");
        }
    }
}

#[test]
fn header_is_pinned() {
    let bytes = one(Kind::Chunk, 0x0102_0304, 0x0a0b, b"123456789");
    let header =
        [0x46, 0x44, 0x53, 0x31, 2, 0, 0x02, 0x04, 4, 3, 2, 1, 9, 0, 0, 0, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes[..24], header);
    // Checked against a bitwise CRC-32C, reflected, polynomial 0x1EDC6F41.
    let hash = BodyHash::of(&bytes[28..]).to_bytes();
    // rapidhash v3 of "123456789", seed 0.
    assert_eq!(hash, [161, 22, 185, 150, 59, 3, 125, 126]);
    let crc = !bytes[..24].iter().chain(&hash).fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    });
    assert_eq!(bytes[24..28], crc.to_le_bytes());
}

#[test]
fn every_refusal_has_its_error() {
    let good = one(Kind::Open, 0, 0, b"body");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        decode(&bytes, MAX_DATA_BODY, &[], true)
    };
    assert_eq!(with(0, b'X'), Err(FrameError::Magic(*b"XDS1")));
    assert_eq!(with(4, 1), Err(FrameError::Version(1)));
    assert_eq!(with(5, 1), Err(FrameError::Flags(1)));
    let length = FrameError::Length { kind: Kind::Open, length: 0x7f00_0004, max: MAX_DATA_BODY };
    assert_eq!(with(15, 0x7f), Err(length));
    assert!(matches!(with(30, 0), Err(FrameError::Crc { stream: 0, sequence: 0, .. })));
    let late = one(Kind::Open, 0, 1, b"");
    let sequence = FrameError::Sequence { stream: 0, expected: 0, found: 1 };
    assert_eq!(decode(&late, MAX_DATA_BODY, &[], false), Err(sequence));
    let twice = [good.clone(), good.clone()].concat();
    let sequence = FrameError::Sequence { stream: 0, expected: 1, found: 0 };
    assert_eq!(decode(&twice, MAX_DATA_BODY, &[], false), Err(sequence));
}

#[test]
fn errors_are_terminal() {
    let mut decoder = Decoder::data();
    decoder.push(&one(Kind::Open, 0, 7, b""));
    let first = decoder.next().unwrap_err();
    decoder.push(&one(Kind::Open, 0, 0, b""));
    assert_eq!(decoder.next(), Err(first));
}

#[test]
fn a_claimed_length_takes_no_memory_before_its_bytes_come() {
    let mut decoder = Decoder::new(100);
    let frame = one(Kind::Open, 0, 0, &[0; 101]);
    decoder.push(&frame[..HEADER_LEN]);
    assert_eq!(decoder.next(), Err(FrameError::Length { kind: Kind::Open, length: 101, max: 100 }));
    // And a long body's room ends a header behind it, so that the next body lies where it is read.
    let mut decoder = Decoder::data();
    let frame = one(Kind::Chunk, 0, 0, &vec![0; MAX_DATA_BODY]);
    decoder.push(&frame[..HEADER_LEN + 8]);
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.space().len(), MAX_DATA_BODY - 8 + HEADER_LEN);
}

#[test]
fn streams_are_capped_on_both_sides() {
    let (mut encoder, mut bytes) = (Encoder::data(), Vec::new());
    let streams = u32::try_from(MAX_STREAMS).unwrap();
    for stream in 0..streams {
        encoder.frame(Kind::Credit, stream, b"", &mut bytes).unwrap();
    }
    assert_eq!(encoder.frame(Kind::Credit, streams, b"", &mut bytes), Err(FrameError::Streams(streams)));
    encode(Kind::Credit, streams, 0, b"", &mut bytes).unwrap();
    assert_eq!(decode(&bytes, MAX_DATA_BODY, &[], false), Err(FrameError::Streams(streams)));
}

#[test]
fn a_body_too_long_leaves_the_encoder_as_it_was() {
    let (mut encoder, mut bytes) = (Encoder::data(), vec![9]);
    let long = vec![0; MAX_DATA_BODY + 1];
    assert!(matches!(encoder.frame(Kind::Chunk, 0, &long, &mut bytes), Err(FrameError::Length { .. })));
    assert_eq!(bytes, [9]);
    encoder.frame(Kind::Chunk, 0, &long[1..], &mut bytes).unwrap();
    assert_eq!(decode(&bytes[1..], MAX_DATA_BODY, &[], true).unwrap()[0].2, 0);
}
