//! A stream goes through a store that only keeps values, whatever the order in which the two sides look.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the answer")]

use std::collections::BTreeMap;

use fades_xen_store::mailbox::{COUNTED, Inbox, MailboxError, Outbox, PIECE_MAX, WINDOW};
use proptest::prelude::*;

/// What a store would hold of one direction.
#[derive(Default)]
struct Nodes {
    pieces: BTreeMap<String, Vec<u8>>,
    taken: Option<String>,
}

fn sender(outbox: &mut Outbox, nodes: &mut Nodes) {
    if let Some(taken) = &nodes.taken {
        for name in outbox.taken(taken.as_bytes()).unwrap() {
            assert!(nodes.pieces.remove(&name).is_some(), "{name} was never written or removed twice");
        }
    }
    while let Some((name, piece)) = outbox.next_piece() {
        nodes.pieces.insert(name, piece);
    }
    assert!(nodes.pieces.len() as u64 <= WINDOW);
}

fn receiver(inbox: &mut Inbox, nodes: &mut Nodes, got: &mut Vec<u8>) {
    while let Some(piece) = nodes.pieces.get(&inbox.next_name()) {
        got.extend_from_slice(piece);
        nodes.taken = inbox.took(piece).unwrap().or(nodes.taken.take());
    }
}

proptest! {
    #[test]
    fn every_byte_arrives_once_and_in_order(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4 * PIECE_MAX), 0..8),
        turns in prop::collection::vec(any::<bool>(), 0..64),
    ) {
        let (mut outbox, mut inbox, mut nodes) = (Outbox::new(), Inbox::new(), Nodes::default());
        let mut got = Vec::new();
        let mut parts_left = parts.iter();
        for senders in turns {
            if senders {
                if let Some(part) = parts_left.next() {
                    outbox.push(part);
                }
                sender(&mut outbox, &mut nodes);
            } else {
                receiver(&mut inbox, &mut nodes, &mut got);
            }
        }
        parts_left.for_each(|part| outbox.push(part));
        while outbox.waiting() > 0 {
            sender(&mut outbox, &mut nodes);
            receiver(&mut inbox, &mut nodes, &mut got);
        }
        receiver(&mut inbox, &mut nodes, &mut got);
        prop_assert_eq!(got, parts.concat());
        sender(&mut outbox, &mut nodes);
        prop_assert!((nodes.pieces.len() as u64) < COUNTED, "what was counted is removed");
    }

    #[test]
    fn no_count_panics(value in prop::collection::vec(any::<u8>(), 0..24)) {
        let mut outbox = Outbox::new();
        outbox.push(b"abc");
        let _ = outbox.next_piece();
        let _ = outbox.taken(&value).map(Iterator::count);
    }
}

#[test]
fn a_wrong_count_or_piece_is_told() {
    let mut outbox = Outbox::new();
    outbox.push(&[7; 2 * PIECE_MAX]);
    assert_eq!(outbox.next_piece().unwrap().0, "0");
    assert_eq!(outbox.next_piece().unwrap().0, "1");
    assert_eq!(outbox.taken(b"1").unwrap().collect::<Vec<_>>(), ["0"]);
    let wrong = |count| Some(MailboxError::Count { count, taken: 1, written: 2 });
    assert_eq!(outbox.taken(b"3").err(), wrong(3));
    assert_eq!(outbox.taken(b"0").err(), wrong(0));
    for form in [&b""[..], b"01", b"+1", b" 1", b"1\0", b"99999999999999999999"] {
        assert_eq!(outbox.taken(form).err(), Some(MailboxError::NoCount), "{form:?}");
    }
    let mut inbox = Inbox::new();
    assert_eq!(inbox.took(&[]), Err(MailboxError::Length(0)));
    assert_eq!(inbox.took(&[0; PIECE_MAX + 1]), Err(MailboxError::Length(PIECE_MAX + 1)));
    assert_eq!(inbox.next_name(), "0");
}
