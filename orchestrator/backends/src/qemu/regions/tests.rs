//! A guest played by hand: it looks into the same memory as a monitor would map.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fades_core::network::{NetEvent, NetworkError, PortId};
use fades_ring::ReadBytes as _;
use fades_wire::address::{Control, Neighbour};
use fades_wire::region::{
    Birth, Channel, Incoming, MAX_REGIONS, Memory as _, Outgoing, REGION_LEN, held_at, peer,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::seat::Seat;
use super::table::Table;
use super::*;
use crate::postal::Post as _;

const PATIENCE: Duration = Duration::from_secs(20);
const SEED: Birth = Birth { turn: 1, time_unix_us: 5, seed: [7; 32] };

fn post() -> (Arc<RegionPost>, Receiver<NetEvent>) {
    let (told, events) = channel();
    (RegionPost::new(Arc::new(move |event| drop(told.send(event)))).unwrap(), events)
}

/// A line of a guest, and what is told when it has left.
struct Line {
    seat: Arc<Seat>,
    up: Outgoing,
    down: Incoming,
    left: Receiver<()>,
}

impl Line {
    fn open(post: &Arc<RegionPost>, port: PortId) -> Self {
        let seat = Arc::new(Seat::new("fades-test").unwrap());
        let (told, left) = channel();
        post.open(port, &seat, Box::new(move || told.send(()).unwrap_or_default())).unwrap();
        let (up, down) =
            (Outgoing::open(seat.memory(), Channel::Up), Incoming::open(seat.memory(), Channel::Down));
        Self { seat, up, down, left }
    }

    fn say(&mut self, bytes: &[u8]) -> usize {
        let (done, wake) = self.up.write(self.seat.memory(), bytes).unwrap();
        // As a guest does: who is not waited for does not ring.
        if wake {
            self.seat.ring_own();
        }
        done
    }

    fn hear(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let (done, wake) = self.down.read(self.seat.memory(), &mut bytes).unwrap().unwrap();
        bytes.truncate(done);
        if wake {
            self.seat.ring_own();
        }
        bytes
    }
}

#[test]
fn words_go_both_ways_and_the_end_is_told_after_the_last() {
    let (post, events) = post();
    let port = PortId(3);
    let mut line = Line::open(&post, port);
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(post.send(port, b"early"), Err(NetworkError::NotConnected(PortId(3)))));
    line.say(b"hello");
    assert_eq!(next(), NetEvent::ControlConnected(port));
    assert_eq!(next(), NetEvent::ControlData(port, b"hello".to_vec()));
    post.send(port, b"welcome").unwrap();
    assert_eq!(line.hear(99), b"welcome");
    assert_eq!((post.connections(), post.control()), (1, Control::Region));
    line.say(b"last words");
    post.end(port, None);
    assert_eq!(next(), NetEvent::ControlData(port, b"last words".to_vec()));
    assert_eq!(next(), NetEvent::ControlClosed(port));
    line.left.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(post.send(port, b"late"), Err(NetworkError::NotConnected(PortId(3)))));
}

#[test]
fn who_never_spoke_is_not_told_as_closed() {
    let (post, events) = post();
    let line = Line::open(&post, PortId(3));
    post.end(PortId(3), None);
    line.left.recv_timeout(PATIENCE).unwrap();
    assert!(events.try_recv().is_err());
}

#[test]
fn what_has_no_room_waits_in_bounds_both_ways() {
    let (post, events) = post();
    let port = PortId(3);
    let mut line = Line::open(&post, port);
    line.say(b"x");
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert_eq!((next(), next()), (NetEvent::ControlConnected(port), NetEvent::ControlData(port, vec![b'x'])));
    // Down: the ring's 64 KiB and a queue of 1 MiB.
    let piece = vec![7; 256 << 10];
    let mut sent = 0;
    while post.send(port, &piece).is_ok() {
        sent += piece.len();
        assert!(sent <= (64 << 10) + (1 << 20));
    }
    assert!(matches!(post.send(port, &piece), Err(NetworkError::Congested { .. })));
    let mut heard = 0;
    while heard < sent {
        let bytes = line.hear(50_000);
        assert!(bytes.iter().all(|byte| *byte == 7));
        heard += bytes.len();
    }
    // Up: 1 MiB that nobody has dealt with, and then the ring is full.
    let mut said = 1;
    loop {
        let done = line.say(&piece);
        said += done;
        if done == 0 && events.recv_timeout(Duration::from_millis(200)).is_err() {
            break;
        }
        assert!(said <= (1 << 20) + 3 * (64 << 10), "{said}");
    }
    assert!(said >= 1 << 20);
    post.consumed(port, 1 << 20);
    assert!(matches!(next(), NetEvent::ControlData(..)), "it goes on when there is room");
}

#[test]
fn events_of_a_byte_each_are_bounded_as_well() {
    let (post, events) = post();
    let port = PortId(3);
    let mut line = Line::open(&post, port);
    line.say(b"x");
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), NetEvent::ControlConnected(port));
    let mut told = 0;
    while let Ok(event) = events.recv_timeout(Duration::from_millis(if told < 4000 { 20_000 } else { 300 })) {
        assert_eq!(event, NetEvent::ControlData(port, b"x".to_vec()));
        told += 1;
        line.say(b"x");
    }
    assert_eq!(told, (1_usize << 20).div_ceil(257));
    post.consumed(port, 1);
    assert!(
        matches!(events.recv_timeout(PATIENCE), Ok(NetEvent::ControlData(..))),
        "it goes on when there is room"
    );
}

#[test]
fn a_broker_can_be_told_of_all_regions_that_there_may_be() {
    let (post, _events) = post();
    let table = Table::new(MAX_REGIONS, Arc::clone(&post)).unwrap();
    let broker = table.seat_broker(PortId(1), SEED).unwrap();
    broker.introduce().unwrap();
    assert_eq!(told(&broker.server.client).len(), 4 + 1 + usize::from(MAX_REGIONS));
}

#[test]
fn an_index_that_cannot_be_ends_its_guests_connection_alone() {
    let (post, events) = post();
    let (mut good, mut bad) = (Line::open(&post, PortId(1)), Line::open(&post, PortId(2)));
    let next = || events.recv_timeout(PATIENCE).unwrap();
    for (port, line) in [(PortId(1), &mut good), (PortId(2), &mut bad)] {
        line.say(b"x");
        assert_eq!(next(), NetEvent::ControlConnected(port));
        assert!(matches!(next(), NetEvent::ControlData(..)));
    }
    // The producer's index of `up`, as `wire::region` lays it out.
    let at = (8 << 10) + 128 * (Channel::Up as usize);
    bad.seat.memory().own(at).store(0x7fff_ffff, std::sync::atomic::Ordering::SeqCst);
    bad.seat.ring_own();
    assert_eq!(next(), NetEvent::ControlClosed(PortId(2)));
    good.say(b"y");
    assert_eq!(next(), NetEvent::ControlData(PortId(1), b"y".to_vec()));
}

#[test]
fn a_region_is_given_on_wiped_and_not_before_the_broker_has_let_go() {
    let (post, _events) = post();
    let table = Table::new(1, Arc::clone(&post)).unwrap();
    let broker = table.seat_broker(PortId(1), SEED).unwrap();
    assert_eq!(broker.neighbour(), None);
    let first = table.seat_function(PortId(2), SEED).unwrap();
    assert_eq!(first.neighbour(), Some(Neighbour::Region { number: 1, turn: 1 }));
    let seat = table.seat_of(1);
    let file = seat.file().try_clone_to_owned().unwrap();
    let peek = |at: u64| {
        let mut byte = [0; 1];
        rustix::io::pread(&file, &mut byte, at).unwrap();
        byte[0]
    };
    rustix::io::pwrite(&file, b"secret", REGION_LEN as u64 - 6).unwrap();
    // The broker has it open when its guest ends.
    let held = table.held_by_broker(held_at(1).unwrap());
    held(1);
    drop(first);
    let waiting = {
        let table = Arc::clone(&table);
        std::thread::spawn(move || table.seat_function(PortId(3), SEED).unwrap())
    };
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished(), "it was given on while the broker could write there");
    assert_eq!(peek(REGION_LEN as u64 - 1), b't');
    held(0);
    let second = waiting.join().unwrap();
    assert_eq!(second.neighbour(), Some(Neighbour::Region { number: 1, turn: 2 }));
    assert_eq!(peek(REGION_LEN as u64 - 1), 0, "it was wiped");
    let mut birth = [0; Birth::LEN];
    assert!(seat.memory().bytes(0..Birth::LEN).read(0, &mut birth));
    assert_eq!(Birth::from_bytes(&birth), Ok(Birth { turn: 2, ..SEED }));
    // A broker that is gone holds nothing.
    held(2);
    drop(second);
    drop(broker);
    let third = table.seat_function(PortId(4), SEED).unwrap();
    assert_eq!(third.neighbour(), Some(Neighbour::Region { number: 1, turn: 3 }));
}

/// Numbers and descriptors, as a monitor reads them.
fn told(client: &OwnedFd) -> Vec<(i64, Option<OwnedFd>)> {
    let mut all = Vec::new();
    loop {
        let (mut bytes, mut space) = ([0; 8], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(client, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(received) => assert_eq!(received.bytes, 8),
            Err(rustix::io::Errno::AGAIN) => return all,
            Err(error) => panic!("{error}"),
        }
        let mut files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        all.push((i64::from_le_bytes(bytes), files.next().and_then(|mut files| files.next())));
    }
}

fn is_same(left: impl AsFd, right: impl AsFd) -> bool {
    let id = |file: &dyn AsRawFd| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let stat = |file: std::os::fd::BorrowedFd<'_>| rustix::fs::fstat(file).map(|stat| stat.st_ino).unwrap();
    id(&left.as_fd()) == id(&right.as_fd()) && stat(left.as_fd()) == stat(right.as_fd())
}

#[test]
fn a_function_is_told_of_its_own_region_and_of_two_bells() {
    let (post, _events) = post();
    let table = Table::new(2, Arc::clone(&post)).unwrap();
    let broker = table.seat_broker(PortId(1), SEED).unwrap();
    let function = table.seat_function(PortId(2), SEED).unwrap();
    let numbers = |all: &[(i64, Option<OwnedFd>)]| all.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let all = told(&function.server.client);
    assert_eq!(numbers(&all), [0, 0, -1], "bells are told of later");
    assert!(is_same(all[2].1.as_ref().unwrap(), table.seat_of(1).file()));
    function.introduce().unwrap();
    let bells = told(&function.server.client);
    assert_eq!(numbers(&bells), [peer::ORCHESTRATOR.into(), peer::BROKER.into(), 0_i64]);
    broker.introduce().unwrap();
    let all = told(&broker.server.client);
    assert_eq!(
        numbers(&all),
        [0, 0, -1, 1, 3, 4, 0],
        "the broker is told of itself, of us, and of all functions' bells"
    );
    assert!(!is_same(all[2].1.as_ref().unwrap(), table.seat_of(1).file()), "its own region");
    assert_eq!(table.regions().count(), 2);
    let (rung, heard) = (bells[1].1.as_ref().unwrap(), all[6].1.as_ref().unwrap());
    rustix::io::write(rung, &1_u64.to_ne_bytes()).unwrap();
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut [PollFd::new(heard, PollFlags::IN)], Some(&patience)), Ok(1), "passed on");
}
