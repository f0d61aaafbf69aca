//! Joins streams of points by time, holding no more of them than it must.
//!
//! Each stream brings its groups in the order of their tags, and the points of a group in the order of time. The first stream leads: each of
//! its points is a row, if every other stream has a point for it. So a leader's point waits until the others have shown what they have up to its
//! time (or behind it, if the nearest is wanted), and points of the others wait for the leader.
//!
//! **Nothing waits for ever.** Who waits has points here; what is waited for is a stream that has none here and has not ended, and such a
//! stream always goes on ([`crate::Function::held`]).

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::function::Error;

/// Which point of another operation goes with a point of the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The last one at or before it, if that is no older than this many nanoseconds: a value holds until the next one, but not for ever.
    /// With 0, points of exactly one time.
    Carry {
        /// Greatest age, in nanoseconds.
        max_age_ns: i64,
    },
    /// The nearest one, if it is no further than this many nanoseconds; of two that are equally near the earlier.
    Nearest {
        /// Greatest distance, in nanoseconds.
        tolerance_ns: i64,
    },
}

/// The tags that tell a group from others, by their sorted keys.
pub(crate) type Tags = Vec<(String, String)>;

#[derive(Debug)]
struct Run {
    tags: Tags,
    points: VecDeque<(i64, f64)>,
}

#[derive(Debug, Default)]
struct Side {
    /// Groups, of which more points may come for the last one alone.
    runs: VecDeque<Run>,
    ended: bool,
    /// Points in all runs.
    held: usize,
    /// Of the leader's group: the latest point that is not behind the leader's time.
    last: Option<(i64, f64)>,
    /// Whether that one, and the next that is held, were in a row.
    used: [bool; 2],
    /// Which of the two was found for the leader's point.
    found: Which,
    left_out: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum Which {
    #[default]
    Last = 0,
    Next = 1,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Merge {
    align: Align,
    sides: Vec<Side>,
    values: Vec<f64>,
}

/// What a stream has for a leader's point.
#[derive(Clone, Copy)]
enum Found {
    Value(f64),
    /// No point that is near enough.
    Nothing,
    /// It is not known yet.
    Wait,
    /// None for any point of the leader's group.
    NoGroup,
}

impl Merge {
    pub(crate) fn new(align: Align, streams: usize) -> Self {
        let mut sides = Vec::new();
        sides.resize_with(streams, Side::default);
        Self { align, sides, values: Vec::with_capacity(streams) }
    }

    /// Points of this stream that are held.
    pub(crate) fn held(&self, stream: usize) -> usize {
        self.sides.get(stream).map_or(0, |side| side.held)
    }

    /// Points of each stream that were in no row; all that are held count.
    pub(crate) fn left_out(&self) -> Vec<u64> {
        self.sides.iter().map(|side| side.left_out + side.held as u64).collect()
    }

    /// Takes points of a group of a stream.
    ///
    /// # Errors
    /// The group comes before one that the stream has shown already, or has other tags than the others' groups.
    pub(crate) fn take(
        &mut self,
        stream: usize,
        tags: &Tags,
        points: impl Iterator<Item = (i64, f64)>,
    ) -> Result<(), Error> {
        if let Some(other) = self.sides.iter().find_map(|side| side.runs.back())
            && !other.tags.iter().map(|tag| &tag.0).eq(tags.iter().map(|tag| &tag.0))
        {
            let keys = |tags: &Tags| tags.iter().map(|tag| tag.0.clone()).collect::<Vec<_>>();
            let words = format!(
                "operations that are joined need the same group_by: {:?} and {:?}",
                keys(&other.tags),
                keys(tags)
            );
            return Err(Error::new(words));
        }
        let Some(side) = self.sides.get_mut(stream) else {
            return Err(Error::new(format!("points of operation {stream}, which there is not")));
        };
        let run = match side.runs.back_mut() {
            Some(run) if run.tags == *tags => run,
            before => {
                if let Some(run) = before
                    && run.tags > *tags
                {
                    let words = format!("group {tags:?} comes after {:?}: out of order", run.tags);
                    return Err(Error::new(words));
                }
                side.runs.push_back(Run { tags: tags.clone(), points: VecDeque::new() });
                let last = side.runs.len() - 1;
                &mut side.runs[last]
            }
        };
        let before = run.points.len();
        run.points.extend(points);
        side.held += run.points.len() - before;
        Ok(())
    }

    /// No more comes of this stream.
    pub(crate) fn end(&mut self, stream: usize) {
        if let Some(side) = self.sides.get_mut(stream) {
            side.ended = true;
        }
    }

    /// Gives every row that is certain by now: the group's tags, the leader's time, a value of each stream.
    ///
    /// # Errors
    /// As `row` has them.
    pub(crate) fn rows(
        &mut self,
        mut row: impl FnMut(&Tags, i64, &[f64]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some((leader, others)) = self.sides.split_first_mut() else { return Ok(()) };
        loop {
            let open = leader.is_open();
            let Some(run) = leader.runs.front_mut() else {
                if leader.ended {
                    others.iter_mut().for_each(Side::drop_all);
                }
                return Ok(());
            };
            others.iter_mut().for_each(|side| side.drop_before(&run.tags));
            let Some(&(time, value)) = run.points.front() else {
                if open {
                    return Ok(());
                }
                others.iter_mut().for_each(|side| side.forget_last());
                leader.runs.pop_front();
                continue;
            };
            self.values.clear();
            self.values.push(value);
            let (mut whole, mut wait, mut group) = (true, false, true);
            for side in others.iter_mut() {
                match side.find(&run.tags, time, self.align) {
                    Found::Value(value) => self.values.push(value),
                    Found::Nothing => whole = false,
                    Found::Wait => wait = true,
                    Found::NoGroup => group = false,
                }
            }
            if !group {
                leader.left_out += run.points.len() as u64;
                leader.held -= run.points.len();
                run.points.clear();
                continue;
            }
            if wait {
                return Ok(());
            }
            run.points.pop_front();
            leader.held -= 1;
            if whole {
                others.iter_mut().for_each(|side| side.used[side.found as usize] = true);
                row(&run.tags, time, &self.values)?;
            } else {
                leader.left_out += 1;
            }
        }
    }
}

impl Side {
    /// Whether more points may come for the first run.
    fn is_open(&self) -> bool {
        self.runs.len() == 1 && !self.ended
    }

    /// Forgets groups before this one: the leader has none of them. Of one that goes on only its points, so that what comes of it later
    /// is known to be of that group.
    fn drop_before(&mut self, tags: &Tags) {
        while self.runs.front().is_some_and(|run| run.tags < *tags) {
            if self.is_open() {
                self.clear_first();
                return;
            }
            self.clear_first();
            self.runs.pop_front();
        }
    }

    fn drop_all(&mut self) {
        while !self.runs.is_empty() {
            self.clear_first();
            self.runs.pop_front();
        }
    }

    fn clear_first(&mut self) {
        self.forget_last();
        let Some(run) = self.runs.front_mut() else { return };
        let used = usize::from(std::mem::take(&mut self.used[Which::Next as usize]));
        self.held -= run.points.len();
        self.left_out += run.points.len().saturating_sub(used) as u64;
        run.points.clear();
    }

    fn forget_last(&mut self) {
        let used = std::mem::take(&mut self.used[Which::Last as usize]);
        if self.last.take().is_some() && !used {
            self.left_out += 1;
        }
    }

    /// What there is for a point of the leader at this time and in this group, which is the side's first or comes before it, or else the
    /// side's first goes on without points.
    fn find(&mut self, tags: &Tags, time: i64, align: Align) -> Found {
        let open = self.is_open();
        let Some(run) = self.runs.front_mut() else {
            return if self.ended { Found::NoGroup } else { Found::Wait };
        };
        match run.tags.cmp(tags) {
            Ordering::Less => return Found::Wait,
            Ordering::Greater => return Found::NoGroup,
            Ordering::Equal => {}
        }
        while let Some(&point) = run.points.front()
            && point.0 <= time
        {
            run.points.pop_front();
            self.held -= 1;
            if self.last.replace(point).is_some() && !self.used[0] {
                self.left_out += 1;
            }
            self.used = [self.used[1], false];
        }
        let next = run.points.front().copied();
        if next.is_none() && open {
            return Found::Wait;
        }
        let within = |point: &(i64, f64), most: i64| {
            u64::try_from(most).is_ok_and(|most| point.0.abs_diff(time) <= most)
        };
        let (last, next) = match align {
            Align::Carry { max_age_ns } => (self.last.filter(|point| within(point, max_age_ns)), None),
            Align::Nearest { tolerance_ns } => {
                let near = |point: &(i64, f64)| within(point, tolerance_ns);
                (self.last.filter(near), next.filter(near))
            }
        };
        let nearer = |last: (i64, f64), next: (i64, f64)| last.0.abs_diff(time) <= next.0.abs_diff(time);
        match (last, next) {
            (Some(last), next) if next.is_none_or(|next| nearer(last, next)) => {
                self.found = Which::Last;
                Found::Value(last.1)
            }
            (_, Some(next)) => {
                self.found = Which::Next;
                Found::Value(next.1)
            }
            _ => Found::Nothing,
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
