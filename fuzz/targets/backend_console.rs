//! A guest that writes anything to its console, in pieces of any size: the same is kept of it, little, and fit to be shown.
#![no_main]

use fades_backends::Console;
use libfuzzer_sys::fuzz_target;

/// The tail in bytes, where a byte that is no text takes three.
const MOST: usize = 3 * (16 << 10);

fuzz_target!(|input: &[u8]| {
    let Some((piece, written)) = input.split_first() else { return };
    let whole = fades_fuzz::parse(|| {
        let console = Console::default();
        console.fill_from(written);
        (console.tail(), console.cause(), console.code())
    });
    let console = Console::default();
    written.chunks(usize::from(*piece) + 1).for_each(|piece| console.fill_from(piece));
    assert_eq!(whole, (console.tail(), console.cause(), console.code()));
    assert!(whole.0.len() <= MOST);
    assert!(!whole.0.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
});
