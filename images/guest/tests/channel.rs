//! The control channel against a scripted orchestrator on loopback.

mod common;

use common::{PATIENCE, Peer, hello, listen};
use fades_guest::control::{ControlChannel, ControlError, Ended, MAX_WAITING, Settings};
use fades_guest::log::level;
use fades_wire::address::Control;
use fades_wire::control::*;
use fades_wire::exit::ExitCode;
use fades_wire::frame::{Kind, encode};
use fades_wire::ids::TaskKey;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const BEAT: u32 = 10_000;

/// Settings with short times, and where the end is told.
fn settings() -> (Settings, Receiver<String>) {
    let (tell, ended) = channel();
    let settings = Settings::new(move |end| {
        let words = match end {
            Ended::Shutdown => "shutdown".to_owned(),
            Ended::Lost(error) => fades_guest::exit::words(error),
        };
        // A test that does not look at the end has dropped the other side.
        let _ = tell.send(words);
    });
    let short = Duration::from_millis(300);
    (Settings { connect_within: short, welcome_within: short, ..settings }, ended)
}

/// A guest connected to a script, and where its end is told.
fn with_peer<T: Send + 'static>(
    settings_of: impl FnOnce(Settings) -> Settings,
    script: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (Result<ControlChannel, ControlError>, Receiver<String>, thread::JoinHandle<T>) {
    let (listener, endpoint) = listen();
    let script = thread::spawn(move || script(listener));
    let (settings, ended) = settings();
    (ControlChannel::connect(Control::Network(endpoint), hello(), settings_of(settings)), ended, script)
}

#[test]
fn pings_are_answered_while_the_application_is_busy() {
    let (channel, ended, script) = with_peer(
        |settings| settings,
        |listener| {
            let mut peer = Peer::welcome(&listener, BEAT);
            for nonce in 0..3 {
                peer.send(Abandon { task: TaskKey([7; 16]) });
                peer.send(Ping { nonce });
                let answer = peer.recv();
                assert!(
                    matches!(answer, Some(FromGuest::Heartbeat(beat)) if beat.nonce == nonce),
                    "{answer:?}"
                );
            }
            peer.send(Shutdown);
            peer.recv()
        },
    );
    let channel = channel.unwrap();
    assert_eq!(channel.welcome(), Welcome { heartbeat_ms: BEAT, time_unix_us: 1 });
    // The script goes through without the application taking part, and what was said meanwhile is kept.
    assert_eq!(script.join().unwrap(), None);
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), "shutdown");
    for _ in 0..3 {
        assert_eq!(channel.try_recv().unwrap(), Some(Abandon { task: TaskKey([7; 16]) }.into()));
    }
    assert!(matches!(channel.recv(), Err(ControlError::Ended)));
    assert!(matches!(channel.recv_timeout(PATIENCE), Err(ControlError::Ended)));
    assert!(ended.recv_timeout(Duration::from_millis(50)).is_err(), "an end is told once");
}

#[test]
fn threads_send_whole_frames_in_order() {
    let (channel, _ended, script) = with_peer(
        |settings| settings,
        |listener| {
            let mut peer = Peer::welcome(&listener, BEAT);
            (0..200)
                .map(|_| peer.recv())
                .filter(|message| matches!(message, Some(FromGuest::Progress(_))))
                .count()
        },
    );
    let channel = channel.unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let sender = channel.sender();
            scope.spawn(move || (0..50).for_each(|points| sender.send(Progress { points }).unwrap()));
        }
    });
    assert_eq!(script.join().unwrap(), 200);
}

#[test]
fn an_orchestrator_that_comes_late_is_found() {
    let (listener, endpoint) = listen();
    drop(listener);
    let script = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        let listener = TcpListener::bind((endpoint.address, endpoint.port)).unwrap();
        Peer::welcome(&listener, BEAT).send(Ping { nonce: 1 });
    });
    let (settings, _ended) = settings();
    let settings = Settings { connect_within: PATIENCE, ..settings };
    ControlChannel::connect(Control::Network(endpoint), hello(), settings).unwrap();
    script.join().unwrap();
}

#[test]
fn an_orchestrator_that_is_not_there_is_given_up() {
    let (listener, endpoint) = listen();
    drop(listener);
    let start = Instant::now();
    let error = ControlChannel::connect(Control::Network(endpoint), hello(), settings().0).unwrap_err();
    assert!(matches!(error, ControlError::Connect { attempts: 2.., .. }), "{error:?}");
    assert_eq!(error.exit_code(), ExitCode::Unreachable);
    assert!(start.elapsed() < PATIENCE);
}

/// What a script does instead of welcoming the guest, and what the guest says of it.
#[test]
fn no_welcome_no_channel() {
    let silent = |listener: TcpListener| {
        let mut peer = Peer::accept(&listener);
        peer.recv();
        assert_eq!(peer.recv(), None, "the guest hangs up");
    };
    let (channel, _, script) = with_peer(|settings| settings, silent);
    assert!(matches!(channel, Err(ControlError::Silent(_))), "{channel:?}");
    script.join().unwrap();

    let closes = |listener: TcpListener| drop(Peer::accept(&listener).recv());
    let (channel, ended, script) = with_peer(|settings| settings, closes);
    assert!(matches!(channel, Err(ControlError::Closed(0) | ControlError::Io("reading", _))), "{channel:?}");
    script.join().unwrap();
    assert!(ended.try_recv().is_err(), "an end before the welcome is told to who waits for that");

    let pings = |listener: TcpListener| Peer::accept(&listener).send(Ping { nonce: 1 });
    let (channel, _, script) = with_peer(|settings| settings, pings);
    assert!(matches!(channel, Err(ControlError::Unexpected(_))), "{channel:?}");
    script.join().unwrap();
}

/// What a script does after the welcome, and in which words the guest ends for it.
#[test]
fn every_end_has_its_words() {
    type Script = fn(&mut Peer);
    let cases: [(Script, &str); 6] = [
        (
            |peer| {
                let bytes = peer.bytes(Ping { nonce: 1 });
                peer.write(&bytes[..20]);
            },
            "orchestrator closed the control connection, 20 bytes into a frame",
        ),
        (|_| {}, "orchestrator closed the control connection, 0 bytes into a frame"),
        (
            |peer| peer.send(Welcome { heartbeat_ms: BEAT, time_unix_us: 2 }),
            "orchestrator sent a second welcome at the wrong time",
        ),
        (
            |peer| {
                let mut bytes = peer.bytes(Ping { nonce: 1 });
                bytes[4] = 9;
                peer.write(&bytes);
            },
            "control frame is wrong: frame version 9 is unknown",
        ),
        (
            |peer| {
                let mut bytes = Vec::new();
                encode(Kind::Unknown(0x0777), 0, 1, b"", &mut bytes).unwrap();
                peer.write(&bytes);
            },
            "control message is wrong: unexpected frame kind 0x0777",
        ),
        (
            |peer| (0..=MAX_WAITING).for_each(|_| peer.send(Abandon { task: TaskKey([0; 16]) })),
            "orchestrator sent more than 256 messages that nobody took",
        ),
    ];
    for (act, words) in cases {
        let (channel, ended, script) = with_peer(
            |settings| settings,
            move |listener| {
                let mut peer = Peer::welcome(&listener, BEAT);
                act(&mut peer);
                peer.hang_up();
                while peer.recv().is_some() {}
            },
        );
        let channel = channel.unwrap();
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), words);
        drop(channel);
        script.join().unwrap();
    }
}

#[test]
fn an_orchestrator_that_falls_silent_is_lost() {
    let (channel, ended, script) = with_peer(
        |settings| Settings { silent_intervals: 3, ..settings },
        |listener| {
            let mut peer = Peer::welcome(&listener, 40);
            // A guest stays as long as it hears something.
            for nonce in 0..20 {
                thread::sleep(Duration::from_millis(20));
                peer.send(Ping { nonce });
                assert!(matches!(peer.recv(), Some(FromGuest::Heartbeat(_))));
            }
            let silent = Instant::now();
            assert_eq!(peer.recv(), None);
            silent.elapsed()
        },
    );
    let _channel = channel.unwrap();
    let words = ended.recv_timeout(PATIENCE).unwrap();
    assert!(words.starts_with("orchestrator said nothing for "), "{words}");
    let silence = script.join().unwrap();
    assert!(silence >= Duration::from_millis(100) && silence < PATIENCE, "{silence:?}");
}

#[test]
fn log_lines_are_filtered_cut_and_thinned() {
    let (channel, _ended, script) = with_peer(
        |settings| Settings { log: level::INFORMATION, ..settings },
        |listener| {
            let mut peer = Peer::welcome(&listener, BEAT);
            let mut lines = Vec::new();
            loop {
                match peer.recv() {
                    Some(FromGuest::Log(log)) => lines.push(log),
                    _ => return lines,
                }
            }
        },
    );
    let channel = channel.unwrap();
    let sender = channel.sender();
    sender.log(level::DEBUG, "not wanted");
    for _ in 0..1000 {
        sender.log(level::INFORMATION, "x".repeat(2 * MAX_LOG));
    }
    thread::sleep(Duration::from_millis(250));
    sender.log(level::INFORMATION, "after");
    sender.send(Started).unwrap();
    let lines = script.join().unwrap();
    assert!(lines.len() > 20 && lines.len() < 200, "{}", lines.len());
    assert!(lines.iter().all(|log| log.level == level::INFORMATION && log.text.len() <= MAX_LOG));
    let last = &lines[lines.len() - 1].text;
    assert!(last.starts_with('(') && last.ends_with(" lines dropped) after"), "{last}");
}

#[test]
fn a_message_over_its_cap_is_refused_and_the_channel_goes_on() {
    let (channel, _ended, script) =
        with_peer(|settings| settings, |listener| Peer::welcome(&listener, BEAT).recv());
    let channel = channel.unwrap();
    let part = ResultPart { index: 0, last: true, bytes: vec![0; MAX_RESULT_PART + 1] };
    assert!(matches!(channel.send(part), Err(ControlError::Message(_))));
    channel.send(Started).unwrap();
    assert_eq!(script.join().unwrap(), Some(Started.into()));
}

#[test]
fn sending_after_the_end_fails() {
    let (channel, ended, script) =
        with_peer(|settings| settings, |listener| drop(Peer::welcome(&listener, BEAT)));
    let channel = channel.unwrap();
    script.join().unwrap();
    ended.recv_timeout(PATIENCE).unwrap();
    assert!((0..100).any(|_| channel.send(Started).is_err()));
    assert!(matches!(channel.send(Started), Err(ControlError::Ended)));
}
