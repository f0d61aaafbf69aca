//! The two sides of a ring, each before another that lies about its index: as a queue as long as nobody does, and never more than
//! there is room for.
#![no_main]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fades_ring::{Reader, Receiving, Sending, Writer};
use libfuzzer_sys::fuzz_target;

/// Bytes of the ring.
const SIZE: usize = 64;

/// What is done next, and with how much.
type Step = (u8, u32);

fuzz_target!(|input: (u32, bool, Vec<Step>)| {
    let (start, honest, steps) = input;
    fades_fuzz::parse(|| run(start, honest, &steps));
});

fn run(start: u32, honest: bool, steps: &[Step]) {
    let data: [AtomicU64; SIZE / 8] = std::array::from_fn(|_| AtomicU64::new(0));
    let [produced, consumed, producer_wake, consumer_wake] = std::array::from_fn(|_| AtomicU32::new(start));
    let (mut sending, mut receiving) = (Sending::new(&produced), Receiving::new(&consumed));
    let (mut model, mut next) = (VecDeque::<u8>::new(), 0u8);
    let mut buffer = [0; SIZE + 9];
    for &(what, value) in steps {
        let count = value as usize % (buffer.len() + 1);
        match what % 7 {
            0 if !honest => produced.store(value, Ordering::Relaxed),
            1 if !honest => consumed.store(value, Ordering::Relaxed),
            2 if !honest => {
                [&producer_wake, &consumer_wake][value as usize % 2].store(value, Ordering::Relaxed);
            }
            3 => {
                for byte in &mut buffer[..count] {
                    next = next.wrapping_add(1);
                    *byte = next;
                }
                match sending.write(&produced, &consumed, &consumer_wake, &data, &buffer[..count]) {
                    Ok((written, _)) if honest => {
                        assert_eq!(written, count.min(SIZE - model.len()));
                        model.extend(&buffer[..written]);
                    }
                    Ok((written, _)) => assert!(written <= count.min(SIZE)),
                    Err(error) => assert!(!honest, "{error}"),
                }
            }
            4 => match receiving.read(&consumed, &produced, &producer_wake, &data, &mut buffer[..count]) {
                Ok((read, _)) if honest => {
                    assert_eq!(read, count.min(model.len()));
                    assert!(model.drain(..read).eq(buffer[..read].iter().copied()));
                }
                Ok((read, _)) => assert!(read <= count.min(SIZE)),
                Err(error) => assert!(!honest, "{error}"),
            },
            5 => {
                let has_room = sending.arm(&producer_wake, &consumed, SIZE, count);
                if honest {
                    assert_eq!(has_room, Ok(SIZE - model.len() >= count.clamp(1, SIZE)));
                }
            }
            6 => {
                let has_bytes = receiving.arm(&consumer_wake, &produced, &data, count);
                if honest {
                    assert_eq!(has_bytes, Ok(model.len() >= count.clamp(1, SIZE)));
                }
                if let Ok((at, there)) = receiving.look(&produced, &data) {
                    assert!(at < SIZE && there <= SIZE);
                }
            }
            _ => {}
        }
    }
    // Who takes a ring over goes on wherever its own index stands.
    let (mut writer, mut reader) = (Writer::attach(&produced), Reader::attach(&consumed));
    assert!(reader.read(&consumed, &produced, &data, &mut buffer).is_ok_and(|read| read <= SIZE) || !honest);
    assert!(
        writer.write(&produced, &consumed, &data, &buffer).is_ok_and(|written| written <= SIZE) || !honest
    );
}
