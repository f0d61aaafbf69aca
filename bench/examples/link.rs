//! `link LOADER GUEST MANNER MIB`: two guests (`bench/link`) on this machine's fastest accelerator, one of which sends the other
//! MIB MiB of points. Prints what the transfer took, from the first chunk to the last one in the taking guest, as JSON.
//!
//! | manner | is |
//! |---|---|
//! | `region` | through shared memory |
//! | `tcp-MTU` | by TCP through the node's switch, at this MTU |
//! | `tcp-MTU-KIB` | the same, with so large buffers of TCP in the guests |
//! | `tcp-MTU-KIB-nagle` | the same, and the sender waits for a full segment while another is under way |
//! | `stock-…` | as `tcp-…`, with SHA-256 over all bytes at both ends |
#![expect(clippy::print_stdout, reason = "a program for the command line")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has no result")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fades_backends::{
    Accelerator, PROGRAM, PostalNetwork, Programs, QemuBackend, RegionPost, Sharing, Wanted, select,
};
use fades_core::Role;
use fades_core::backend::{Architecture, Backend, BackendKind, Guest, GuestSpec};
use fades_core::network::{NetEvent, Network, PortId};
use fades_net::{DATA_PORT, GATEWAY, MASK_BITS, NetConfig, VirtualNetwork};
use fades_wire::address::{Endpoint, Neighbour, Place};
use fades_wire::boot::{BootParameters, GuestParameters};
use fades_wire::control::{
    Finished, FromGuest, Operation, OperationName, Retrieve, Run, SourceKind, ToGuest, Welcome,
};
use fades_wire::frame::{Decoder, Encoder};
use fades_wire::ids::{TaskKey, Ticket};
use rustix::fs::{MemfdFlags, memfd_create};

/// Far above what any manner takes for what is asked here.
const PATIENCE: Duration = Duration::from_secs(300);
/// As the daemon sets them.
const TCP_BUFFER_KIB: u32 = 256;
const WINDOW_BYTES: u64 = 2 << 20;
const TICKET: Ticket = Ticket([7; 32]);
const TASK: TaskKey = TaskKey([1; 16]);

/// A guest and its control connection.
struct Peer {
    guest: Arc<dyn Guest>,
    port: PortId,
    place: Place,
    encoder: Encoder,
    decoder: Decoder,
}

struct Bed {
    network: Arc<dyn Network>,
    backend: QemuBackend,
    events: Receiver<NetEvent>,
    parts: [Vec<u8>; 2],
    mtu: Option<u16>,
    tcp_buffer_kib: Option<u32>,
}

impl Bed {
    fn start(&self, role: Role, name: &str) -> Peer {
        let port = self.network.attach(role).unwrap();
        let mtu = self.mtu.unwrap_or(port.mtu);
        assert!(mtu <= port.mtu, "an MTU of {mtu}: the switch drops what is longer than {}", port.mtu);
        let parameters = BootParameters {
            address: port.address,
            gateway: GATEWAY,
            mask_bits: MASK_BITS,
            mtu,
            tcp_buffer: self.tcp_buffer_kib.unwrap_or(TCP_BUFFER_KIB) << 10,
            tsc_mhz: None,
            seed: [3; 32],
            time_unix_us: 1,
            guest: GuestParameters { role: role.into(), control: port.control, log: 3 },
        };
        let [loader, application] = self.parts.each_ref().map(|part| memory(part));
        let spec = GuestSpec {
            name: name.to_owned(),
            role,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib: 64,
            command_line: parameters.command_line(),
            seed: parameters.seed,
            time_unix_us: parameters.time_unix_us,
            loader,
            application,
            port: port.id,
            control: port.control,
            link: port.link,
            mac: port.mac,
            time_limit: Some(2 * PATIENCE),
        };
        let guest = self.backend.start(spec).unwrap();
        let data = Place::Network(Endpoint::new(port.address, DATA_PORT));
        let place = guest.neighbour().map_or(data, Place::Near);
        let mut peer =
            Peer { guest, port: port.id, place, encoder: Encoder::control(), decoder: Decoder::control() };
        assert!(matches!(self.hear(&mut peer), FromGuest::Hello(_)), "no hello: {}", peer.guest.console());
        self.say(&mut peer, &Welcome { heartbeat_ms: 60_000, time_unix_us: 1 }.into());
        peer
    }

    fn say(&self, peer: &mut Peer, message: &ToGuest) {
        let mut bytes = Vec::new();
        peer.encoder.frame(message.kind(), 0, &message.to_body().unwrap(), &mut bytes).unwrap();
        self.network.send_control(peer.port, bytes).unwrap();
    }

    /// What this one says next; what the other says meanwhile is put off by asking it later, and there is nothing of that here.
    fn hear(&self, peer: &mut Peer) -> FromGuest {
        loop {
            if let Some(frame) = peer.decoder.next().unwrap() {
                return FromGuest::from_frame(frame.kind, frame.body).unwrap();
            }
            match self.events.recv_timeout(PATIENCE) {
                Ok(NetEvent::ControlData(port, bytes)) if port == peer.port => peer.decoder.push(&bytes),
                Ok(NetEvent::ControlClosed(port)) => panic!("{port} is gone: {}", peer.guest.console()),
                Ok(_) => {}
                Err(error) => panic!("{error}: {}", peer.guest.console()),
            }
        }
    }
}

fn memory(bytes: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create("fades-bench", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    file.into()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [loader, guest, manner, mib] = &words[..] else { panic!("LOADER GUEST MANNER MIB") };
    let mut manner = manner.split('-');
    let way = manner.next().unwrap();
    let mtu = manner.next().map(|mtu| mtu.parse().unwrap());
    let tcp_buffer_kib = manner.next().map(|kib| kib.parse().unwrap());
    let nagle = manner.next().map(|word| assert_eq!(word, "nagle")).is_some();
    assert!(manner.next().is_none(), "nothing comes behind that");
    let mib: u64 = mib.parse().unwrap();
    let programs = Programs { native: PROGRAM, other: None, mended: &[] };
    let chosen = select(programs, Wanted::Auto, "fades-link").unwrap();
    let kind = chosen.kind;
    let accelerator = if kind == BackendKind::QemuKvm { Accelerator::Kvm } else { Accelerator::Tcg };
    let (told, events) = channel();
    let sink = Arc::new(move |event| drop(told.send(event)));
    let post = RegionPost::new(sink.clone()).unwrap();
    let network: Arc<dyn Network> =
        Arc::new(VirtualNetwork::start(NetConfig::default(), sink, Arc::new(|_| ())).unwrap());
    let network = match way {
        "region" => Arc::new(PostalNetwork::new(network, post.clone())),
        "tcp" | "stock" => network,
        other => panic!("there is no way {other}"),
    };
    let backend = QemuBackend::new(
        accelerator,
        PROGRAM,
        "bench-link",
        chosen.jail.unwrap(),
        Some(Sharing { post, functions: 1, snapshots: 0 }),
    )
    .unwrap();
    let parts = [loader, guest].map(|file| fs::read(file).unwrap());
    let bed = Bed { network, backend, events, parts, mtu, tcp_buffer_kib };
    let (mut sender, mut taker) = (bed.start(Role::Broker, "drb-1"), bed.start(Role::Function, "dmf-2"));
    let parameters = format!("{{\"sha\":{},\"nagle\":{nagle}}}", way == "stock");
    let near: Option<Neighbour> = taker.guest.neighbour();
    let retrieve = Retrieve {
        task: TASK,
        ticket: TICKET,
        near,
        together: false,
        priority: 5,
        deadline_us: 600_000_000,
        operations: vec![operation(&parameters)],
        budget_bytes: mib << 20,
    };
    let broker = if near.is_some() { taker.place } else { sender.place };
    let run = Run {
        task: TASK,
        ticket: TICKET,
        broker,
        operations: vec![OperationName { index: 0, id: "all".into() }],
        parameters,
        result_limit: 100,
        window_bytes: WINDOW_BYTES,
        memory: None,
    };
    bed.say(&mut sender, &retrieve.into());
    bed.say(&mut taker, &run.into());
    let finished: Finished = loop {
        match bed.hear(&mut taker) {
            FromGuest::Finished(finished) => break finished,
            FromGuest::Failed(failed) => panic!("{}", failed.0),
            _ => {}
        }
    };
    taker.guest.kill();
    let [taken] = &finished.summaries[..] else { panic!("{finished:?}") };
    assert_eq!(taken.bytes, mib << 20, "all of it came, as both ends count it");
    println!("{{\"backend\":\"{kind}\",\"bytes\":{},\"transfer_us\":{}}}", taken.bytes, finished.transfer_us);
    sender.guest.kill();
}

/// An order's one operation; the name of what is measured carries the manner.
fn operation(parameters: &str) -> Operation {
    let database = "none".into();
    Operation {
        index: 0,
        source: SourceKind::InfluxDb1 { database, retention: None, credentials: None },
        endpoint: Endpoint::new(GATEWAY, 1),
        measurement: parameters.to_owned(),
        field: "value".to_owned(),
        tags: Vec::new(),
        from_ns: 0,
        to_ns: 1,
        group_by: Vec::new(),
        timeout_ms: 1000,
    }
}
