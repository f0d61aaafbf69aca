//! The device tree that the kernel is given: its memory, and its boot arguments. Nothing else.
//!
//! Flattened device tree version 17 (devicetree specification 0.4, chapter 5), written into a buffer without allocation.

use crate::LoadError;
use crate::start_info::Ram;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;
const HEADER_LEN: usize = 40;
/// One terminating reservation entry.
const RESERVATIONS_LEN: usize = 16;

/// All property names, with the offsets below.
const STRINGS: &[u8] = b"#address-cells\0#size-cells\0device_type\0reg\0bootargs\0compatible\0";
const ADDRESS_CELLS: u32 = 0;
const SIZE_CELLS: u32 = 15;
const DEVICE_TYPE: u32 = 27;
const REG: u32 = 39;
const BOOTARGS: u32 = 43;
const COMPATIBLE: u32 = 52;

/// Writes the tree into `buffer` and returns its length.
///
/// # Errors
/// [`LoadError::DeviceTree`] if it does not fit.
pub fn write(buffer: &mut [u8], ram: &Ram, bootargs: &str) -> Result<usize, LoadError> {
    let capacity = buffer.len();
    let mut out = Writer { buffer, at: HEADER_LEN + RESERVATIONS_LEN };
    out.tree(ram, bootargs).ok_or(LoadError::DeviceTree { capacity })
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn tree(&mut self, ram: &Ram, bootargs: &str) -> Option<usize> {
        let structure = self.at;
        self.begin(b"\0")?;
        self.property(ADDRESS_CELLS, &[&2u32.to_be_bytes()])?;
        self.property(SIZE_CELLS, &[&2u32.to_be_bytes()])?;
        // The kernel's parser insists on it.
        self.property(COMPATIBLE, &[b"fades,pvh\0"])?;
        for span in ram.spans() {
            self.begin_with_address(b"memory@", span.start())?;
            self.property(DEVICE_TYPE, &[b"memory\0"])?;
            self.property(REG, &[&span.start().to_be_bytes(), &span.len().to_be_bytes()])?;
            self.word(END_NODE)?;
        }
        self.begin(b"chosen\0")?;
        self.property(BOOTARGS, &[bootargs.as_bytes(), b"\0"])?;
        self.word(END_NODE)?;
        self.word(END_NODE)?;
        self.word(END)?;
        let strings = self.at;
        self.bytes(STRINGS)?;
        self.header(structure, strings)?;
        Some(self.at)
    }

    fn header(&mut self, structure: usize, strings: usize) -> Option<()> {
        let words = [
            MAGIC,
            number(self.at)?,
            number(structure)?,
            number(strings)?,
            number(HEADER_LEN)?, // reservations
            17,
            16, // readable by whoever knows version 16
            0,  // booting processor
            number(STRINGS.len())?,
            number(strings - structure)?,
        ];
        self.buffer.get_mut(HEADER_LEN..HEADER_LEN + RESERVATIONS_LEN)?.fill(0);
        for (field, word) in self.buffer.get_mut(..HEADER_LEN)?.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_be_bytes());
        }
        Some(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.buffer.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    fn pad(&mut self) -> Option<()> {
        while !self.at.is_multiple_of(4) {
            self.bytes(&[0])?;
        }
        Some(())
    }

    fn begin(&mut self, name: &[u8]) -> Option<()> {
        self.word(BEGIN_NODE)?;
        self.bytes(name)?;
        self.pad()
    }

    fn begin_with_address(&mut self, name: &[u8], address: u64) -> Option<()> {
        self.word(BEGIN_NODE)?;
        self.bytes(name)?;
        let digits = (address.checked_ilog2().unwrap_or(0) / 4) + 1;
        for digit in (0..digits).rev() {
            let nibble = u8::try_from((address >> (4 * digit)) & 0xf).ok()?;
            self.bytes(&[if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }])?;
        }
        self.bytes(b"\0")?;
        self.pad()
    }

    fn property(&mut self, name: u32, parts: &[&[u8]]) -> Option<()> {
        self.word(PROPERTY)?;
        self.word(number(parts.iter().map(|part| part.len()).sum())?)?;
        self.word(name)?;
        for part in parts {
            self.bytes(part)?;
        }
        self.pad()
    }
}

fn number(value: usize) -> Option<u32> {
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;
    use std::vec::Vec;

    #[test]
    fn the_kernels_parser_reads_it_back() {
        let mut ram = Ram::new();
        ram.push(Span::between(0, 0x9_f000).unwrap());
        ram.push(Span::between(0x10_0000, 0x3fe_0000).unwrap());
        ram.push(Span::between(0x1_0000_0000, 0x1_4000_0000).unwrap());
        let mut buffer = [0xaa; 2048];
        let len = write(&mut buffer, &ram, "-ip 10.77.0.2 env=A='b c' -- x").unwrap();
        let tree = ::fdt::Fdt::new(&buffer[..len]).unwrap();
        assert_eq!(tree.root().compatible().first(), "fades,pvh");
        assert_eq!(tree.chosen().bootargs(), Some("-ip 10.77.0.2 env=A='b c' -- x"));
        let read: Vec<_> = tree
            .find_all_nodes("/memory")
            .map(|node| node.reg().unwrap().next().unwrap())
            .map(|region| (region.starting_address as u64, region.size.unwrap() as u64))
            .collect();
        let given: Vec<_> = ram.spans().iter().map(|span| (span.start(), span.len())).collect();
        assert_eq!(read, given);
    }

    #[test]
    fn a_buffer_too_small_by_any_amount_is_an_error() {
        let mut ram = Ram::new();
        ram.push(Span::between(0x10_0000, 0x400_0000).unwrap());
        let mut buffer = [0; 512];
        let len = write(&mut buffer, &ram, "a b c").unwrap();
        for short in 0..len {
            assert_eq!(
                write(&mut buffer[..short], &ram, "a b c"),
                Err(LoadError::DeviceTree { capacity: short })
            );
        }
    }
}
