//! Batches, digests and credit.

use fades_wire::batch::*;
use fades_wire::data::Series;
use fades_wire::digest::{Meter, StreamDigest};
use fades_wire::flow::{CreditExceeded, Receiver, Sender};
use fades_wire::frame::BodyHash;
use fades_wire::message::to_body;
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn body(series: u32, points: &[(i64, f64)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(series);
    for (time, value) in points {
        builder.push(*time, *value);
    }
    let mut out = Vec::new();
    assert_eq!(builder.body_len(), BATCH_HEADER_LEN + POINT_LEN * points.len());
    builder.write(&mut out);
    assert!(builder.is_empty());
    out
}

proptest! {
    #[test]
    fn round_trip(series: u32, points in vec(any::<(i64, u64)>(), 1..100), from in 0..120usize, to in 0..120usize) {
        let points: Vec<(i64, f64)> = points.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect();
        let bytes = body(series, &points);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert_eq!((batch.series(), batch.len(), batch.body()), (series, points.len(), &bytes[..]));
        let bits = |points: &mut dyn Iterator<Item = (i64, f64)>| -> Vec<(i64, u64)> {
            points.map(|(time, value)| (time, value.to_bits())).collect()
        };
        let expected = bits(&mut points.iter().copied());
        prop_assert_eq!(bits(&mut batch.points()), expected.clone());
        prop_assert_eq!(bits(&mut batch.times().zip(batch.values())), expected.clone());
        prop_assert_eq!(bits(&mut (0..=points.len()).filter_map(|i| batch.get(i))), expected.clone());
        let within = expected.iter().take(to).skip(from).copied().collect::<Vec<_>>();
        prop_assert_eq!(bits(&mut batch.points_within(from, to)), within);
    }

    #[test]
    fn any_bytes_are_a_batch_or_refused(bytes in vec(any::<u8>(), 0..200), count in 0..12u8) {
        let mut bytes = bytes;
        if let Some(low) = bytes.get_mut(4..8) {
            low.copy_from_slice(&[count, 0, 0, 0]);
        }
        match Batch::parse(&bytes) {
            Ok(batch) => {
                prop_assert_eq!(bytes.len(), BATCH_HEADER_LEN + POINT_LEN * batch.len());
                prop_assert_eq!(batch.points().count(), batch.len());
            }
            Err(_) => prop_assert!(count == 0 || bytes.len() != 8 + 16 * usize::from(count)),
        }
    }

    /// Whatever the order of sending, consuming and granting: never more than the window on its way, no
    /// chunk without credit, and all chunks get through.
    #[test]
    fn credit_bounds_what_is_on_its_way(
        window in 1..5000u64, chunks in vec(1..300u64, 1..50), choices in vec(0..3u8, 0..400),
    ) {
        let mut chunks: std::collections::VecDeque<u64> =
            chunks.into_iter().map(|chunk| chunk.min(window)).collect();
        let (mut sender, mut receiver) = (Sender::default(), Receiver::new(window));
        let (mut wire, mut unconsumed) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
        let mut idle = 0;
        for choice in choices.into_iter().chain((0..3).cycle()) {
            let before = (chunks.len(), wire.len(), unconsumed.len(), sender.available());
            match choice {
                0 => if let Some(&chunk) = chunks.front() && sender.take(chunk) {
                    chunks.pop_front();
                    wire.push_back(chunk);
                },
                1 => if let Some(chunk) = wire.pop_front() {
                    receiver.received(chunk).unwrap();
                    unconsumed.push_back(chunk);
                },
                _ => {
                    if let Some(chunk) = unconsumed.pop_front() {
                        receiver.consumed(chunk);
                    }
                    if let Some(grant) = receiver.due() {
                        sender.grant(grant).unwrap();
                    }
                }
            }
            let on_the_way: u64 = wire.iter().chain(&unconsumed).sum();
            prop_assert!(on_the_way + sender.available() <= window);
            if chunks.is_empty() && wire.is_empty() && unconsumed.is_empty() {
                break;
            }
            let after = (chunks.len(), wire.len(), unconsumed.len(), sender.available());
            idle = if before == after { idle + 1 } else { 0 };
            prop_assert!(idle < 400 + 3, "stuck at {after:?} of window {window}");
        }
    }
}

#[test]
fn every_refusal_has_its_error() {
    let good = body(1, &[(1, 1.0), (2, 2.0)]);
    assert_eq!(Batch::parse(&good[..7]), Err(BatchError::Truncated(7)));
    assert_eq!(Batch::parse(&[0; 8]), Err(BatchError::Empty));
    assert_eq!(Batch::parse(&good[..39]), Err(BatchError::Length { count: 2, length: 39 }));
    assert_eq!(Batch::parse(&[&good[..], &[0]].concat()), Err(BatchError::Length { count: 2, length: 41 }));
    let mut many = vec![0; MAX_BATCH_LEN + POINT_LEN];
    many[4..8].copy_from_slice(&(16_385_u32).to_le_bytes());
    assert_eq!(Batch::parse(&many), Err(BatchError::TooMany(16_385)));
    many[4..8].copy_from_slice(&(u32::MAX).to_le_bytes());
    assert_eq!(Batch::parse(&many), Err(BatchError::TooMany(u32::MAX)));
    many.truncate(MAX_BATCH_LEN);
    many[4..8].copy_from_slice(&(16_384_u32).to_le_bytes());
    assert_eq!(Batch::parse(&many).unwrap().len(), MAX_POINTS_PER_BATCH);
}

#[test]
fn layout_is_pinned() {
    let bytes = body(0x0102, &[(-2, 1.0), (3, -0.0)]);
    let mut expected = vec![2, 1, 0, 0, 2, 0, 0, 0, 0xfe];
    expected.extend([0xff; 7]);
    expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(bytes, expected);
}

#[test]
fn a_full_builder_says_so_and_can_be_used_again() {
    let mut builder = BatchBuilder::new(1);
    let full: Vec<bool> = (0..MAX_POINTS_PER_BATCH).map(|i| builder.push(i as i64, 0.5)).collect();
    assert_eq!(full.iter().position(|full| *full), Some(MAX_POINTS_PER_BATCH - 1));
    let mut out = Vec::new();
    builder.write(&mut out);
    assert_eq!(out.len(), MAX_BATCH_LEN);
    builder.push(1, 1.0);
    builder.reset(2);
    assert_eq!((builder.series(), builder.len()), (2, 0));
}

/// The meter's digest is SHA-256 over tags, lengths and hashes of bodies; counts and range are those of the points.
#[test]
fn meter_adds_up() {
    let series = Series { id: 0, tags: vec![], measurement: "m".into(), field: "f".into() };
    let described = to_body(&series).unwrap();
    let (first, second) = (body(0, &[(5, 1.0), (3, 2.0)]), body(0, &[(9, 3.0)]));
    let mut meter = Meter::default();
    assert_eq!(meter.summary(4).first_ns, None);
    meter.series(&described);
    meter.chunk(&Batch::parse(&first).unwrap());
    meter.chunk(&Batch::parse(&second).unwrap());

    let mut sha = Sha256::new();
    for (tag, item) in [(1, &described), (2, &first), (2, &second)] {
        sha.update([tag]);
        sha.update(u32::try_from(item.len()).unwrap().to_le_bytes());
        sha.update(rapidhash::v3::rapidhash_v3(item).to_le_bytes());
    }
    let digest: [u8; 32] = sha.finalize().into();
    let summary = meter.summary(4);
    assert_eq!((summary.operation, summary.points, summary.bytes, summary.chunks), (4, 3, 48, 2));
    assert_eq!((summary.series, summary.first_ns, summary.last_ns), (1, Some(3), Some(9)));
    assert_eq!(summary.digest, digest);
    assert_eq!((meter.points(), meter.bytes(), meter.series_count()), (3, 48, 1));
}

/// Series come one after another, and the one under way counts.
#[test]
fn meter_knows_the_smallest_series() {
    let one = body(0, &[(1, 1.0)]);
    let chunk = Batch::parse(&one).unwrap();
    for (series, fewest) in
        [(&[][..], 0), (&[0], 0), (&[3], 3), (&[3, 1], 1), (&[1, 3], 1), (&[2, 0, 5], 0), (&[4, 9, 4, 7], 4)]
    {
        let mut meter = Meter::default();
        for points in series {
            meter.series(b"series");
            (0..*points).for_each(|_| meter.chunk(&chunk));
        }
        assert_eq!(meter.fewest(), fewest, "{series:?}");
    }
}

#[test]
fn order_and_kind_change_the_digest() {
    let (a, b) = (body(0, &[(1, 1.0)]), body(0, &[(2, 2.0)]));
    let of = |items: &[(bool, &[u8])]| {
        let mut digest = StreamDigest::default();
        for (chunk, item) in items {
            if *chunk { digest.chunk(item.len(), BodyHash::of(item)) } else { digest.series(item) }
        }
        digest.value()
    };
    let values = [
        of(&[(true, &a), (true, &b)]),
        of(&[(true, &b), (true, &a)]),
        of(&[(false, &a), (true, &b)]),
        of(&[(true, &[&a[..], &b[..]].concat())]),
    ];
    for (i, value) in values.iter().enumerate() {
        assert!(!values[i + 1..].contains(value), "{i}");
    }
}

#[test]
fn misuse_of_credit_is_told() {
    let mut receiver = Receiver::new(100);
    assert_eq!(receiver.received(1), Err(CreditExceeded { received: 1, outstanding: 0 }));
    assert_eq!((receiver.due(), receiver.due()), (Some(100), None));
    assert_eq!(receiver.received(101), Err(CreditExceeded { received: 101, outstanding: 100 }));
    receiver.received(60).unwrap();
    assert_eq!(receiver.due(), None);
    receiver.consumed(49);
    assert_eq!(receiver.due(), Some(49), "less than a chunk is left to the sender");
    // A wide window is granted by halves.
    let chunk = MAX_BATCH_LEN as u64;
    let mut receiver = Receiver::new(4 * chunk);
    assert_eq!(receiver.due(), Some(4 * chunk));
    receiver.received(2 * chunk).unwrap();
    receiver.consumed(2 * chunk - 1);
    assert_eq!(receiver.due(), None);
    receiver.consumed(1);
    assert_eq!(receiver.due(), Some(2 * chunk));
    let mut sender = Sender::default();
    assert!(!sender.take(1));
    sender.grant(u64::MAX).unwrap();
    assert!(sender.grant(1).is_err());
    assert!(sender.take(u64::MAX));
    assert_eq!(sender.available(), 0);
}
