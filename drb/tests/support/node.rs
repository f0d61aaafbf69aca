//! What stands around a broker on a node: an orchestrator's control endpoint, and functions on real sockets.

use super::function::Peer;
use super::influxd::free_port;
use fades_wire::address::Endpoint;
use fades_wire::control::{FromGuest, OperationEnded, Ping, ToGuest, Welcome};
use fades_wire::frame::{Decoder, Encoder};
use fades_wire::ids::{TaskKey, Ticket};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, as a process or as a unikernel, and the control connection to it.
pub struct Node {
    broker: Child,
    stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    pub data: SocketAddr,
    /// What stands on this host's loopback, as the broker sees it.
    host: Ipv4Addr,
}

impl Node {
    /// The broker as a process.
    pub fn start() -> Self {
        Self::with(Ipv4Addr::LOCALHOST, None, |control| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_drb"));
            command.env("FADES_ROLE", "drb").env("FADES_CONTROL", control.to_string());
            command.env("FADES_LOG", "3").env("FADES_DATA", "127.0.0.1:0");
            command
        })
    }

    /// The broker in QEMU, behind its user network, if image and QEMU are there. Says why if they are not.
    pub fn boot() -> Result<Self, String> {
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest/images");
        let (loader, image) = (images.join("loader.elf"), images.join("fades-drb.elf"));
        if !loader.exists() || !image.exists() {
            return Err(format!("no {} (cargo xtask test builds it)", image.display()));
        }
        if Command::new("qemu-system-x86_64").arg("-version").stdout(Stdio::null()).status().is_err() {
            return Err("qemu-system-x86_64 is not installed".into());
        }
        let port = free_port();
        Ok(Self::with(Ipv4Addr::new(10, 0, 2, 2), Some(port), |control| {
            let line = format!(
                "-ip 10.0.2.15 -gateway 10.0.2.2 -mask 255.255.255.0 env=FADES_ROLE=drb env=FADES_CONTROL={control} env=FADES_LOG=3"
            );
            let network = format!("user,id=n0,restrict=off,hostfwd=tcp:127.0.0.1:{port}-:7001");
            let mut command = Command::new("qemu-system-x86_64");
            command
                .args("-M pc -accel tcg -cpu qemu64,+fsgsbase -m 64M -nodefaults -no-user-config".split(' '));
            command.args("-display none -no-reboot -serial stdio -sandbox on".split(' '));
            command.args("-device isa-debug-exit,iobase=0xf4,iosize=0x04".split(' '));
            command.arg("-kernel").arg(&loader).arg("-initrd").arg(&image).args(["-append", &line]);
            command.args([
                "-netdev",
                &network,
                "-device",
                "virtio-net-pci,netdev=n0,disable-legacy=on,romfile=",
            ]);
            command
        }))
    }

    fn with(host: Ipv4Addr, data: Option<u16>, command: impl FnOnce(SocketAddrV4) -> Command) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = SocketAddrV4::new(host, listener.local_addr().unwrap().port());
        let mut broker = command(control).stdin(Stdio::null()).spawn().unwrap();
        listener.set_nonblocking(true).unwrap();
        let start = Instant::now();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            let alive = broker.try_wait().unwrap().is_none();
            assert!(start.elapsed() < PATIENCE && alive, "the broker does not connect");
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, data.unwrap_or(0)));
        let (encoder, decoder) = (Encoder::control(), Decoder::control());
        let mut node = Self { broker, stream, encoder, decoder, data: unknown, host };
        assert!(matches!(node.hear(), FromGuest::Hello(hello) if hello.image.starts_with("drb ")));
        node.say(&Welcome { heartbeat_ms: 10_000, time_unix_us: 1 }.into());
        let FromGuest::Log(log) = node.hear() else { panic!("no line about the address") };
        if data.is_none() {
            node.data = log.text.rsplit(' ').next().unwrap().parse().unwrap();
        }
        node
    }

    /// A source on this host's loopback, as the broker reaches it.
    pub fn source(&self, port: u16) -> Endpoint {
        Endpoint::new(self.host, port)
    }

    pub fn say(&mut self, message: &ToGuest) {
        let mut out = Vec::new();
        self.encoder.frame(message.kind(), 0, &message.to_body().unwrap(), &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    pub fn hear(&mut self) -> FromGuest {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return FromGuest::from_frame(frame.kind, frame.body).unwrap();
            }
            let count = self.stream.read(self.decoder.space()).unwrap();
            assert!(count > 0, "the broker closed its control connection");
            self.decoder.filled(count);
        }
    }

    /// The next end of an operation; progress and log lines are passed over.
    pub fn end(&mut self) -> (TaskKey, Result<OperationEnded, fades_wire::failure::Failure>) {
        loop {
            match self.hear() {
                FromGuest::OperationEnded(ended) => return (ended.task, Ok(ended)),
                FromGuest::OperationFailed(failed) => return (failed.task, Err(failed.failure)),
                FromGuest::OperationProgress(_) | FromGuest::Log(_) => {}
                other => panic!("the broker says {other:?}"),
            }
        }
    }

    pub fn ping(&mut self) -> u64 {
        self.say(&Ping { nonce: 77 }.into());
        loop {
            match self.hear() {
                FromGuest::Heartbeat(beat) => return beat.nonce,
                FromGuest::OperationProgress(_) | FromGuest::Log(_) => {}
                other => panic!("the broker says {other:?}"),
            }
        }
    }

    /// Memory that the broker has in use, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.broker.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Whether the broker ended with success. QEMU's exit device makes 1 of a guest's 0.
    pub fn ended_well(&mut self) -> bool {
        let code = self.broker.wait().unwrap().code();
        code == Some(i32::from(self.host != Ipv4Addr::LOCALHOST))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

/// A function on a real socket.
pub struct Function {
    pub peer: Peer,
    stream: TcpStream,
}

impl Function {
    pub fn connect(data: SocketAddr, ticket: Ticket, operations: usize, window: u64) -> Self {
        let mut stream = TcpStream::connect(data).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer::new(operations, window);
        stream.write_all(&peer.open(ticket)).unwrap();
        Self { peer, stream }
    }

    /// Receives until every stream has ended or one has failed, or for at most so many bytes.
    pub fn receive(&mut self, most: u64) -> u64 {
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
        while total < most {
            let ends = self.peer.streams.iter().map(|stream| &stream.end);
            if ends.clone().all(Option::is_some) || ends.flatten().any(Result::is_err) {
                break;
            }
            self.stream.write_all(&self.peer.grants(None)).unwrap();
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the broker closed the data connection");
            self.peer.hear(&buffer[..count]);
            total += count as u64;
        }
        total
    }
}

/// A function that takes everything and looks at nothing, until the broker has no more to say or fails.
pub fn swallow(data: SocketAddr, ticket: Ticket) -> u64 {
    use fades_wire::data::{Credit, Open, ToBroker};
    use fades_wire::frame::Kind;
    let mut stream = TcpStream::connect(data).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut peer, mut bytes) = (Peer::new(0, 0), Vec::new());
    peer.say(0, &ToBroker::Open(Open { ticket }), &mut bytes);
    peer.say(0, &ToBroker::Credit(Credit { bytes: u64::MAX / 2 }), &mut bytes);
    stream.write_all(&bytes).unwrap();
    let (mut decoder, mut total) = (Decoder::data(), 0);
    loop {
        while let Some(frame) = decoder.next().unwrap() {
            total += frame.body.len() as u64;
            if matches!(frame.kind, Kind::End | Kind::Abort) {
                return total;
            }
        }
        let count = stream.read(decoder.space()).unwrap();
        assert!(count > 0, "the broker closed the data connection");
        decoder.filled(count);
    }
}
