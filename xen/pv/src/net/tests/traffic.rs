use proptest::prelude::*;

use super::*;
use crate::shared::WriteBytes;

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn frames_of_all_lengths_arrive_at_the_back_end() {
    let (mut front, mut back) = line();
    for (turn, len) in
        [14, 60, 1514, 4095, 4096, 4097, 8192, 8193, 9014].into_iter().cycle().take(400).enumerate()
    {
        let frame = bytes(len, turn);
        assert!(front.can_send());
        let (filled, sent) = front.send(len, |buffer| {
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.copy_from_slice(&frame);
            buffer.len()
        });
        assert_eq!((filled, sent), (len, Ok(())));
        assert_eq!(back.take(), Some(frame));
        // Answered in reverse order, as a back end may.
        while let Some(id) = back.unanswered.pop() {
            back.answer(id, 0);
        }
    }
    assert_eq!(back.take(), None);
    assert_eq!(front.counters(), Counters { sent: 400, ..Counters::default() });
}

#[test]
fn a_short_frame_is_filled_up_and_a_long_one_refused() {
    let (mut front, mut back) = line();
    let (_, sent) = front.send(3, |buffer| buffer.copy_from_slice(b"abc"));
    assert_eq!(sent, Ok(()));
    assert_eq!(back.take().unwrap(), b"abc\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(
        front.send(9015, |buffer| buffer.len()),
        (9015, Err(Unsent::TooLong { len: 9015, most: 9014 }))
    );
    assert_eq!(front.send(0, |_| ()).1, Ok(()));
}

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn a_full_ring_says_so_and_wakes_us_when_there_is_room() {
    let (mut front, mut back) = line();
    let mut sent = 0;
    while front.can_send() {
        assert_eq!(front.send(1514, |_| ()).1, Ok(()));
        sent += 1;
    }
    assert_eq!(sent, 254, "the last two slots are not enough for the longest frame");
    assert_eq!(front.send(9014, |_| ()).1, Err(Unsent::Full));
    assert_eq!(front.send(1514, |_| ()).1, Ok(()), "but for this one");
    while back.take().is_some() {}
    assert!(!front.can_send());
    let id = back.unanswered.pop().unwrap();
    assert!(back.answer(id, -2), "we want to be told of the first response");
    assert!(!front.can_send(), "two of three");
    assert!({
        let id = back.unanswered.pop().unwrap();
        back.answer(id, 0)
    });
    assert!(front.can_send());
    assert_eq!(front.counters().send_failures, 1);
}

#[test]
fn the_back_end_is_notified_once_until_it_sleeps_again() {
    let (mut front, mut back) = line();
    for _ in 0..5 {
        assert_eq!(front.send(60, |_| ()).1, Ok(()));
    }
    assert_eq!(front.ports.sent.borrow().len(), 1);
    while back.take().is_some() {}
    assert_eq!(front.send(60, |_| ()).1, Ok(()));
    assert_eq!(*front.ports.sent.borrow(), [front.port(), front.port()]);
}

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn frames_are_received_in_any_fragments_with_and_without_extras() {
    let (mut front, mut back) = line();
    let mut seed = 0_usize;
    for (len, chunk, offset, extra) in [
        (60, 4096, 0, 0),
        (1514, 4096, 2, 1),
        (9014, 4096, 0, 0),
        (9014, 4000, 96, 2),
        (9014, 1000, 7, 4),
        (18, 1, 4095, 0),
    ]
    .into_iter()
    .cycle()
    .take(300)
    {
        seed += 1;
        let frame = bytes(len, seed);
        back.deliver(&frame, chunk, offset, extra);
        assert!(front.has_packet());
        assert_eq!(front.receive().unwrap().as_deref(), Some(&frame[..]));
        assert_eq!(front.receive(), Ok(None));
    }
    assert_eq!(front.counters(), Counters { received: 300, ..Counters::default() });
}

#[test]
fn several_frames_wait_in_order_and_none_is_missed_before_sleeping() {
    let (mut front, mut back) = line();
    assert_eq!(front.arm(), Ok(false));
    assert!(back.deliver(&bytes(100, 1), 4096, 0, 0), "armed: we are told");
    assert!(!back.deliver(&bytes(100, 2), 4096, 0, 0), "once");
    assert_eq!(front.arm(), Ok(true));
    assert_eq!(front.receive(), Ok(Some(bytes(100, 1))));
    assert_eq!(front.arm(), Ok(true), "there is another one");
    assert_eq!(front.receive_with(|frame| frame.len()), Ok(Some(100)));
    assert_eq!((front.receive(), front.has_packet()), (Ok(None), false));
    assert_eq!(front.arm(), Ok(false));
    assert!(back.deliver(&bytes(100, 3), 4096, 0, 0));
}

#[test]
fn a_frame_that_comes_in_two_halves_is_one() {
    let (mut front, mut back) = line();
    let (id, page) = back.request().unwrap();
    assert!(page.write(0, b"first half and "));
    back.respond(id, 0, 4, 15);
    assert_eq!(front.receive(), Ok(None));
    let (id, page) = back.request().unwrap();
    assert!(page.write(10, b"second half"));
    back.respond(id, 10, 0, 11);
    assert_eq!(front.receive(), Ok(Some(b"first half and second half".to_vec())));
}

#[test]
fn a_frame_that_failed_or_is_too_long_is_left_out() {
    let (mut front, mut back) = line();
    let (id, _) = back.request().unwrap();
    back.respond(id, 0, 4, 100);
    let (id, _) = back.request().unwrap();
    back.respond(id, 0, 0, -1);
    back.deliver(&bytes(9015, 1), 4096, 0, 0);
    let (id, _) = back.request().unwrap();
    back.respond(id, 0, 0, 0);
    back.deliver(b"a good one", 4096, 0, 0);
    assert_eq!(front.receive(), Ok(Some(b"a good one".to_vec())));
    assert_eq!(front.counters(), Counters { received: 1, receive_failures: 3, ..Counters::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What goes in on one side comes out on the other, whatever the order of things.
    #[test]
    #[cfg_attr(miri, ignore = "minutes in Miri")]
    fn nothing_is_lost_or_changed(steps in proptest::collection::vec((0_u8..4, 14_usize..9015, 1_usize..4097), 1..120)) {
        let (mut front, mut back) = line();
        let (mut sent, mut delivered) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
        for (step, (act, len, chunk)) in steps.into_iter().enumerate() {
            let frame = bytes(len, step);
            match act {
                0 if front.can_send() => {
                    prop_assert_eq!(front.send(len, |buffer| buffer.copy_from_slice(&frame)).1, Ok(()));
                    sent.push_back(frame);
                }
                1 => {
                    prop_assert_eq!(back.take(), sent.pop_front());
                    let ids: Vec<_> = back.unanswered.drain(..).collect();
                    ids.into_iter().for_each(|id| { back.answer(id, 0); });
                }
                2 if delivered.len() < 10 => {
                    back.deliver(&frame, chunk.max(1000), 0, u8::from(chunk % 5 == 0));
                    delivered.push_back(frame);
                }
                3 => prop_assert_eq!(front.receive(), Ok(delivered.pop_front())),
                _ => {}
            }
        }
        prop_assert_eq!(front.stopped(), None);
    }
}
