//! Steps between points and a reducer.
//!
//! ```
//! use dmf_reduce::{How, Moments, Pipe, Reducer, pipe};
//!
//! const MINUTE: i64 = 60_000_000_000;
//! // The spread of a counter's speed, minute by minute.
//! let mut spread = pipe().counter_rate().resample(MINUTE, How::Mean)?.reduce(Moments::default());
//! spread.points([(0, 10.0), (MINUTE / 2, 40.0), (MINUTE, 0.0), (3 * MINUTE, 240.0)].into_iter());
//! let summary = spread.finish();
//! assert_eq!((summary.count, summary.min, summary.max), (3, Some(0.0), Some(2.0)));
//! # Ok::<(), dmf_reduce::Error>(())
//! ```
//!
//! Points go through the steps in the order in which they are written. What comes out at the end is a [`Reducer`] again.

use crate::function::Error;
use crate::reducer::{Reducer, as_f64, seconds};

/// Points as they come.
#[must_use]
pub const fn pipe() -> Start {
    Start
}

/// Some steps, to which more can be added, and behind them a reducer.
pub trait Pipe: Sized {
    /// A reducer that is given what comes through the steps.
    type Into<R: Reducer>: Reducer<Output = R::Output>;

    /// Puts `reducer` behind the steps.
    fn reduce<R: Reducer>(self, reducer: R) -> Self::Into<R>;

    /// Lets through the points for which this holds.
    fn filter<P: Fn(i64, f64) -> bool>(self, keep: P) -> Then<Self, Keeping<P>> {
        Then(self, Keeping(keep))
    }

    /// Changes each value: another unit, a sign.
    fn map<M: Fn(f64) -> f64>(self, map: M) -> Then<Self, Mapping<M>> {
        Then(self, Mapping(map))
    }

    /// Makes of each two points their difference per second, at the time of the second. Two of one time make none: the later one
    /// takes the other's place. Units: the values' own per second. Error: two roundings. Memory: 4 KiB. What is not finite goes
    /// through as it is, and takes no part.
    fn rate(self) -> Then<Self, Rising> {
        Then(self, Rising { counter: false })
    }

    /// The same of a counter: a value below the one before it counts from 0 (see [`Rate`](crate::Rate)).
    fn counter_rate(self) -> Then<Self, Rising> {
        Then(self, Rising { counter: true })
    }

    /// Makes of all points of an interval one, at the interval's start. Intervals of `every` nanoseconds begin at multiples of it since
    /// 1970, UTC; those without points make none. Units: the values' own. Error: of a sum or mean n roundings. Memory: 4 KiB. What is
    /// not finite goes through as it is, and takes no part.
    ///
    /// # Errors
    /// `every` is not above 0.
    fn resample(self, every_ns: i64, how: How) -> Result<Then<Self, Sampling>, Error> {
        if every_ns <= 0 {
            return Err(Error::new(format!("intervals of {every_ns} ns")));
        }
        Ok(Then(self, Sampling { every: every_ns, how }))
    }
}

/// What becomes of the points of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Their mean.
    Mean,
    /// The first.
    First,
    /// The last.
    Last,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their sum.
    Sum,
    /// Their number.
    Count,
}

/// No steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start;

impl Pipe for Start {
    type Into<R: Reducer> = R;

    fn reduce<R: Reducer>(self, reducer: R) -> R {
        reducer
    }
}

/// A step.
pub trait Step {
    /// The step, with what is behind it.
    type Into<R: Reducer>: Reducer<Output = R::Output>;

    /// Puts a reducer behind the step.
    fn before<R: Reducer>(self, reducer: R) -> Self::Into<R>;
}

/// Steps, and one more behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Then<P, S>(P, S);

impl<P: Pipe, S: Step> Pipe for Then<P, S> {
    type Into<R: Reducer> = P::Into<S::Into<R>>;

    fn reduce<R: Reducer>(self, reducer: R) -> Self::Into<R> {
        self.0.reduce(self.1.before(reducer))
    }
}

/// See [`Pipe::filter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping<P>(P);

/// See [`Pipe::map`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<M>(M);

/// See [`Pipe::rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rising {
    counter: bool,
}

/// See [`Pipe::resample`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    every: i64,
    how: How,
}

impl<P: Fn(i64, f64) -> bool> Step for Keeping<P> {
    type Into<R: Reducer> = Filtered<R, P>;

    fn before<R: Reducer>(self, inner: R) -> Filtered<R, P> {
        Filtered { inner, keep: self.0 }
    }
}

impl<M: Fn(f64) -> f64> Step for Mapping<M> {
    type Into<R: Reducer> = Mapped<R, M>;

    fn before<R: Reducer>(self, inner: R) -> Mapped<R, M> {
        Mapped { inner, map: self.0 }
    }
}

impl Step for Rising {
    type Into<R: Reducer> = Rated<R>;

    fn before<R: Reducer>(self, inner: R) -> Rated<R> {
        Rated { inner, counter: self.counter, last: None, made: Vec::new() }
    }
}

impl Step for Sampling {
    type Into<R: Reducer> = Resampled<R>;

    fn before<R: Reducer>(self, inner: R) -> Resampled<R> {
        Resampled { inner, every: self.every, how: self.how, open: None, made: Vec::new() }
    }
}

/// A reducer of the points for which something holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Filtered<R, P> {
    inner: R,
    keep: P,
}

impl<R: Reducer, P: Fn(i64, f64) -> bool> Reducer for Filtered<R, P> {
    type Output = R::Output;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let keep = &self.keep;
        self.inner.points(points.filter(|&(time, value)| keep(time, value)));
    }

    fn finish(self) -> R::Output {
        self.inner.finish()
    }

    fn join(&mut self, later: &Self) -> bool {
        self.inner.join(&later.inner)
    }
}

/// A reducer of changed values.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped<R, M> {
    inner: R,
    map: M,
}

impl<R: Reducer, M: Fn(f64) -> f64> Reducer for Mapped<R, M> {
    type Output = R::Output;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let map = &self.map;
        self.inner.points(points.map(|(time, value)| (time, map(value))));
    }

    fn finish(self) -> R::Output {
        self.inner.finish()
    }

    fn join(&mut self, later: &Self) -> bool {
        self.inner.join(&later.inner)
    }
}

/// Points that a step hands on at once: few enough to stay near the processor, enough that handing on costs little.
const HANDED_ON: usize = 256;

/// Collects a point, and hands on those that are there if they are enough.
fn hand_on<R: Reducer>(inner: &mut R, made: &mut Vec<(i64, f64)>, point: (i64, f64)) {
    made.push(point);
    if made.len() >= HANDED_ON {
        inner.points(made.iter().copied());
        made.clear();
    }
}

fn hand_on_rest<R: Reducer>(inner: &mut R, made: &mut Vec<(i64, f64)>) {
    if !made.is_empty() {
        inner.points(made.iter().copied());
        made.clear();
    }
}

/// A reducer of differences per second.
#[derive(Debug, Clone, PartialEq)]
pub struct Rated<R> {
    inner: R,
    counter: bool,
    last: Option<(i64, f64)>,
    made: Vec<(i64, f64)>,
}

impl<R: Reducer> Reducer for Rated<R> {
    type Output = R::Output;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (time, value) in points {
            if !value.is_finite() {
                hand_on(&mut self.inner, &mut self.made, (time, value));
                continue;
            }
            let last = self.last.replace((time, value));
            if let Some((before, from)) = last.filter(|(before, _)| *before < time) {
                let from = if self.counter && value < from { 0.0 } else { from };
                let rate = (value - from) / seconds(before, time);
                hand_on(&mut self.inner, &mut self.made, (time, rate));
            }
        }
        hand_on_rest(&mut self.inner, &mut self.made);
    }

    fn finish(self) -> R::Output {
        self.inner.finish()
    }
}

/// A reducer of one value per interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled<R> {
    inner: R,
    every: i64,
    how: How,
    open: Option<Interval>,
    made: Vec<(i64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    start: i64,
    count: u64,
    first: f64,
    last: f64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Interval {
    fn take(&mut self, value: f64) {
        self.count += 1;
        self.last = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
    }

    fn point(&self, how: How) -> (i64, f64) {
        let value = match how {
            How::Mean => self.sum / as_f64(self.count),
            How::First => self.first,
            How::Last => self.last,
            How::Min => self.min,
            How::Max => self.max,
            How::Sum => self.sum,
            How::Count => as_f64(self.count),
        };
        (self.start, value)
    }
}

impl<R: Reducer> Reducer for Resampled<R> {
    type Output = R::Output;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        for (time, value) in points {
            let start = time.saturating_sub(time.rem_euclid(self.every));
            if !value.is_finite() {
                // At a time that is not behind that of the interval that is still open.
                let start = self.open.map_or(start, |open| open.start);
                hand_on(&mut self.inner, &mut self.made, (start, value));
                continue;
            }
            match &mut self.open {
                Some(open) if open.start == start => open.take(value),
                open => {
                    let (first, last, min, max) = (value, value, value, value);
                    let next = Interval { start, count: 1, first, last, min, max, sum: value };
                    if let Some(closed) = open.replace(next) {
                        hand_on(&mut self.inner, &mut self.made, closed.point(self.how));
                    }
                }
            }
        }
        hand_on_rest(&mut self.inner, &mut self.made);
    }

    fn finish(mut self) -> R::Output {
        if let Some(open) = self.open.take() {
            hand_on(&mut self.inner, &mut self.made, open.point(self.how));
            hand_on_rest(&mut self.inner, &mut self.made);
        }
        self.inner.finish()
    }
}
