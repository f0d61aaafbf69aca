use core::sync::atomic::Ordering;
use std::string::ToString;
use std::vec::Vec;

use fades_xen_store::{Access, DomainId};

use super::*;
use crate::testing::store::Store;
use crate::testing::{Memory, Wires};

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

#[test]
fn a_tree_is_written_read_listed_and_removed() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    assert_eq!(client.write(&path("data/a"), b"one", 1000), Ok(()));
    assert_eq!(client.write(&path("data/b"), b"two", 1000), Ok(()));
    assert_eq!(client.mkdir(&path("data/c"), 1000), Ok(()));
    assert_eq!(client.read(&path("data/b"), 1000), Ok(b"two".to_vec()));
    assert_eq!(client.list(&path("data"), 1000).unwrap(), ["a", "b", "c"]);
    assert_eq!(client.remove(&path("data/a"), 1000), Ok(()));
    let error = client.read(&path("data/a"), 1000).unwrap_err();
    assert!(error.is_missing(), "{error:?}");
    let permissions =
        Permissions::new(DomainId::new(7).unwrap(), Access::None).with(DomainId::ZERO, Access::Read);
    assert_eq!(client.set_permissions(&path("data/b"), &permissions, 1000), Ok(()));
    assert_eq!(store.log.borrow().last().unwrap(), "data/b:n7,r0");
    assert!(!wires.sent.borrow().is_empty());
    assert!(wires.sent.borrow().iter().all(|port| *port == Port(1)));
}

#[test]
fn a_value_longer_than_the_ring_goes_both_ways() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, _) = Store::client(&memory, &wires);
    let value: Vec<u8> = (b'a'..=b'z').cycle().take(3900).collect();
    assert_eq!(client.write(&path("data/long"), &value, 1000), Ok(()));
    assert_eq!(client.read(&path("data/long"), 1000), Ok(value));
    let error = client.write(&path("data/long"), &[b'x'; 4100], 1000).unwrap_err();
    assert!(matches!(error, StoreError::TooLong(_)));
    assert!(client.read(&path("data/long"), 1000).is_ok());
}

#[test]
fn watch_events_are_kept_until_they_are_read() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    let token = Token::new("mine").unwrap();
    client.watch(&path("data"), &token, 1000).unwrap();
    client.write(&path("data/x"), b"1", 1000).unwrap();
    store.set("data/y", "2");
    let mut seen = Vec::new();
    while let Some(event) = client.next_event(client.now() + 3).unwrap() {
        assert_eq!(event.token, token);
        seen.push(event.path.to_string());
    }
    assert_eq!(seen, ["data", "data/x", "data/y"]);
    store.set("data/z", "3");
    client.mkdir(&path("other"), 1000).unwrap();
    client.unwatch(&path("data"), &token, 1000).unwrap();
    assert_eq!(client.next_event(0), Ok(None), "events of a watch that ended are forgotten");
}

#[test]
fn a_late_reply_is_dropped_and_the_next_call_works() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    store.set("a", "first");
    store.set("b", "second");
    store.deaf.set(true);
    assert_eq!(client.read(&path("a"), 5), Err(StoreError::Deadline));
    assert_eq!(store.now.get(), 5);
    store.deaf.set(false);
    assert_eq!(client.read(&path("b"), 1000), Ok(b"second".to_vec()));
    assert_eq!(client.read(&path("a"), 1000), Ok(b"first".to_vec()));
}

#[test]
fn half_a_request_breaks_the_client() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    store.deaf.set(true);
    assert_eq!(client.write(&path("a"), &[b'x'; 2000], 5), Err(StoreError::Deadline));
    store.deaf.set(false);
    assert_eq!(client.read(&path("a"), 1000), Err(StoreError::Broken));
    assert_eq!(client.next_event(1000), Err(StoreError::Broken));
}

#[test]
fn a_hostile_store_is_found_out() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    store.say_index(1025);
    assert!(matches!(client.next_event(0), Err(StoreError::Index(_))));
    assert_eq!(client.next_event(0), Err(StoreError::Broken));

    let (mut client, store) = Store::client(&memory, &wires);
    store.say(&Message::new(Kind::Read, 99, 0, b"unasked".to_vec()).unwrap());
    assert_eq!(client.read(&path("a"), 1000), Err(StoreError::Unasked));

    let (mut client, store) = Store::client(&memory, &wires);
    let event = |token| WatchEvent { path: path("a"), token: Token::new(token).unwrap() }.message().unwrap();
    for _ in 0..2 * EVENTS_MAX {
        store.say(&event("t"));
    }
    store.deaf.set(false);
    // Whoever may write below a watched node makes as many as it likes. They are as good as one.
    assert!(client.read(&path("a"), 100_000).unwrap_err().is_missing());
    let kept = std::iter::from_fn(|| client.next_event(0).unwrap()).count();
    assert_eq!(kept, EVENTS_MAX);
    for _ in 0..EVENTS_MAX {
        store.say(&event("t"));
    }
    store.say(&event("u"));
    assert_eq!(client.read(&path("a"), 100_000).unwrap_err(), StoreError::Flood);
}

#[test]
fn a_ring_is_handed_over() {
    let (memory, wires) = (Memory::new(), Wires::default());
    let (mut client, store) = Store::client(&memory, &wires);
    client.write(&path("a"), b"of the kernel", 1000).unwrap();
    let page = client.into_page();
    assert_ne!(page.requests_produced.load(Ordering::Relaxed), 0);
    let mut client = Xenstore::new(page, Port(1), &wires, store);
    assert_eq!(client.read(&path("a"), 1000), Ok(b"of the kernel".to_vec()));
}
