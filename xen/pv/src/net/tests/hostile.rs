use proptest::prelude::*;

use super::*;

fn with_line<R>(act: impl FnOnce(&mut Netfront<Rc<Wires>>, &mut back_end::BackEnd) -> R) -> R {
    let (mut front, mut back) = line();
    act(&mut front, &mut back)
}

/// What a violation leaves behind: a device that does nothing any more, and says why.
fn is_stopped(front: &mut Netfront<Rc<Wires>>, error: NetError) {
    assert_eq!(front.stopped(), Some(error));
    assert!(!front.can_send());
    assert_eq!(front.send(60, |buffer| buffer.len()), (60, Err(Unsent::Stopped(error))));
    assert_eq!(front.receive(), Err(error));
    assert_eq!(front.arm(), Err(error));
    assert!(!front.has_packet());
}

#[test]
fn more_responses_than_requests() {
    with_line(|front, back| {
        back.claim(false, 257);
        assert!(front.has_packet());
        assert!(matches!(front.receive(), Err(NetError::Index(_))));
        let error = front.stopped().unwrap();
        is_stopped(front, error);
    });
    with_line(|front, back| {
        while front.can_send() {
            let _ = front.send(60, |_| ());
        }
        back.claim(true, 300);
        assert!(!front.can_send());
        let error = front.stopped().unwrap();
        assert!(matches!(error, NetError::Index(_)));
        is_stopped(front, error);
    });
}

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn an_identifier_that_is_not_away() {
    for id in [255, 256, u16::MAX] {
        with_line(|front, back| {
            let _ = front.send(60, |_| ());
            back.answer(id, 0);
            // Found when buffers are needed, at the latest.
            for _ in 0..256 {
                let _ = front.can_send();
                let _ = front.send(60, |_| ());
            }
            is_stopped(front, NetError::Id(id));
        });
    }
    with_line(|front, back| {
        let _ = front.send(9000, |_| ());
        back.take();
        let id = back.unanswered[0];
        back.answer(id, 0);
        back.answer(id, 0);
        for _ in 0..256 {
            let _ = front.can_send();
            let _ = front.send(60, |_| ());
        }
        is_stopped(front, NetError::Id(id));
    });
    with_line(|front, back| {
        back.respond(1, 0, 0, 60);
        assert_eq!(front.receive(), Err(NetError::Id(1)));
        is_stopped(front, NetError::Id(1));
    });
}

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn a_fragment_outside_its_page() {
    for (offset, size) in [(0, 4097), (1, 4096), (4096, 1), (u16::MAX, 1), (4000, i16::MAX)] {
        with_line(|front, back| {
            back.respond(0, offset, 0, size);
            let error = NetError::Bounds { offset, size: size.cast_unsigned() };
            assert_eq!(front.receive(), Err(error));
            is_stopped(front, error);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "minutes in Miri")]
fn extras_that_do_not_exist_or_do_not_end() {
    for kind in [0, 5, 255] {
        with_line(|front, back| {
            back.request();
            back.respond(0, 0, 8, 60);
            back.extra(kind, 0);
            assert_eq!(front.receive(), Err(NetError::Extra(kind)));
            is_stopped(front, NetError::Extra(kind));
        });
    }
    with_line(|front, back| {
        back.request();
        back.respond(0, 0, 8, 60);
        (0..5).for_each(|_| back.extra(1, 1));
        assert_eq!(front.receive(), Err(NetError::Extra(4)));
    });
}

#[test]
fn a_frame_without_end_costs_bounded_work() {
    with_line(|front, back| {
        for _ in 0..if cfg!(miri) { 1 } else { 40 } {
            while let Some((id, _)) = back.request() {
                back.respond(id, 0, 4, 4096);
            }
            assert_eq!(front.receive(), Ok(None));
        }
        assert_eq!(front.counters().received, 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Anything in the rings: an error or frames, never a panic, and no frame is too long.
    #[test]
    #[cfg_attr(miri, ignore = "minutes in Miri")]
    fn anything_in_the_rings(
        words in proptest::collection::vec((any::<bool>(), 0_usize..512, any::<u64>()), 0..600),
        responses in proptest::collection::vec((any::<bool>(), 0_u32..260), 1..10),
        small in any::<bool>(),
    ) {
        with_line(|front, back| {
            for _ in 0..10 {
                let _ = front.send(9000, |_| ());
            }
            for (send, at, word) in words {
                // Small offsets, sizes and flags get further than any would.
                let word = if small { word & 0x010f_000f_0fff_00ff } else { word };
                back.scribble(send, at, word);
            }
            for (send, count) in responses {
                back.claim(send, count);
                for _ in 0..20 {
                    if let Ok(Some(frame)) = front.receive() {
                        assert!((1..=MAX_FRAME).contains(&frame.len()));
                    }
                }
                let _ = front.can_send();
                let _ = front.send(9000, |_| ());
                let _ = front.arm();
            }
        });
    }
}
