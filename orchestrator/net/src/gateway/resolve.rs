//! Names are resolved on helper threads, as the system's resolver blocks.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::command::{Command, CommandSender};
use crate::gateway::proxy::FlowKey;

/// Names resolved at the same time; further ones wait.
const THREADS: usize = 4;

/// How long a shutdown waits for names under way. A thread that is left behind then holds nothing and ends by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Turns host and port into addresses; blocks.
pub type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's own resolver.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
}

pub(crate) struct Resolver {
    lookup: Lookup,
    answers: CommandSender,
    waiting: VecDeque<(FlowKey, String, u16)>,
    running: Vec<JoinHandle<()>>,
}

impl Resolver {
    pub(crate) fn new(lookup: Lookup, answers: CommandSender) -> Self {
        Self { lookup, answers, waiting: VecDeque::new(), running: Vec::new() }
    }

    /// Asks for a name; the answer comes as a command.
    pub(crate) fn ask(&mut self, flow: FlowKey, host: String, port: u16) {
        self.waiting.push_back((flow, host, port));
        self.start_waiting(THREADS);
    }

    /// To be called at each answer: its thread is about to end, so the next may start.
    pub(crate) fn answered(&mut self) {
        self.running.retain(|thread| !thread.is_finished());
        self.start_waiting(THREADS + 1);
    }

    fn start_waiting(&mut self, bound: usize) {
        self.running.retain(|thread| !thread.is_finished());
        while self.running.len() < bound
            && let Some((flow, host, port)) = self.waiting.pop_front()
        {
            let (lookup, answers) = (Arc::clone(&self.lookup), self.answers.clone());
            let spawned = std::thread::Builder::new().name("fades-resolve".into()).spawn(move || {
                let result = lookup(&host, port);
                answers.send(Command::Resolved { flow, result });
            });
            match spawned {
                Ok(thread) => self.running.push(thread),
                Err(error) => self.answers.send(Command::Resolved { flow, result: Err(error) }),
            }
        }
    }

    /// Waits for what is under way, up to a bound.
    pub(crate) fn stop(&mut self) {
        self.waiting.clear();
        let deadline = Instant::now() + PATIENCE;
        for thread in self.running.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() {
                // A resolver that panicked has not answered, which its flow's deadline covers.
                let _ = thread.join();
            }
        }
    }
}
