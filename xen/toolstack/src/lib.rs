//! Xen from the host: domains through `xl`, and a connection to XenStore. For a program that runs in dom0.
//!
//! | part | what it does |
//! |---|---|
//! | [`Xl`] | runs `xl`: what the host is and has, which domains there are, building and destroying them |
//! | [`Monitor`] | the `xl` that builds one domain and stays until that is gone; tells how it ended |
//! | [`DomainConfig`] | a configuration for `xl`, written strictly: what could be misread is refused, never escaped |
//! | [`DomainName`] | names in which a node finds its own domains again |
//! | [`Store`] | XenStore by its own protocol, with watches; nothing polls |
//! | [`console`] | the terminal on which a domain writes |
//!
//! Xen's libraries are not linked: their licence stays theirs, and a fault in them ends a child process, not the caller.
//! To set something more in a configuration: a type in [`config`] whose values cannot be misread, and a line in its
//! `text`, which the property test reads back.
#![forbid(unsafe_code)]

pub mod config;
pub mod console;
pub mod host;
mod name;
pub mod store;
pub mod xl;

pub use config::{ConfigError, DomainConfig};
pub use console::ConsoleError;
pub use name::{DomainName, NameError, of_instance};
pub use store::{Line, Nudge, Store, StoreError, Watch};
pub use xl::{End, Info, Listed, Monitor, Reason, Xl, XlError};
