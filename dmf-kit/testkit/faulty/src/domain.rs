//! What a function can do to its broker where both are domains: what it writes and sends is its own, and the broker looks at it.

use std::time::{Duration, Instant};

use dmf_kit::prelude::Error;
use fades_guest::xen::link::Meeting;
use fades_guest::xen::{Here, OwnPages, here};
use fades_xen_pv::channel::{Offer, PAGES_MAX};
use fades_xen_pv::hypercall::{Domain, Param, Port, Ports};
use fades_xen_store::DomainId;
use fades_xen_store::meeting::{OFFER, encode, own};

use super::Mode;

/// Ports that a domain with one link can have, and more.
const PORTS: u32 = 64;
/// Longer than the broker's patience, which is to end it.
const MEETING: Duration = Duration::from_secs(3600);

/// What is to be done before the broker is met.
pub(crate) fn before(mode: Mode, broker: u16, millis: u64) -> Result<(), Error> {
    match mode {
        Mode::Nonsense => {
            show(broker, "12 twelve")?;
            stay()
        }
        Mode::Huge => {
            let here = domain()?;
            let grants =
                |grants: &mut _| Offer::new(&OwnPages, grants, here.calls(), Domain(broker), PAGES_MAX);
            let offer = here.with_grants(1, grants).map_err(words)?.map_err(words)?;
            show(broker, &encode(&[offer.reference().number(), offer.port().0]))?;
            stay()
        }
        Mode::Silent => {
            let _offered = Meeting::offer(broker, (1, 1), MEETING).map_err(words)?;
            stay()
        }
        Mode::Flood => {
            let until = Instant::now() + Duration::from_millis(millis);
            // Not what an offer is called: each is an event for who watches for one.
            let node = own(peer(broker)?).join("flood").map_err(words)?;
            let here = domain()?;
            here.show(&node, b"0", peer(broker)?).map_err(words)?;
            while Instant::now() < until {
                here.write(&node, b"1").map_err(words)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Sends events on every port of the link to the broker, as fast as it can; how many.
pub(crate) fn storm(millis: u64) -> Result<u64, Error> {
    let (calls, until) = (domain()?.calls(), Instant::now() + Duration::from_millis(millis));
    // Those that lead to dom0 are not the broker's, and ports that are none of ours are refused.
    let host = [Param::StorePort, Param::ConsolePort].map(|port| calls.param(port));
    let ports = (1..PORTS).filter(|port| !host.contains(&Ok(u64::from(*port))));
    let ports: Vec<Port> = ports.map(Port).filter(|port| calls.send(*port).is_ok()).collect();
    let mut sent = 0;
    while Instant::now() < until {
        sent += ports.iter().filter(|port| calls.send(**port).is_ok()).count() as u64;
    }
    Ok(sent)
}

fn show(broker: u16, value: &str) -> Result<(), Error> {
    let node = own(peer(broker)?).join(OFFER).map_err(words)?;
    domain()?.show(&node, value.as_bytes(), peer(broker)?).map_err(words)
}

fn domain() -> Result<&'static Here, Error> {
    here().ok_or_else(|| Error::new("this is no Xen domain"))
}

fn peer(broker: u16) -> Result<DomainId, Error> {
    DomainId::new(broker).map_err(words)
}

/// Until somebody ends it.
fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn words(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}
