//! The unikernel `stats`.

use dmf_stats::Stats;

dmf_kit::main!(Stats);
