//! Bells that guests ring, heard on one thread, each only so often: a bell costs its hearer more than who rings it.
//!
//! ```text
//! heard --rung more often than its pace--> held --a moment later--> heard
//! ```
//! What rings while it is held is heard once, when it no longer is.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::seat::{Seat, drain};

/// What a ring takes of a bell's time: rung without end, it is heard 125 times a second.
const EACH: Duration = Duration::from_millis(8);
/// How much of it a bell that was quiet may take at once.
const AHEAD: Duration = Duration::from_millis(256);

/// See the module.
pub(super) struct Bells {
    epoll: OwnedFd,
    /// Which of a seat's.
    bell: fn(&Seat) -> BorrowedFd<'_>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    seats: HashMap<u64, (Arc<Seat>, Pace)>,
    held: Vec<(Instant, u64)>,
}

/// How far a bell is ahead of its time (ITU-T I.371, the generic cell rate algorithm).
#[derive(Clone, Copy)]
struct Pace {
    paid: Instant,
}

impl Pace {
    /// It rings. Until when it is to be held, if it is.
    fn ring(&mut self, now: Instant) -> Option<Instant> {
        self.paid = self.paid.max(now) + EACH;
        let ahead = self.paid.saturating_duration_since(now);
        ahead.checked_sub(AHEAD).filter(|over| !over.is_zero()).map(|over| now + over)
    }
}

impl Bells {
    /// Hears nothing yet.
    pub(super) fn new(bell: fn(&Seat) -> BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, bell, heard: Mutex::default() })
    }

    /// Hears the bell of this seat from here on, under this number and no other.
    ///
    /// # Errors
    /// As the system has them.
    pub(super) fn add(&self, number: u64, seat: &Arc<Seat>) -> io::Result<()> {
        let mut heard = self.heard();
        let (bell, data) = ((self.bell)(seat), epoll::EventData::new_u64(number));
        heard.seats.retain(|_, (other, _)| {
            let same = Arc::ptr_eq(other, seat);
            if same {
                let _ = epoll::delete(&self.epoll, bell);
            }
            !same
        });
        epoll::add(&self.epoll, bell, data, epoll::EventFlags::IN)?;
        heard.seats.insert(number, (Arc::clone(seat), Pace { paid: Instant::now() }));
        Ok(())
    }

    /// Hears it no longer.
    pub(super) fn remove(&self, number: u64) {
        if let Some((seat, _)) = self.heard().seats.remove(&number) {
            let _ = epoll::delete(&self.epoll, (self.bell)(&seat));
        }
    }

    /// Waits until some have rung, takes that back, and gives their numbers.
    ///
    /// # Errors
    /// As the system has them.
    pub(super) fn wait(&self, rung: &mut Vec<u64>) -> io::Result<()> {
        let mut events = Vec::with_capacity(64);
        rung.clear();
        while rung.is_empty() {
            let timeout = self.release(Instant::now()).and_then(|left| Timespec::try_from(left).ok());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let (mut heard, now) = (self.heard(), Instant::now());
            let Heard { seats, held } = &mut *heard;
            for number in events.iter().map(|event| event.data.u64()) {
                let Some((seat, pace)) = seats.get_mut(&number) else { continue };
                drain((self.bell)(seat));
                rung.push(number);
                if let Some(until) = pace.ring(now) {
                    self.turn(seat, number, epoll::EventFlags::empty());
                    held.push((until, number));
                }
            }
        }
        Ok(())
    }

    /// Hears again what has been held long enough. How long until there is more of it.
    fn release(&self, now: Instant) -> Option<Duration> {
        let Heard { seats, held } = &mut *self.heard();
        held.retain(|(until, number)| {
            let over = *until <= now;
            if over && let Some((seat, _)) = seats.get(number) {
                self.turn(seat, *number, epoll::EventFlags::IN);
            }
            !over
        });
        held.iter().map(|(until, _)| *until - now).min()
    }

    fn turn(&self, seat: &Seat, number: u64, to: epoll::EventFlags) {
        let _ = epoll::modify(&self.epoll, (self.bell)(seat), epoll::EventData::new_u64(number), to);
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_was_quiet_is_heard_often_and_one_that_rings_on_at_its_pace() {
        let start = Instant::now();
        let mut pace = Pace { paid: start };
        let burst = (0..1000).take_while(|_| pace.ring(start).is_none()).count();
        assert_eq!(burst as u128, AHEAD.as_millis() / EACH.as_millis());
        // Rung again whenever it is heard again.
        let (mut now, mut rings) = (start + EACH, 0);
        while now < start + Duration::from_secs(1) {
            rings += 1;
            now = pace.ring(now).unwrap_or(now);
        }
        assert!((120..=125).contains(&rings), "{rings}");
        let later = now + Duration::from_secs(1);
        assert!(pace.ring(later).is_none());
    }

    #[test]
    fn one_that_rings_without_end_is_heard_at_its_pace_and_others_beside_it() {
        let bells = Bells::new(Seat::own_bell).unwrap();
        let [loud, quiet] = [(); 2].map(|()| Arc::new(Seat::new("bells-test").unwrap()));
        bells.add(1, &loud).unwrap();
        bells.add(2, &quiet).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    loud.ring_own();
                }
            });
            let (begun, mut rung, mut heard) = (Instant::now(), Vec::new(), 0_u128);
            while begun.elapsed() < Duration::from_millis(300) {
                bells.wait(&mut rung).unwrap();
                heard += rung.len() as u128;
            }
            let most = (begun.elapsed() + AHEAD).as_millis() / EACH.as_millis() + 1;
            quiet.ring_own();
            while !rung.contains(&2) {
                bells.wait(&mut rung).unwrap();
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(heard <= most, "{heard} of {most}");
        });
        bells.remove(1);
        quiet.ring_own();
        bells.wait(&mut Vec::new()).unwrap();
    }

    #[test]
    fn what_rang_while_it_was_held_is_heard_once() {
        let bells = Bells::new(Seat::own_bell).unwrap();
        let seat = Arc::new(Seat::new("bells-test").unwrap());
        bells.add(7, &seat).unwrap();
        let mut rung = Vec::new();
        while bells.heard().held.is_empty() {
            seat.ring_own();
            bells.wait(&mut rung).unwrap();
        }
        (0..3).for_each(|_| seat.ring_own());
        bells.wait(&mut rung).unwrap();
        assert_eq!(rung, [7]);
        assert_eq!(rustix::io::read(seat.own_bell(), &mut [0; 8]), Err(Errno::AGAIN));
    }
}
