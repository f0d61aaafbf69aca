//! Points that lie in a file, for the tests and first runs of functions.
//!
//! A [`Fixture`] is read from line protocol (`.lp`), CSV (`.csv`) or from what was recorded of a source (`.fpt`), and a
//! [`Replay`] answers a broker from it, byte by byte in the form in which InfluxDB 1.x would. So what runs on a fixture is all
//! of the broker, and what is missing is a database.
//!
//! To add a format: a module that fills a [`Fixture`], its line in [`Fixture::read`].

#![forbid(unsafe_code)]

mod csv;
mod error;
mod fixture;
mod fpt;
mod influxql;
mod line;
mod replay;
mod told;

pub use error::{Fault, FixtureError};
pub use fixture::{Fixture, Group, Selection, Series};
pub use replay::{Answer, Replay};
