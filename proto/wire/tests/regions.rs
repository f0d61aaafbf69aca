//! Regions: where everything lies, channels as streams of bytes, and no word of the other side's that does harm.

use fades_ring::{ReadBytes, WriteBytes};
use fades_wire::region::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A region in this process.
struct Here {
    words: Vec<AtomicU32>,
    bytes: Vec<AtomicU8>,
}

struct Bytes<'a>(&'a [AtomicU8]);

impl ReadBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        let Some(places) = self.0.get(at..at + bytes.len()) else { return false };
        bytes.iter_mut().zip(places).for_each(|(byte, place)| *byte = place.load(Ordering::Relaxed));
        true
    }
}

impl WriteBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let Some(places) = self.0.get(at..at + bytes.len()) else { return false };
        bytes.iter().zip(places).for_each(|(byte, place)| place.store(*byte, Ordering::Relaxed));
        true
    }
}

impl Memory for Here {
    type Own<'a> = &'a AtomicU32;
    type Theirs<'a> = &'a AtomicU32;
    type Bytes<'a> = Bytes<'a>;

    fn own(&self, at: usize) -> &AtomicU32 {
        assert_eq!(at % 4, 0);
        &self.words[at / 4]
    }

    fn theirs(&self, at: usize) -> &AtomicU32 {
        self.own(at)
    }

    fn bytes(&self, range: Range<usize>) -> Bytes<'_> {
        Bytes(&self.bytes[range])
    }
}

fn region() -> Here {
    Here {
        words: (0..(64 << 10) / 4).map(|_| AtomicU32::new(0)).collect(),
        bytes: (0..REGION_LEN).map(|_| AtomicU8::new(0)).collect(),
    }
}

/// Where an end's words lie, as written down in `region.rs`.
fn ends(channel: Channel) -> (usize, usize) {
    let first = (8 << 10) + 128 * Channel::ALL.iter().position(|one| *one == channel).expect("one of all");
    (first, first + 64)
}

#[test]
fn the_layout_is_pinned() {
    assert_eq!(REGION_LEN, 4 << 20);
    assert_eq!(Channel::Down.bytes(), 0x1_0000..0x2_0000);
    assert_eq!(Channel::Up.bytes(), 0x2_0000..0x3_0000);
    assert_eq!(Channel::Asks.bytes(), 0x3_0000..0x3_1000);
    assert_eq!(Channel::Data.bytes(), 0x20_0000..0x40_0000);
    assert_eq!((held_at(0), held_at(1), held_at(121)), (None, Some(4100), None));
    assert_eq!(held_at(MAX_REGIONS), Some(4096 + 4 * 120));
    let memory = region();
    for channel in Channel::ALL {
        let (producer, consumer) = ends(channel);
        let (mut out, mut input) = (Outgoing::open(&memory, channel), Incoming::open(&memory, channel));
        assert_eq!(out.write(&memory, b"abc"), Ok((3, false)), "nobody waits");
        assert_eq!(memory.own(producer).load(Ordering::Relaxed), 3);
        assert_eq!(input.read(&memory, &mut [0; 2]), Ok(Some((2, false))));
        assert_eq!(memory.own(consumer).load(Ordering::Relaxed), 2);
        out.arm(&memory, 1).unwrap();
        input.arm(&memory, 1).unwrap();
        assert_eq!(memory.own(consumer + 4).load(Ordering::Relaxed), 3);
        out.close(&memory);
        input.close(&memory);
        assert_eq!([producer, consumer].map(|end| memory.own(end + 8).load(Ordering::Relaxed)), [1, 1]);
    }
    let birth = Birth { turn: 0x0403_0201, time_unix_us: 0x0807_0605_0403_0201, seed: [9; 32] };
    let bytes = birth.to_bytes();
    assert_eq!(bytes[..16], *b"FRG1\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_eq!(Birth::from_bytes(&bytes), Ok(birth));
    assert_eq!(
        Birth::from_bytes(&[0; 48]).unwrap_err().to_string(),
        "a region begins with [00, 00, 00, 00] instead of \"FRG1\""
    );
}

#[test]
fn what_was_written_before_the_end_is_read_and_nothing_goes_to_who_wants_no_more() {
    let memory = region();
    let (mut out, mut input) = (Outgoing::open(&memory, Channel::Up), Incoming::open(&memory, Channel::Up));
    assert_eq!(input.arm(&memory, 1), Ok(false));
    assert_eq!(out.write(&memory, b"last"), Ok((4, true)), "who waits is woken");
    out.close(&memory);
    assert_eq!(input.look(&memory), Ok(Some((0x2_0000, 4))));
    input.skip(&memory, 1);
    let mut bytes = [0; 9];
    assert_eq!(input.read(&memory, &mut bytes), Ok(Some((3, false))));
    assert_eq!(&bytes[..3], b"ast");
    assert_eq!((input.read(&memory, &mut bytes), input.look(&memory)), (Ok(None), Ok(None)));
    assert_eq!(input.arm(&memory, 1), Ok(true), "there is nothing to wait for");
    input.close(&memory);
    assert_eq!(out.write(&memory, b"x"), Err(ChannelError::Closed));
    assert_eq!(out.arm(&memory, 1), Ok(true));
}

#[test]
fn nobody_believes_what_stands_where_its_own_index_belongs() {
    let memory = region();
    let (producer, consumer) = ends(Channel::Data);
    for end in [producer, consumer] {
        memory.own(end).store(0x7fff_0000, Ordering::Relaxed);
    }
    let (mut out, mut input) =
        (Outgoing::open(&memory, Channel::Data), Incoming::open(&memory, Channel::Data));
    assert_eq!([producer, consumer].map(|end| memory.own(end).load(Ordering::Relaxed)), [0, 0]);
    assert_eq!(out.write(&memory, b"abc"), Ok((3, false)));
    // Nor afterwards, though the other side writes there.
    memory.own(producer).store(9, Ordering::Relaxed);
    assert_eq!(out.write(&memory, b"de"), Ok((2, false)));
    assert_eq!(input.look(&memory), Ok(Some((0x20_0000, 5))));
    memory.own(consumer).store(5, Ordering::Relaxed);
    input.skip(&memory, 2);
    assert_eq!(input.look(&memory), Ok(Some((0x20_0002, 3))));
}

#[test]
fn who_waits_for_room_is_woken_by_it() {
    let memory = region();
    let (mut out, mut input) =
        (Outgoing::open(&memory, Channel::Asks), Incoming::open(&memory, Channel::Asks));
    assert_eq!(out.write(&memory, &[1; 5000]), Ok((4096, false)));
    assert_eq!(out.arm(&memory, 100), Ok(false));
    assert_eq!(input.read(&memory, &mut [0; 60]), Ok(Some((60, false))));
    assert!(!input.skip(&memory, 39), "there is room for 99");
    assert!(input.skip(&memory, 1));
    assert_eq!((input.skip(&memory, 1), out.arm(&memory, 100)), (false, Ok(true)), "told once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a queue, read by copy or in place; who is told to wait is woken by what it waited for.
    #[test]
    fn a_channel_is_a_queue(steps in vec((any::<bool>(), any::<bool>(), 0..6000_usize), 1..80)) {
        let memory = region();
        let channel = Channel::Asks;
        let (mut out, mut input) = (Outgoing::open(&memory, channel), Incoming::open(&memory, channel));
        let (mut model, mut next) = (VecDeque::new(), 0_u8);
        // Bytes ever written, and how many of them the reader waits for; bytes ever read, and of these the writer.
        let (mut written, mut waits) = (0, None);
        let (mut read, mut writer_waits) = (0, None);
        for (writes, in_place, len) in steps {
            if writes {
                let bytes: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                let (done, wake) = out.write(&memory, &bytes).unwrap();
                prop_assert_eq!(done, len.min(4096 - model.len()));
                model.extend(&bytes[..done]);
                written += done;
                prop_assert_eq!(wake, waits.is_some_and(|wanted| written >= wanted));
                waits = waits.filter(|wanted| written < *wanted);
                if done < len {
                    let wanted = 1 + len % 4096;
                    // So many have to be read for that much room.
                    let until = (written + wanted).saturating_sub(4096);
                    writer_waits = (!out.arm(&memory, wanted).unwrap()).then_some(until);
                }
            } else if in_place {
                let (at, count) = input.look(&memory).unwrap().unwrap();
                prop_assert_eq!(count, model.len());
                let count = count.min(len);
                for index in 0..count {
                    let place = 0x3_0000 + (at - 0x3_0000 + index) % 4096;
                    prop_assert_eq!(Some(memory.bytes[place].load(Ordering::Relaxed)), model.pop_front());
                }
                let wake = input.skip(&memory, count);
                read += count;
                prop_assert_eq!(wake, writer_waits.is_some_and(|wanted| read >= wanted));
                writer_waits = writer_waits.filter(|wanted| read < *wanted);
            } else {
                let mut bytes = vec![0; len];
                let (done, wake) = input.read(&memory, &mut bytes).unwrap().unwrap();
                read += done;
                prop_assert_eq!(wake, writer_waits.is_some_and(|wanted| read >= wanted));
                writer_waits = writer_waits.filter(|wanted| read < *wanted);
                prop_assert_eq!(done, len.min(model.len()));
                prop_assert_eq!(&bytes[..done], &model.drain(..done).collect::<Vec<u8>>()[..]);
                let wanted = 1 + len % 4096;
                let until = written - model.len() + wanted;
                waits = (!input.arm(&memory, wanted).unwrap()).then_some(until);
            }
        }
    }

    /// Whatever the other side's words say: an error or bytes, never more than fit, never a panic.
    #[test]
    fn no_word_of_the_other_side_does_harm(
        words in vec((0..4_usize, any::<bool>(), 0..3_usize, any::<u32>()), 0..20), len in 0..9000_usize,
    ) {
        let memory = region();
        let mut out = Channel::ALL.map(|channel| Outgoing::open(&memory, channel));
        let mut input = Channel::ALL.map(|channel| Incoming::open(&memory, channel));
        for (channel, producers, word, value) in words {
            let (producer, consumer) = ends(Channel::ALL[channel]);
            let end = if producers { producer } else { consumer };
            memory.own(end + word * 4).store(value, Ordering::Relaxed);
            let size = Channel::ALL[channel].bytes().len();
            if let Ok((done, _)) = out[channel].write(&memory, &vec![1; len]) {
                prop_assert!(done <= len.min(size));
            }
            let _ = out[channel].arm(&memory, len);
            if let Ok(Some((at, count))) = input[channel].look(&memory) {
                prop_assert!(Channel::ALL[channel].bytes().contains(&at) && count <= size);
            }
            if let Ok(Some((done, _))) = input[channel].read(&memory, &mut vec![0; len]) {
                prop_assert!(done <= len.min(size));
            }
            let _ = input[channel].arm(&memory, len);
        }
    }

    #[test]
    fn a_birth_is_read_as_it_was_written(turn: u32, time_unix_us: u64, seed: [u8; 32], bytes in any::<[[u8; 16]; 3]>()) {
        let birth = Birth { turn, time_unix_us, seed };
        prop_assert_eq!(Birth::from_bytes(&birth.to_bytes()), Ok(birth));
        let _ = Birth::from_bytes(bytes.as_flattened().try_into().unwrap());
    }
}
