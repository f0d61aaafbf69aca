//! Recorded points: any bytes have an answer; whatever points are recorded come back to the bit, and no byte of them can be another.

#![no_main]

use std::collections::BTreeMap;

use fades_points::Fixture;
use libfuzzer_sys::fuzz_target;

/// Measurement, field, a tag's value, time, the bits of a value.
type Point<'a> = (&'a str, &'a str, &'a str, i64, u64);

fuzz_target!(|input: (&[u8], Vec<Point<'_>>, u16, u8)| {
    let (bytes, points, at, mask) = input;
    again(bytes);
    again(&[b"FADESFPT\x01\0\0\0", bytes].concat());
    let mut fixture = Fixture::default();
    for (measurement, field, tag, time, bits) in points {
        let tags = BTreeMap::from([("tag".to_owned(), tag.to_owned())]);
        fixture.push(measurement, field, &tags, time, f64::from_bits(bits));
    }
    let Ok(mut recorded) = fixture.to_fpt() else { return };
    assert!(again(&recorded));
    let at = usize::from(at) % recorded.len();
    recorded[at] ^= mask;
    assert_eq!(again(&recorded), mask == 0);
});

/// Whether it is read. By its bytes, as a NaN is not equal to itself.
fn again(bytes: &[u8]) -> bool {
    let Ok(fixture) = fades_fuzz::parse(|| Fixture::from_fpt(bytes)) else { return false };
    let recorded = fixture.to_fpt().expect("what was read fits the wire");
    let twice = Fixture::from_fpt(&recorded).expect("what was recorded is read");
    assert_eq!(twice.to_fpt().expect("it was written before"), recorded);
    true
}
