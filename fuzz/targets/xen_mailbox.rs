//! The other side of a mailbox that says anything of its pieces and counts: what waits is in the window, and nothing goes back.
#![no_main]

use fades_xen_store::mailbox::{Inbox, Outbox, PIECE_MAX, WINDOW};
use fades_xen_store::meeting;
use libfuzzer_sys::fuzz_target;

/// What is done next, and with what.
type Step<'a> = (u8, &'a [u8]);

fuzz_target!(|steps: Vec<Step<'_>>| {
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    let (mut written, mut removed, mut read) = (0u64, 0u64, 0u64);
    for (what, bytes) in steps {
        if let Some(numbers) = fades_fuzz::parse(|| meeting::decode::<3>(bytes)) {
            assert_eq!(meeting::encode(&numbers).as_bytes(), bytes);
        }
        match what % 5 {
            0 => outbox.push(bytes),
            1 => {
                if let Some((name, piece)) = outbox.next_piece() {
                    assert_eq!(name, written.to_string());
                    assert!((1..=PIECE_MAX).contains(&piece.len()));
                    written += 1;
                    assert!(written - removed <= WINDOW);
                }
            }
            2 => {
                if let Ok(gone) = fades_fuzz::parse(|| Outbox::default().taken(bytes).map(Iterator::count)) {
                    assert_eq!(gone, 0);
                }
                if let Ok(gone) = outbox.taken(bytes) {
                    gone.for_each(|name| {
                        assert_eq!(name, removed.to_string());
                        removed += 1;
                    });
                    assert!(removed <= written);
                }
            }
            // A count that may be.
            3 => {
                let count = removed + bytes.len() as u64 % (WINDOW + 1);
                let gone = outbox.taken(count.to_string().as_bytes()).map(Iterator::count);
                assert_eq!(gone.is_ok(), count <= written);
                removed += gone.map_or(0, |gone| gone as u64);
            }
            _ => {
                assert_eq!(inbox.next_name(), read.to_string());
                if inbox.took(bytes).is_ok() {
                    assert!((1..=PIECE_MAX).contains(&bytes.len()));
                    read += 1;
                }
            }
        }
    }
});
