//! Plays orchestrator and broker to one function guest: the real backend, the real network and the wire's own frames,
//! and generated points in place of a source.
#![allow(unreachable_pub, reason = "a module of a test program")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fades_backends::{Accelerator, Jail, PROGRAM, QemuBackend};
use fades_core::Role;
use fades_core::backend::{Architecture, Backend, Guest, GuestExit, GuestSpec};
use fades_core::network::{NetEvent, Network, PortId};
use fades_net::testpeer::{PeerListener, PeerStream, TestPeer};
use fades_net::{CONTROL_PORT, DATA_PORT, GATEWAY, MASK_BITS, NetConfig, VirtualNetwork};
use fades_wire::address::{Control as ControlPlace, Endpoint, Place};
use fades_wire::boot::{BootParameters, GuestParameters};
use fades_wire::control::{
    Finished, FromGuest, Heartbeat, OperationName, Ping, Run, Shutdown, ToGuest, Welcome,
};
use fades_wire::data::{End, Open, StreamSummary, ToBroker};
use fades_wire::digest::Meter;
use fades_wire::flow::Sender;
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::ids::{TaskKey, Ticket};
use fades_wire::message::to_body;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Longest that anything but the streaming may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// As the daemon sets it.
const TCP_BUFFER: u32 = 256 * 1024;
const WINDOW_BYTES: u64 = 2 << 20;
const TICKET: Ticket = Ticket([7; 32]);

/// One function guest, and everything that it talks to.
pub struct Driver {
    guest: Arc<dyn Guest>,
    control: Control,
    broker: TestPeer,
    listener: PeerListener,
    network: Arc<VirtualNetwork>,
}

/// The control connection.
struct Control {
    network: Arc<VirtualNetwork>,
    port: PortId,
    events: Receiver<NetEvent>,
    encoder: Encoder,
    decoder: Decoder,
    result: Vec<u8>,
    beats: Vec<Heartbeat>,
}

impl Driver {
    /// Boots the function of a packed image, up to its hello.
    pub fn boot(image: &[u8], memory_mib: u32) -> Self {
        let image = fades_pack::open(image).unwrap();
        let signer = fades_envelope::check_proof(&signer()).unwrap().key;
        let image = image.verify(&signer).unwrap();
        let (sender, events) = channel();
        let sink = Arc::new(move |event| drop(sender.send(event)));
        let network = VirtualNetwork::start(NetConfig::default(), sink, Arc::new(|_| ())).unwrap();
        let network = Arc::new(network);
        let broker = TestPeer::start(network.attach(Role::Broker).unwrap()).unwrap();
        let listener = broker.listen(DATA_PORT).unwrap();
        let port = network.attach(Role::Function).unwrap();
        let parameters = BootParameters {
            address: port.address,
            gateway: GATEWAY,
            mask_bits: MASK_BITS,
            mtu: port.mtu,
            tcp_buffer: TCP_BUFFER,
            tsc_mhz: None,
            seed: [3; 32],
            time_unix_us: 1,
            guest: GuestParameters {
                role: Role::Function.into(),
                control: ControlPlace::Network(Endpoint::new(GATEWAY, CONTROL_PORT)),
                log: 3,
            },
        };
        let jail = Jail::of(&[PROGRAM], Accelerator::Tcg, "fifty-million");
        let backend = QemuBackend::new(Accelerator::Tcg, PROGRAM, "fifty-million", jail, None).unwrap();
        let spec = GuestSpec {
            name: "dmf-1".to_owned(),
            role: Role::Function,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib,
            command_line: parameters.command_line(),
            seed: [0; 32],
            time_unix_us: 0,
            loader: sealed("loader", image.loader()),
            application: sealed("application", image.application()),
            port: port.id,
            control: port.control,
            link: port.link,
            mac: port.mac,
            time_limit: Some(Duration::from_secs(600)),
        };
        let guest = backend.start(spec).unwrap();
        let mut control = Control {
            network: Arc::clone(&network),
            port: port.id,
            events,
            encoder: Encoder::control(),
            decoder: Decoder::control(),
            result: Vec::new(),
            beats: Vec::new(),
        };
        assert!(matches!(control.hear(), Some(FromGuest::Hello(_))), "no hello: {}", guest.console());
        Self { guest, control, broker, listener, network }
    }

    /// Resident memory of the process that runs the guest, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.guest.resident_bytes().unwrap()
    }

    /// Tells the function to run, and gives the stream that it opens.
    pub fn run(&mut self) -> Stream {
        self.control.say(&Welcome { heartbeat_ms: 10_000, time_unix_us: 1 }.into());
        let run = Run {
            task: TaskKey([1; 16]),
            ticket: TICKET,
            broker: Place::Network(Endpoint::new(self.broker.address(), DATA_PORT)),
            operations: vec![OperationName { index: 0, id: "op".into() }],
            parameters: "{}".to_owned(),
            result_limit: 1 << 20,
            window_bytes: WINDOW_BYTES,
            memory: None,
        };
        self.control.say(&run.into());
        let link = self.listener.accept(PATIENCE).unwrap();
        let mut stream = Stream {
            link,
            encoder: Encoder::data(),
            decoder: Decoder::data(),
            credit: Sender::default(),
            meter: Meter::default(),
            out: Vec::new(),
        };
        assert!(matches!(stream.hear(), ToBroker::Open(Open { ticket: TICKET })));
        stream
    }

    /// Pings the function, which streams meanwhile, and gives its newest answer.
    pub fn beat(&mut self) -> Option<Heartbeat> {
        let nonce = self.control.beats.len() as u64 + 1;
        self.control.say(&Ping { nonce }.into());
        while let Some(message) = self.control.hear_now(Duration::ZERO) {
            assert!(!matches!(message, FromGuest::Failed(_)), "{message:?}");
        }
        self.control.beats.last().copied()
    }

    /// The function's result and its own account of the stream; then the guest's end.
    pub fn finish(mut self) -> (String, Finished, GuestExit) {
        let finished = loop {
            match self.control.hear() {
                Some(FromGuest::Finished(finished)) => break finished,
                Some(FromGuest::Failed(failed)) => panic!("the function failed: {}", failed.0),
                Some(_) => {}
                None => panic!("the function left without a result: {}", self.guest.console()),
            }
        };
        let result = String::from_utf8(std::mem::take(&mut self.control.result)).unwrap();
        self.control.say(&Shutdown.into());
        let exit = self.guest.wait();
        self.network.shutdown();
        (result, finished, exit)
    }
}

impl Control {
    fn say(&mut self, message: &ToGuest) {
        let mut out = Vec::new();
        self.encoder.frame(message.kind(), 0, &message.to_body().unwrap(), &mut out).unwrap();
        // A guest that is gone already needs to be told nothing.
        let _ = self.network.send_control(self.port, out);
    }

    /// The next message; `None` when the connection has ended.
    fn hear(&mut self) -> Option<FromGuest> {
        self.hear_now(PATIENCE)
    }

    fn hear_now(&mut self, within: Duration) -> Option<FromGuest> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                let message = FromGuest::from_frame(frame.kind, frame.body).unwrap();
                match &message {
                    FromGuest::ResultPart(part) => self.result.extend_from_slice(&part.bytes),
                    FromGuest::Heartbeat(beat) => self.beats.push(*beat),
                    _ => {}
                }
                return Some(message);
            }
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()? {
                NetEvent::ControlData(port, bytes) => {
                    self.network.consumed(port, bytes.len());
                    self.decoder.push(&bytes);
                }
                NetEvent::ControlConnected(_) => {}
                NetEvent::ControlClosed(_) => return None,
            }
        }
    }
}

/// The stream of the one operation, from the broker's side.
pub struct Stream {
    link: PeerStream,
    encoder: Encoder,
    decoder: Decoder,
    credit: Sender,
    meter: Meter,
    out: Vec<u8>,
}

impl Stream {
    /// Describes a series.
    pub fn series(&mut self, series: &fades_wire::data::Series) {
        let body = to_body(series).unwrap();
        self.meter.series(&body);
        self.write(Kind::Series, &body);
    }

    /// Sends a chunk as soon as there is credit for it.
    pub fn chunk(&mut self, body: &[u8]) {
        while !self.credit.take(body.len() as u64) {
            let ToBroker::Credit(credit) = self.hear() else { panic!("something else than credit") };
            self.credit.grant(credit.bytes).unwrap();
        }
        self.meter.chunk(&fades_wire::batch::Batch::parse(body).unwrap());
        self.write(Kind::Chunk, body);
    }

    /// Ends the stream; what was sent.
    pub fn end(&mut self) -> StreamSummary {
        let summary = self.meter.summary(0);
        let body = to_body(&End(summary)).unwrap();
        self.write(Kind::End, &body);
        summary
    }

    fn write(&mut self, kind: Kind, body: &[u8]) {
        self.out.clear();
        self.encoder.frame(kind, 0, body, &mut self.out).unwrap();
        self.link.write_all(&self.out).unwrap();
    }

    fn hear(&mut self) -> ToBroker {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return ToBroker::from_frame(frame.kind, frame.body).unwrap();
            }
            let count = self.link.read(self.decoder.space()).unwrap();
            assert!(count > 0, "the function closed its data connection");
            self.decoder.filled(count);
        }
    }
}

fn signer() -> Vec<u8> {
    std::fs::read(xtask::images::Images::built().unwrap().signer).unwrap()
}

fn sealed(name: &str, bytes: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
    file.write_all(bytes).unwrap();
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK).unwrap();
    // From its beginning, whoever reads it.
    std::io::Seek::rewind(&mut file).unwrap();
    file.into()
}
