//! A hypervisor that checks what arrives, and answers.

use std::cell::RefCell;
use std::vec::Vec;

use super::*;
use crate::page::{Foreign, PlaceError, install};
use crate::shared::{PeerWords, Words};
use crate::testing::Memory;

/// What Xen finds where the argument points, of `size` bytes.
fn bytes(at: u64, size: usize) -> Vec<u8> {
    // SAFETY: the wrappers pass a pointer to a live structure of at least that size.
    unsafe { core::slice::from_raw_parts(at as *const u8, size) }.to_vec()
}

fn put(at: u64, offset: usize, value: &[u8]) {
    // SAFETY: as in `bytes`, and it was passed as `&mut`.
    let all = unsafe { core::slice::from_raw_parts_mut(at as *mut u8, offset + value.len()) };
    all[offset..].copy_from_slice(value);
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

/// Calls as (number, command, argument's bytes).
#[derive(Default)]
struct Scripted {
    calls: RefCell<Vec<(u64, u64, Vec<u8>)>>,
    /// Answers that are not 0 (or 1, for reservations), by number and command.
    answers: Vec<((u64, u64), i64)>,
    grant_status: i16,
}

// SAFETY: it only does what the tests below expect of the structures.
unsafe impl Call for Scripted {
    unsafe fn call(&self, number: u64, [command, argument, count]: [u64; 3]) -> i64 {
        let size = match (number, command) {
            (12, 7) | (20, 1) => 24,
            (12, 1 | 6) | (20, 0) => 32,
            (34, _) | (20, 6) => 16,
            (32, 6) => 8,
            (32, 0) => 12,
            (32, 3 | 4 | 9) | (29, 2) | (20, 8) => 4,
            (17, 0) | (29, 0) => 0,
            other => panic!("unknown hypercall {other:?}"),
        };
        assert_eq!(count, u64::from(number == 20), "grant operations say how many");
        let mut seen = if size == 0 { Vec::new() } else { bytes(argument, size) };
        if number == 12 && command != 7 {
            // The frame instead of the pointer to it.
            let frame = bytes(u64_at(&seen, 0), 8);
            seen[..8].copy_from_slice(&frame);
        }
        self.calls.borrow_mut().push((number, command, seen));
        if let Some((_, answer)) = self.answers.iter().find(|answer| answer.0 == (number, command)) {
            return *answer;
        }
        match (number, command) {
            (12, 1 | 6) => return 1,
            (17, 0) => return 4 << 16 | 17,
            (34, 1) => put(argument, 8, &0x1234_5678_9abc_u64.to_le_bytes()),
            (32, 6) => put(argument, 4, &23_u32.to_le_bytes()),
            (32, 0) => put(argument, 8, &24_u32.to_le_bytes()),
            (20, 0) => {
                put(argument, 18, &self.grant_status.to_le_bytes());
                put(argument, 20, &99_u32.to_le_bytes());
            }
            (20, 1) => put(argument, 20, &self.grant_status.to_le_bytes()),
            (20, 6) => {
                put(argument, 4, &1_u32.to_le_bytes());
                put(argument, 8, &64_u32.to_le_bytes());
            }
            _ => {}
        }
        0
    }
}

fn xen(script: Scripted) -> Hypercalls<Scripted> {
    Hypercalls::by(script)
}

fn last(xen: &Hypercalls<Scripted>) -> (u64, u64, Vec<u8>) {
    xen.0.calls.borrow().last().unwrap().clone()
}

const SELF: [u8; 2] = [0xf0, 0x7f];

#[test]
fn events_are_asked_for_as_the_headers_say() {
    let xen = xen(Scripted::default());
    assert_eq!(xen.alloc_unbound(Domain(5)), Ok(Port(23)));
    assert_eq!(last(&xen), (32, 6, [&SELF[..], &[5, 0, 0, 0, 0, 0]].concat()));
    assert_eq!(xen.bind_interdomain(Domain(5), Port(7)), Ok(Port(24)));
    assert_eq!(last(&xen), (32, 0, std::vec![5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]));
    for (command, result) in [(4, xen.send(Port(9))), (3, xen.close(Port(9))), (9, xen.unmask(Port(9)))] {
        assert_eq!(result, Ok(()));
        assert!(xen.0.calls.borrow().contains(&(32, command, std::vec![9, 0, 0, 0])));
    }
}

#[test]
fn parameters_are_read_and_the_callback_is_set() {
    let xen = xen(Scripted::default());
    assert_eq!(xen.param(Param::ConsolePort), Ok(0x1234_5678_9abc));
    assert_eq!(last(&xen).2[..8], [&SELF[..], &[0, 0, 18, 0, 0, 0]].concat());
    assert_eq!(xen.set_callback_vector(0xf3), Ok(()));
    let (number, command, bytes) = last(&xen);
    assert_eq!((number, command, u64_at(&bytes, 8)), (34, 0, 0x0200_0000_0000_00f3));
    assert_eq!(
        [Param::CallbackIrq, Param::StoreFrame, Param::StorePort, Param::ConsoleFrame, Param::ConsolePort]
            .map(|param| param as u32),
        [0, 1, 2, 17, 18]
    );
    assert_eq!(xen.version(), Ok((4, 17)));
}

#[test]
fn a_domain_ends_itself() {
    let xen = xen(Scripted { answers: std::vec![((29, 2), -1)], ..Scripted::default() });
    assert_eq!(xen.shutdown(Shutdown::Crash), HypercallError::Permission);
    assert_eq!(last(&xen), (29, 2, std::vec![3, 0, 0, 0]));
    assert_eq!([Shutdown::Poweroff as u32, Shutdown::Reboot as u32], [0, 1]);
    xen.yield_now();
    assert_eq!(last(&xen).1, 0);
}

#[test]
fn errors_keep_their_numbers() {
    for (answer, expected) in [
        (-1, HypercallError::Permission),
        (-22, HypercallError::Invalid),
        (-28, HypercallError::NoSpace),
        (-38, HypercallError::Unsupported),
        (-1000, HypercallError::Other(1000)),
    ] {
        let xen = xen(Scripted { answers: std::vec![((32, 4), answer)], ..Scripted::default() });
        assert_eq!(xen.send(Port(1)), Err(expected));
    }
}

#[test]
fn a_page_of_xens_takes_the_place_of_ours() {
    let memory = Memory::new();
    let (xen, page) = (xen(Scripted::default()), memory.page());
    let frame = page.frame();
    let page = install(&xen, page, MapSpace::GrantTable, 3).unwrap();
    assert_eq!(page.frame(), frame);
    let calls = xen.0.calls.borrow();
    let (taken, put) = (&calls[0], &calls[1]);
    assert_eq!((taken.0, taken.1, u64_at(&taken.2, 0), u64_at(&taken.2, 8)), (12, 1, frame.0, 1));
    assert_eq!(taken.2[24..26], SELF);
    assert_eq!((put.0, put.1, u64_at(&put.2, 8), u64_at(&put.2, 16)), (12, 7, 3, frame.0));
    assert_eq!(put.2[..8], [&SELF[..], &[0, 0, 1, 0, 0, 0]].concat());
}

#[test]
fn a_page_that_cannot_be_placed_comes_back_or_is_lost() {
    let memory = Memory::new();
    let stays = xen(Scripted { answers: std::vec![((12, 1), 0)], ..Scripted::default() });
    let (error, page) = install(&stays, memory.page(), MapSpace::SharedInfo, 0).unwrap_err();
    assert_eq!((error, page.is_some()), (PlaceError::TakeOut(HypercallError::Refused), true));
    let comes_back = xen(Scripted { answers: std::vec![((12, 7), -22)], ..Scripted::default() });
    let (error, page) = install(&comes_back, memory.page(), MapSpace::SharedInfo, 0).unwrap_err();
    assert_eq!((error, page.is_some()), (PlaceError::Install(HypercallError::Invalid), true));
    assert_eq!(last(&comes_back).1, 6);
    let answers = std::vec![((12, 7), -22), ((12, 6), -12)];
    let lost = xen(Scripted { answers, ..Scripted::default() });
    let (error, page) = install(&lost, memory.page(), MapSpace::SharedInfo, 0).unwrap_err();
    assert_eq!((error, page.is_none()), (PlaceError::Lost(HypercallError::NoMemory), true));
}

#[test]
fn a_foreign_page_is_mapped_and_unmapped() {
    let memory = Memory::new();
    let (xen, page) = (xen(Scripted::default()), memory.page());
    let frame = page.frame();
    let reference = GrantRef::from_number(77);
    let foreign = Foreign::<PeerWords>::map_read_only(&xen, page, Domain(6), reference).unwrap();
    let (number, command, map) = last(&xen);
    assert_eq!((number, command, u64_at(&map, 0)), (20, 0, frame.0 * 4096));
    assert_eq!(map[8..18], [6, 0, 0, 0, 77, 0, 0, 0, 6, 0], "host map, read only; reference; domain");
    let page = foreign.unmap(&xen).unwrap();
    assert_eq!(page.frame(), frame);
    let calls = xen.0.calls.borrow();
    let [.., unmap, populate] = &calls[..] else { panic!("two calls") };
    assert_eq!((unmap.0, unmap.1, u64_at(&unmap.2, 0), u64_at(&unmap.2, 8)), (20, 1, frame.0 * 4096, 0));
    assert_eq!(unmap.2[16..20], [99, 0, 0, 0]);
    assert_eq!((populate.0, populate.1, u64_at(&populate.2, 0)), (12, 6, frame.0));
}

#[test]
fn a_grant_that_is_not_ours_gives_the_page_back() {
    let memory = Memory::new();
    let xen = xen(Scripted { grant_status: -3, ..Scripted::default() });
    let reference = GrantRef::from_number(77);
    // SAFETY: writable, so anything may be in the overlay.
    let mapped =
        unsafe { Foreign::<Words>::map(&xen, memory.page(), Domain(6), reference, Access::ReadWrite) };
    let (error, page) = mapped.unwrap_err();
    assert_eq!((error, page.is_some()), (PlaceError::Grant(GrantStatus::Reference), true));
    let flags = xen.0.calls.borrow()[1].2[8];
    assert_eq!(flags, 2, "host map only");
    assert_eq!(last(&xen).1, 6);
}

#[test]
fn the_grant_table_says_its_size_and_takes_a_version() {
    let xen = xen(Scripted::default());
    assert_eq!(xen.grant_frames(), Ok((1, 64)));
    assert_eq!(xen.use_grant_version_1(), Ok(()));
    assert_eq!(last(&xen), (20, 8, std::vec![1, 0, 0, 0]));
}
