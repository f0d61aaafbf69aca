//! Where the application goes.
//!
//! The kernel takes all RAM above its own image (rounded out to 2 MiB) as free, and nothing below it. So whatever must
//! outlive the jump (page tables, device tree, boot information, first stack) stays below the image, in the loader's own
//! memory; and the module must not be overwritten while it is copied from. The lowest place that satisfies both is best:
//! what lies below is lost to the guest.

use crate::page::LARGE_PAGE;
use crate::span::{align_down, align_up};
use crate::start_info::Ram;
use crate::{LoadError, Span};

/// RAM that the kernel needs behind the image to come up: 4 MiB that it keeps for page tables, a heap of 4 MiB, stacks, queues
/// of the network device. With less it panics, where this loader says why.
pub const KERNEL_NEEDS: u64 = 11 << 20;

/// The lowest 2 MiB-aligned address at which `image_len` bytes touch neither `loader` nor `module`, above `loader`,
/// in one range of RAM below `limit` that leaves [`KERNEL_NEEDS`] behind the image.
///
/// # Errors
/// [`LoadError::NoRoom`].
pub fn base_for(ram: &Ram, loader: Span, module: Span, image_len: u64, limit: u64) -> Result<u64, LoadError> {
    let mut ram_end = 0;
    for &span in ram.spans() {
        let end = span.end().min(limit);
        ram_end = ram_end.max(end);
        let low = span.start().max(loader.end());
        let base = lowest(low, end, module, image_len);
        if let Some(base) = base {
            return Ok(base);
        }
    }
    Err(LoadError::NoRoom { need: image_len.saturating_add(KERNEL_NEEDS), ram_end })
}

fn lowest(low: u64, end: u64, module: Span, image_len: u64) -> Option<u64> {
    let fits = |base: u64| {
        let image = Span::new(base, align_up(image_len, LARGE_PAGE)?)?;
        let free = end.checked_sub(image.end())?;
        (free >= KERNEL_NEEDS && !image.overlaps(module)).then_some(base)
    };
    let first = align_up(low, LARGE_PAGE)?;
    // Behind the module is the only other place worth trying: any place before it that fits starts at `first`.
    fits(first).or_else(|| fits(align_up(module.end().max(low), LARGE_PAGE)?))
}

/// The RAM that the kernel is told of: what lies at or above `base`, in whole 4 KiB pages.
///
/// Kernel 0.11 reads one range per memory node and ignores those that end below its image.
pub fn ram_for_kernel(ram: &Ram, base: u64) -> Ram {
    const PAGE: u64 = 4096;
    let mut told = Ram::new();
    for &span in ram.spans() {
        let start = align_up(span.start(), PAGE).unwrap_or(u64::MAX);
        let range = Span::between(start, align_down(span.end(), PAGE));
        if let Some(range) = range.filter(|range| range.len() > 0 && range.end() > base) {
            told.push(range);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::DIRECTORY_SPAN;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn ram(ranges: &[(u64, u64)]) -> Ram {
        let mut ram = Ram::new();
        for &(start, end) in ranges {
            ram.push(Span::between(start, end).unwrap());
        }
        ram
    }

    fn span(start: u64, end: u64) -> Span {
        Span::between(start, end).unwrap()
    }

    #[test]
    fn module_high_image_low() {
        let ram = ram(&[(0, 0x9fc00), (MIB, 64 * MIB)]);
        let base =
            base_for(&ram, span(MIB, MIB + 0x40000), span(60 * MIB, 62 * MIB), 3 * MIB, DIRECTORY_SPAN);
        assert_eq!(base, Ok(2 * MIB));
    }

    #[test]
    fn module_right_behind_the_loader_pushes_the_image_up() {
        let ram = ram(&[(MIB, 64 * MIB)]);
        let base =
            base_for(&ram, span(MIB, MIB + 0x40000), span(MIB + 0x41000, 5 * MIB), 3 * MIB, DIRECTORY_SPAN);
        assert_eq!(base, Ok(6 * MIB));
    }

    #[test]
    fn too_small_a_guest_is_refused_with_the_numbers() {
        let ram = ram(&[(MIB, 8 * MIB)]);
        let refusal =
            base_for(&ram, span(MIB, 2 * MIB), span(6 * MIB, 7 * MIB), 3 * MIB, DIRECTORY_SPAN).unwrap_err();
        assert_eq!(refusal, LoadError::NoRoom { need: 14 * MIB, ram_end: 8 * MIB });
    }

    #[test]
    fn an_image_of_impossible_size_is_refused() {
        let ram = ram(&[(MIB, u64::MAX)]);
        assert!(
            base_for(&ram, span(MIB, 2 * MIB), span(3 * MIB, 4 * MIB), u64::MAX, DIRECTORY_SPAN).is_err()
        );
    }

    proptest! {
        #[test]
        fn what_is_placed_overlaps_nothing(
            start in 0u64..64 * MIB, len in 0u64..2048 * MIB, module in 0u64..1024 * MIB, module_len in 1u64..64 * MIB,
            loader_len in 1u64..4 * MIB, image in 1u64..128 * MIB,
        ) {
            let ram = ram(&[(start, start + len)]);
            let loader = Span::new(MIB, loader_len).unwrap();
            let module = Span::new(module, module_len).unwrap();
            if let Ok(base) = base_for(&ram, loader, module, image, DIRECTORY_SPAN) {
                let image = Span::new(base, image).unwrap();
                prop_assert!(!image.overlaps(loader) && !image.overlaps(module));
                prop_assert!(ram.spans()[0].contains(image) && image.end() <= DIRECTORY_SPAN);
                prop_assert_eq!(base % LARGE_PAGE, 0);
            }
        }
    }
}
