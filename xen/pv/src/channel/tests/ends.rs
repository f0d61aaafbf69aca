//! How channels begin and end, against a hypervisor that maps nothing but remembers.

use std::cell::{Cell, RefCell};

use super::*;
use crate::hypercall::{Call, GrantStatus, HypercallError, Hypercalls, Ports};
use crate::page::PlaceError;

/// Counts mappings and fails the one of this number.
#[derive(Default)]
struct Counting {
    mapped: Cell<i32>,
    maps: Cell<u32>,
    fail: u32,
    refuse_unmap: Cell<bool>,
    /// Taken-out pages less those put back.
    holes: Cell<i32>,
    commands: RefCell<Vec<u64>>,
}

// SAFETY: it writes only the status of the structures it is given.
unsafe impl Call for &Counting {
    unsafe fn call(&self, number: u64, [command, argument, _]: [u64; 3]) -> i64 {
        let status = |offset: u64, status: i16| {
            // SAFETY: both structures are longer, and were passed as `&mut`.
            unsafe { ((argument + offset) as *mut i16).write(status) }
        };
        self.commands.borrow_mut().push(command);
        match (number, command) {
            (12, 1) => self.holes.set(self.holes.get() + 1),
            (12, 6) => self.holes.set(self.holes.get() - 1),
            (20, 0) => {
                self.maps.set(self.maps.get() + 1);
                if self.maps.get() == self.fail {
                    status(18, -3);
                } else {
                    self.mapped.set(self.mapped.get() + 1);
                }
                return 0;
            }
            (20, 1) => {
                if self.refuse_unmap.get() {
                    status(20, -4);
                } else {
                    self.mapped.set(self.mapped.get() - 1);
                }
                return 0;
            }
            other => panic!("unexpected hypercall {other:?}"),
        }
        1
    }
}

/// Ports that are all taken.
#[derive(Debug)]
struct NoPorts;

impl Ports for NoPorts {
    fn alloc_unbound(&self, _: Domain) -> Result<Port, HypercallError> {
        Err(HypercallError::NoSpace)
    }

    fn bind_interdomain(&self, _: Domain, _: Port) -> Result<Port, HypercallError> {
        Err(HypercallError::NoSpace)
    }

    fn send(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }

    fn close(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }

    fn unmask(&self, _: Port) -> Result<(), HypercallError> {
        Ok(())
    }
}

#[test]
fn an_offer_names_its_pages_and_can_be_withdrawn() {
    let mut guest = Guest::new();
    let before = guest.grants.free();
    for pages in [0, 3, 512] {
        let error = guest.offer(pages).unwrap_err();
        assert_eq!(error, ChannelError::Size(u32::try_from(pages).unwrap()));
    }
    let offer = guest.offer(4).unwrap();
    assert_eq!(guest.grants.free(), before - 5);
    let peer = guest.granted::<PeerEnd>(offer.reference());
    let references = receiver::references(&peer, 256).unwrap();
    assert_eq!(references.len(), 4);
    for reference in &references {
        guest.granted::<crate::shared::PeerWords>(*reference);
    }
    let port = offer.port();
    let mut leftover = offer.withdraw();
    assert_eq!(*guest.wires.closed.borrow(), [port]);
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 0);
    assert_eq!(guest.grants.free(), before);
}

#[test]
fn a_failed_offer_keeps_nothing() {
    let mut guest = Guest::new();
    let before = guest.grants.free();
    let failed = Offer::new(&guest.memory, &mut guest.grants, NoPorts, Domain(9), 4);
    assert_eq!(failed.unwrap_err(), ChannelError::Port(HypercallError::NoSpace));
    assert_eq!(guest.grants.free(), before);
    let mut used = Vec::new();
    while guest.grants.free() > 2 {
        used.push(guest.grants.grant(Domain(1), crate::shared::Frame(1), Access::ReadOnly).unwrap());
    }
    assert_eq!(guest.offer(4).unwrap_err(), ChannelError::Grant(crate::grant::GrantError::Full));
    assert_eq!(guest.grants.free(), 2);
}

#[test]
fn what_the_other_side_has_mapped_is_told_until_it_lets_go() {
    let mut guest = Guest::new();
    let before = guest.grants.free();
    let offer = guest.offer(2).unwrap();
    let mapped = offer.reference().number() as usize;
    guest.table.set_mapped(mapped, true);
    let mut leftover = offer.withdraw();
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 1);
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 1);
    assert_eq!(guest.grants.free(), before - 1);
    guest.table.set_mapped(mapped, false);
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 0);
    assert_eq!(guest.grants.free(), before);
}

#[test]
fn a_consumer_of_another_version_is_not_accepted_and_the_offer_stays() {
    let counting = Counting::default();
    let (mut guest, xen) = (Guest::new(), Hypercalls::by(&counting));
    let offer = guest.offer(1).unwrap();
    // What "maps" here is a page of zeros.
    let (error, offer) = offer.accept(&xen, &guest.memory, GrantRef::from_number(12)).unwrap_err();
    assert_eq!(error, ChannelError::Version(0));
    assert_eq!((counting.mapped.get(), counting.holes.get()), (0, 0));
    let counting = Counting { fail: 1, ..Counting::default() };
    let xen = Hypercalls::by(&counting);
    let (error, _) = offer.accept(&xen, &guest.memory, GrantRef::from_number(12)).unwrap_err();
    assert_eq!(error, ChannelError::Place(PlaceError::Grant(GrantStatus::Reference)));
    assert_eq!(counting.holes.get(), 0);
}

/// Joins with pages that [`Prepared`] gives, of which the first to be mapped looks like a producer's.
fn join(counting: &Counting, guest: &mut Guest) -> Result<Receiver<Rc<Wires>>, ChannelError> {
    let prepared = Prepared { memory: &guest.memory, first: Cell::new(true) };
    let xen = Hypercalls::by(counting);
    let reference = GrantRef::from_number(30);
    let wires = Rc::clone(&guest.wires);
    Receiver::join(&xen, &prepared, &mut guest.grants, wires, Domain(8), (reference, Port(6)), 256)
}

/// Gives a page first that says that there are four data pages.
struct Prepared<'a> {
    memory: &'a Memory,
    first: Cell<bool>,
}

// SAFETY: as `Memory`'s.
unsafe impl Pages for Prepared<'_> {
    fn take(&self) -> Option<OwnPage> {
        let page = self.memory.take()?;
        if self.first.replace(false) {
            let end = self.memory.again(page.frame()).share::<OwnEnd>();
            end.version.publish(VERSION);
            end.pages.publish(4);
        }
        Some(page)
    }

    fn give(&self, page: OwnPage) {
        self.memory.give(page);
    }

    fn map(&self, frame: crate::shared::Frame) -> Option<OwnPage> {
        self.memory.map(frame)
    }
}

#[test]
fn a_consumer_maps_all_and_lets_all_go() {
    let (mut guest, counting) = (Guest::new(), Counting::default());
    let before = guest.grants.free();
    let receiver = join(&counting, &mut guest).unwrap();
    assert_eq!((counting.mapped.get(), receiver.capacity()), (5, 4 * 4096));
    assert_eq!(guest.grants.free(), before - 1);
    let port = receiver.port();
    let (mut leftover, unmapped) = receiver.finish(&Hypercalls::by(&counting), &guest.memory);
    assert_eq!(unmapped, Ok(()));
    assert_eq!((counting.mapped.get(), counting.holes.get()), (0, 0));
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 0);
    assert_eq!(guest.grants.free(), before);
    assert_eq!(
        (&*guest.wires.sent.borrow(), &*guest.wires.closed.borrow()),
        (&[port][..].to_vec(), &[port][..].to_vec())
    );
}

#[test]
fn a_failed_join_keeps_nothing() {
    for fail in 1..=5 {
        let (mut guest, counting) = (Guest::new(), Counting { fail, ..Counting::default() });
        let before = guest.grants.free();
        let error = join(&counting, &mut guest).unwrap_err();
        assert_eq!(error, ChannelError::Place(PlaceError::Grant(GrantStatus::Reference)));
        assert_eq!((counting.mapped.get(), counting.holes.get(), guest.grants.free()), (0, 0, before));
    }
    let (mut guest, counting) = (Guest::new(), Counting::default());
    let (prepared, xen) =
        (Prepared { memory: &guest.memory, first: Cell::new(true) }, Hypercalls::by(&counting));
    let reference = GrantRef::from_number(30);
    let before = guest.grants.free();
    let joined =
        Receiver::join(&xen, &prepared, &mut guest.grants, NoPorts, Domain(8), (reference, Port(6)), 256);
    assert_eq!(joined.unwrap_err(), ChannelError::Port(HypercallError::NoSpace));
    assert_eq!((counting.mapped.get(), counting.holes.get(), guest.grants.free()), (0, 0, before));
}

#[test]
fn what_cannot_be_unmapped_is_told() {
    let (mut guest, counting) = (Guest::new(), Counting::default());
    let receiver = join(&counting, &mut guest).unwrap();
    counting.refuse_unmap.set(true);
    let (mut leftover, unmapped) = receiver.finish(&Hypercalls::by(&counting), &guest.memory);
    assert_eq!(unmapped, Err(PlaceError::Unmap(GrantStatus::Handle)));
    assert_eq!(leftover.release(&guest.memory, &mut guest.grants), 0);
}

#[test]
fn a_producer_ends_and_tells() {
    let counting = Counting::default();
    let mut line = line(2);
    counting.mapped.set(1);
    let (mut leftover, unmapped) = line.sender.finish(&Hypercalls::by(&counting), &line.producer.memory);
    assert_eq!((unmapped, counting.mapped.get()), (Ok(()), 0));
    assert_eq!(told(&line.producer), 1);
    assert_eq!(leftover.release(&line.producer.memory, &mut line.producer.grants), 0);
    assert_eq!(line.receiver.read(&mut [0; 4]), Ok(None));
}
