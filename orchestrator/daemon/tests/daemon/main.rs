//! The daemon as a service and an operator meet it: over real sockets, with scripted guests.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod admin;
mod admission;
mod crowd;
mod disk;
mod door;
mod events;
mod files;
mod hostile;
mod http;
mod images;
mod parameters;
mod periods;
mod power;
mod recovery;
mod replay;
mod requests;
mod routes;
mod support;
mod tasks;
