//! One question after the other.

use std::error::Error;

use fades_guest::xen::{Domain, Upcalls};
use fades_xen_pv::hypercall::{self, Hypercalls, Ports};
use fades_xen_pv::xenstore::{Wait, Xenstore};
use fades_xen_store::{Path, Token};

use crate::channel;

pub(crate) type Answer<T> = Result<T, Box<dyn Error>>;

/// Microseconds for what takes a moment.
pub(crate) const PATIENCE: u64 = 10_000_000;
pub(crate) fn all() -> Answer<()> {
    let mut domain = Domain::take().ok_or("this is no Xen domain, or the kernel does not share it")?;
    let (major, minor) = domain.calls().version()?;
    println!("hypercalls: this is Xen {major}.{minor}");
    let mut store = domain.store()?.ok_or("the store was taken before")?;
    let own = name(&mut store)?;
    watched(&mut store)?;
    event(domain.calls(), &domain.upcalls(), own)?;
    match std::env::var("PROBE_CHANNEL").as_deref() {
        Ok("produce") => channel::produce(&domain, &mut store),
        Ok("consume") => channel::consume(&domain, &mut store),
        _ => Ok(()),
    }
}

pub(crate) fn check(what: &str, holds: bool) -> Answer<()> {
    if holds { Ok(()) } else { Err(format!("{what} does not hold").into()) }
}

/// Reads what the toolstack wrote: our number and our name.
fn name(store: &mut Xenstore<Hypercalls, Upcalls>) -> Answer<hypercall::Domain> {
    let until = store.now() + PATIENCE;
    let text = |value: Vec<u8>| String::from_utf8(value);
    let number = text(store.read(&Path::new("domid")?, until)?)?;
    let name = text(store.read(&Path::new("name")?, until)?)?;
    println!("store: we are domain {number}, {name}");
    Ok(hypercall::Domain(number.parse()?))
}

/// Writes below our own node, hears of it, and finds it gone.
fn watched(store: &mut Xenstore<Hypercalls, Upcalls>) -> Answer<()> {
    let (path, token) = (Path::new("data/fades-probe")?, Token::new("probe")?);
    let until = store.now() + PATIENCE;
    store.watch(&path, &token, until)?;
    let mut heard = 0;
    for value in [&b"one"[..], &[0, 255, 7]] {
        // The first event of a watch comes by itself.
        let event = store.next_event(until)?.ok_or("a watch says nothing")?;
        check("an event names its watch", event.token == token && event.path == path)?;
        heard += 1;
        store.write(&path, value, until)?;
        check("a value is read as it was written", store.read(&path, until)? == value)?;
    }
    store.unwatch(&path, &token, until)?;
    store.remove(&path, until)?;
    check("what was removed is gone", store.read(&path, until).is_err_and(|error| error.is_missing()))?;
    println!("store: {heard} events of a watch");
    Ok(())
}

/// Sends itself an event.
fn event(calls: Hypercalls, upcalls: &Upcalls, own: hypercall::Domain) -> Answer<()> {
    let near = calls.alloc_unbound(own)?;
    let far = calls.bind_interdomain(own, near)?;
    calls.unmask(near)?;
    // What was pending from the beginning is not what is waited for.
    while upcalls.now() < PATIENCE && !quiet(upcalls, near) {}
    let (begun, until) = (upcalls.now(), upcalls.now() + PATIENCE);
    calls.send(far)?;
    upcalls.wait(near, until);
    check("an event wakes who waits", upcalls.now() < until)?;
    println!("event: {} us", upcalls.now() - begun);
    calls.close(far)?;
    calls.close(near)?;
    Ok(())
}

/// Whether nothing comes for a moment.
fn quiet(upcalls: &Upcalls, port: hypercall::Port) -> bool {
    let until = upcalls.now() + 20_000;
    upcalls.wait(port, until);
    upcalls.now() >= until
}
