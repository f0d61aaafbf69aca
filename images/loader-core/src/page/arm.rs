use crate::page::{ENTRIES, LARGE_PAGE};
use crate::span::align_up;

/// Where RAM begins on QEMU's `virt`, and what one directory from there on covers.
pub const RAM: u64 = 1 << 30;

const VALID: u64 = 1;
const TABLE: u64 = 1 << 1;
const SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
/// Not to be executed, privileged or not.
const NEVER_EXECUTED: u64 = 3 << 53;
/// Index of ordinary cached memory in [`ATTRIBUTES`]; device memory has 0.
const NORMAL: u64 = 4 << 2;

/// Kinds of memory as kernel 0.11 numbers them (MAIR_EL1): device nGnRnE, device nGnRE, device GRE, not cached, cached.
pub const ATTRIBUTES: u64 = 0xff_44_0c_04_00;

/// An entry that points to a table at `address` (4 KiB aligned). Taken for the entry of a page, which the kernel's view of its own
/// tables does, it is one of ordinary memory.
pub const fn table_entry(address: u64) -> u64 {
    address | NORMAL | SHAREABLE | ACCESSED | TABLE | VALID
}

/// An entry that maps a block (2 MiB or 1 GiB, by its table) of RAM.
pub const fn ram_entry(address: u64) -> u64 {
    address | NORMAL | SHAREABLE | ACCESSED | VALID
}

/// An entry that maps a block of devices' registers.
pub const fn device_entry(address: u64) -> u64 {
    address | SHAREABLE | ACCESSED | NEVER_EXECUTED | VALID
}

/// Fills the directory of the second GiB so that RAM up to `end` is mapped one to one, and nothing else.
pub fn fill_directory(directory: &mut [u64; ENTRIES], end: u64) {
    let last = RAM + ENTRIES as u64 * LARGE_PAGE;
    let end = align_up(end, LARGE_PAGE).unwrap_or(last).min(last);
    let mut address = RAM;
    for entry in directory.iter_mut() {
        *entry = if address < end { ram_entry(address) } else { 0 };
        address += LARGE_PAGE;
    }
}

/// Fills the directory of the first GiB so that the 2 MiB around `device` are mapped one to one, and nothing else.
pub fn fill_devices(directory: &mut [u64; ENTRIES], device: u64) {
    directory.fill(0);
    let index = usize::try_from(device / LARGE_PAGE).unwrap_or(usize::MAX);
    if let Some(entry) = directory.get_mut(index) {
        *entry = device_entry(device - device % LARGE_PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_mapped() {
        let mut directory = [u64::MAX; ENTRIES];
        fill_directory(&mut directory, RAM + (4 << 20) + 1);
        assert_eq!(directory[0], 0x4000_0711);
        assert_eq!(directory[2], 0x4040_0711);
        assert!(directory[3..].iter().all(|&entry| entry == 0));
        fill_directory(&mut directory, u64::MAX);
        assert_eq!(directory[511], 0x7fe0_0711);
        fill_devices(&mut directory, 0x0900_0000);
        assert_eq!(directory.iter().filter(|&&entry| entry != 0).count(), 1);
        assert_eq!(directory[72], 0x0060_0000_0900_0701);
    }
}
