//! The two ends of a channel, in two domains: bytes through pages that one grants to the other, waiting by events.

use std::time::Instant;

use fades_guest::xen::{Domain, OwnPages, Upcalls};
use fades_xen_pv::channel::{Leftover, Offer, Receiver, Sender};
use fades_xen_pv::grant::{GrantRef, Grants};
use fades_xen_pv::hypercall::{self, Hypercalls, Port, Ports};
use fades_xen_pv::xenstore::{Wait, Xenstore};
use fades_xen_store::{Path, Token};

use crate::parts::{Answer, PATIENCE, check};

type Store = Xenstore<Hypercalls, Upcalls>;

/// Bytes through the channel: many times what it holds.
const LOAD: usize = 16 << 20;
/// Pages of the channel's ring: 256 KiB.
const RING: usize = 64;
/// Frames of the grant table.
const GRANT_FRAMES: u32 = 1;
/// A prime, so that bytes that are in the wrong place are seen.
const PERIOD: usize = 251;

pub(crate) fn produce(domain: &Domain, store: &mut Store) -> Answer<()> {
    let (calls, upcalls) = (domain.calls(), domain.upcalls());
    let mut grants = domain.grants(GRANT_FRAMES)?;
    let [peer] = told(store, "data/peer")?;
    let peer = hypercall::Domain(u16::try_from(peer)?);
    let offer = Offer::new(&OwnPages, &mut grants, calls, peer, RING)?;
    tell(store, "data/offer", &[offer.reference().number(), offer.port().0])?;
    let [theirs] = told(store, "data/answer")?;
    let theirs = GrantRef::from_number(theirs);
    let mut sender = offer.accept(&calls, &OwnPages, theirs).map_err(|(error, _)| error)?;
    calls.unmask(sender.port())?;
    let begun = Instant::now();
    send(&mut sender, &upcalls)?;
    let micros = begun.elapsed().as_micros();
    let port = sender.port();
    let (leftover, unmapped) = sender.finish(&calls, &OwnPages);
    unmapped?;
    take_back(leftover, &mut grants, &upcalls, port)?;
    println!("channel: sent {LOAD} bytes in {micros} us, no page left behind");
    Ok(())
}

pub(crate) fn consume(domain: &Domain, store: &mut Store) -> Answer<()> {
    let (calls, upcalls) = (domain.calls(), domain.upcalls());
    let mut grants = domain.grants(GRANT_FRAMES)?;
    let [peer] = told(store, "data/peer")?;
    let peer = hypercall::Domain(u16::try_from(peer)?);
    nothing_of_others(store, peer)?;
    let [reference, port] = told(store, "data/offer")?;
    let reference = GrantRef::from_number(reference);
    let mut receiver =
        Receiver::join(&calls, &OwnPages, &mut grants, calls, peer, (reference, Port(port)), RING)?;
    calls.unmask(receiver.port())?;
    tell(store, "data/answer", &[receiver.reference().number()])?;
    receive(&mut receiver, &upcalls)?;
    let port = receiver.port();
    let (leftover, unmapped) = receiver.finish(&calls, &OwnPages);
    unmapped?;
    take_back(leftover, &mut grants, &upcalls, port)?;
    println!("channel: received {LOAD} bytes, no page left behind");
    Ok(())
}

/// Tries nodes that are not for this domain: a living sibling's, and what is dom0's in its own home.
fn nothing_of_others(store: &mut Store, sibling: hypercall::Domain) -> Answer<()> {
    let until = store.now() + PATIENCE;
    let of_sibling = format!("/local/domain/{}/data", sibling.0);
    for node in [of_sibling.as_str(), &format!("{of_sibling}/peer"), "/local/domain/0/name", "/vm", "/tool"] {
        let read = store.read(&Path::new(node)?, until);
        check(&format!("{node} is not for us to read"), read.is_err_and(|error| error.is_forbidden()))?;
    }
    for node in [format!("{of_sibling}/x"), "fades/down/0".to_owned(), "/local/domain/0/x".to_owned()] {
        let written = store.write(&Path::new(&node)?, b"x", until);
        check(&format!("{node} is not for us to write"), written.is_err_and(|error| error.is_forbidden()))?;
    }
    println!("channel: nothing of others is for us");
    Ok(())
}

fn send(sender: &mut Sender<Hypercalls>, upcalls: &Upcalls) -> Answer<()> {
    let pattern: Vec<u8> = (0..LOAD).map(|at| (at % PERIOD).to_le_bytes()[0]).collect();
    let mut sent = 0;
    while sent < LOAD {
        let done = sender.write(&pattern[sent..])?;
        sent += done;
        let until = upcalls.now() + PATIENCE;
        if done == 0 && !sender.arm(sender.capacity() / 2)? {
            upcalls.wait(sender.port(), until);
            check("room comes in time", upcalls.now() < until)?;
        }
    }
    sender.close()?;
    Ok(())
}

fn receive(receiver: &mut Receiver<Hypercalls>, upcalls: &Upcalls) -> Answer<()> {
    let (mut got, mut buffer, mut waits) = (0, vec![0; 64 << 10], 0);
    while let Some(count) = receiver.read(&mut buffer)? {
        let right = buffer[..count].iter().zip(got..).all(|(byte, at)| usize::from(*byte) == at % PERIOD);
        check("every byte arrives as it was", right)?;
        got += count;
        let until = upcalls.now() + PATIENCE;
        if count == 0 && !receiver.arm(1)? {
            waits += 1;
            upcalls.wait(receiver.port(), until);
            check("bytes come in time", upcalls.now() < until)?;
        }
    }
    println!("channel: waited {waits} times");
    check("all bytes arrive", got == LOAD)
}

/// Waits until the other side has let go of our pages.
fn take_back(mut leftover: Leftover, grants: &mut Grants, upcalls: &Upcalls, port: Port) -> Answer<()> {
    let until = upcalls.now() + PATIENCE;
    while leftover.release(&OwnPages, grants) > 0 {
        check("all pages come back", upcalls.now() < until)?;
        // The port is closed: the other side's end is not told any more.
        upcalls.wait(port, upcalls.now() + 10_000);
    }
    Ok(())
}

/// Waits for numbers in a node of ours.
fn told<const COUNT: usize>(store: &mut Store, node: &str) -> Answer<[u32; COUNT]> {
    let (path, token, until) = (Path::new(node)?, Token::new(node)?, store.now() + PATIENCE);
    store.watch(&path, &token, until)?;
    loop {
        store.next_event(until)?.ok_or_else(|| format!("nobody wrote {node}"))?;
        match store.read(&path, until) {
            Ok(value) => {
                store.unwatch(&path, &token, until)?;
                let numbers = String::from_utf8(value)?;
                let numbers = numbers.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
                return <[u32; COUNT]>::try_from(numbers)
                    .map_err(|_| format!("{node} has other numbers").into());
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn tell(store: &mut Store, node: &str, numbers: &[u32]) -> Answer<()> {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let until = store.now() + PATIENCE;
    Ok(store.write(&Path::new(node)?, words.join(" ").as_bytes(), until)?)
}
