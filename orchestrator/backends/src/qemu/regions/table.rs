//! Whose turn it is in which region.
//!
//! ```text
//! free --take--> taken --its guest has ended--> left --the broker has let go--> (wiped) free
//! ```

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fades_core::network::PortId;
use fades_wire::address::Neighbour;
use fades_wire::region::{Birth, Channel, Memory as _, held_at, peer};

use super::bells::Bells;
use super::post::RegionPost;
use super::seat::Seat;
use super::server::Server;

/// How long a start waits for a region that the broker still holds: it closes each within a turn of its loop.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// How often it is looked whether a guest has woken, and every how manyth time its bell is rung again.
const LOOK: Duration = Duration::from_millis(1);
const RING_EVERY: u32 = 20;

/// All regions of a node.
pub(in crate::qemu) struct Table {
    /// The broker's own.
    broker: Arc<Seat>,
    functions: Vec<Arc<Seat>>,
    uses: Mutex<Vec<(Use, u32)>>,
    /// Whether there is a broker that could hold any.
    served: AtomicBool,
    post: Arc<RegionPost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Free,
    Taken,
    Left,
}

/// A guest's seat, until it is dropped.
pub(in crate::qemu) struct Seated {
    table: Arc<Table>,
    /// `None`: the broker's.
    number: Option<u16>,
    turn: u32,
    port: PortId,
    pub(in crate::qemu) server: Server,
    /// Told to the network as gone, it would have the guest's last words not be waited for.
    link: Option<OwnedFd>,
}

impl Table {
    /// `functions` regions, and the broker's.
    pub(in crate::qemu) fn new(functions: u16, post: Arc<RegionPost>) -> io::Result<Arc<Self>> {
        let seat = |name: &str| Seat::new(name).map(Arc::new);
        let broker = seat("fades-broker")?;
        let functions: Vec<_> = (0..functions).map(|_| seat("fades-function")).collect::<io::Result<_>>()?;
        let uses = Mutex::new(vec![(Use::Free, 0); functions.len()]);
        pass_on(&broker, &functions)?;
        Ok(Arc::new(Self { broker, functions, uses, served: AtomicBool::new(false), post }))
    }

    /// The regions of functions, in the order of their numbers, from 1 on.
    pub(in crate::qemu) fn regions(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.functions.iter().map(|seat| seat.file())
    }

    /// Seats the broker, whose control messages are those of `port`. There is one at a time.
    pub(in crate::qemu) fn seat_broker(self: &Arc<Self>, port: PortId, birth: Birth) -> io::Result<Seated> {
        // Nothing is held by a broker that is gone.
        self.broker.wipe()?;
        self.served.store(true, Ordering::SeqCst);
        self.broker.begin(&birth);
        let server = Server::new(self.broker.file())?;
        self.post.open(port, &self.broker, Box::new(|| ()))?;
        Ok(Seated { table: Arc::clone(self), number: None, turn: birth.turn, port, server, link: None })
    }

    /// Seats a function, whose control messages are those of `port`. `birth` says all but the turn.
    pub(in crate::qemu) fn seat_function(self: &Arc<Self>, port: PortId, birth: Birth) -> io::Result<Seated> {
        let until = Instant::now() + PATIENCE;
        let (number, turn) = loop {
            if let Some(taken) = self.take()? {
                break taken;
            }
            if Instant::now() > until {
                let all = self.functions.len();
                return Err(io::Error::other(format!("all {all} regions are in use, or held by the broker")));
            }
            thread::sleep(PAUSE);
        };
        let seated = self.occupy(number, turn, port, birth);
        if seated.is_err() {
            self.leave(number);
        }
        seated
    }

    fn occupy(self: &Arc<Self>, number: u16, turn: u32, port: PortId, birth: Birth) -> io::Result<Seated> {
        let seat = &self.functions[usize::from(number) - 1];
        seat.begin(&Birth { turn, ..birth });
        let server = Server::new(seat.file())?;
        let table = Arc::clone(self);
        self.post.open(port, seat, Box::new(move || table.leave(number)))?;
        Ok(Seated { table: Arc::clone(self), number: Some(number), turn, port, server, link: None })
    }

    /// A free region, wiped, and whose turn it is in it.
    fn take(&self) -> io::Result<Option<(u16, u32)>> {
        let mut uses = self.uses();
        for ((number, seat), (in_use, turn)) in (1..).zip(&self.functions).zip(uses.iter_mut()) {
            if *in_use == Use::Left && !self.is_held(number) {
                seat.wipe()?;
                *in_use = Use::Free;
            }
            if *in_use == Use::Free {
                *in_use = Use::Taken;
                *turn = next(*turn);
                return Ok(Some((number, *turn)));
            }
        }
        Ok(None)
    }

    /// Whether the broker has this region open, or may be about to open it for a turn that has ended.
    fn is_held(&self, number: u16) -> bool {
        let held = held_at(number).map_or(0, |at| self.broker.memory().own(at).load(Ordering::SeqCst));
        held != 0 && self.served.load(Ordering::SeqCst)
    }

    /// The guest of a region is gone.
    fn leave(&self, number: u16) {
        let place = usize::from(number) - 1;
        let mut uses = self.uses();
        self.functions[place].end();
        // One that the broker holds, or that cannot be wiped now, is wiped when it is given on.
        let wiped = !self.is_held(number) && self.functions[place].wipe().is_ok();
        uses[place].0 = if wiped { Use::Free } else { Use::Left };
    }

    /// For tests that play a guest.
    #[cfg(test)]
    pub(super) fn seat_of(&self, number: u16) -> Arc<Seat> {
        Arc::clone(&self.functions[usize::from(number) - 1])
    }

    /// For tests that play the broker: writes one of its words.
    #[cfg(test)]
    pub(super) fn held_by_broker(&self, at: usize) -> impl Fn(u32) + use<> {
        let broker = Arc::clone(&self.broker);
        move |turn| broker.memory().own(at).store(turn, Ordering::SeqCst)
    }

    fn uses(&self) -> MutexGuard<'_, Vec<(Use, u32)>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the broker when functions ring for it, from a thread of its own, which lives as long as this process.
fn pass_on(broker: &Arc<Seat>, functions: &[Arc<Seat>]) -> io::Result<()> {
    let bells = Bells::new(Seat::broker_bell)?;
    for (number, seat) in (1..).zip(functions) {
        bells.add(number, seat)?;
    }
    let broker = Arc::downgrade(broker);
    thread::Builder::new().name("fades-bells".to_owned()).spawn(move || {
        let mut rung = Vec::new();
        loop {
            if let Err(error) = bells.wait(&mut rung) {
                return tracing::error!(%error, "the broker is not woken any more");
            }
            let Some(broker) = broker.upgrade() else { return };
            broker.ring();
        }
    })?;
    Ok(())
}

/// The turn after this one: never 0, which is nobody's, nor that of guests that are only saved.
const fn next(turn: u32) -> u32 {
    if turn >= Birth::SAVED - 1 { 1 } else { turn + 1 }
}

impl Seated {
    /// Keeps a link that the guest has no use for, until all that it said has been told.
    pub(in crate::qemu) fn keep(&mut self, link: OwnedFd) {
        self.link = Some(link);
    }

    /// Tells the guest's monitor of the bells. Once: when it starts, or when it has loaded a saved guest.
    ///
    /// # Errors
    /// It does not listen.
    pub(in crate::qemu) fn introduce(&self) -> io::Result<()> {
        let seat = self.seat();
        let mut peers = vec![(peer::ORCHESTRATOR, seat.own_bell())];
        if self.number.is_some() {
            peers.push((peer::BROKER, seat.broker_bell()));
        } else {
            let bells = self.table.functions.iter().map(|seat| seat.guest_bell());
            peers.extend((peer::FUNCTIONS + 1..).zip(bells));
        }
        self.server.introduce(&peers, seat.guest_bell())
    }

    /// Wakes a guest that goes on: rings until it has said something, within this time. Whether it has.
    pub(in crate::qemu) fn wake(&self, within: Duration) -> bool {
        let (seat, until) = (self.seat(), Instant::now() + within);
        let said = || seat.memory().theirs(Channel::Up.written_at()).load(Ordering::Acquire) != 0;
        let mut rings = 0_u32;
        loop {
            // One that comes before the monitor has taken up the bell waits there; again, for a guest that looked a moment too early.
            if rings.is_multiple_of(RING_EVERY) {
                seat.ring();
            }
            rings += 1;
            thread::sleep(LOOK);
            if said() {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
        }
    }

    fn seat(&self) -> &Seat {
        self.number.map_or(&self.table.broker, |number| &self.table.functions[usize::from(number) - 1])
    }

    /// How the broker knows this guest, unless it is the broker.
    pub(in crate::qemu) fn neighbour(&self) -> Option<Neighbour> {
        self.number.map(|number| Neighbour::Region { number, turn: self.turn })
    }
}

/// To be dropped when the guest's process is gone, so that nothing writes there any more.
impl Drop for Seated {
    fn drop(&mut self) {
        if self.number.is_none() {
            self.table.served.store(false, Ordering::SeqCst);
        }
        // What was said last is still read; then the region is left.
        self.table.post.end(self.port, self.link.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_turn_is_nobodys_or_that_of_a_saved_guest() {
        assert_eq!([0, 1, Birth::SAVED - 2].map(next), [1, 2, Birth::SAVED - 1]);
        assert_eq!([Birth::SAVED - 1, Birth::SAVED].map(next), [1, 1]);
    }
}
