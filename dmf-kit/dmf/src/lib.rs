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
//! Who asks per window of time implements [`WindowFunction`] instead, and who looks at several operations at once [`JoinFunction`];
//! `dmf_kit::main!(Windowed<Mine>)` and `dmf_kit::main!(Joined<Mine>)` make programs of them. What points can be reduced to stands with
//! [`Reducer`].
//!
//! ```
//! use dmf_kit::prelude::*;
//!
//! /// How often it was hot in a day, and how hot.
//! struct HotDays;
//!
//! #[derive(Debug, Serialize, JsonSchema)]
//! struct Day {
//!     day: String,
//!     #[serde(flatten)]
//!     events: dmf_kit::EventList,
//! }
//!
//! impl WindowFunction for HotDays {
//!     type Parameters = NoParameters;
//!     type Reducer = Events;
//!     type Row = Day;
//!     type Output = Vec<(Group, Vec<Day>)>;
//!
//!     fn start(_: NoParameters) -> Result<Self, Error> {
//!         Ok(HotDays)
//!     }
//!     fn windows(&self) -> Windows {
//!         Windows::tumbling(86_400_000_000_000).expect("a day is a window")
//!     }
//!     fn reducer(&self) -> Events {
//!         Events::above(30.0, 28.0).expect("28 is below 30")
//!     }
//!     fn close(&mut self, _: &Series, window: Window, events: dmf_kit::EventList) -> Result<Option<Day>, Error> {
//!         let hot = !events.events.is_empty();
//!         Ok(hot.then(|| Day { day: rfc3339(window.start_ns), events }))
//!     }
//!     fn finish(self, rows: Vec<(Group, Vec<Day>)>) -> Result<Self::Output, Error> {
//!         Ok(rows)
//!     }
//! }
//! # mod unikernel { use super::*;
//! dmf_kit::main!(Windowed<HotDays>);
//! # }
//! # fn main() {}
//! ```
//!
//! The same crate is a unikernel and a program for the host. On the host it describes itself and runs on fixtures, by the
//! broker's own logic ([`testkit`]); `cargo test` covers all but the network around it.

#![forbid(unsafe_code)]

#[cfg(not(target_os = "hermit"))]
mod host;
mod run;

pub use dmf_reduce::*;
#[cfg(not(target_os = "hermit"))]
pub use dmf_testkit as testkit;
#[cfg(not(target_os = "hermit"))]
pub use host::{main, recurring};
pub use run::{run, run_recurring};
#[cfg(target_os = "hermit")]
pub use run::{run as main, run_recurring as recurring};

/// What most functions use.
pub mod prelude {
    pub use dmf_reduce::{
        Align, Anomalies, Batch, Correlation, Distinct, Error, Events, Function, Group, Groups, Histogram,
        How, JoinFunction, Joined, Moments, NoParameters, NotFinite, Pipe, Quantiles, Rate, Recurring,
        Reducer, Row, Series, Summary, TopK, Trend, Unused, Window, WindowFunction, Windowed, Windows,
        duration_ns, pipe, rfc3339,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// Makes the program's `main` out of a [`Function`], or of a [`Recurring`] one: `main!(recurring Baseline)`. The image's name and
/// version are the crate's.
#[macro_export]
macro_rules! main {
    (recurring $function:ty) => {
        fn main() {
            $crate::recurring::<$function>(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")));
        }
    };
    ($function:ty) => {
        fn main() {
            $crate::main::<$function>(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")));
        }
    };
}
