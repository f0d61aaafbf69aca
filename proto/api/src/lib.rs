//! What crosses between a service and a node: the task wrapper that is signed, the types of the HTTP interface, the
//! catalogue of reasons, the payload of signed requests, the table of routes with its OpenAPI document, and a client.
//!
//! Nothing here knows keys, stores or guests; signatures are `fades-envelope`'s. To add a route, write its row in [`routes`]: the
//! daemon's router is tested against that table and `/openapi.json` is made from it. To add a reason, see [`codes`]. To add
//! a key to the wrapper, see [`task`].

#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
pub mod codes;
mod fields;
pub mod http;
mod json;
pub mod request;
pub mod routes;
pub mod schema;
pub mod task;

pub use fields::nearest;
