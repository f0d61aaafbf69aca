//! Functions that say something per window of time.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::{Batch, Error, Function, Series};
use crate::groups::Group;
use crate::reducer::Reducer;

/// A function that reduces the points of each window of each series, and says something of it when the window closes.
///
/// `dmf_kit::main!(Windowed<Mine>)` makes a program of it. Windows without points do not exist. As points come in the order of time, a
/// window is closed as soon as its last point has come, and only the windows of one series are open at any time.
///
/// Memory: one reducer if windows do not overlap. Of sliding windows, if the reducer can [`join`](Reducer::join), one per pane that has points,
/// of which there are `size / gcd(size, step)`, and each point is taken once; else, or if these would be over [`Windows::MOST_OPEN`], one
/// per window that is open, `size / step`, and each point is taken by all of these. Beside that at most [`WindowFunction::MOST_ROWS`] rows.
pub trait WindowFunction: Sized {
    /// As [`Function::Parameters`].
    type Parameters: DeserializeOwned + JsonSchema;
    /// What takes the points of a window.
    type Reducer: Reducer;
    /// What is kept of a window.
    type Row;
    /// As [`Function::Output`].
    type Output: Serialize + JsonSchema;

    /// Most rows that are kept, all series together; a task that makes more of them fails. A row of a [`Summary`](crate::Summary) takes about
    /// 200 bytes, so that a guest of 64 MiB holds these and the result.
    const MOST_ROWS: usize = 50_000;

    /// Makes the state for one task.
    ///
    /// # Errors
    /// When the parameters make no sense together; say which and why.
    fn start(parameters: Self::Parameters) -> Result<Self, Error>;

    /// How windows lie. Asked once, after `start`.
    fn windows(&self) -> Windows;

    /// A reducer for a new window, always in the same state.
    fn reducer(&self) -> Self::Reducer;

    /// What to keep of a window that has closed, if anything. Windows of one series come in the order of their starts.
    ///
    /// # Errors
    /// When the function cannot go on; the task fails with these words.
    fn close(
        &mut self,
        series: &Series,
        window: Window,
        reduced: <Self::Reducer as Reducer>::Output,
    ) -> Result<Option<Self::Row>, Error>;

    /// Gives the result, out of what was kept.
    ///
    /// # Errors
    /// When there is no result to give; the task fails with these words.
    fn finish(self, rows: Vec<(Group, Vec<Self::Row>)>) -> Result<Self::Output, Error>;
}

/// How windows lie: they begin at multiples of `step` since 1970, UTC (as InfluxDB's `GROUP BY time()` has them), and last for `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    size: i64,
    step: i64,
}

/// A window: from its start on, its end not included. Where nanoseconds since 1970 do not reach, it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First instant, in nanoseconds since 1970, UTC.
    pub start_ns: i64,
    /// First instant behind it.
    pub end_ns: i64,
}

impl Windows {
    /// Most windows that may be open at once.
    pub const MOST_OPEN: i64 = 1024;

    /// Windows of `size` nanoseconds, each beginning where the one before ends.
    ///
    /// # Errors
    /// The size is not above 0.
    pub fn tumbling(size_ns: i64) -> Result<Self, Error> {
        Self::sliding(size_ns, size_ns)
    }

    /// Windows of `size` nanoseconds, one beginning every `step`.
    ///
    /// # Errors
    /// One of them is not above 0, the step is above the size, or more than [`Windows::MOST_OPEN`] windows would be open at once.
    pub fn sliding(size_ns: i64, step_ns: i64) -> Result<Self, Error> {
        if size_ns <= 0 || step_ns <= 0 || step_ns > size_ns {
            return Err(Error::new(format!("windows of {size_ns} ns every {step_ns} ns")));
        }
        if (size_ns - 1) / step_ns >= Self::MOST_OPEN {
            let words = format!(
                "windows of {size_ns} ns every {step_ns} ns are over {} open at once",
                Self::MOST_OPEN
            );
            return Err(Error::new(words));
        }
        Ok(Self { size: size_ns, step: step_ns })
    }

    /// The longest time at whose multiples all windows begin and end.
    const fn pane(&self) -> i64 {
        let (mut a, mut b) = (self.size, self.step);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// The window that begins here. 128 bits, as windows may reach beyond what nanoseconds since 1970 do in 64.
    fn at(&self, start: i128) -> Window {
        let cut =
            |instant: i128| i64::try_from(instant).unwrap_or(if instant < 0 { i64::MIN } else { i64::MAX });
        Window { start_ns: cut(start), end_ns: cut(start + i128::from(self.size)) }
    }
}

/// A [`WindowFunction`] as a [`Function`].
pub struct Windowed<F: WindowFunction> {
    function: F,
    windows: Windows,
    current: Option<(Series, Open<F::Reducer>)>,
    rows: Vec<(Group, Vec<F::Row>)>,
    kept: usize,
}

/// The windows of one series that are open.
enum Open<R> {
    /// A state per window, by its start.
    Each(VecDeque<(i128, R)>),
    /// A state per pane that has points, by its start, and the start of the next window to close.
    Panes(VecDeque<(i128, R)>, i128),
}

impl<R: Reducer> Open<R> {
    fn new(windows: Windows, reducer: impl Fn() -> R) -> Self {
        let panes = windows.size / windows.pane();
        if panes > 1 && panes <= Windows::MOST_OPEN && reducer().join(&reducer()) {
            Self::Panes(VecDeque::new(), i128::MIN)
        } else {
            Self::Each(VecDeque::new())
        }
    }

    /// Takes points that all lie in the pane that begins at `pane`. What lies before it has been closed.
    fn take(
        &mut self,
        windows: Windows,
        pane: i128,
        points: impl Iterator<Item = (i64, f64)> + Clone,
        reducer: impl Fn() -> R,
    ) {
        let (size, step) = (i128::from(windows.size), i128::from(windows.step));
        match self {
            Self::Each(open) => {
                // The first window that reaches into the pane, or the next that is not open yet.
                let first = (pane - size).div_euclid(step) * step + step;
                let mut start = open.back().map_or(first, |(last, _)| first.max(last + step));
                while start <= pane {
                    open.push_back((start, reducer()));
                    start += step;
                }
                for (_, state) in open.iter_mut() {
                    state.points(points.clone());
                }
            }
            Self::Panes(panes, _) => {
                if panes.back().is_none_or(|(last, _)| *last < pane) {
                    panes.push_back((pane, reducer()));
                }
                if let Some((_, state)) = panes.back_mut() {
                    state.points(points);
                }
            }
        }
    }

    /// The next window that ends at or before `until`, with what it was reduced to. The earliest comes first.
    fn close(&mut self, windows: Windows, until: i128, reducer: impl Fn() -> R) -> Option<(i128, R::Output)> {
        let (size, step) = (i128::from(windows.size), i128::from(windows.step));
        match self {
            Self::Each(open) => {
                open.front().filter(|(start, _)| start + size <= until)?;
                let (start, state) = open.pop_front()?;
                Some((start, state.finish()))
            }
            Self::Panes(panes, next) => {
                let (oldest, _) = panes.front()?;
                let start = (*next).max((oldest - size).div_euclid(step) * step + step);
                if start + size > until {
                    return None;
                }
                let mut state = reducer();
                for (_, pane) in panes.iter().take_while(|(pane, _)| *pane < start + size) {
                    // That it can was found out when this was made.
                    let _ = state.join(pane);
                }
                *next = start + step;
                while panes.front().is_some_and(|(pane, _)| *pane < *next) {
                    panes.pop_front();
                }
                Some((start, state.finish()))
            }
        }
    }
}

impl<F: WindowFunction> Windowed<F> {
    /// Closes what ends at or before `until`.
    fn close(&mut self, until: i128) -> Result<(), Error> {
        let Some((series, open)) = &mut self.current else { return Ok(()) };
        while let Some((start, reduced)) = open.close(self.windows, until, || self.function.reducer()) {
            let Some(row) = self.function.close(series, self.windows.at(start), reduced)? else { continue };
            self.kept += 1;
            if self.kept > F::MOST_ROWS {
                let words = format!(
                    "rows of windows are over {}; take longer windows or a shorter range",
                    F::MOST_ROWS
                );
                return Err(Error::new(words));
            }
            if let Some((_, rows)) = self.rows.last_mut() {
                rows.push(row);
            }
        }
        Ok(())
    }
}

impl<F: WindowFunction> Function for Windowed<F> {
    type Parameters = F::Parameters;
    type Output = F::Output;

    fn start(parameters: F::Parameters) -> Result<Self, Error> {
        let function = F::start(parameters)?;
        let windows = function.windows();
        Ok(Self { function, windows, current: None, rows: Vec::new(), kept: 0 })
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        if self.current.as_ref().is_none_or(|(current, _)| current.index != series.index) {
            self.close(i128::MAX)?;
            self.rows.push((Group::from(series), Vec::new()));
            self.current = Some((series.clone(), Open::new(self.windows, || self.function.reducer())));
        }
        let length = i128::from(self.windows.pane());
        let mut at = 0;
        while let Some((time, _)) = batch.get(at) {
            let pane = i128::from(time).div_euclid(length) * length;
            self.close(pane)?;
            let end = at + run(&batch, at, pane + length);
            if let Some((_, open)) = &mut self.current {
                open.take(self.windows, pane, batch.points_within(at, end), || self.function.reducer());
            }
            at = end;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<F::Output, Error> {
        self.close(i128::MAX)?;
        self.function.finish(self.rows)
    }
}

/// How many points from `at` on lie before `end`: at least one, as the first does. Found by steps that double, and then by halving, so
/// that short runs and long ones are found quickly.
fn run(batch: &Batch<'_>, at: usize, end: i128) -> usize {
    let inside = |count: usize| batch.get(at + count).is_some_and(|(time, _)| i128::from(time) < end);
    let mut high = 1;
    while inside(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if inside(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
#[path = "windowed_tests.rs"]
mod tests;
