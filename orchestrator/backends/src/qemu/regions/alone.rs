//! A region that nobody but its guest and this process have: of a function that boots only to be saved.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use fades_wire::control::FromGuest;
use fades_wire::frame::Decoder;
use fades_wire::region::{Birth, Channel, Incoming, peer};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::seat::Seat;
use super::server::Server;

pub(in crate::qemu) struct Alone {
    seat: Seat,
    up: Incoming,
    pub(in crate::qemu) server: Server,
    /// In the place of a broker's: nobody listens.
    _broker: OwnedFd,
}

impl Alone {
    pub(in crate::qemu) fn new(birth: &Birth) -> io::Result<Self> {
        let seat = Seat::new("fades-alone")?;
        seat.begin(birth);
        let broker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let peers = [(peer::ORCHESTRATOR, seat.own_bell()), (peer::BROKER, broker.as_fd())];
        let server = Server::new(seat.file())?;
        server.introduce(&peers, seat.guest_bell())?;
        let up = Incoming::open(seat.memory(), Channel::Up);
        Ok(Self { seat, up, server, _broker: broker })
    }

    /// What the guest says first.
    ///
    /// # Errors
    /// It says nothing for so long, or no message.
    pub(in crate::qemu) fn first(&mut self, within: Duration) -> io::Result<FromGuest> {
        let until = Instant::now() + within;
        let mut decoder = Decoder::control();
        let mut bytes = [0; 1024];
        loop {
            // Asked each time: one that rings or writes without end is not waited for either.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.seat.quiet();
            let read = self.up.read(self.seat.memory(), &mut bytes).map_err(io::Error::other)?;
            let Some((count, _)) = read else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            decoder.push(&bytes[..count]);
            if let Some(frame) = decoder.next().map_err(io::Error::other)? {
                return FromGuest::from_frame(frame.kind, frame.body).map_err(io::Error::other);
            }
            if count > 0 || self.up.arm(self.seat.memory(), 1).map_err(io::Error::other)? {
                continue;
            }
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let bell = self.seat.own_bell();
            let mut watched = [PollFd::new(&bell, PollFlags::IN)];
            match poll(&mut watched, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rings_without_end_and_says_nothing_is_not_waited_for() {
        let mut alone = Alone::new(&Birth { turn: 1, time_unix_us: 0, seed: [0; 32] }).unwrap();
        // A bell that is heard again as soon as it was taken back.
        let bell = alone.seat.own_bell().try_clone_to_owned().unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = rustix::io::write(&bell, &1_u64.to_ne_bytes());
                }
            });
            let begun = Instant::now();
            let said = alone.first(Duration::from_millis(50));
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(said.err().unwrap().kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < Duration::from_secs(5));
        });
    }
}
