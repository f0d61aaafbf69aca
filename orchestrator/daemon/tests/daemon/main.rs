//! The daemon as a service and an operator meet it: over real sockets, with scripted guests.

mod admin;
mod admission;
mod door;
mod events;
mod http;
mod recovery;
mod replay;
mod requests;
mod routes;
mod support;
mod tasks;
