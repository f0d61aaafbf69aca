//! The connection to XenStore, against a peer that speaks its protocol over a socket pair.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use fades_xen_store::{
    Access, Decoder, DomainId, Kind, Message, Path, Permissions, Request, Token, WatchEvent,
};
use fades_xen_toolstack::console;
use fades_xen_toolstack::store::{Broken, Line, Store, StoreError};

const PATIENCE: Duration = Duration::from_secs(10);

fn path(path: &str) -> Path {
    Path::new(path).expect("a path")
}

/// A store and the other end of its connection.
fn pair(patience: Duration) -> (Store, Peer) {
    pair_over(Line::Socket, patience)
}

fn pair_over(line: fn(OwnedFd) -> Line, patience: Duration) -> (Store, Peer) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let store = Store::over(line(ours.into()), patience).expect("a store");
    theirs.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    (store, Peer { socket: theirs, decoder: Decoder::new(), read: Vec::new() })
}

/// Values and watches that a peer has when the connection ends.
type Left = (BTreeMap<String, Vec<u8>>, Vec<(Path, Token)>);

struct Peer {
    socket: UnixStream,
    decoder: Decoder,
    read: Vec<u8>,
}

impl Peer {
    /// The next request; `None`: the connection ended.
    fn next(&mut self) -> Option<(u32, Request)> {
        loop {
            let mut input = self.read.as_slice();
            let message = self.decoder.push(&mut input).expect("our side keeps to the protocol");
            self.read = input.to_vec();
            if let Some(message) = message {
                return Some((message.header().request, Request::decode(&message).expect("a request")));
            }
            let mut block = [0; 1024];
            let count = self.socket.read(&mut block).expect("a request in time");
            if count == 0 {
                return None;
            }
            self.read.extend_from_slice(&block[..count]);
        }
    }

    /// Whether more came than was looked at.
    fn has_more(&mut self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket");
        let more = self.socket.read(&mut [0]).is_ok();
        self.socket.set_nonblocking(false).expect("a socket");
        more || !self.read.is_empty()
    }

    fn answer(&mut self, kind: Kind, request: u32, payload: &[u8]) {
        let message = Message::new(kind, request, 0, payload.to_vec()).expect("it fits");
        // Nobody may be there any more.
        let _ = self.socket.write_all(&message.encode());
    }

    fn event(&mut self, path: &Path, token: &Token) {
        let event = WatchEvent { path: path.clone(), token: token.clone() };
        let _ = self.socket.write_all(&event.message().expect("it fits").encode());
    }

    /// A small store: values, watches and permissions, until the connection ends. Gives what is left.
    fn serve(mut self) -> Left {
        let (mut values, mut watches) = (BTreeMap::<String, Vec<u8>>::new(), Vec::<(Path, Token)>::new());
        while let Some((number, request)) = self.next() {
            let kind = request.kind();
            match request {
                Request::Read { path } => match values.get(path.as_str()) {
                    Some(value) => self.answer(kind, number, &value.clone()),
                    None => self.answer(Kind::Error, number, b"ENOENT\0"),
                },
                Request::Write { path, value } => {
                    values.insert(path.as_str().to_owned(), value);
                    self.answer(kind, number, b"OK\0");
                    for (watched, token) in watches.clone() {
                        if path.as_str().starts_with(watched.as_str()) {
                            self.event(&path, &token);
                        }
                    }
                }
                Request::MakeDirectory { path } => {
                    values.entry(path.as_str().to_owned()).or_default();
                    self.answer(kind, number, b"OK\0");
                }
                Request::Remove { path } => {
                    let there = values.remove(path.as_str()).is_some();
                    let (kind, word) =
                        if there { (kind, &b"OK\0"[..]) } else { (Kind::Error, &b"ENOENT\0"[..]) };
                    self.answer(kind, number, word);
                }
                Request::Directory { path } => {
                    let below = format!("{path}/");
                    let names: Vec<u8> = values
                        .keys()
                        .filter_map(|key| key.strip_prefix(&below)?.split('/').next())
                        .collect::<std::collections::BTreeSet<_>>()
                        .into_iter()
                        .flat_map(|name| [name.as_bytes(), b"\0"].concat())
                        .collect();
                    self.answer(kind, number, &names);
                }
                Request::SetPermissions { permissions, .. } if permissions.list().len() > 2 => {
                    self.answer(Kind::Error, number, b"EACCES\0");
                }
                Request::SetPermissions { .. } => self.answer(kind, number, b"OK\0"),
                Request::GetDomainPath { domain } => {
                    self.answer(kind, number, format!("/local/domain/{domain}\0").as_bytes());
                }
                Request::Watch { path, token } => {
                    // As xenstored may: the first event before the reply.
                    self.event(&path, &token);
                    self.answer(kind, number, b"OK\0");
                    watches.push((path, token));
                }
                Request::Unwatch { path, token } => {
                    watches.retain(|watch| *watch != (path.clone(), token.clone()));
                    self.answer(kind, number, b"OK\0");
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        (values, watches)
    }
}

#[test]
fn what_is_written_is_read_listed_and_removed() {
    let (store, peer) = pair(PATIENCE);
    let serving = thread::spawn(|| peer.serve());
    let node = path("/local/domain/3/data/a");
    assert_eq!(store.read(&node).expect("an answer"), None);
    store.write(&node, b"any\0bytes").expect("done");
    store.mkdir(&path("/local/domain/3/data/b")).expect("done");
    assert_eq!(store.read(&node).expect("an answer").as_deref(), Some(&b"any\0bytes"[..]));
    let names = store.list(&path("/local/domain/3/data")).expect("an answer");
    assert_eq!(names, Some(vec!["a".to_owned(), "b".to_owned()]));
    store.remove(&node).expect("done");
    store.remove(&node).expect("not there is as well");
    let three = DomainId::new(3).expect("a domain");
    assert_eq!(store.domain_path(three).expect("an answer"), three.home());
    let shared = Permissions::new(DomainId::ZERO, Access::None).with(three, Access::Read);
    store.set_permissions(&node, &shared).expect("done");
    let refused =
        store.set_permissions(&node, &shared.with(DomainId::ZERO, Access::Both)).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "XenStore refused with EACCES: set permissions of /local/domain/3/data/a"
    );
    let long = store.write(&node, &[0; 4096]).expect_err("too long");
    assert!(matches!(long, StoreError::TooLong(_)), "{long}");
    store.write(&path("/local/domain/7/name"), b"fades-0f-a").expect("done");
    let name = |name| fades_xen_toolstack::DomainName::new(name).expect("a name");
    let seven = DomainId::new(7).expect("a domain");
    assert_eq!(store.domain_of_name(&name("fades-0f-a")).expect("an answer"), Some(seven));
    assert_eq!(store.domain_of_name(&name("fades-0f-b")).expect("an answer"), None);
    store.remove(&path("/local/domain/7/name")).expect("done");
    drop(store);
    let (values, _) = serving.join().expect("served");
    assert_eq!(values.into_keys().collect::<Vec<_>>(), ["/local/domain/3/data/b"]);
}

#[test]
fn answers_come_in_any_order_to_whom_they_belong() {
    let (store, mut peer) = pair(PATIENCE);
    let asking: Vec<_> = (0..8)
        .map(|i| {
            let store = store.clone();
            thread::spawn(move || store.read(&path(&format!("/n{i}"))).expect("an answer").expect("a value"))
        })
        .collect();
    let mut asked: Vec<_> = (0..8).map(|_| peer.next().expect("a request")).collect();
    asked.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    peer.answer(Kind::Read, 0xdead, b"to what nobody asked");
    for (number, request) in asked {
        let Request::Read { path } = request else { panic!("{request:?}") };
        peer.answer(Kind::Read, number, path.as_str().as_bytes());
    }
    for (i, asked) in asking.into_iter().enumerate() {
        assert_eq!(asked.join().expect("answered"), format!("/n{i}").as_bytes());
    }
}

#[test]
fn the_kernels_device_is_asked_one_thing_at_a_time() {
    let (store, mut peer) = pair_over(Line::Device, PATIENCE);
    let asking: Vec<_> = (0..4)
        .map(|i| {
            let store = store.clone();
            let node = path(&format!("/n{i}"));
            thread::spawn(move || {
                for _ in 0..5 {
                    let watch = store.watch(&node).expect("a watch");
                    assert_eq!(
                        store.read(&node).expect("an answer").as_deref(),
                        Some(node.as_str().as_bytes())
                    );
                    drop(watch);
                }
            })
        })
        .collect();
    for _ in 0..4 * 5 * 3 {
        let (number, request) = peer.next().expect("a request");
        thread::sleep(Duration::from_millis(2));
        assert!(!peer.has_more(), "{request:?} has no answer yet");
        match &request {
            Request::Read { path } => peer.answer(Kind::Read, number, path.as_str().as_bytes()),
            other => peer.answer(other.kind(), number, b"OK\0"),
        }
    }
    asking.into_iter().for_each(|asked| asked.join().expect("answered"));
}

#[test]
fn a_device_that_owes_an_answer_is_asked_nothing_more() {
    let (store, mut peer) = pair_over(Line::Device, Duration::from_millis(100));
    assert!(matches!(store.read(&path("/a")), Err(StoreError::Slow { .. })));
    assert!(matches!(broken(&store.read(&path("/b")).expect_err("over")), Broken::Unanswered));
    peer.next().expect("the first request");
    drop(store);
    assert!(peer.next().is_none(), "nothing followed it");
}

#[test]
fn no_answer_is_waited_for_by_its_deadline_only() {
    let (store, mut peer) = pair(Duration::from_millis(100));
    let asked = Instant::now();
    let error = store.read(&path("/a")).expect_err("nobody answers");
    assert!(asked.elapsed() < PATIENCE && error.to_string().contains("read /a"), "{error}");
    // The answer that comes too late is nobody's, and the connection goes on.
    let (late, _) = peer.next().expect("a request");
    peer.answer(Kind::Read, late, b"late");
    let answering = thread::spawn(move || {
        let (number, _) = peer.next().expect("a request");
        peer.answer(Kind::Read, number, b"in time");
        peer
    });
    assert_eq!(store.read(&path("/b")).expect("an answer").as_deref(), Some(&b"in time"[..]));
    answering.join().expect("answered");
}

#[test]
fn watches_deliver_and_are_taken_back() {
    let (store, peer) = pair(PATIENCE);
    let serving = thread::spawn(|| peer.serve());
    let soon = || Instant::now() + PATIENCE;
    let (one, other) = (path("/one"), path("/other"));
    let watch = store.watch(&one).expect("a watch");
    let second = store.watch(&other).expect("a watch");
    assert_eq!(watch.next(soon()).expect("open"), Some(one.clone()), "the first event comes at once");
    assert_eq!(second.next(soon()).expect("open"), Some(other.clone()));
    store.write(&path("/one/below"), b"").expect("done");
    assert_eq!(watch.next(soon()).expect("open"), Some(path("/one/below")));
    assert_eq!(second.next(Instant::now() + Duration::from_millis(20)).expect("open"), None);
    second.nudge().wake();
    assert_eq!(second.next(soon()).expect("open"), Some(other.clone()), "woken without an event");
    // Far more events than are kept: the rest is dropped and nobody is held up.
    for _ in 0..500 {
        store.write(&one, b"again").expect("done");
    }
    assert_eq!(watch.next(soon()).expect("open"), Some(one));
    drop(watch);
    store.write(&other, b"").expect("the store saw what came before");
    drop(second);
    assert_eq!(store.read(&path("/last")).expect("the store saw what came before"), None);
    drop(store);
    let (_, watches) = serving.join().expect("served");
    assert_eq!(watches, [], "no watch is left");
}

#[test]
fn what_is_waited_for_is_found_when_it_comes() {
    let (store, peer) = pair(PATIENCE);
    let serving = thread::spawn(|| peer.serve());
    let node = path("/local/domain/3/console/tty");
    let writer = {
        let (store, node) = (store.clone(), node.clone());
        thread::spawn(move || {
            for value in [&b""[..], b"", b"/dev/pts/4"] {
                store.write(&node, value).expect("done");
            }
        })
    };
    let look = |store: &Store| store.read(&node).map(|value| value.filter(|value| !value.is_empty()));
    let found = store.wait_until(&node, Instant::now() + PATIENCE, look).expect("an answer");
    assert_eq!(found.as_deref(), Some(&b"/dev/pts/4"[..]));
    writer.join().expect("written");
    let never = |_: &Store| Ok::<Option<()>, StoreError>(None);
    assert_eq!(
        store.wait_until(&node, Instant::now() + Duration::from_millis(20), never).expect("open"),
        None
    );
    assert_eq!(store.read(&path("/last")).expect("the store saw what came before"), None);
    drop(store);
    serving.join().expect("served");
}

/// What `store` says once the peer has done its worst to a request that waits.
fn after(worst: impl FnOnce(&mut Peer, u32)) -> StoreError {
    let (store, mut peer) = pair(PATIENCE);
    let watch = {
        let watching = {
            let store = store.clone();
            thread::spawn(move || store.watch(&path("/w")))
        };
        let (number, _) = peer.next().expect("a request");
        peer.answer(Kind::Watch, number, b"OK\0");
        watching.join().expect("watching").expect("a watch")
    };
    let asking = {
        let store = store.clone();
        thread::spawn(move || store.read(&path("/a")))
    };
    let (number, _) = peer.next().expect("a request");
    worst(&mut peer, number);
    let error = asking.join().expect("asked").expect_err("no answer");
    if matches!(error, StoreError::Over(_)) {
        // Who waits and who asks later is told the same.
        let said = |error: StoreError| error.source().map(ToString::to_string);
        let waiting = watch.next(Instant::now() + PATIENCE).expect_err("over");
        let later = store.read(&path("/b")).expect_err("over");
        assert_eq!((said(waiting), said(later)), (said(error.clone()), said(error.clone())));
    }
    error
}

fn broken(error: &StoreError) -> &Broken {
    match error {
        StoreError::Over(broken) => broken,
        other => panic!("{other}"),
    }
}

#[test]
fn a_peer_that_goes_or_raves_is_told_to_all_who_wait() {
    let close = |peer: &mut Peer| peer.socket.shutdown(std::net::Shutdown::Both).expect("closed");
    let error = after(|peer, _| close(peer));
    assert!(matches!(broken(&error), Broken::Closed), "{error:?}");
    let error = after(|peer, number| {
        let bytes = Message::new(Kind::Read, number, 0, vec![7; 100]).expect("it fits").encode();
        peer.socket.write_all(&bytes[..50]).expect("written");
        close(peer);
    });
    assert!(matches!(broken(&error), Broken::Truncated), "{error:?}");
    let error = after(|peer, _| peer.socket.write_all(&[0xff; 64]).expect("written"));
    assert!(matches!(broken(&error), Broken::Protocol(_)), "{error:?}");
    let error = after(|peer, _| {
        let event = Message::new(Kind::WatchEvent, 0, 0, b"no token".to_vec()).expect("it fits");
        peer.socket.write_all(&event.encode()).expect("written");
    });
    assert!(matches!(broken(&error), Broken::Event(_)), "{error:?}");
}

#[test]
fn an_answer_of_another_kind_is_no_answer() {
    let error = after(|peer, number| peer.answer(Kind::Write, number, b"OK\0"));
    assert!(matches!(error, StoreError::Answer { .. }), "{error:?}");
}

#[test]
fn a_peer_that_reads_nothing_holds_nobody_beyond_the_deadline() {
    let (store, peer) = pair(Duration::from_millis(20));
    let asked = Instant::now();
    // More than a socket holds: in the end a write is refused room.
    let error = (0..1000).find_map(|_| match store.write(&path("/a"), &[0; 4000]) {
        Err(StoreError::Slow { .. }) if asked.elapsed() < PATIENCE => None,
        Err(error) => Some(error),
        Ok(()) => panic!("nobody answers"),
    });
    drop(peer);
    assert!(matches!(error, Some(StoreError::Slow { .. } | StoreError::Over(_))), "{error:?}");
}

#[test]
fn a_console_is_opened_when_it_is_there_and_read_as_it_came() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let (store, peer) = pair(PATIENCE);
    let serving = thread::spawn(|| peer.serve());
    let domain = DomainId::new(3).expect("a domain");
    let gone = console::open(&store, domain, PATIENCE).expect_err("no domain");
    assert_eq!(gone.to_string(), "domain 3 was gone before its console was there");
    store.mkdir(&domain.home()).expect("done");
    let absent = console::open(&store, domain, Duration::from_millis(20)).expect_err("not there");
    assert_eq!(absent.to_string(), "domain 3 had no console after 20 ms: is xenconsoled running?");

    let mut master = std::fs::File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty"));
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name").into_bytes();
    let writer = store.clone();
    let opening = thread::spawn(move || console::open(&store, domain, PATIENCE));
    writer.write(&domain.home().join("console/tty").expect("a path"), &name).expect("written");
    let mut terminal = opening.join().expect("opened").expect("a terminal");
    let words = b"FADES-EXIT 0\r\nno \x03 signal, no echo\n";
    master.write_all(words).expect("written");
    let mut read = vec![0; words.len()];
    terminal.read_exact(&mut read).expect("read");
    assert_eq!(read, words);
    assert!(terminal.write(b"x").is_err(), "it is only read");
    assert_eq!(writer.read(&path("/last")).expect("the store saw what came before"), None);
    drop(writer);
    serving.join().expect("served");
}
