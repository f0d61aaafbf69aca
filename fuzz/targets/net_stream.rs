//! A monitor that sends any bytes as its frames, in pieces of any size: the same frames come out, and a lie is told at once.
#![no_main]

use std::io::Read;

use fades_net::{FrameReader, LARGEST_CLAIM, LyingLength};
use libfuzzer_sys::fuzz_target;

/// Gives out so much per read.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let piece = self.1.min(into.len()).min(self.0.len());
        (&self.0[..piece]).read(into).inspect(|count| self.0 = &self.0[*count..])
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    fades_fuzz::parse(|| read(bytes, bytes.len().max(1), |_| ()).is_ok());
    let (mut whole, mut frames) = (Vec::new(), Vec::new());
    let lie = read(bytes, bytes.len().max(1), |frame| whole.push(frame.to_vec()));
    let same = read(bytes, usize::from(*piece) + 1, |frame| frames.push(frame.to_vec()));
    assert_eq!((&whole, lie.is_err()), (&frames, same.is_err()));
    let again: Vec<u8> =
        whole.iter().flat_map(|frame| [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat()).collect();
    assert_eq!(bytes[..again.len()], again);
    if let Err(LyingLength(claimed)) = lie {
        assert!(claimed as usize > LARGEST_CLAIM);
    }
});

fn read(bytes: &[u8], piece: usize, mut each: impl FnMut(&[u8])) -> Result<(), LyingLength> {
    let (mut source, mut reader) = (Pieces(bytes, piece), FrameReader::default());
    loop {
        while let Some(frame) = reader.frame()? {
            each(frame);
            let length = frame.len();
            reader.advance(length);
        }
        if reader.fill(&mut source).expect("memory") == 0 {
            return Ok(());
        }
    }
}
