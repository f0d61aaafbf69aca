//! Control messages between this process and all guests that have a region, on one thread.
//!
//! ```text
//! engine --send--> ring (what has no room: queue, bounded) --bell--> guest
//! engine <--events-- this thread <--bell-- ring (what is not consumed: bounded) <-- guest
//! ```
//! What a guest writes is hostile. An index that cannot be ends its connection and nothing else; what it can make this process
//! hold is bounded both ways.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use fades_core::network::{NetEvent, NetEventSink, NetworkError, PortId};
use fades_wire::address::Control;
use fades_wire::region::{Channel, ChannelError, Incoming, Outgoing};

use super::bells::Bells;
use super::seat::Seat;
use crate::postal::Post;

/// Bytes that were sent and are not in the ring yet; as the virtual network's `control_unsent`.
const UNSENT: usize = 1 << 20;
/// Bytes handed over and not yet reported as consumed, from which on the guest's are left where they are; as the virtual network's
/// `control_unread`.
const UNREAD: usize = 1 << 20;
/// What an event counts for beside its bytes, of which it may have a single one: more than it takes in any queue.
const EVENT: usize = 256;
/// Largest piece of an event.
const PIECE: usize = 64 << 10;

/// Events of one guest between two looks at all of them.
const AT_ONCE: usize = 16;

/// Called when a line is over and the guest gone.
type Left = Box<dyn FnOnce() + Send>;

/// See the module.
pub struct RegionPost {
    lines: Mutex<HashMap<PortId, Line>>,
    bells: Arc<Bells>,
    events: NetEventSink,
    connections: AtomicU64,
}

struct Line {
    seat: Arc<Seat>,
    down: Outgoing,
    up: Incoming,
    queue: VecDeque<u8>,
    /// Bytes of events that were told and not dealt with, and [`EVENT`] for each.
    unread: usize,
    state: State,
    /// The guest is gone.
    ended: bool,
    left: Option<Left>,
    /// Closed with the line.
    link: Option<OwnedFd>,
}

/// ```text
/// quiet --first bytes--> connected --closed, by whomever--> over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Quiet,
    Connected,
    /// To be told as closed.
    Closing,
    Over,
}

impl RegionPost {
    /// A post without lines. `events` hears of every guest's connection, in order, on one thread; it must not block.
    ///
    /// # Errors
    /// The system refuses what it takes.
    pub fn new(events: NetEventSink) -> io::Result<Arc<Self>> {
        let bells = Arc::new(Bells::new(Seat::own_bell)?);
        let heard = Arc::clone(&bells);
        let post = Arc::new(Self { lines: Mutex::default(), bells, events, connections: AtomicU64::new(0) });
        let serving = Arc::downgrade(&post);
        thread::Builder::new().name("fades-post".to_owned()).spawn(move || {
            let mut rung = Vec::new();
            loop {
                if let Err(error) = heard.wait(&mut rung) {
                    return tracing::error!(%error, "control messages of guests are not read any more");
                }
                let Some(post) = serving.upgrade() else { return };
                for &port in &rung {
                    post.serve(PortId(port));
                }
            }
        })?;
        Ok(post)
    }

    /// Opens a guest's line; `left` is called when it is over and the guest gone.
    pub(super) fn open(&self, port: PortId, seat: &Arc<Seat>, left: Left) -> io::Result<()> {
        let (down, mut up) =
            (Outgoing::open(seat.memory(), Channel::Down), Incoming::open(seat.memory(), Channel::Up));
        // Fresh, so nothing can be wrong with it.
        let _ = up.arm(seat.memory(), 1);
        let line = Line {
            seat: Arc::clone(seat),
            down,
            up,
            queue: VecDeque::new(),
            unread: 0,
            state: State::Quiet,
            ended: false,
            left: Some(left),
            link: None,
        };
        let mut lines = self.lines();
        // A line of this seat's last guest whose end has not been looked at: its bell is this one's from here on.
        lines.retain(|_, line| !Arc::ptr_eq(&line.seat, seat));
        // A guest that was begun for this port before, and went before it said a word.
        let before = lines.insert(port, line);
        drop(lines);
        if let Some(mut before) = before {
            self.bells.remove(port.0);
            if let Some(left) = before.left.take() {
                left();
            }
        }
        self.bells.add(port.0, seat).inspect_err(|_| drop(self.lines().remove(&port)))
    }

    /// The guest of this port is gone: what it said last is told, then the end of its connection; then `link` is closed.
    pub(super) fn end(&self, port: PortId, link: Option<OwnedFd>) {
        if let Some(line) = self.lines().get_mut(&port) {
            line.ended = true;
            line.link = link;
            line.seat.ring_own();
        }
    }

    /// Does all that there is to do for a guest whose bell rang.
    fn serve(&self, port: PortId) {
        for _ in 0..AT_ONCE {
            let mut lines = self.lines();
            let Some(line) = lines.get_mut(&port) else { return };
            let event = line.next(port);
            if event.is_none() && line.ended {
                let left = line.left.take();
                self.bells.remove(port.0);
                lines.remove(&port);
                drop(lines);
                if let Some(left) = left {
                    left();
                }
                return;
            }
            // Told without the lock: who hears of it may answer at once.
            drop(lines);
            let Some(event) = event else { return };
            if matches!(event, NetEvent::ControlConnected(_)) {
                self.connections.fetch_add(1, Ordering::Relaxed);
            }
            (self.events)(event);
        }
        // There may be more, when the others have had their turn.
        if let Some(line) = self.lines().get(&port) {
            line.seat.ring_own();
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<PortId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// What is to be told next. When it is nothing, the bell rings when there is more.
    fn next(&mut self, port: PortId) -> Option<NetEvent> {
        if let Err(error) = self.flush() {
            self.fail(port, &error);
        }
        loop {
            match self.state {
                State::Closing => {
                    self.state = State::Over;
                    return Some(NetEvent::ControlClosed(port));
                }
                State::Over => return None,
                State::Quiet | State::Connected => {}
            }
            if self.unread >= UNREAD && !self.ended {
                return None;
            }
            match self.look() {
                Ok(Some(0)) if self.ended => self.close(),
                Ok(Some(0)) => match self.up.arm(self.seat.memory(), 1) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => self.fail(port, &error),
                },
                Ok(Some(_)) if self.state == State::Quiet => {
                    self.state = State::Connected;
                    return Some(NetEvent::ControlConnected(port));
                }
                Ok(Some(count)) => {
                    let mut bytes = vec![0; count.min(PIECE)];
                    match self.up.read(self.seat.memory(), &mut bytes) {
                        Ok(Some((done, wake))) => {
                            bytes.truncate(done);
                            if wake {
                                self.seat.ring();
                            }
                        }
                        Ok(None) => bytes.clear(),
                        Err(error) => {
                            bytes.clear();
                            self.fail(port, &error);
                        }
                    }
                    if !bytes.is_empty() {
                        self.unread += EVENT + bytes.len();
                        return Some(NetEvent::ControlData(port, bytes));
                    }
                }
                Ok(None) => self.close(),
                Err(error) => self.fail(port, &error),
            }
        }
    }

    /// How much there is to be read; `None`: the guest has closed.
    fn look(&mut self) -> Result<Option<usize>, ChannelError> {
        Ok(self.up.look(self.seat.memory())?.map(|(_, count)| count))
    }

    fn send(&mut self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError> {
        if self.state != State::Connected {
            return Err(NetworkError::NotConnected(port));
        }
        let queued = self.queue.len();
        if queued + bytes.len() > UNSENT {
            return Err(NetworkError::Congested { port, queued, bound: UNSENT });
        }
        self.queue.extend(bytes);
        if let Err(error) = self.flush() {
            self.fail(port, &error);
            // Its end is told by the thread.
            self.seat.ring_own();
        }
        Ok(())
    }

    /// Puts as much of the queue into the ring as there is room for.
    fn flush(&mut self) -> Result<(), ChannelError> {
        while !self.queue.is_empty() && matches!(self.state, State::Quiet | State::Connected) {
            let (first, _) = self.queue.as_slices();
            let (done, wake) = self.down.write(self.seat.memory(), first)?;
            self.queue.drain(..done);
            if wake {
                self.seat.ring();
            }
            if done == 0 && !self.down.arm(self.seat.memory(), 1)? {
                break;
            }
        }
        Ok(())
    }

    fn fail(&mut self, port: PortId, error: &ChannelError) {
        tracing::debug!(%port, %error, "a guest's control connection is over");
        self.close();
    }

    /// Ends the connection. What was never connected is not told as closed.
    fn close(&mut self) {
        self.state = match self.state {
            State::Quiet | State::Over => State::Over,
            State::Connected | State::Closing => State::Closing,
        };
        self.queue = VecDeque::new();
        self.up.close(self.seat.memory());
        self.down.close(self.seat.memory());
        self.seat.ring();
    }
}

impl Post for RegionPost {
    fn control(&self) -> Control {
        Control::Region
    }

    /// The bound is 1 MiB.
    fn send(&self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError> {
        self.lines().get_mut(&port).ok_or(NetworkError::NotConnected(port))?.send(port, bytes)
    }

    fn close(&self, port: PortId) {
        if let Some(line) = self.lines().get_mut(&port) {
            line.close();
            line.seat.ring_own();
        }
    }

    fn consumed(&self, port: PortId, bytes: usize) {
        if let Some(line) = self.lines().get_mut(&port) {
            let was_full = line.unread >= UNREAD;
            line.unread = line.unread.saturating_sub(EVENT + bytes);
            if was_full && line.unread < UNREAD {
                line.seat.ring_own();
            }
        }
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}
