//! Which pages the kernel finds mapped when it starts.
//!
//! Kernel 0.11 keeps the tables that it is given and adds to them; it panics where it meets a mapping larger than 2 MiB
//! or one that it wants for itself. So the loader maps, one to one and in 2 MiB pages, exactly what must be there before
//! the kernel has read the memory map: from address 0 to the end of the loaded image. One page directory is enough
//! because [`crate::place`] keeps the image below 1 GiB.

use crate::span::align_up;

/// Size of a page that the loader maps.
pub const LARGE_PAGE: u64 = 2 << 20;
/// What one page directory covers.
pub const DIRECTORY_SPAN: u64 = 1 << 30;
/// Entries in any table.
pub const ENTRIES: usize = 512;

/// Tables of 64-bit Arm, with pages of 4 KiB and 48 bits of virtual address: what differs from x86-64.
pub mod arm;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;

/// An entry that points to a table at `address` (4 KiB aligned).
pub const fn table_entry(address: u64) -> u64 {
    address | PRESENT | WRITABLE
}

/// Fills `directory` so that `0..end` is mapped one to one, and nothing else. Ends at 1 GiB at the latest.
pub fn fill_directory(directory: &mut [u64; ENTRIES], end: u64) {
    let end = align_up(end, LARGE_PAGE).unwrap_or(DIRECTORY_SPAN).min(DIRECTORY_SPAN);
    let mut address = 0;
    for entry in directory.iter_mut() {
        *entry = if address < end { address | PRESENT | WRITABLE | LARGE } else { 0 };
        address += LARGE_PAGE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_mapped() {
        let mut directory = [u64::MAX; ENTRIES];
        fill_directory(&mut directory, (4 << 20) + 1);
        assert_eq!(directory[0], 0x83);
        assert_eq!(directory[2], (4 << 20) | 0x83);
        assert!(directory[3..].iter().all(|&entry| entry == 0));
    }

    #[test]
    fn never_more_than_a_gibibyte() {
        let mut directory = [0; ENTRIES];
        fill_directory(&mut directory, u64::MAX);
        assert_eq!(directory[511], ((1 << 30) - LARGE_PAGE) | 0x83);
    }
}
