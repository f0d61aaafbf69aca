//! The command line as people and scripts meet it: `fades` as a process, against a whole node with scripted guests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod examples;
mod images;
mod node;
mod operator;
mod places;
mod plan;
mod proxy;
mod receipts;
mod registry;
mod shelf;
mod tasks;
mod words;
