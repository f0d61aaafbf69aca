//! What a function is, without any I/O: the trait, one task of it, and what it can reduce points with.
//!
//! | trait | what it sees | in a program |
//! |---|---|---|
//! | [`Function`] | batches of any series | `main!(Mine)` |
//! | [`Reducer`] | the points of one series | in a function, one per series ([`Groups`]) |
//! | [`WindowFunction`] | each window of each series, reduced | `main!(Windowed<Mine>)` |
//! | [`JoinFunction`] | rows of several operations, aligned by time | `main!(Joined<Mine>)` |
//!
//! Reducers: [`Moments`], [`Histogram`], [`Quantiles`], [`Distinct`], [`TopK`], [`Rate`], [`Trend`], [`Events`], [`Anomalies`]; of pairs
//! [`Correlation`]. Two of them are one as a tuple; [`pipe()`] puts filter, map, rate and resample in front of one.
//!
//! Authors see this through `dmf-kit`, which puts the unikernel around it; `dmf-testkit` puts the broker's logic around it.

#![forbid(unsafe_code)]

mod function;
mod groups;
pub mod habit;
mod joined;
mod merge;
mod pipe;
mod place;
pub mod recurring;
mod reducer;
mod reducers;
pub mod session;
mod time;
mod windowed;

pub use function::{Batch, Description, Error, Function, NoParameters, Series};
pub use groups::{Group, Groups};
pub use joined::{JoinFunction, Joined, Row, Unused};
pub use merge::Align;
pub use pipe::{How, Pipe, pipe};
pub use place::{Place, last_chunk};
pub use recurring::Recurring;
pub use reducer::{NotFinite, Reducer};
pub use reducers::{
    Anomalies, Anomaly, Bins, Correlation, Distinct, Event, EventList, Events, Fit, Histogram, Increase,
    Line, Moments, Number, Outliers, Quantile, QuantileList, Quantiles, Rate, Reading, Summary, Top, TopK,
    Trend,
};
pub use time::{duration_ns, rfc3339};
pub use windowed::{Window, WindowFunction, Windowed, Windows};

/// What the steps of a [`pipe()`] are made of; only their types' names are of use.
pub mod steps {
    pub use crate::pipe::{
        Filtered, Keeping, Mapped, Mapping, Rated, Resampled, Rising, Sampling, Start, Step, Then,
    };
}
