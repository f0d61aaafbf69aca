mod ends;

use std::rc::Rc;
use std::vec::Vec;

use proptest::prelude::*;

use super::page::VERSION;
use super::*;
use crate::grant::GrantFrame;
use crate::hypercall::Port;
use crate::page::Foreign;
use crate::shared::{PeerWord, Word};
use crate::testing::{Memory, Wires};
use fades_ring::BadIndex;

/// A guest's part in a channel.
struct Guest {
    memory: Memory,
    grants: Grants,
    table: Shared<GrantFrame>,
    wires: Rc<Wires>,
}

impl Guest {
    fn new() -> Self {
        let memory = Memory::new();
        let page = memory.page();
        let table = memory.again(page.frame()).share();
        let grants = Grants::new(std::vec![page.share()], 0, 0..512);
        Self { memory, grants, table, wires: Rc::default() }
    }

    /// The page that a reference of this guest's grants to be read.
    fn granted<T: Overlay>(&self, reference: GrantRef) -> Foreign<T> {
        let (flags, _, frame) = self.table.look(reference.number() as usize);
        assert_eq!(flags, 5, "read-only");
        Foreign::alias(self.memory.again(crate::shared::Frame(frame.into())))
    }

    fn offer(&mut self, pages: usize) -> Result<Offer<Rc<Wires>>, ChannelError> {
        Offer::new(&self.memory, &mut self.grants, Rc::clone(&self.wires), Domain(9), pages)
    }
}

/// A channel between two guests, which have to be kept.
struct Line {
    sender: Sender<Rc<Wires>>,
    receiver: Receiver<Rc<Wires>>,
    producer: Guest,
    consumer: Guest,
}

fn line(pages: usize) -> Line {
    let (mut producer, mut consumer) = (Guest::new(), Guest::new());
    let offer = producer.offer(pages).unwrap();
    let peer = producer.granted::<PeerEnd>(offer.reference());
    let data =
        receiver::references(&peer, 256).unwrap().into_iter().map(|page| producer.granted(page)).collect();
    let end = Granted::<OwnEnd>::new(&consumer.memory, &mut consumer.grants, Domain(8)).unwrap();
    end.page.version.publish(VERSION);
    let receiver = Receiver::with(Rc::clone(&consumer.wires), Port(41), end, peer, data);
    let sender = offer.with(consumer.granted(receiver.reference()));
    Line { sender, receiver, producer, consumer }
}

fn told(guest: &Guest) -> usize {
    core::mem::take(&mut *guest.wires.sent.borrow_mut()).len()
}

proptest! {
    /// Against a queue.
    #[test]
    fn a_channel_is_a_queue(
        pages in prop_oneof![Just(1_usize), Just(2), Just(8)],
        steps in proptest::collection::vec((any::<bool>(), 0_usize..if cfg!(miri) { 300 } else { 20_000 }), 1..60),
    ) {
        let mut line = line(pages);
        prop_assert_eq!((line.sender.capacity(), line.receiver.capacity()), (pages * 4096, pages * 4096));
        let (mut model, mut next) = (std::collections::VecDeque::new(), (0..=250_u8).cycle());
        for (writes, len) in steps {
            if writes {
                let bytes: Vec<u8> = next.by_ref().take(len).collect();
                let done = line.sender.write(&bytes).unwrap();
                prop_assert_eq!(done, len.min(pages * 4096 - model.len()));
                model.extend(&bytes[..done]);
            } else {
                let mut bytes = std::vec![0; len];
                let done = line.receiver.read(&mut bytes).unwrap().unwrap();
                prop_assert_eq!(done, len.min(model.len()));
                let expected: Vec<u8> = model.drain(..done).collect();
                prop_assert_eq!(&bytes[..done], &expected[..]);
            }
        }
        prop_assert_eq!(told(&line.producer) + told(&line.consumer), 0, "nobody waited");
    }
}

#[test]
fn who_waits_is_told_once_and_not_too_early() {
    let mut line = line(1);
    assert_eq!(line.receiver.arm(100), Ok(false));
    line.sender.write(&[1; 99]).unwrap();
    assert_eq!(told(&line.producer), 0);
    line.sender.write(&[1; 1]).unwrap();
    assert_eq!(told(&line.producer), 1);
    line.sender.write(&[1; 100]).unwrap();
    assert_eq!(told(&line.producer), 0);
    assert_eq!(line.receiver.arm(200), Ok(true), "no waiting for what is there");

    line.sender.write(&[1; 4096]).unwrap();
    assert_eq!(line.sender.arm(50), Ok(false));
    line.receiver.read(&mut [0; 49]).unwrap();
    assert_eq!(told(&line.consumer), 0);
    line.receiver.read(&mut [0; 2]).unwrap();
    assert_eq!(told(&line.consumer), 1);
    assert_eq!(line.sender.arm(51), Ok(true));
    assert_eq!(line.sender.arm(1 << 40), Ok(false), "as much as there can ever be");
    line.receiver.read(&mut [0; 5000]).unwrap();
    assert_eq!(told(&line.consumer), 1);
    assert_eq!(line.sender.arm(usize::MAX), Ok(true));
    assert_eq!(line.receiver.arm(0), Ok(false), "at least one byte");
}

#[test]
fn closing_is_told_and_nothing_written_is_lost() {
    let mut line = line(1);
    line.sender.write(b"the last words").unwrap();
    assert_eq!(line.receiver.arm(100), Ok(false));
    line.sender.close().unwrap();
    assert_eq!(told(&line.producer), 1);
    assert_eq!(line.receiver.arm(100), Ok(true));
    assert_eq!(line.sender.write(b"more"), Err(ChannelError::Closed));
    let mut bytes = [0; 20];
    assert_eq!(line.receiver.read(&mut []), Ok(Some(0)));
    assert_eq!(line.receiver.read(&mut bytes), Ok(Some(14)));
    assert_eq!(&bytes[..14], b"the last words");
    assert_eq!(line.receiver.read(&mut bytes), Ok(None));
}

#[test]
fn a_consumer_that_wants_no_more_says_so() {
    let mut line = line(1);
    line.sender.write(&[0; 5000]).unwrap();
    assert_eq!(line.sender.arm(1), Ok(false));
    line.receiver.close().unwrap();
    assert_eq!(told(&line.consumer), 1);
    assert_eq!(line.sender.arm(1), Ok(true));
    assert_eq!(line.sender.write(b"x"), Err(ChannelError::Closed));
}

#[test]
fn an_impossible_index_breaks_the_channel_for_good() {
    let mut line = line(1);
    let own = line.consumer.memory.again(line.receiver_end()).share::<OwnEnd>();
    own.index.publish(1);
    let error = || Err(ChannelError::Index(BadIndex { ours: 0, theirs: 1 }));
    assert_eq!(line.sender.write(b"x"), error());
    own.index.publish(0);
    assert_eq!(line.sender.write(b"x"), error());
    assert_eq!(line.sender.arm(1), Err(ChannelError::Index(BadIndex { ours: 0, theirs: 1 })));

    let own = line.producer.memory.again(line.sender_end()).share::<OwnEnd>();
    own.index.publish(4097);
    let error = ChannelError::Index(BadIndex { ours: 0, theirs: 4097 });
    assert_eq!(line.receiver.read(&mut [0; 10]), Err(error));
    own.index.publish(10);
    assert!(matches!(line.receiver.arm(1), Err(ChannelError::Index(_))));
}

impl Line {
    fn receiver_end(&self) -> crate::shared::Frame {
        let (_, _, frame) = self.consumer.table.look(self.receiver.reference().number() as usize);
        crate::shared::Frame(frame.into())
    }

    fn sender_end(&self) -> crate::shared::Frame {
        let (_, _, frame) = self.producer.table.look(self.sender.reference().number() as usize);
        crate::shared::Frame(frame.into())
    }
}

#[test]
fn an_end_page_is_read_with_suspicion() {
    let memory = Memory::new();
    let page = memory.page();
    let own = memory.again(page.frame()).share::<OwnEnd>();
    let peer = page.share::<PeerEnd>();
    assert_eq!(receiver::references(&peer, 256), Err(ChannelError::Version(0)));
    own.version.publish(VERSION);
    for pages in [0, 3, 257, 512, u32::MAX, 1 << 31] {
        own.pages.publish(pages);
        assert_eq!(receiver::references(&peer, 256), Err(ChannelError::Size(pages)));
    }
    own.pages.publish(256);
    own.references[255].publish(7);
    assert_eq!(receiver::references(&peer, 256).unwrap()[255], GrantRef::from_number(7));
    assert_eq!(receiver::references(&peer, 128), Err(ChannelError::Size(256)), "more than we would take");
    assert_eq!(peer.version.take().to_le_bytes(), *b"fch1");
}
