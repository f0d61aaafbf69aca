use super::*;
use crate::xenstore::StoreError;

/// Tries to connect with a store that `prepare` changes.
fn attempt(guest: &mut Guest, prepare: impl FnOnce(&Store<'_>)) -> Result<(), ConnectError> {
    let (mut client, store) = Store::client(&guest.memory, &guest.wires);
    Guest::configure(store);
    prepare(store);
    let mut setup = Setup { pages: &*guest.memory, grants: &mut guest.grants, deadline: 100 };
    Netfront::connect(0, Rc::clone(&guest.wires), &mut setup, &mut client).map(drop)
}

#[test]
fn the_back_end_is_told_all_with_the_state_last() {
    let mut guest = Guest::new();
    let (mut client, store) = Store::client(&guest.memory, &guest.wires);
    Guest::configure(store);
    store.set(&std::format!("{BACKEND}/state"), "1");
    let mut states = 0;
    store.on_write(move |store, path, value| {
        if path == "device/vif/0/state" {
            states += 1;
            assert_eq!((states, value), (1, "4"));
            store.set(&std::format!("{BACKEND}/state"), "3");
            store.set(&std::format!("{BACKEND}/state"), "4");
        }
    });
    // The back end gets ready while we wait.
    store.set(&std::format!("{BACKEND}/state"), "2");
    let mut setup = Setup { pages: &*guest.memory, grants: &mut guest.grants, deadline: 1000 };
    let front = Netfront::connect(0, Rc::clone(&guest.wires), &mut setup, &mut client).unwrap();
    assert_eq!(front.mac(), [0, 0x16, 0x3e, 1, 2, 3]);
    assert_eq!(front.link().mtu, Some(9000));
    assert_eq!(
        (front.link().backend, front.link().max_frame, front.port()),
        (Domain(0), MAX_FRAME, Port(40))
    );
    assert_eq!(guest.grants.free(), 1016 - 514);
    let log = store.log.borrow();
    let keys =
        ["tx-ring-ref=", "rx-ring-ref=", "event-channel=40", "request-rx-copy=1", "feature-rx-notify=1"];
    let more = ["feature-sg=1", "feature-no-csum-offload=1", "state=4"];
    assert_eq!(log.len(), 8);
    for (line, key) in log.iter().zip(keys.iter().chain(&more)) {
        assert!(line.starts_with(&std::format!("device/vif/0/{key}")), "{line}");
    }
    for (line, page) in log.iter().zip(back_end::rings(&front)) {
        let reference = line.split('=').nth(1).unwrap().parse().unwrap();
        assert_eq!(guest.granted(reference, true), page);
    }
    assert_eq!(client.next_event(0), Ok(None), "the watch is gone");
}

#[test]
fn without_a_configuration_there_is_no_connection() {
    for (node, value) in [
        ("backend", None),
        ("backend", Some("relative")),
        ("backend-id", None),
        ("backend-id", Some("32752")),
        ("mac", Some("00:16:3e:01:02")),
    ] {
        let mut guest = Guest::new();
        let error = attempt(&mut guest, |store| match value {
            Some(value) => store.set(&std::format!("device/vif/0/{node}"), value),
            None => {
                drop(store.nodes.borrow_mut().remove(&std::format!("/local/domain/7/device/vif/0/{node}")))
            }
        });
        assert_eq!(error, Err(ConnectError::Node(node)));
        assert_eq!(guest.grants.free(), 1016);
    }
    let mut guest = Guest::new();
    let error = attempt(&mut guest, |store| store.set(&std::format!("{BACKEND}/feature-rx-copy"), "0"));
    assert_eq!(error, Err(ConnectError::Feature("feature-rx-copy")));
    let mut guest = Guest::new();
    let error = attempt(&mut guest, |store| store.deaf.set(true));
    assert_eq!(error, Err(ConnectError::Store("backend", StoreError::Deadline)));
}

#[test]
fn a_back_end_that_does_not_come_is_not_waited_for_for_ever() {
    let mut guest = Guest::new();
    let error = attempt(&mut guest, |store| store.set(&std::format!("{BACKEND}/state"), "1"));
    assert_eq!(error, Err(ConnectError::Deadline(1)));
    // This one is ready, but does not connect.
    assert_eq!(attempt(&mut guest, |_| {}), Err(ConnectError::Deadline(2)));
    assert_eq!(guest.grants.free(), 1016, "all is given back");
    assert_eq!(*guest.wires.closed.borrow(), [Port(40)]);
    let error = attempt(&mut guest, |store| {
        store.on_write(|store, path, value| {
            if (path, value) == ("device/vif/0/state", "4") {
                store.set(&std::format!("{BACKEND}/state"), "5");
            }
        });
    });
    assert_eq!(error, Err(ConnectError::State(5)));
}

#[test]
fn pages_that_the_back_end_has_mapped_are_not_used_again() {
    let mut guest = Guest::new();
    let mapped = memory_again(&guest);
    let error = attempt(&mut guest, move |store| {
        store.on_write(move |store, path, value| match (path, value) {
            ("device/vif/0/tx-ring-ref", reference) => {
                mapped.set_mapped(reference.parse::<usize>().unwrap() - 512, true);
            }
            ("device/vif/0/state", "4") => store.set(&std::format!("{BACKEND}/state"), "6"),
            _ => {}
        });
    });
    assert_eq!(error, Err(ConnectError::State(6)));
    assert_eq!(guest.grants.free(), 1015);
}

/// The second frame of the table, once more.
fn memory_again(guest: &Guest) -> Shared<GrantFrame> {
    guest.memory.again(guest.table[1].frame()).share()
}

#[test]
fn too_few_pages_or_grants_are_told() {
    let mut guest = Guest::with(Memory::of(300));
    assert_eq!(attempt(&mut guest, |_| {}), Err(ConnectError::Memory));
    assert_eq!(guest.grants.free(), 1016);
    let mut guest = Guest::new();
    let mut used = Vec::new();
    for _ in 0..600 {
        used.push(guest.grants.grant(Domain(0), crate::shared::Frame(1), Access::ReadOnly).unwrap());
    }
    assert_eq!(attempt(&mut guest, |_| {}), Err(ConnectError::Grant(crate::grant::GrantError::Full)));
    assert_eq!(guest.grants.free(), 416);
}

#[test]
fn a_back_end_without_scatter_gather_gets_short_frames() {
    let mut guest = Guest::new();
    let (mut client, store) = Store::client(&guest.memory, &guest.wires);
    Guest::configure(store);
    store.set(&std::format!("{BACKEND}/feature-sg"), "0");
    store.on_write(|store, path, value| {
        if (path, value) == ("device/vif/0/state", "4") {
            store.set(&std::format!("{BACKEND}/state"), "4");
        }
    });
    let mut setup = Setup { pages: &*guest.memory, grants: &mut guest.grants, deadline: 1000 };
    let mut front = Netfront::connect(0, Rc::clone(&guest.wires), &mut setup, &mut client).unwrap();
    assert_eq!(front.link().max_frame, 4096);
    let ((), sent) = front.send(4097, |_| {});
    assert_eq!(sent, Err(Unsent::TooLong { len: 4097, most: 4096 }));
    assert_eq!(front.send(4096, |_| {}), ((), Ok(())));
}
