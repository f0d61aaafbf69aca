//! What the author of a function needs, and nothing of any host.
//!
//! ```
//! use dmf_kit::prelude::*;
//!
//! struct Mean {
//!     n: u64,
//!     sum: f64,
//! }
//!
//! impl Function for Mean {
//!     type Parameters = NoParameters;
//!     type Output = f64;
//!
//!     fn start(_: NoParameters) -> Result<Self, Error> {
//!         Ok(Mean { n: 0, sum: 0.0 })
//!     }
//!     fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
//!         self.n += batch.len() as u64;
//!         self.sum += batch.values().sum::<f64>();
//!         Ok(())
//!     }
//!     fn finish(self) -> Result<f64, Error> {
//!         Ok(self.sum / self.n as f64)
//!     }
//! }
//! # // The entry point would wait for an orchestrator; it is only compiled here.
//! # mod unikernel { use super::*;
//! dmf_kit::main!(Mean);
//! # }
//! # fn main() {}
//! ```
//!
//! The same crate is a program for the host and a unikernel; `cargo test` covers all but the network around it.

#![forbid(unsafe_code)]

mod function;
mod groups;
mod moments;
mod run;
pub mod session;
mod time;

pub use function::{Batch, Error, Function, NoParameters, Series};
pub use groups::{Group, Groups};
pub use moments::{Moments, Reading, Summary};
pub use run::run;
pub use time::{duration_ns, rfc3339};

/// What most functions use.
pub mod prelude {
    pub use crate::{
        Batch, Error, Function, Group, Groups, Moments, NoParameters, Series, Summary, duration_ns, rfc3339,
    };
    pub use serde::{Deserialize, Serialize};
}

/// Makes the unikernel's `main` out of a [`Function`]. The image's name and version are the crate's.
#[macro_export]
macro_rules! main {
    ($function:ty) => {
        fn main() {
            $crate::run::<$function>(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")));
        }
    };
}
