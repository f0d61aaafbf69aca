//! Probes that are connected to an orchestrator: this test, on the host's loopback, which QEMU's own network shows to the
//! guest as its gateway.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fades_wire::address::{Control, Endpoint, GATEWAY, MASK_BITS};
use fades_wire::boot::{BootParameters, GuestParameters};
use fades_wire::control::{FromGuest, Ping, Shutdown, ToGuest, Welcome};
use fades_wire::failure::Code;
use fades_wire::frame::{Decoder, Encoder};
use fades_wire::ids::Role;
use xtask::images::probe;

use crate::machine::{Ended, Machine, PATIENCE, USUAL, status};

/// The orchestrator's end of the control channel.
struct Peer {
    stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Peer {
    fn send(&mut self, message: impl Into<ToGuest>) {
        let (message, mut out) = (message.into(), Vec::new());
        let body = message.to_body().unwrap();
        self.encoder.frame(message.kind(), 0, &body, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    /// The guest's next message, or `None` when it has closed or is gone.
    fn recv(&mut self) -> Option<FromGuest> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(FromGuest::from_frame(frame.kind, frame.body).unwrap());
            }
            match self.stream.read(self.decoder.space()) {
                Ok(0) => return None,
                Ok(count) => self.decoder.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the guest said nothing in time: {error}"),
            }
        }
    }
}

/// Boots the probe so that it dies in this way, takes its hello and welcomes it.
fn connect(mode: &str, heartbeat_ms: u32) -> (Machine, Peer) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let parameters = BootParameters {
        address: Ipv4Addr::new(10, 77, 0, 2),
        gateway: GATEWAY,
        mask_bits: MASK_BITS,
        mtu: 1500,
        tcp_buffer: 64 << 10,
        tsc_mhz: None,
        seed: [7; 32],
        time_unix_us: 1_767_225_600_000_000,
        guest: GuestParameters {
            role: Role::Probe,
            control: Control::Network(Endpoint::new(GATEWAY, listener.local_addr().unwrap().port())),
            log: 3,
        },
    };
    let command_line = format!("{} env=FADES_PROBE_MODE={mode}", parameters.command_line());
    let network = "user,id=net0,net=10.77.0.0/16,host=10.77.0.1,dhcpstart=10.77.0.9";
    let device = "virtio-net-pci,netdev=net0,romfile=,disable-legacy=on";
    let (_, panic) = probe("panic").unwrap();
    let machine = Machine::start(USUAL, 64, &panic, &command_line, &["-netdev", network, "-device", device]);

    let stream = accept(&listener);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut peer = Peer { stream, encoder: Encoder::control(), decoder: Decoder::control() };
    let Some(FromGuest::Hello(hello)) = peer.recv() else { panic!("no hello") };
    assert_eq!((hello.protocol, hello.role), (fades_wire::PROTOCOL, Role::Probe));
    assert!(hello.image.starts_with("probe-panic "), "{hello:?}");
    peer.send(Welcome { heartbeat_ms, time_unix_us: parameters.time_unix_us });
    (machine, peer)
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) => assert!(begun.elapsed() < PATIENCE, "no guest connected: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Heartbeats so seldom that silence means nothing within a test.
const SELDOM: u32 = 60_000;

#[test]
fn a_panic_is_told_on_the_console_and_over_the_control_channel() {
    for (mode, words) in
        [("panic", "asked to panic, with a \"quote\""), ("thread", "asked to panic in a thread")]
    {
        let (machine, mut peer) = connect(mode, SELDOM);
        let Some(FromGuest::Failed(failed)) = peer.recv() else { panic!("{mode}: not told") };
        assert_eq!(failed.0.code, Code::Panic);
        let expected = format!("{words}, at images/probes/panic/src/main.rs:");
        assert!(failed.0.message.starts_with(&expected), "{failed:?}");
        let ended = machine.end_within(PATIENCE);
        assert_eq!(ended.status, status(10), "{ended:?}");
        assert_eq!(ended.json("FADES-PANIC ")["message"], words);
        let trace = ended.json("FADES-TRACE ");
        let frames = trace["frames"].as_array().unwrap();
        // What asked for the panic, the hook and the machinery between them, each within the image.
        assert!((4..=64).contains(&frames.len()), "{trace}");
        for frame in frames {
            let at = u64::from_str_radix(frame.as_str().unwrap(), 16).unwrap();
            assert!((0x1000..16 << 20).contains(&at), "{trace}");
        }
        assert_eq!(trace["chunk"], serde_json::Value::Null);
    }
}

#[test]
fn a_guest_that_waits_ends_when_told_to() {
    let (machine, mut peer) = connect("wait", SELDOM);
    peer.send(Shutdown);
    let ended = machine.end_within(PATIENCE);
    assert_eq!((ended.status, ended.console.trim()), (status(0), ""), "{ended:?}");
}

#[test]
fn a_guest_without_its_orchestrator_ends() {
    let (machine, peer) = connect("wait", SELDOM);
    drop(peer);
    control_lost(&machine.end_within(PATIENCE));
    // Nobody closes, but nobody says anything either: not even a guest that computes stays for ever.
    let (machine, _peer) = connect("loop", 200);
    control_lost(&machine.end_within(PATIENCE));
}

fn control_lost(ended: &Ended) {
    assert_eq!(ended.status, status(14), "{ended:?}");
    let told = ended.json("FADES-END ");
    assert_eq!((&told["code"], &told["name"]), (&14.into(), &"control-lost".into()), "{told}");
}

#[test]
fn g4_a_guest_that_computes_without_end_answers_pings_until_it_is_killed() {
    let (machine, mut peer) = connect("loop", SELDOM);
    for nonce in 1..=10 {
        let begun = Instant::now();
        peer.send(Ping { nonce });
        let Some(FromGuest::Heartbeat(heartbeat)) = peer.recv() else { panic!("no heartbeat") };
        assert_eq!(heartbeat.nonce, nonce);
        assert!(begun.elapsed() < Duration::from_secs(5), "ping {nonce} took {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = machine.end_within(Duration::ZERO);
    assert_eq!((ended.status, ended.console.trim()), (None, ""), "{ended:?}");
}
