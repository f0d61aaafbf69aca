//! The network's one thread: waits for readiness, commands and timers, and gives each part its turn.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fades_core::network::PortId;
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};

use crate::address::AddressPool;
use crate::command::Command;
use crate::config::NetConfig;
use crate::counters::{Totals, add};
use crate::gateway::Gateway;
use crate::policy::PortFacts;
use crate::port::PortState;
use crate::queue::OutQueue;
use crate::report::{LinkError, Report, ReportSink};
use crate::switch::Switch;

/// The waker's token; odd and out of the proxies' reach.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// Readiness events taken at once.
const EVENTS: usize = 256;

/// Ports have even tokens, host sockets of the gateway odd ones.
fn token_of(port: PortId) -> Option<Token> {
    usize::try_from(port.0).ok()?.checked_mul(2).map(Token)
}

pub(crate) struct Worker {
    pub(crate) poll: Poll,
    pub(crate) commands: Receiver<Command>,
    pub(crate) switch: Switch,
    pub(crate) gateway: Gateway,
    pub(crate) pool: Arc<Mutex<AddressPool>>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) reports: ReportSink,
    pub(crate) config: NetConfig,
    /// Addresses given out, until they are given back.
    pub(crate) addresses: HashMap<PortId, Ipv4Addr>,
}

impl Worker {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut timeout = None;
        loop {
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    (self.reports)(Report::Broken(error));
                    break;
                }
                _ => {}
            }
            add(&self.totals.turns, 1);
            let now = Instant::now();
            self.gateway.set_time(now);
            for event in &events {
                self.ready(event);
            }
            if !self.carry_out() {
                break;
            }
            for (port, why) in self.switch.turn(now, &mut self.gateway) {
                self.lose(port, why);
            }
            self.gateway.turn(&mut self.switch);
            timeout = self.next_turn();
        }
        self.gateway.stop();
    }

    fn next_turn(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let gateway = self.gateway.next_turn(&mut self.switch, now);
        let soonest = [self.switch.next_turn(now), gateway].into_iter().flatten().min()?;
        // The poll counts in whole milliseconds and rounds down: without this it would spin through the last one.
        Some(if soonest.is_zero() { soonest } else { soonest.max(Duration::from_millis(1)) })
    }

    fn ready(&mut self, event: &mio::event::Event) {
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        match event.token() {
            WAKER => {}
            Token(odd) if odd % 2 == 1 => self.gateway.ready(Token(odd), readable, writable),
            Token(even) => self.switch.ready(PortId((even / 2) as u64), readable, writable),
        }
    }

    /// Carries out what has been asked for. False: stop.
    fn carry_out(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Ok(command) => self.command(command),
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Attach { facts, link, counters, gauge } => {
                self.addresses.insert(facts.port, facts.address);
                self.gateway.add_port(facts.port, gauge);
                let mut link = UnixStream::from_std(link);
                if let Err(error) = self.register(&mut link, facts) {
                    return (self.reports)(Report::LinkLost { port: facts.port, why: error.into() });
                }
                let output = OutQueue::new(self.config.queue_bytes, self.config.patience);
                self.switch.insert(PortState::new(facts, link, output, counters));
            }
            Command::Detach(port) => self.detach(port),
            Command::Assign { function, broker } => self.switch.assign(function, broker),
            Command::OpenSource { port, source } => {
                self.switch.table.open_source(port);
                self.gateway.open_source(port, source);
            }
            Command::CloseSource { port } => {
                self.switch.table.close_source(port);
                self.gateway.close_source(port);
            }
            Command::Send { port, epoch, gauge, bytes } => {
                self.gateway.send_control(port, epoch, &gauge, &bytes);
            }
            Command::CloseControl(port) => self.gateway.close_control(port),
            Command::Consumed(port, bytes) => self.gateway.consumed(port, bytes),
            Command::Resolved { flow, result } => self.gateway.resolved(flow, result),
            Command::Stop => {}
        }
    }

    fn register(&self, link: &mut UnixStream, facts: PortFacts) -> io::Result<()> {
        let token = token_of(facts.port).ok_or(io::ErrorKind::OutOfMemory)?;
        self.poll.registry().register(link, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn detach(&mut self, port: PortId) {
        // Dropping the link takes it out of the poll as well.
        drop(self.switch.remove(port));
        self.gateway.remove_port(port);
        if let Some(address) = self.addresses.remove(&port) {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).give_back(address);
        }
    }

    fn lose(&mut self, port: PortId, why: LinkError) {
        drop(self.switch.remove(port));
        self.gateway.link_lost(port);
        (self.reports)(Report::LinkLost { port, why });
    }
}
