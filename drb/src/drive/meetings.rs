//! What only a Xen domain has, done beside the poll: meeting the domains of functions, letting go of them, and getting pages
//! back. All of it asks XenStore or Xen, and waits for the answers.

use super::beside::{Event, Poster, spawn};
use fades_guest::control::ControlSender;
use fades_guest::data::{BROKERS_PAGES, FUNCTIONS_PAGES, MEETING};
use fades_guest::exit::words;
use fades_guest::log::level;
use fades_guest::xen::link::{Link, Look, MeetError, Meeting};
use fades_guest::xen::{Here, here};
use fades_wire::failure::Failure;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Pause between two tries to take pages back: that a domain is gone, nobody tells.
const RECLAIM: Duration = Duration::from_millis(250);

/// The way to the thread that meets.
pub(crate) struct Meetings {
    /// Never more than tasks give rise to.
    orders: Sender<Order>,
    /// Some domain has news that nobody has looked at.
    upcall: Arc<AtomicBool>,
}

enum Order {
    /// Meet this domain.
    Meet(u16),
    /// Nobody waits for this domain any more.
    GiveUp(u16),
    /// Close this.
    Close(Link),
    /// Domains have news.
    Look,
}

impl Meetings {
    /// Starts what there is to do, if this is a domain.
    pub(crate) fn new(poster: &Poster, log: &ControlSender) -> io::Result<Option<Self>> {
        let Some(here) = here() else { return Ok(None) };
        let (orders, ordered) = channel();
        let looking = Arc::new(AtomicBool::new(false));
        let upcall = Arc::new(AtomicBool::new(false));
        follow_upcalls(here, poster.clone(), Arc::clone(&upcall), orders.clone(), Arc::clone(&looking))?;
        let (poster, log) = (poster.clone(), log.clone());
        let table = Table { here, ordered, poster, log, looking, pending: Vec::new(), lent: 0 };
        spawn("meetings", move || table.run())?;
        Ok(Some(Self { orders, upcall }))
    }

    /// Meets a function's domain; what comes of it is an [`Event::Met`].
    pub(crate) fn meet(&self, domain: u16) {
        self.order(Order::Meet(domain));
    }

    /// Leaves it, if it was not met yet.
    pub(crate) fn give_up(&self, domain: u16) {
        self.order(Order::GiveUp(domain));
    }

    /// Closes a connection.
    pub(crate) fn close(&self, link: Link) {
        self.order(Order::Close(link));
    }

    /// Whether some domain has had news since this was last asked.
    pub(crate) fn upcall(&self) -> bool {
        self.upcall.swap(false, Ordering::SeqCst)
    }

    fn order(&self, order: Order) {
        // The thread ends with the guest.
        let _ = self.orders.send(order);
    }
}

/// Passes on that domains have news: to the poll, and to who meets some.
fn follow_upcalls(
    here: &'static Here,
    poster: Poster,
    upcall: Arc<AtomicBool>,
    orders: Sender<Order>,
    looking: Arc<AtomicBool>,
) -> io::Result<()> {
    let upcalls = here.upcalls();
    spawn("upcalls", move || {
        loop {
            upcalls.pause(None);
            if !upcall.swap(true, Ordering::SeqCst) && !poster.wake() {
                return;
            }
            // Said once, until it is looked at.
            if looking.swap(false, Ordering::SeqCst) && orders.send(Order::Look).is_err() {
                return;
            }
        }
    })
}

struct Table {
    here: &'static Here,
    ordered: Receiver<Order>,
    poster: Poster,
    /// Whether [`Order::Look`] is wanted.
    looking: Arc<AtomicBool>,
    pending: Vec<(u16, Meeting)>,
    log: ControlSender,
    /// Pages of closed connections that others still have.
    lent: usize,
}

impl Table {
    /// Runs until nobody is there to be told.
    fn run(mut self) {
        loop {
            // Before the look, so that what happens in it is told.
            self.looking.store(!self.pending.is_empty(), Ordering::SeqCst);
            if !self.look() {
                return;
            }
            self.reclaim();
            let reclaim = (self.lent > 0).then(|| Instant::now() + RECLAIM);
            let until = self.pending.iter().map(|(_, meeting)| meeting.until()).chain(reclaim).min();
            let order = match until {
                None => self.ordered.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => self.ordered.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(order) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reclaim(&mut self) {
        let before = std::mem::replace(&mut self.lent, self.here.reclaim());
        if self.lent != before {
            self.say_what_is_lent();
        }
    }

    /// For who wants to know whether all comes back.
    fn say_what_is_lent(&self) {
        let (free, lent, meetings) = (self.here.free_grants(), self.lent, self.pending.len());
        let words = format!("{free} grants are free, {lent} pages not given back, {meetings} meetings");
        self.log.log(level::DEBUG, words);
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Meet(domain) => match Meeting::answer(domain, (BROKERS_PAGES, FUNCTIONS_PAGES), MEETING) {
                Ok(meeting) => self.pending.push((domain, meeting)),
                Err(error) => {
                    self.poster.post(Event::Met(domain, Err(failure(&error))));
                }
            },
            Order::GiveUp(domain) => self.pending.retain(|(other, _)| *other != domain),
            Order::Close(link) => {
                drop(link);
                self.lent = self.here.reclaim();
                self.say_what_is_lent();
            }
            Order::Look => {}
        }
    }

    /// Looks at all meetings. False: nobody wants to know.
    fn look(&mut self) -> bool {
        for (domain, meeting) in std::mem::take(&mut self.pending) {
            let met = match meeting.look() {
                Ok(Look::NotYet(meeting)) => {
                    self.pending.push((domain, meeting));
                    continue;
                }
                Ok(Look::Met(link)) => Ok(link),
                Err(error) => Err(failure(&error)),
            };
            if !self.poster.post(Event::Met(domain, met)) {
                return false;
            }
        }
        true
    }
}

fn failure(error: &MeetError) -> Failure {
    Failure::new(error.code(), words(error))
}
