//! InfluxDB 1.x: the question, and the way back from the answer's bytes to points.
//!
//! The answer is asked for as MessagePack, in documents of [`request::ROWS_PER_DOCUMENT`] rows (`chunked=true`), with
//! times as integers (`epoch=ns`). A row is 19 bytes then, against 41 as JSON and 59 as CSV, and nothing in it has to be
//! read digit by digit.

pub mod answer;
pub mod document;
pub mod http;
mod place;
pub mod request;
mod token;

/// Longest piece of a source's own words that is repeated in an error message, in characters.
pub const MAX_WORDS: usize = 300;

#[cfg(test)]
mod document_tests;
