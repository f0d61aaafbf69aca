//! Services: what they ask for and when, what they send twice, and what they have been told.

use std::rc::Rc;

use fades_api::task::Wrapper;
use fades_core::TaskId;

use crate::door::Answer;
use crate::laws;
use crate::outside::{Act, Event, Outside};
use crate::weather::SECOND;
use crate::wrappers::{document, id, read};

/// A wrapper, and what its service knows of it.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) id: TaskId,
    pub(crate) wrapper: Rc<Wrapper>,
    pub(crate) digest: u64,
    pub(crate) heard: Option<Answer>,
    /// Another payload under the same id.
    pub(crate) forged: Option<(Rc<Wrapper>, u64)>,
}

fn digest(document: &str) -> u64 {
    document
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A wrapper that is signed now.
pub(crate) fn wish(number: u8, plain: bool, out: &mut Outside) -> Wish {
    let one = |out: &mut Outside| {
        let text = document(number, out.true_us(), plain, &mut out.dice);
        (Rc::new(read(&text)), digest(&text))
    };
    let ((wrapper, digest), forged) = (one(out), one(out));
    Wish { id: id(number), wrapper, digest, heard: None, forged: (forged.1 != digest).then_some(forged) }
}

/// When the services of a world will do what.
pub(crate) fn plan(out: &mut Outside) -> Vec<u64> {
    let count = out.dice.between(3, 24);
    let until_us = out.weather.calm_us;
    // In half of the worlds most come at once.
    let crowd_us = out.dice.chance(500).then(|| out.dice.between(0, until_us));
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(match crowd_us {
            Some(at_us) if out.dice.chance(700) => at_us + out.dice.between(0, 4 * SECOND),
            _ => out.dice.between(0, until_us),
        });
    }
    times
}

/// What follows the first time that a wrapper is sent.
pub(crate) fn follow(number: usize, out: &mut Outside) {
    let acts = [
        (Act::Send, out.weather.repeated),
        (Act::Send, out.weather.repeated / 2),
        (Act::Forge, 100),
        (Act::Cancel, 150),
    ];
    for (act, permille) in acts {
        if out.dice.chance(permille) {
            // Some are sent again long after they were done, and after they have expired.
            let most = out.dice.pick(&[SECOND, 20 * SECOND, 120 * SECOND]);
            let us = out.dice.between(0, most);
            out.after(us, Event::Service(act, number));
        }
    }
    for _ in 0..2 {
        let us = out.dice.between(0, 60 * SECOND);
        out.after(us, Event::Service(Act::Read, number));
    }
}

/// Somebody reads how a task is. What is told once of an end stays.
pub(crate) fn look(id: TaskId, out: &mut Outside) {
    let Some(record) = out.disk.tables.tasks.get(&id).filter(|record| record.state.is_final()) else {
        return;
    };
    let told = (record.state, record.result.clone());
    let before = out.told.entry(id).or_insert(told).clone();
    out.hold(laws::told_is_what_is_stored(&before, out.disk.tables.tasks.get(&id), id));
}
