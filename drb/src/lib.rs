//! The data resource broker without its input and output: what it knows of sources, and how it serves tasks.
//!
//! To add a kind of source, put a module beside [`influx1`] that turns an operation into request bytes and answer bytes into
//! [`columns`].
#![forbid(unsafe_code)]

pub mod broker;
pub mod columns;
pub mod influx1;
