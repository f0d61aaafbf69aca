//! A shell without store, images or HTTP.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fades_api::codes::{self, Code};
use fades_core::backend::{Architecture, Backend, Guest, GuestExit, GuestSpec};
use fades_core::engine::{BrokerConfig, Config, Effect, Engine, GuestInput, GuestOrder, Input, Now, Outcome};
use fades_core::fault::Fault;
use fades_core::limits::{Limits, Patience};
use fades_core::network::{NetEvent, Network, NetworkError, PortId};
use fades_core::task::{ImageRef, OperationSpec, TaskSpec};
use fades_core::{GuestId, TaskId};
use fades_testkit::{Script, ScriptedBackend, ScriptedNetwork};
use fades_wire::address::{DATA_PORT, Endpoint, GATEWAY, Place};
use fades_wire::control::{FromGuest, Operation, SourceKind};
use fades_wire::frame::{Decoder, Encoder};

enum Event {
    Net(NetEvent),
    Exited(GuestId, GuestExit),
}

struct Machine {
    port: PortId,
    guest: Arc<dyn Guest>,
    encoder: Encoder,
    decoder: Decoder,
}

pub(crate) struct Shell {
    pub(crate) engine: Engine,
    pub(crate) network: Arc<ScriptedNetwork>,
    pub(crate) backend: Arc<ScriptedBackend>,
    pub(crate) outcomes: HashMap<TaskId, Outcome>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    began: Instant,
    machines: HashMap<GuestId, Machine>,
    ports: HashMap<PortId, GuestId>,
    wake_us: u64,
}

/// Short, so that tests are; long enough for a busy machine.
const PATIENCE: Patience = Patience {
    boot_us: 400_000,
    broker_boot_us: 400_000,
    heartbeat_us: 50_000,
    heartbeat_misses: 6,
    backoff_first_us: 1_000,
    backoff_most_us: 20_000,
    stable_us: 1_000_000,
    settle_us: 800_000,
    max_attempts: 3,
};

/// Any descriptor; scripted guests read no files.
fn file() -> OwnedFd {
    UnixStream::pair().expect("a socket pair").0.into()
}

impl Shell {
    pub(crate) fn new(script: Script) -> Self {
        let (sender, events) = channel();
        let to_shell = Mutex::new(sender.clone());
        let sink = move |event| drop(to_shell.lock().expect("no panics here").send(Event::Net(event)));
        let network = ScriptedNetwork::new(Arc::new(sink));
        let backend = ScriptedBackend::new(Arc::clone(&network), script);
        let broker = BrokerConfig { image: ImageRef { name: "drb".into(), digest: [2; 32] }, memory_mib: 64 };
        let limits = Limits { guests: 5, memory_mib: 320, tasks: 4, waiting: 100, ..Limits::default() };
        let config =
            Config { limits, patience: PATIENCE, broker, budget_bytes: 1 << 20, window_bytes: 1 << 20 };
        let mut number = 0u8;
        let tickets = move || {
            number += 1;
            [number; 32]
        };
        Self {
            engine: Engine::new(config, Box::new(tickets)),
            network,
            backend,
            events,
            sender,
            began: Instant::now(),
            machines: HashMap::new(),
            ports: HashMap::new(),
            wake_us: 0,
            outcomes: HashMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let mono_us = u64::try_from(self.began.elapsed().as_micros()).expect("short tests");
        Now { mono_us, unix_us: 1_800_000_000_000_000 + mono_us }
    }

    pub(crate) fn give(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.engine.handle(self.now(), input) {
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::StartGuest(order) => {
                let guest = order.guest;
                let answer = self.start(&order).unwrap_or_else(GuestInput::StartFailed);
                return Some(Input::Guest(guest, answer));
            }
            Effect::Send { guest, message } => {
                let machine = self.machines.get_mut(&guest)?;
                let body = message.to_body().expect("within caps");
                let mut bytes = Vec::new();
                machine.encoder.frame(message.kind(), 0, &body, &mut bytes).expect("within caps");
                // One that is not connected any more is told of by an event of its own.
                let _ = self.network.send_control(machine.port, bytes);
            }
            Effect::StopGuest { guest, .. } => self.machines[&guest].guest.kill(),
            Effect::Finish { task, outcome } => {
                assert!(self.outcomes.insert(task, outcome).is_none(), "{task} ended twice");
            }
            Effect::WakeAt { mono_us } => self.wake_us = mono_us,
            Effect::Record { .. }
            | Effect::Missed { .. }
            | Effect::Period { .. }
            | Effect::Prepare { .. }
            | Effect::Progress { .. } => {}
        }
        None
    }

    fn start(&mut self, order: &GuestOrder) -> Result<GuestInput, Fault> {
        let refused = |error: NetworkError| Fault::new(codes::GUEST_START_FAILED, error.to_string());
        let port = self.network.attach(order.role).map_err(refused)?;
        let spec = GuestSpec {
            name: order.guest.to_string(),
            role: order.role,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib: order.memory_mib,
            command_line: String::new(),
            seed: [0; 32],
            time_unix_us: 0,
            loader: file(),
            application: file(),
            port: port.id,
            control: port.control,
            link: port.link,
            mac: port.mac,
            time_limit: order.time_limit_us.map(Duration::from_micros),
        };
        let guest = match self.backend.start(spec) {
            Ok(guest) => guest,
            Err(error) => {
                self.network.detach(port.id);
                return Err(Fault::not_started(&error));
            }
        };
        // What the guest says meanwhile waits in the channel.
        self.ports.insert(port.id, order.guest);
        let (waiting, sender, id) = (Arc::clone(&guest), self.sender.clone(), order.guest);
        std::thread::spawn(move || sender.send(Event::Exited(id, waiting.wait())));
        let machine =
            Machine { port: port.id, guest, encoder: Encoder::control(), decoder: Decoder::control() };
        self.machines.insert(order.guest, machine);
        Ok(GuestInput::Started { place: Place::Network(Endpoint::new(port.address, DATA_PORT)) })
    }

    fn net(&mut self, event: NetEvent) {
        let (port, inputs) = match event {
            NetEvent::ControlConnected(port) => (port, vec![GuestInput::Connected]),
            NetEvent::ControlClosed(port) => (port, vec![GuestInput::Disconnected]),
            NetEvent::ControlData(port, bytes) => (port, self.decode(port, &bytes)),
        };
        if let Some(guest) = self.ports.get(&port).copied() {
            inputs.into_iter().for_each(|input| self.give(Input::Guest(guest, input)));
        }
    }

    fn decode(&mut self, port: PortId, bytes: &[u8]) -> Vec<GuestInput> {
        let machine = self.ports.get(&port).and_then(|guest| self.machines.get_mut(guest));
        let Some(Machine { decoder, .. }) = machine else { return Vec::new() };
        decoder.push(bytes);
        let mut inputs = Vec::new();
        loop {
            let message = match decoder.next() {
                Ok(Some(frame)) => FromGuest::from_frame(frame.kind, frame.body),
                Ok(None) => return inputs,
                Err(error) => {
                    inputs.push(GuestInput::ProtocolError(error.to_string()));
                    return inputs;
                }
            };
            inputs.push(match message {
                Ok(message) => GuestInput::Message(message),
                Err(error) => GuestInput::ProtocolError(error.to_string()),
            });
        }
    }

    /// One event, or a tick when it is due.
    fn turn(&mut self) {
        let wait = Duration::from_micros(self.wake_us.saturating_sub(self.now().mono_us));
        match self.events.recv_timeout(wait) {
            Ok(Event::Net(event)) => self.net(event),
            Ok(Event::Exited(guest, exit)) => {
                self.give(Input::Guest(guest, GuestInput::Exited(exit)));
                let machine = self.machines.remove(&guest).expect("it was started");
                self.network.detach(machine.port);
            }
            Err(RecvTimeoutError::Timeout) => self.give(Input::Tick),
            Err(RecvTimeoutError::Disconnected) => unreachable!("the shell holds a sender"),
        }
    }

    /// Accepts tasks 1 to `count` and goes on until all have ended and their guests are gone.
    pub(crate) fn run(&mut self, count: u8) {
        for number in 1..=count {
            let now = self.now();
            self.give(Input::Accepted(spec(number, now)));
        }
        self.until(|shell| shell.outcomes.len() == usize::from(count));
        self.until(|shell| shell.engine.status().usage.guests <= 1 && shell.network.ports() <= 1);
        assert!(self.backend.running() <= 1);
    }

    pub(crate) fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < deadline, "{:?} {:?}", self.outcomes, self.engine.status());
            self.turn();
        }
    }

    /// The code that a task failed with; `None` when it succeeded.
    pub(crate) fn code(&self, number: u8) -> Option<Code> {
        match &self.outcomes[&TaskId([number; 16])] {
            Outcome::Failed(fault) => Some(fault.code),
            Outcome::Succeeded(_) => None,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn spec(number: u8, now: Now) -> TaskSpec {
    let order = Operation {
        index: 0,
        source: SourceKind::InfluxDb1 { database: "lab".into(), retention: None, credentials: None },
        endpoint: Endpoint::new(GATEWAY, 20_000),
        measurement: "temperature".into(),
        field: "value".into(),
        tags: vec![],
        from_ns: 0,
        to_ns: 10,
        group_by: vec![],
        timeout_ms: 1000,
    };
    TaskSpec {
        id: TaskId([number; 16]),
        issuer: "tester".into(),
        priority: 5,
        expires_unix_us: now.unix_us + 60_000_000,
        received_unix_us: now.unix_us,
        received_mono_us: Some(now.mono_us),
        verify_us: 1,
        image: ImageRef { name: "stats".into(), digest: [1; 32] },
        together: false,
        memory_mib: 32,
        timeout_ms: 2000,
        parameters: "{}".into(),
        terms: fades_core::terms::Terms { bytes: 4096, ..Default::default() },
        shape: None,
        operations: vec![OperationSpec { id: "op".into(), source: "edison".into(), order }],
        schedule: None,
    }
}
