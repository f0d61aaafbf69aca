//! What a seed holds in store: which faults there are in its world, how often, and when the large ones come.
//!
//! Each kind of fault is absent from half of the worlds, so that what one hides another may show.

use crate::dice::Dice;

pub(crate) const MS: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// Ten years, as a clock whose battery is empty goes back.
const YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1_000_000;

/// A large fault, at its time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    /// The daemon dies, and is started again after so long.
    Crash { down_us: u64 },
    /// The disk has no room for so long.
    Full { for_us: u64 },
    /// The disk has room for what is under way only, for so long.
    Tight { for_us: u64 },
    /// Every write takes so long, for so long.
    Slow { write_us: u64, for_us: u64 },
    /// The wall clock is so far from the true time, from now on.
    Clock { off_us: i64 },
    /// Images have changed.
    Images,
    /// A source is taken away, or is there again.
    Source,
    /// The next daemon is told of other limits.
    Limits { tasks: u32, memory_mib: u32 },
}

impl Blow {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Full { .. } => "disk full",
            Self::Tight { .. } => "disk nearly full",
            Self::Slow { .. } => "disk slow",
            Self::Clock { off_us } if off_us == -YEARS => "clock ten years back",
            Self::Clock { off_us } if off_us == YEARS => "clock ten years ahead",
            Self::Clock { .. } => "clock jumps",
            Self::Images => "images change",
            Self::Source => "source goes or comes",
            Self::Limits { .. } => "limits change",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Weather {
    // Of a thousand.
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) bad_functions: u64,
    pub(crate) bad_brokers: u64,
    pub(crate) bad_starts: u64,
    pub(crate) bad_sources: u64,
    pub(crate) lost_answers: u64,
    pub(crate) repeated: u64,
    /// An ordinary write.
    pub(crate) write_us: u64,
    pub(crate) blows: Vec<(u64, Blow)>,
    /// From then on nothing goes wrong any more.
    pub(crate) calm_us: u64,
}

impl Weather {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let mut sometimes = |most: u64| if dice.chance(500) { dice.between(1, most) } else { 0 };
        let mut weather = Self {
            lost: sometimes(30),
            late: sometimes(200),
            bad_functions: sometimes(500),
            bad_brokers: sometimes(600),
            bad_starts: sometimes(200),
            bad_sources: sometimes(300),
            lost_answers: sometimes(400),
            repeated: sometimes(600),
            write_us: 0,
            blows: Vec::new(),
            // Some have time for a disk that is full for long.
            calm_us: if dice.chance(100) { 10 * MINUTE } else { dice.between(40, 160) * SECOND },
        };
        weather.write_us = dice.pick(&[MS, 5 * MS, 40 * MS, 300 * MS]);
        weather.blows = blows(dice, weather.calm_us);
        weather
    }
}

fn blows(dice: &mut Dice, until_us: u64) -> Vec<(u64, Blow)> {
    let mut blows = Vec::new();
    let mut add = |dice: &mut Dice, most: u64, one: fn(&mut Dice) -> Blow| {
        let count = if dice.chance(500) { dice.between(1, most) } else { 0 };
        for _ in 0..count {
            let at_us = dice.between(0, until_us);
            blows.push((at_us, one(dice)));
        }
    };
    add(dice, 4, |dice| Blow::Crash { down_us: dice.between(100 * MS, 20 * SECOND) });
    add(dice, 2, |dice| {
        let most = dice.pick(&[10 * SECOND, 90 * SECOND, 8 * MINUTE]);
        Blow::Full { for_us: dice.between(SECOND, most) }
    });
    add(dice, 2, |dice| Blow::Tight { for_us: dice.between(SECOND, 30 * SECOND) });
    add(dice, 2, |dice| {
        let write_us = dice.between(500 * MS, 4 * SECOND);
        Blow::Slow { write_us, for_us: dice.between(SECOND, 30 * SECOND) }
    });
    add(dice, 3, |dice| {
        let seconds = i64::try_from(dice.between(1, 300)).expect("a few") * 1_000_000;
        let off_us = dice.pick(&[seconds, -seconds, -seconds, seconds / 40, -seconds / 40, YEARS, -YEARS, 0]);
        Blow::Clock { off_us }
    });
    add(dice, 2, |_| Blow::Images);
    add(dice, 2, |_| Blow::Source);
    add(dice, 1, |dice| Blow::Limits {
        tasks: dice.pick(&[1, 2, 4]),
        memory_mib: dice.pick(&[256, 320, 512]),
    });
    blows
}
