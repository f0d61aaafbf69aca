//! Recorded points:
//!
//! ```text
//! 0    "FADESFPT"
//! 8    u32 LE   format, 1
//! 12   frames of the data wire on stream 0: per series its description (all its tags) and its chunks, at the end the counts
//!      and the digest of all of it
//! ```

use fades_wire::batch::{Batch, BatchBuilder, MAX_POINTS_PER_BATCH};
use fades_wire::control::Name;
use fades_wire::data::{End, FromBroker, Series, Tag};
use fades_wire::digest::Meter;
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::message::to_body;

use crate::{Fault, Fixture};

const MAGIC: &[u8; 8] = b"FADESFPT";
const FORMAT: u32 = 1;
const HEADER_LEN: usize = 12;

pub(crate) fn write(fixture: &Fixture) -> Result<Vec<u8>, Fault> {
    let mut out = MAGIC.to_vec();
    out.extend(FORMAT.to_le_bytes());
    let (mut encoder, mut meter) = (Encoder::data(), Meter::default());
    let mut put =
        |kind: Kind, body: &[u8]| encoder.frame(kind, 0, body, &mut out).map(drop).map_err(unwritten);
    for (series, id) in fixture.series().zip(0u32..) {
        let name = |text: &String| Name::from(text.as_str());
        let tags =
            series.tags.iter().map(|(key, value)| Tag { key: name(key), value: name(value) }).collect();
        let (measurement, field) = (series.measurement.to_owned(), series.field.to_owned());
        let body = to_body(&Series { id, tags, measurement, field }).map_err(unwritten)?;
        meter.series(&body);
        put(Kind::Series, &body)?;
        let points: Vec<(i64, f64)> = series.points.iter().map(|(time, value)| (*time, *value)).collect();
        for chunk in points.chunks(MAX_POINTS_PER_BATCH) {
            let mut builder = BatchBuilder::new(id);
            for &(time, value) in chunk {
                builder.push(time, value);
            }
            let mut body = Vec::new();
            builder.write(&mut body);
            meter.chunk(&Batch::parse(&body).map_err(unwritten)?);
            put(Kind::Chunk, &body)?;
        }
    }
    put(Kind::End, &to_body(&End(meter.summary(0))).map_err(unwritten)?)?;
    Ok(out)
}

/// Names longer than the wire takes, or more tags.
fn unwritten(error: impl std::fmt::Display) -> Fault {
    Fault::Recorded(format!("it cannot be written: {error}"))
}

pub(crate) fn read(bytes: &[u8]) -> Result<Fixture, Fault> {
    let recorded = |words: &str| Fault::Recorded(words.to_owned());
    let (header, frames) =
        bytes.split_at_checked(HEADER_LEN).ok_or_else(|| recorded("it is shorter than its header"))?;
    if !header.starts_with(MAGIC) {
        return Err(recorded("it does not begin with FADESFPT"));
    }
    if header[8..] != FORMAT.to_le_bytes() {
        return Err(Fault::Recorded(format!(
            "its format is {:?}, and this program reads {FORMAT}",
            &header[8..]
        )));
    }
    let (mut decoder, mut meter, mut series, mut fixture) =
        (Decoder::data(), Meter::default(), None, Fixture::default());
    let (mut rest, mut whole) = (frames, false);
    loop {
        while let Some(frame) = decoder.next().map_err(|error| Fault::Recorded(error.to_string()))? {
            if whole {
                return Err(recorded("it goes on behind its end"));
            }
            let message = FromBroker::from_frame(frame.kind, frame.body)
                .map_err(|error| Fault::Recorded(error.to_string()))?;
            match message {
                FromBroker::Series(told) => {
                    meter.series(frame.body);
                    let tags = told.tags.iter().map(|tag| (tag.key.0.clone(), tag.value.0.clone())).collect();
                    series = Some((told.id, told.measurement, told.field, tags));
                }
                FromBroker::Chunk(batch) => {
                    meter.chunk(&batch);
                    let (_, measurement, field, tags) = series
                        .as_ref()
                        .filter(|(id, ..)| *id == batch.series())
                        .ok_or_else(|| recorded("points of another series than the one before them"))?;
                    for (time, value) in batch.points() {
                        fixture.push(measurement, field, tags, time, value);
                    }
                }
                FromBroker::End(end) if end.0 == meter.summary(0) => whole = true,
                FromBroker::End(_) => {
                    return Err(recorded("its counts or its digest are not those of its points"));
                }
                FromBroker::Abort(abort) => return Err(Fault::Recorded(abort.0.to_string())),
            }
        }
        if rest.is_empty() {
            break;
        }
        let space = decoder.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        decoder.filled(count);
        rest = &rest[count..];
    }
    if whole { Ok(fixture) } else { Err(recorded("it is cut: its end is missing")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn fixture(points: u32) -> Fixture {
        let mut fixture = Fixture::default();
        for index in 0..points {
            let room = BTreeMap::from([("room".to_owned(), format!("r{}", index % 3))]);
            fixture.push("m", "v", &room, i64::from(index), f64::from(index) / 4.0);
        }
        fixture
    }

    #[test]
    fn what_was_written_is_read() {
        for points in [0, 1, 50_000] {
            let fixture = fixture(points);
            assert_eq!(read(&write(&fixture).unwrap()).unwrap(), fixture);
        }
    }

    #[test]
    fn names_that_the_wire_does_not_take_are_refused() {
        let mut fixture = Fixture::default();
        fixture.push(&"m".repeat(257), "v", &BTreeMap::new(), 0, 1.0);
        assert!(write(&fixture).unwrap_err().to_string().contains("it cannot be written"));
    }

    #[test]
    fn the_form_is_pinned() {
        let bytes = write(&fixture(1)).unwrap();
        assert_eq!(bytes[..12], *b"FADESFPT\x01\0\0\0");
        assert_eq!(bytes[12..16], *b"FDS1");
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let good = write(&fixture(7)).unwrap();
        for at in 0..good.len() {
            assert!(read(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "changed at {at}");
        }
        let twice = [good.clone(), good[12..].to_vec()].concat();
        assert!(read(&twice).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut with_header = write(&Fixture::default()).unwrap()[..12].to_vec();
            with_header.extend(&bytes);
            let _ = read(&bytes);
            let _ = read(&with_header);
        }
    }
}
