//! The one thing that is changed in what QEMU saved.
//!
//! For each block of memory that is not part of the state, because others share it, QEMU writes where it lies in the guest, and one
//! that loads the state insists that its own lies there already (`migration/ram.c`, `ram_save_setup` and `ram_load_precopy`). The
//! guest's region is a device's, and lies nowhere before the device's own state has been loaded. So the place that is
//! written is made the one that a device has which was not given any: 0.

use fades_wire::region::REGION_LEN;

/// What QEMU calls the region of a guest.
const NAME: &[u8] = b"0000:00:03.0/ivshmem.bar2";

/// A saved state that is not what this version of QEMU was known to write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the saved state tells {found} times of a region of {REGION_LEN} bytes instead of once")]
pub(crate) struct StateError {
    found: usize,
}

/// Has the region lie nowhere yet.
pub(super) fn unplace_region(state: &mut [u8]) -> Result<(), StateError> {
    // Length of the name, name, bytes of the block; then its place. Big-endian.
    let mut mark = vec![u8::try_from(NAME.len()).unwrap_or(0)];
    mark.extend(NAME);
    mark.extend((REGION_LEN as u64).to_be_bytes());
    let places: Vec<usize> = state
        .windows(mark.len() + 8)
        .enumerate()
        .filter(|(_, w)| w.starts_with(&mark))
        .map(|(at, _)| at)
        .collect();
    let [at] = places[..] else { return Err(StateError { found: places.len() }) };
    state[at + mark.len()..][..8].fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(length: u64) -> Vec<u8> {
        let mut bytes = b"before\x19".to_vec();
        bytes.extend(NAME);
        bytes.extend(length.to_be_bytes());
        bytes.extend(0xe_0000_0000_u64.to_be_bytes());
        bytes.extend(b"after");
        bytes
    }

    #[test]
    fn the_regions_place_is_taken_and_nothing_else() {
        let before = block(4 << 20);
        let mut after = before.clone();
        unplace_region(&mut after).unwrap();
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        // The one byte of the place that was not 0.
        assert_eq!(changed, [6 + 1 + NAME.len() + 8 + 3]);
    }

    #[test]
    fn a_state_of_another_form_is_refused() {
        assert_eq!(unplace_region(&mut block(8 << 20)), Err(StateError { found: 0 }));
        assert_eq!(
            unplace_region(&mut [block(4 << 20), block(4 << 20)].concat()),
            Err(StateError { found: 2 })
        );
        assert_eq!(unplace_region(&mut []), Err(StateError { found: 0 }));
        let mut cut = block(4 << 20);
        cut.truncate(cut.len() - 6);
        assert_eq!(unplace_region(&mut cut), Err(StateError { found: 0 }));
    }
}
