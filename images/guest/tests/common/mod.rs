//! The orchestrator's end of a control channel, by script.

use fades_wire::address::Endpoint;
use fades_wire::control::{FromGuest, Hello, ToGuest, Welcome};
use fades_wire::frame::{Decoder, Encoder};
use fades_wire::ids::Role;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Longest that any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Peer {
    stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Peer {
    /// Accepts the guest; its hello is still to be read.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("a guest connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { stream, encoder: Encoder::control(), decoder: Decoder::control() }
    }

    /// Accepts and welcomes the guest.
    pub(crate) fn welcome(listener: &TcpListener, heartbeat_ms: u32) -> Self {
        let mut peer = Self::accept(listener);
        assert_eq!(peer.recv(), Some(hello().into()));
        peer.send(Welcome { heartbeat_ms, time_unix_us: 1 });
        peer
    }

    pub(crate) fn bytes(&mut self, message: impl Into<ToGuest>) -> Vec<u8> {
        let (message, mut out) = (message.into(), Vec::new());
        let body = message.to_body().expect("within its caps");
        self.encoder.frame(message.kind(), 0, &body, &mut out).expect("not too long");
        out
    }

    pub(crate) fn send(&mut self, message: impl Into<ToGuest>) {
        let bytes = self.bytes(message);
        self.write(&bytes);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the guest is there");
    }

    /// Sends nothing more; what the guest sends can still be read.
    pub(crate) fn hang_up(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    }

    /// The guest's next message, or `None` when it has closed.
    pub(crate) fn recv(&mut self) -> Option<FromGuest> {
        loop {
            if let Some(frame) = self.decoder.next().expect("a guest's frames are sound") {
                return Some(FromGuest::from_frame(frame.kind, frame.body).expect("and so are its messages"));
            }
            let count = self.stream.read(self.decoder.space()).expect("a guest says something in time");
            if count == 0 {
                return None;
            }
            self.decoder.filled(count);
        }
    }
}

pub(crate) fn hello() -> Hello {
    Hello { protocol: fades_wire::PROTOCOL, role: Role::Probe, image: "test 1".into() }
}

pub(crate) fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let SocketAddr::V4(address) = listener.local_addr().expect("it is bound") else {
        panic!("asked for version 4")
    };
    (listener, address.into())
}
