//! A side that scribbles over what a region has of indices and bells: what is read lies inside, and is what lay there.
#![no_main]

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use fades_ring::{ReadBytes, WriteBytes};
use fades_wire::region::{Birth, Channel, Incoming, Memory, Outgoing, REGION_LEN};
use libfuzzer_sys::fuzz_target;

/// Words of the ends of all channels, from 8 KiB on.
const ENDS: Range<usize> = 8 << 10..(8 << 10) + 4 * 128;

/// A region as far as channels go: the words of their ends, and bytes.
struct Region {
    words: [AtomicU32; ENDS.end / 4 - ENDS.start / 4],
    bytes: &'static [AtomicU8],
}

struct Bytes<'a>(&'a [AtomicU8]);

impl ReadBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        let Some(there) = at.checked_add(bytes.len()).and_then(|end| self.0.get(at..end)) else {
            return false;
        };
        bytes.iter_mut().zip(there).for_each(|(byte, there)| *byte = there.load(Ordering::Relaxed));
        true
    }
}

impl WriteBytes for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let Some(there) = at.checked_add(bytes.len()).and_then(|end| self.0.get(at..end)) else {
            return false;
        };
        bytes.iter().zip(there).for_each(|(byte, there)| there.store(*byte, Ordering::Relaxed));
        true
    }
}

impl Memory for Region {
    type Own<'a> = &'a AtomicU32;
    type Theirs<'a> = &'a AtomicU32;
    type Bytes<'a> = Bytes<'a>;

    fn own(&self, at: usize) -> &AtomicU32 {
        &self.words[(at - ENDS.start) / 4]
    }

    fn theirs(&self, at: usize) -> &AtomicU32 {
        self.own(at)
    }

    fn bytes(&self, range: Range<usize>) -> Bytes<'_> {
        Bytes(&self.bytes[range])
    }
}

/// What is done next, where, and with how much.
type Step = (u8, u8, u32);

fuzz_target!(|input: (u8, &[u8], Vec<Step>)| {
    // One for all runs; nothing is said of what lies in it.
    static BYTES: OnceLock<Vec<AtomicU8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| (0..REGION_LEN).map(|_| AtomicU8::new(0)).collect());
    let (channel, birth, steps) = input;
    if let Some(birth) = birth.first_chunk()
        && let Ok(born) = Birth::from_bytes(birth)
    {
        assert_eq!(&born.to_bytes(), birth);
    }
    fades_fuzz::parse(|| run(bytes, channel, &steps));
});

fn run(bytes: &'static [AtomicU8], channel: u8, steps: &[Step]) {
    let region = Region { words: std::array::from_fn(|_| AtomicU32::new(0)), bytes };
    let channel = Channel::ALL[usize::from(channel) % 4];
    let (mut outgoing, mut incoming) = (Outgoing::open(&region, channel), Incoming::open(&region, channel));
    let (lies, size) = (channel.bytes(), channel.bytes().len());
    let mut buffer = vec![0; 300];
    for &(what, at, value) in steps {
        let count = value as usize % (size + 2);
        let some = count % (buffer.len() + 1);
        match what % 9 {
            0 => region.words[usize::from(at) % region.words.len()].store(value, Ordering::Relaxed),
            // Close to what is possible.
            1 => {
                let ours = region.own(channel.written_at()).load(Ordering::Relaxed);
                region
                    .own(channel.written_at() + 64)
                    .store(ours.wrapping_sub(value % 5_000_000), Ordering::Relaxed);
            }
            2 => {
                if let Ok((written, _)) = outgoing.write(&region, &buffer[..some]) {
                    assert!(written <= some);
                }
            }
            3 => {
                let _ = outgoing.arm(&region, count);
            }
            4 => {
                if let Ok(Some((read, _))) = incoming.read(&region, &mut buffer[..some]) {
                    assert!(read <= some);
                }
            }
            5 => {
                if let Ok(Some((from, there))) = incoming.look(&region) {
                    assert!(lies.contains(&from) && there <= size);
                    // No more than was looked at, as whoever calls it is to see to.
                    let _ = incoming.skip(&region, there.min(count));
                }
            }
            6 => {
                let _ = incoming.arm(&region, count);
            }
            7 => outgoing.close(&region),
            _ => incoming.close(&region),
        }
    }
}
