//! Both ends of a mailbox over nodes in memory, where the guest acts in the middle of every look of the host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use fades_xen_store::mailbox::{COUNTED, DOWN, DOWN_TAKEN, Inbox, Outbox, PIECE_MAX, UP, UP_TAKEN, WINDOW};
use fades_xen_toolstack::StoreError;
use proptest::collection::vec;
use proptest::prelude::*;

use super::desk::{Desk, UNREAD, UNSENT};
use super::pass::{Ended, Nodes, Pass, Seen, WATCHED};
use super::*;

const PORT: PortId = PortId(7);

/// A guest that keeps to the protocol, as its own runtime has it.
#[derive(Default)]
struct Honest {
    outbox: Outbox,
    inbox: Inbox,
    got: Vec<u8>,
}

/// A guest's home. Whatever the host does there, the guest may have done something just before.
struct Home {
    values: RefCell<BTreeMap<String, Vec<u8>>>,
    /// What the host's watch has said and nobody has heard.
    events: RefCell<Vec<String>>,
    guest: RefCell<Honest>,
    /// What the guest does next; nothing when it is over.
    turns: RefCell<Vec<u8>>,
    writes: Cell<usize>,
}

impl Home {
    fn new(turns: Vec<u8>) -> Self {
        let named = BTreeMap::from([("name".to_owned(), b"fades-0f-a".to_vec())]);
        Self {
            values: RefCell::new(named),
            events: RefCell::new(vec![WATCHED.to_owned()]),
            guest: RefCell::default(),
            turns: RefCell::new(turns),
            writes: Cell::new(0),
        }
    }

    fn change(&self, name: &str, value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.values.borrow_mut().insert(name.to_owned(), value.to_vec())),
            None => drop(self.values.borrow_mut().remove(name)),
        }
        if name.starts_with(WATCHED) {
            self.events.borrow_mut().push(name.to_owned());
        }
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.values.borrow().get(name).cloned()
    }

    /// One of the things that a guest does, each a single access to the store.
    fn guest_acts(&self, turn: u8) {
        let mut guest = self.guest.borrow_mut();
        match turn % 3 {
            0 => {
                if let Some(count) = self.value(UP_TAKEN) {
                    let read: Vec<String> = guest.outbox.taken(&count).unwrap().collect();
                    read.iter().for_each(|name| self.change(&format!("{UP}/{name}"), None));
                }
            }
            1 => {
                if let Some((name, piece)) = guest.outbox.next_piece() {
                    self.change(&format!("{UP}/{name}"), Some(&piece));
                }
            }
            _ => {
                if let Some(piece) = self.value(&format!("{DOWN}/{}", guest.inbox.next_name())) {
                    let count = guest.inbox.took(&piece).unwrap();
                    guest.got.extend(piece);
                    count.iter().for_each(|count| self.change(DOWN_TAKEN, Some(count.as_bytes())));
                }
            }
        }
    }

    fn meanwhile(&self) {
        let turn = self.turns.borrow_mut().pop();
        turn.into_iter().for_each(|turn| self.guest_acts(turn));
    }

    /// What the host hears: everything that was said until now.
    fn heard(&self, next: &str) -> Seen {
        let mut seen = Seen::default();
        for event in self.events.borrow_mut().drain(..) {
            seen.add(event.strip_prefix(WATCHED), next);
        }
        seen
    }

    fn pieces(&self, of: &str) -> usize {
        let below = format!("{of}/");
        self.values.borrow().keys().filter(|name| name.starts_with(&below)).count()
    }
}

impl Nodes for Home {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.meanwhile();
        Ok(self.value(name))
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.meanwhile();
        assert!(value.len() <= PIECE_MAX && !name.starts_with(WATCHED), "{name}");
        self.writes.set(self.writes.get() + 1);
        self.change(name, Some(value));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.meanwhile();
        assert!(self.value(name).is_some(), "{name} is removed once");
        self.change(name, None);
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.values.borrow_mut().clear();
        Ok(())
    }
}

/// The host's end.
struct Host {
    desk: Mutex<Desk>,
    events: NetEventSink,
    told: Receiver<NetEvent>,
}

impl Host {
    fn new() -> Self {
        let (tell, told) = channel();
        Self { desk: Mutex::default(), events: Arc::new(move |event| drop(tell.send(event))), told }
    }

    fn pass<'a>(&'a self, home: &'a Home) -> Pass<'a, Home> {
        Pass { desk: &self.desk, nodes: home, port: PORT, events: &self.events }
    }

    fn look(&self, home: &Home) -> Result<(), Ended> {
        let next = self.desk.lock().unwrap().next_name();
        self.pass(home).look(home.heard(&next))
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetworkError> {
        self.desk.lock().unwrap().send(PORT, bytes)
    }

    /// The guest's bytes until now; `first` is whether there was a connection before them.
    fn bytes(&self, first: &mut bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for event in self.told.try_iter() {
            match event {
                NetEvent::ControlConnected(PORT) => assert!(!std::mem::replace(first, true), "once"),
                NetEvent::ControlData(PORT, piece) => {
                    assert!(*first, "connected before");
                    bytes.extend(piece);
                }
                other => panic!("{other:?}"),
            }
        }
        bytes
    }
}

proptest! {
    /// The host looks only when something was said to it, or something is to be sent.
    #[test]
    fn bytes_go_both_ways_whole_and_in_order(
        up in vec(vec(any::<u8>(), 1..4 * PIECE_MAX), 1..12),
        down in vec(vec(any::<u8>(), 1..4 * PIECE_MAX), 0..12),
        turns in vec(any::<u8>(), 0..256),
        order in vec(0..6_u8, 0..192),
    ) {
        let (home, host) = (Home::new(turns), Host::new());
        let (mut connected, mut heard) = (false, Vec::new());
        let (mut says, mut told) = (up.iter(), down.iter().peekable());
        let mut step = |what: u8, says: Option<&Vec<u8>>| {
            match what {
                0 => if let Some(part) = says { home.guest.borrow_mut().outbox.push(part) },
                1..=3 => home.guest_acts(what),
                _ => {
                    // Nothing before there is a connection; then who sends, one part or all, wakes the host.
                    let most = if what == 4 { 1 } else { usize::MAX };
                    for _ in (0..most).map_while(|_| told.next_if(|part| host.send(part).is_ok())) {
                        home.events.borrow_mut().push(WATCHED.to_owned());
                    }
                    if !home.events.borrow().is_empty() {
                        host.look(&home).unwrap();
                    }
                }
            }
            heard.extend(host.bytes(&mut connected));
            assert!(home.pieces(DOWN) as u64 <= WINDOW && home.pieces(UP) as u64 <= WINDOW);
            told.peek().is_none()
        };
        for what in order {
            let part = if what == 0 { says.next() } else { None };
            step(what, part);
        }
        for part in says {
            step(0, Some(part));
        }
        for round in 0..=1000_u32 {
            prop_assert!(round < 1000, "somebody waits for what was not told");
            // Up to all that a window holds, before the host looks once.
            (0..round % 12).for_each(|_| (0..3).for_each(|turn| home.guest_acts(turn)));
            let all_sent = step(5, None);
            let quiet = home.events.borrow().is_empty() && home.guest.borrow().outbox.waiting() == 0;
            let left = home.pieces(DOWN).max(home.pieces(UP)) as u64;
            // Everything was told that had to be: nobody looks without a reason.
            if quiet && all_sent && left < COUNTED && home.guest.borrow().got.len() == down.concat().len() {
                break;
            }
        }
        prop_assert_eq!(heard, up.concat());
        prop_assert_eq!(&home.guest.borrow().got, &down.concat());
    }

    /// Whatever a guest writes ends its connection at most.
    #[test]
    fn nothing_that_a_guest_writes_is_more_than_an_end(
        writes in vec((0..12_u8, vec(any::<u8>(), 0..PIECE_MAX + 2)), 0..40),
        counts in vec("[0-9]{0,2}", 0..12),
    ) {
        let (home, host) = (Home::new(Vec::new()), Host::new());
        let (mut connected, mut sent) = (false, 0);
        let mut counts = counts.iter();
        for (piece, bytes) in writes {
            if piece > 9 {
                let Some(count) = counts.next() else { continue };
                home.change(DOWN_TAKEN, Some(count.as_bytes()));
            } else {
                home.change(&format!("{UP}/{piece}"), Some(&bytes));
            }
            sent += usize::from(host.send(b"word").is_ok());
            let looked = host.look(&home);
            prop_assert!(matches!(looked, Ok(()) | Err(Ended::Broken(_))), "{:?}", looked);
            let bytes = host.bytes(&mut connected);
            prop_assert!(bytes.len() <= UNREAD);
            prop_assert!(home.pieces(DOWN) as u64 <= WINDOW);
            prop_assert!(connected || sent == 0);
            if looked.is_err() {
                break;
            }
        }
    }
}

#[test]
fn what_is_not_consumed_stays_with_the_guest() {
    let (home, host, mut connected) = (Home::new(Vec::new()), Host::new(), false);
    home.guest.borrow_mut().outbox.push(&vec![7; 2 * UNREAD]);
    let drain = |connected: &mut bool| {
        let mut bytes = 0;
        for _ in 0..4 * UNREAD / PIECE_MAX {
            (0..2).for_each(|turn| home.guest_acts(turn));
            host.look(&home).unwrap();
            bytes += host.bytes(connected).len();
        }
        bytes
    };
    let first = drain(&mut connected);
    assert!((UNREAD - PIECE_MAX..=UNREAD).contains(&first), "{first}");
    assert_eq!(home.pieces(UP) as u64, WINDOW, "the rest waits in the guest");
    assert_eq!(drain(&mut connected), 0);
    // Only where that makes a difference somebody is woken, by what says nothing: then all is looked at.
    assert!(host.desk.lock().unwrap().consumed(PIECE_MAX));
    assert!(!host.desk.lock().unwrap().consumed(PIECE_MAX));
    home.events.borrow_mut().push(WATCHED.to_owned());
    assert_eq!(drain(&mut connected), 2 * PIECE_MAX);
    host.desk.lock().unwrap().consumed(first + 2 * PIECE_MAX);
    home.events.borrow_mut().push(WATCHED.to_owned());
    let last = drain(&mut connected);
    assert_eq!(first + 2 * PIECE_MAX + last, 2 * UNREAD);
}

#[test]
fn what_a_guest_does_not_read_is_bounded() {
    let (home, host) = (Home::new(Vec::new()), Host::new());
    assert!(matches!(host.send(b"early"), Err(NetworkError::NotConnected(PORT))));
    home.change(&format!("{UP}/0"), Some(b"hello"));
    host.look(&home).unwrap();
    host.send(&vec![1; UNSENT]).unwrap();
    match host.send(b"!") {
        Err(NetworkError::Congested { port: PORT, queued: UNSENT, bound: UNSENT }) => {}
        other => panic!("{other:?}"),
    }
    // What is in pieces is in the store, and no more of them than a window.
    host.look(&home).unwrap();
    host.look(&home).unwrap();
    assert_eq!(home.pieces(DOWN) as u64, WINDOW);
    host.send(b"!").unwrap();
    host.desk.lock().unwrap().close();
    assert!(matches!(host.send(b"late"), Err(NetworkError::NotConnected(PORT))));
}

#[test]
fn the_last_look_takes_a_window_and_counts_nothing() {
    let (home, host, mut connected) = (Home::new(Vec::new()), Host::new(), false);
    // More than a guest may write.
    (0..2 * WINDOW).for_each(|piece| home.change(&format!("{UP}/{piece}"), Some(b"x")));
    host.pass(&home).last().unwrap();
    assert_eq!(host.bytes(&mut connected).len() as u64, WINDOW);
    assert_eq!(home.writes.get(), 0);
}

#[test]
fn a_home_that_is_gone_is_not_made_anew() {
    let (home, host) = (Home::new(Vec::new()), Host::new());
    home.change(&format!("{UP}/0"), Some(b"hello"));
    host.look(&home).unwrap();
    host.send(b"word").unwrap();
    // It goes in the moment before that is written.
    home.values.borrow_mut().clear();
    host.look(&home).unwrap();
    assert_eq!(home.pieces(DOWN), 1);
    home.events.borrow_mut().push(WATCHED.to_owned());
    assert!(matches!(host.look(&home), Err(Ended::Gone)));
    assert!(matches!(host.pass(&home).last(), Err(Ended::Gone)));
    host.pass(&home).sweep().unwrap();
    assert!(home.values.borrow().is_empty());
    // One that lives is left as it is.
    home.change("name", Some(b"fades-0f-a"));
    host.pass(&home).sweep().unwrap();
    assert!(home.value("name").is_some());
}

#[test]
fn events_say_what_may_have_changed() {
    let seen = |node: Option<&str>| {
        let mut seen = Seen::default();
        seen.add(node, "5");
        seen
    };
    assert_eq!(seen(None), Seen::ALL);
    assert_eq!(seen(Some("")), Seen::ALL);
    for nothing in ["/up/4", "/else", "/else/up/5"] {
        assert_eq!(seen(Some(nothing)), Seen::default(), "{nothing}");
    }
    let pieces = seen(Some("/up/5"));
    assert_ne!(pieces, Seen::default());
    for same in ["/up", "/up/6", "/up/nothing"] {
        assert_eq!(seen(Some(same)), pieces, "{same}");
    }
    let count = seen(Some("/down-taken"));
    assert!(count != pieces && count != Seen::default());
}
