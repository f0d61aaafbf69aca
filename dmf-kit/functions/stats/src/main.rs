//! The unikernel `stats`.

#![forbid(unsafe_code)]

use dmf_stats::Stats;

dmf_kit::main!(Stats);
