//! The sockets around the broker: one thread and one poll for all of them.
//!
//! What would block that thread, as there is no form of it that does not, is done beside it: connecting, accepting, and in a
//! Xen domain meeting a function. They, and the control channel, report through one queue.

#[cfg(target_os = "hermit")]
mod bell;
mod beside;
mod link;
#[cfg(target_os = "hermit")]
mod meetings;

#[cfg(target_os = "hermit")]
use bell::Bell;
use beside::{Event, Mailbox};
#[cfg(target_os = "hermit")]
use fades_drb::broker::Caller;
use fades_drb::broker::{Action, Broker, FunctionId, Limits, Micros, SourceId};
use fades_guest::control::{ControlChannel, ControlError, ControlSender};
#[cfg(target_os = "hermit")]
use fades_guest::region::link::Link as Region;
use fades_wire::address::Neighbour;
use fades_wire::control::ToGuest;
use fades_wire::failure::{Code, Failure};
use link::{Flow, Link};
#[cfg(target_os = "hermit")]
use meetings::Meetings;
use mio::{Events, Poll, Token};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Turns of work between two looks at the sockets: enough that looking costs little, few enough that no socket waits
/// for long. A turn takes up to 40 KiB of a source's answer.
const TURNS: usize = 8;
/// Largest read from a function: it sends tickets and credit only.
const FUNCTION_READ: usize = 2048;
/// Reads from one function in one turn: who sends without end must not keep the others waiting.
const FUNCTION_READS: usize = 8;

/// See the module.
pub(crate) struct Driver {
    broker: Broker,
    control: ControlSender,
    poll: Poll,
    mailbox: Mailbox,
    /// `None` elsewhere than on Xen.
    #[cfg(target_os = "hermit")]
    meetings: Option<Meetings>,
    /// `None` where functions come by the network or are domains.
    #[cfg(target_os = "hermit")]
    bell: Option<Bell>,
    sources: BTreeMap<SourceId, Option<Link>>,
    functions: BTreeMap<FunctionId, Link>,
    start: Instant,
}

impl Driver {
    /// Listens for functions at `data`, if they come by the network.
    pub(crate) fn new(control: ControlChannel, data: Option<SocketAddr>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(poll.registry())?;
        let (control, inbox) = control.split();
        mailbox.forward(inbox)?;
        let place = match data {
            Some(address) => format!("at {}", mailbox.listen(address)?),
            None => "in memory that both share".to_owned(),
        };
        control.log(fades_guest::log::level::INFORMATION, format!("serving functions {place}"));
        Ok(Self {
            broker: Broker::new(Limits::default()),
            #[cfg(target_os = "hermit")]
            meetings: Meetings::new(mailbox.poster(), &control)?,
            #[cfg(target_os = "hermit")]
            bell: Bell::new(mailbox.poster())?,
            control,
            poll,
            mailbox,
            sources: BTreeMap::new(),
            functions: BTreeMap::new(),
            start: Instant::now(),
        })
    }

    /// Serves until the control channel ends, with which the guest ends.
    pub(crate) fn run(&mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(64);
        loop {
            let mut moved = self.serve_sources();
            // Work makes room for what sockets have already said that they have: after it, look again before sleeping.
            moved |= (0..TURNS).take_while(|_| self.broker.work(since(self.start))).count() > 0;
            moved |= self.carry_out()?;
            moved |= self.serve_functions();
            let wake = self.broker.tick(self.now());
            moved |= self.carry_out()?;
            // Last of all before sleeping: whatever changes mio's list of sockets (a read that would block does) also takes
            // back what woke the poll before, and a letter that came meanwhile would lie here unread.
            moved |= self.read_mail()?;
            let patience = if moved { Some(Duration::ZERO) } else { wake.map(|wake| self.until(wake)) };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.note(event);
            }
        }
    }

    fn now(&self) -> Micros {
        since(self.start)
    }

    /// Time until `wake`, rounded up, as polls count in milliseconds.
    fn until(&self, wake: Micros) -> Duration {
        Duration::from_micros(wake.saturating_sub(self.now())) + Duration::from_millis(1)
    }

    fn note(&mut self, event: &mio::event::Event) {
        let id = event.token().0 as u64;
        let link = match self.functions.get_mut(&FunctionId(id)) {
            Some(link) => Some(link),
            None => self.sources.get_mut(&SourceId(id)).and_then(Option::as_mut),
        };
        if let Some(link) = link {
            link.note(event);
        }
    }

    fn read_mail(&mut self) -> io::Result<bool> {
        let mut any = false;
        #[cfg(target_os = "hermit")]
        if self.meetings.as_ref().is_some_and(Meetings::upcall) || self.bell.as_ref().is_some_and(Bell::rung)
        {
            any = true;
            self.functions.values_mut().for_each(Link::note_news);
        }
        while let Some(event) = self.mailbox.next() {
            any = true;
            let now = self.now();
            match event {
                Event::Control(ToGuest::Retrieve(order)) => self.broker.retrieve(order, now),
                Event::Control(ToGuest::Abandon(abandon)) => self.broker.abandon(abandon.task, now),
                Event::Control(other) => {
                    let kind = u16::from(other.kind());
                    self.control
                        .log(fades_guest::log::level::WARNING, format!("a broker is told {kind:#06x}"));
                }
                Event::Function(stream, from) => {
                    let id = self.broker.function_connected(from.ip(), now);
                    self.functions.insert(id, Link::new(stream, token(id.0), self.poll.registry())?);
                }
                Event::Connected(id, result) => self.connected(id, result)?,
                #[cfg(target_os = "hermit")]
                Event::Met(domain, met) => {
                    let near = Neighbour::Domain(domain);
                    match met {
                        // Given up while that was on its way.
                        Ok(link) if !self.broker.awaits(near) => self.leave(link),
                        Ok(link) => self.met(near, Link::domain(link)),
                        Err(failure) => self.broker.function_unmet(near, &failure, now),
                    }
                }
            }
        }
        Ok(any)
    }

    fn connected(&mut self, id: SourceId, result: io::Result<std::net::TcpStream>) -> io::Result<()> {
        // Nothing is known of it if it was given up in the meantime; then it is closed by being dropped.
        let Some(place) = self.sources.get_mut(&id) else { return Ok(()) };
        match result {
            Ok(stream) => {
                *place = Some(Link::new(stream, token(id.0), self.poll.registry())?);
                self.broker.source_connected(id);
            }
            Err(error) => {
                let now = self.now();
                self.broker.source_closed(id, Some(error.to_string()), now);
            }
        }
        Ok(())
    }

    fn serve_sources(&mut self) -> bool {
        let mut any = false;
        let start = self.start;
        for (id, link) in &mut self.sources {
            let Some(link) = link else { continue };
            while link.may_write() && !self.broker.source_output(*id).is_empty() {
                match link.write(self.broker.source_output(*id)) {
                    Flow::Moved(count) => self.broker.source_sent(*id, count, since(start)),
                    Flow::Later => break,
                    Flow::Ended(words) => self.broker.source_closed(*id, words, since(start)),
                }
                any = true;
            }
            while link.may_read() {
                let Some(space) = self.broker.source_space(*id) else { break };
                match link.read(space) {
                    Flow::Moved(count) => self.broker.source_received(*id, count, since(start)),
                    Flow::Later => break,
                    Flow::Ended(words) => self.broker.source_closed(*id, words, since(start)),
                }
                any = true;
            }
        }
        any
    }

    fn serve_functions(&mut self) -> bool {
        let mut any = false;
        let mut buffer = [0; FUNCTION_READ];
        let start = self.start;
        let mut ended = Vec::new();
        for (id, link) in &mut self.functions {
            for _ in 0..FUNCTION_READS {
                if !link.may_read() {
                    break;
                }
                match link.read(&mut buffer) {
                    Flow::Moved(count) => self.broker.function_received(*id, &buffer[..count], since(start)),
                    Flow::Later => break,
                    Flow::Ended(_) => ended.push(*id),
                }
                any = true;
            }
            while link.may_write() && !self.broker.function_output(*id).is_empty() {
                match link.write(self.broker.function_output(*id)) {
                    Flow::Moved(count) => self.broker.function_sent(*id, count, since(start)),
                    Flow::Later => break,
                    Flow::Ended(_) => ended.push(*id),
                }
                any = true;
            }
        }
        for id in ended {
            self.broker.function_closed(id, since(start));
            self.drop_function(id);
        }
        any
    }

    /// Does what the broker wants done. Says whether there was anything.
    fn carry_out(&mut self) -> io::Result<bool> {
        let mut any = false;
        while let Some(action) = self.broker.next_action() {
            any = true;
            match action {
                Action::Connect { source, endpoint } => {
                    self.sources.insert(source, None);
                    self.mailbox.connect(source, endpoint)?;
                }
                Action::Meet(near) => self.meet(near),
                Action::GiveUp(near) => self.give_up(near),
                Action::CloseSource(id) => {
                    if let Some(link) = self.sources.remove(&id).flatten() {
                        link.close(self.poll.registry());
                    }
                }
                Action::CloseFunction(id) => self.drop_function(id),
                Action::Tell(message) => match self.control.send(message) {
                    // The channel's end is the guest's end, and told by whoever noticed it first.
                    Ok(()) | Err(ControlError::Ended) => {}
                    Err(error) => return Err(io::Error::other(error)),
                },
            }
        }
        Ok(any)
    }

    fn drop_function(&mut self, id: FunctionId) {
        let domain = self.functions.remove(&id).and_then(|link| link.close(self.poll.registry()));
        if let Some(domain) = domain {
            self.leave(domain);
        }
    }
}

/// What a broker does that shares memory with its functions.
#[cfg(target_os = "hermit")]
impl Driver {
    fn meet(&mut self, near: Neighbour) {
        match (near, &self.meetings) {
            (Neighbour::Domain(domain), Some(meetings)) => meetings.meet(domain),
            (Neighbour::Region { number, turn }, _) => match Region::open(number, turn) {
                Ok(link) => self.met(near, Link::region(link)),
                Err(error) => {
                    let failure = Failure::new(Code::PeerSilent, error.to_string());
                    let now = self.now();
                    self.broker.function_unmet(near, &failure, now);
                }
            },
            (Neighbour::Domain(_), None) => self.cannot_meet(near),
        }
    }

    fn met(&mut self, near: Neighbour, link: Link) {
        let now = self.now();
        let id = self.broker.function_connected(Caller::Near(near), now);
        self.functions.insert(id, link);
    }

    fn give_up(&self, near: Neighbour) {
        if let (Neighbour::Domain(domain), Some(meetings)) = (near, &self.meetings) {
            meetings.give_up(domain);
        }
    }

    fn leave(&self, domain: link::Domain) {
        if let Some(meetings) = &self.meetings {
            meetings.close(domain);
        }
    }
}

#[cfg(not(target_os = "hermit"))]
impl Driver {
    fn meet(&mut self, near: Neighbour) {
        self.cannot_meet(near);
    }

    fn give_up(&self, _near: Neighbour) {}

    fn leave(&self, domain: link::Domain) {
        match domain {}
    }
}

impl Driver {
    fn cannot_meet(&mut self, near: Neighbour) {
        let failure = Failure::new(Code::Unsupported, format!("this broker shares no memory with {near}"));
        let now = self.now();
        self.broker.function_unmet(near, &failure, now);
    }
}

/// Sources and functions share one series of numbers; 0 is the mailbox's.
fn token(id: u64) -> Token {
    Token(usize::try_from(id).unwrap_or(usize::MAX))
}

fn since(start: Instant) -> Micros {
    Micros::try_from(start.elapsed().as_micros()).unwrap_or(Micros::MAX)
}
