//! Guests that are threads, on a network that is a table: the traits of `fades-core`, scripted and with faults.
//!
//! For tests of the shell around the engine only; nothing that runs tasks depends on it. A [`ScriptedNetwork`] and a
//! [`ScriptedBackend`] over it behave as the real ones do, except that no data flows between broker and function: both count
//! what [`counted`] says. What each guest does is written in a [`Script`]: first broker, second broker, ...
//!
//! To add a fault: a variant in [`BrokerAct`] or [`FunctionAct`], its line in `guest.rs`, its case in `tests/shell.rs`.

#![forbid(unsafe_code)]

mod backend;
mod guest;
mod line;
mod network;
mod script;

pub use backend::ScriptedBackend;
pub use network::ScriptedNetwork;
pub use script::{BrokerAct, FunctionAct, Script, counted};
