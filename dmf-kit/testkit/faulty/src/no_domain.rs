//! Elsewhere than in a unikernel there is nothing to be done to a broker.

use dmf_kit::prelude::Error;

use super::Mode;

pub(crate) fn before(mode: Mode, _broker: u16, _millis: u64) -> Result<(), Error> {
    match mode {
        Mode::Nonsense | Mode::Huge | Mode::Silent | Mode::Flood => Err(none()),
        _ => Ok(()),
    }
}

pub(crate) fn storm(_millis: u64) -> Result<u64, Error> {
    Err(none())
}

fn none() -> Error {
    Error::new("this is no Xen domain")
}
