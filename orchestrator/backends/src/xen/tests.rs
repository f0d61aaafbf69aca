//! Starting a domain, with a script in place of `xl` and a small store that speaks XenStore's protocol.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;

use fades_core::backend::{Architecture, ExitCause};
use fades_core::ids::Role;
use fades_core::network::{
    NetEvent, Network, NetworkCounters, NetworkError, Port, SourceAddress, SourceEndpoint,
};
use fades_wire::address::{Endpoint, GATEWAY, Neighbour};
use fades_xen_store::mailbox::COUNTED;
use fades_xen_store::{Decoder, Kind, Message, Request, Token, WatchEvent};
use fades_xen_toolstack::Line;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::mail::Connect;
use super::*;
use crate::{Post as _, PostalNetwork};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An `xl` whose domain is there when the file `domain` is, and goes with it.
const SCRIPT: &str = r#"#!/bin/sh
cd "${0%/*}"
case "$1" in
info) printf 'xen_major : 4\nxen_minor : 17\nfree_memory : 12\nxen_caps : hvm-3.0-x86_64\n' ;;
list) printf 'Name  ID Mem VCPUs\tState\tTime(s)\nfades-0f-a-2a 3 64 1 -b---- 0.2\nfades-0f-b 4 64 1 ---s-d 0.2\n'
      printf 'fades-1e-a 5 64 1 -b---- 0.2\n' ;;
destroy) if rm domain 2>/dev/null; then echo "$2" >> destroyed; else
    echo "$2 is an invalid domain identifier (rc=-6)" >&2; exit 1; fi ;;
create) cat "$5" > config; BEGIN
    touch domain; while [ -e domain ]; do sleep 0.02; done; echo 'Domain 3 has been destroyed.' >&2 ;;
esac
"#;

/// Makes a program of `text`. Another process writes it: a test beside this one may fork while a file is open here to be
/// written, and its child would keep it from being run.
pub(super) fn script(program: &std::path::Path, text: &str) {
    let source = program.with_extension("text");
    std::fs::write(&source, text).unwrap();
    let mut install = std::process::Command::new("install");
    assert!(install.args(["-m", "700"]).arg(&source).arg(program).status().unwrap().success());
}

/// Values and watches of all connections.
#[derive(Default)]
struct Values {
    values: BTreeMap<String, Vec<u8>>,
    watches: Vec<(Path, Token, UnixStream)>,
}

impl Values {
    fn set(&mut self, path: &str, value: &[u8]) {
        self.values.insert(path.to_owned(), value.to_vec());
        self.tell(path);
    }

    /// Removes a node with all under it.
    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        let is_in = |key: &str| key == path || key.starts_with(&below);
        let gone: Vec<String> = self.values.keys().filter(|key| is_in(key)).cloned().collect();
        for key in &gone {
            self.values.remove(key);
        }
        gone.iter().for_each(|key| self.tell(key));
        // What is watched goes along, whether there was a node of just that name or not.
        let watched = self.watches.iter().filter(|(watched, ..)| is_in(watched.as_str()));
        let watched: Vec<String> = watched.map(|(watched, ..)| watched.to_string()).collect();
        watched.iter().for_each(|path| self.tell(path));
    }

    /// Tells who watches the node, or the introduction of domains.
    fn tell(&self, path: &str) {
        for (watched, token, socket) in &self.watches {
            let below = path.strip_prefix(watched.as_str());
            let path = match below {
                Some(below) if below.is_empty() || below.starts_with('/') => Path::new(path).unwrap(),
                _ if watched.as_str().starts_with('@') => watched.clone(),
                _ => continue,
            };
            let event = WatchEvent { path, token: token.clone() };
            let _ = (&*socket).write_all(&event.message().unwrap().encode());
        }
    }
}

/// Sets a value and tells of it.
fn set(all: &Mutex<Values>, path: &str, value: &[u8]) {
    all.lock().unwrap().set(path, value);
}

/// Answers one connection until it ends.
fn serve(all: &Mutex<Values>, mut socket: UnixStream) {
    let (mut decoder, mut block) = (Decoder::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut block) {
        let mut input = &block[..count];
        while let Some(message) = decoder.push(&mut input).unwrap() {
            let request = Request::decode(&message).unwrap();
            let mut kind = request.kind();
            let mut all = all.lock().unwrap();
            let payload = match request {
                Request::Read { path } => all.values.get(path.as_str()).cloned(),
                Request::Directory { path } => {
                    let below = format!("{path}/");
                    let names =
                        all.values.keys().filter_map(|key| key.strip_prefix(&below)?.split('/').next());
                    let names: std::collections::BTreeSet<_> = names.collect();
                    Some(names.into_iter().flat_map(|name| format!("{name}\0").into_bytes()).collect())
                }
                Request::Watch { path, token } => {
                    let event = WatchEvent { path: path.clone(), token: token.clone() };
                    let _ = socket.write_all(&event.message().unwrap().encode());
                    all.watches.push((path, token, socket.try_clone().unwrap()));
                    Some(b"OK\0".to_vec())
                }
                Request::Unwatch { token, .. } => {
                    all.watches.retain(|(_, watching, _)| *watching != token);
                    Some(b"OK\0".to_vec())
                }
                Request::Write { path, value } => {
                    all.set(path.as_str(), &value);
                    Some(b"OK\0".to_vec())
                }
                Request::Remove { path } => {
                    all.remove(path.as_str());
                    Some(b"OK\0".to_vec())
                }
                _ => Some(b"OK\0".to_vec()),
            };
            let payload = payload.unwrap_or_else(|| {
                kind = Kind::Error;
                b"ENOENT\0".to_vec()
            });
            let reply = Message::new(kind, message.header().request, 0, payload).unwrap();
            let _ = socket.write_all(&reply.encode());
        }
    }
}

struct Host {
    folder: PathBuf,
    values: Arc<Mutex<Values>>,
    backend: XenBackend,
    events: Receiver<NetEvent>,
}

impl Host {
    fn new(test: &str, begin: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fades-xen-host-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let program = folder.join("xl");
        script(&program, &SCRIPT.replace("BEGIN", begin));
        let xl = Xl::at(program);
        let values = Arc::new(Mutex::new(Values::default()));
        let served = Arc::clone(&values);
        let connect: Connect = Box::new(move || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let served = Arc::clone(&served);
            thread::spawn(move || serve(&served, theirs));
            Ok(Store::over(Line::Socket(ours.into()), Duration::from_secs(10)).unwrap())
        });
        let (tell, events) = channel();
        let post = XenPost::over(connect, Arc::new(move |event| drop(tell.send(event))));
        let backend =
            XenBackend { xl, instance: "0f".to_owned(), run: 0x2a, post, attaching: Duration::from_secs(2) };
        Self { folder, values, backend, events }
    }

    fn start(&self) -> Result<Arc<dyn Guest>, BackendError> {
        self.start_as(Role::Broker, UnixStream::pair().unwrap().0)
    }

    fn start_as(&self, role: Role, link: UnixStream) -> Result<Arc<dyn Guest>, BackendError> {
        let file = || sealed(b"image").unwrap();
        self.backend.start(GuestSpec {
            name: "A".to_owned(),
            role,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib: 64,
            command_line: "-ip 10.0.0.2".to_owned(),
            seed: [0; 32],
            time_unix_us: 0,
            loader: file(),
            application: file(),
            port: PortId(1),
            control: Control::Store,
            link: link.into(),
            mac: [2, 0, 0, 0, 0, 7],
            time_limit: None,
        })
    }

    /// Builds domain 3, when its `xl` says that it is there: its terminal, which must stay open, and who builds it.
    fn toolstack(&self) -> (OwnedFd, JoinHandle<()>) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ptsname(&master, Vec::new()).unwrap().into_bytes();
        let (values, domain) = (Arc::clone(&self.values), self.folder.join("domain"));
        let builder = thread::spawn(move || {
            while !domain.exists() {
                thread::sleep(Duration::from_millis(5));
            }
            set(&values, "/local/domain/3", b"");
            set(&values, "/local/domain/3/name", b"fades-0f-a-2a");
            set(&values, "/local/domain/3/console/tty", &terminal);
            set(&values, "/local/domain/0/backend/vif/3/0/state", b"2");
        });
        (master, builder)
    }

    /// The next thing that a control connection says.
    fn event(&self) -> NetEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    fn value(&self, path: &str) -> Option<Vec<u8>> {
        self.values.lock().unwrap().values.get(path).cloned()
    }

    /// Waits for a value as a guest does, but without its watches.
    fn wait_for(&self, path: &str, value: Option<&[u8]>) {
        let until = Instant::now() + PATIENCE;
        while self.value(path).as_deref() != value {
            assert!(Instant::now() < until, "{path} is {:?}", self.value(path));
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }
}

/// A network that knows one port, of a guest that has connected five times otherwise.
struct Ports;

impl Network for Ports {
    fn attach(&self, _: Role) -> Result<Port, NetworkError> {
        let control = Control::Network(Endpoint::new(GATEWAY, 1));
        let link = UnixStream::pair().unwrap().0.into();
        Ok(Port { id: PortId(1), address: GATEWAY, mac: [2, 0, 0, 0, 0, 7], mtu: 9000, link, control })
    }

    fn detach(&self, port: PortId) {
        assert_eq!(port, PortId(1));
    }

    fn register_source(&self, name: &str, _: SourceEndpoint) -> Result<SourceAddress, NetworkError> {
        panic!("{name}")
    }

    fn unregister_source(&self, name: &str) {
        panic!("{name}")
    }

    fn leads(&self, _: SourceEndpoint, address: IpAddr) -> Result<(), NetworkError> {
        panic!("{address}")
    }

    fn send_control(&self, port: PortId, _: Vec<u8>) -> Result<(), NetworkError> {
        panic!("{port}")
    }

    fn close_control(&self, port: PortId) {
        panic!("{port}")
    }

    fn counters(&self) -> NetworkCounters {
        NetworkCounters { control_connections: 5, ..NetworkCounters::default() }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_domain_that_is_not_built_is_told_at_once_with_the_reason() {
    // What the configuration names is what was handed over: the script reads it.
    let reads = r#"cat "$(sed -n 's/^kernel="\(.*\)"/\1/p' config)" > kernel
        echo 'libxl: error: not enough memory' >&2; echo 'clearing up' >&2; exit 3"#;
    let host = Host::new("refused", reads);
    let asked = Instant::now();
    let error = host.start().map(drop).unwrap_err();
    assert!(matches!(error, BackendError::Memory { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "guest A: no memory for domain fades-0f-a-2a: it wants 64 MiB, the host has 12 MiB free"
    );
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(host.read("config").contains("name=\"fades-0f-a-2a\"\n"));
    assert_eq!(host.read("kernel"), "image");
}

#[test]
fn a_domain_whose_network_cannot_be_joined_is_destroyed() {
    let host = Host::new("network", "");
    // An earlier run's guest of this name, which was built late.
    set(&host.values, "/local/domain/2/name", b"fades-0f-a-29");
    let (_terminal, toolstack) = host.toolstack();
    // No netback made this device.
    let error = host.start().map(drop).unwrap_err();
    assert!(matches!(error, BackendError::Io { .. }), "{error:?}");
    let (error, missing) = (words(&error), "its network is not there: its network device did not come");
    assert!(error.starts_with(&format!("could not bring up the domain of guest A: {missing}")), "{error}");
    toolstack.join().unwrap();
    assert_eq!(host.read("destroyed"), "fades-0f-a-2a\n");
    assert!(!host.folder.join("domain").exists());
    assert!(host.read("config").contains("\nvif=[\"mac=02:00:00:00:00:07,script=/bin/true\"]\n"));
}

#[test]
fn a_function_has_its_mailbox_and_no_network() {
    let host = Host::new("function", "");
    let (_terminal, toolstack) = host.toolstack();
    let (link, mut other) = UnixStream::pair().unwrap();
    let guest = host.start_as(Role::Function, link).unwrap();
    toolstack.join().unwrap();
    assert_eq!(guest.neighbour(), Some(Neighbour::Domain(3)));
    assert!(!host.read("config").contains("vif"), "{}", host.read("config"));

    let (port, post) = (PortId(1), &host.backend.post);
    let home = |name: &str| format!("/local/domain/3/{name}");
    assert!(matches!(post.send(port, b"early"), Err(NetworkError::NotConnected(PortId(1)))));
    set(&host.values, &home("data/fades/up/0"), b"hello");
    assert_eq!(host.event(), NetEvent::ControlConnected(port));
    assert_eq!(host.event(), NetEvent::ControlData(port, b"hello".to_vec()));
    assert_eq!(host.value(&home("fades/up-taken")), None);
    for piece in 1..COUNTED {
        set(&host.values, &home(&format!("data/fades/up/{piece}")), b"more");
        assert_eq!(host.event(), NetEvent::ControlData(port, b"more".to_vec()));
    }
    host.wait_for(&home("fades/up-taken"), Some(COUNTED.to_string().as_bytes()));
    post.send(port, b"welcome").unwrap();
    host.wait_for(&home("fades/down/0"), Some(b"welcome"));
    set(&host.values, &home("data/fades/down-taken"), b"1");
    host.wait_for(&home("fades/down/0"), None);
    assert_eq!(post.connections(), 1);

    // What it wrote in its last moment comes, then the end of its connection, of its link, and its own.
    set(&host.values, &home(&format!("data/fades/up/{COUNTED}")), b"bye");
    assert_eq!(host.event(), NetEvent::ControlData(port, b"bye".to_vec()));
    host.values.lock().unwrap().remove("/local/domain/3");
    assert_eq!(host.event(), NetEvent::ControlClosed(port));
    assert!(matches!(post.send(port, b"late"), Err(NetworkError::NotConnected(PortId(1)))));
    std::fs::remove_file(host.folder.join("domain")).unwrap();
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    assert_eq!(guest.wait().cause, ExitCause::Signal(9));
    assert_eq!(host.events.try_recv(), Err(TryRecvError::Empty));
    assert!(!host.values.lock().unwrap().values.keys().any(|key| key.starts_with("/local/domain/3")));
}

#[test]
fn a_guests_end_comes_after_what_it_said() {
    let host = Host::new("words", "");
    let (_terminal, toolstack) = host.toolstack();
    let guest = host.start_as(Role::Function, UnixStream::pair().unwrap().0).unwrap();
    toolstack.join().unwrap();
    set(&host.values, "/local/domain/3/data/fades/up/0", b"hello");
    let (port, data) = (PortId(1), |bytes: &[u8]| NetEvent::ControlData(PortId(1), bytes.to_vec()));
    assert_eq!([host.event(), host.event()], [NetEvent::ControlConnected(port), data(b"hello")]);
    // Nobody tells of this: only at the end of its domain its nodes are looked at once more.
    let last = "/local/domain/3/data/fades/up/1".to_owned();
    host.values.lock().unwrap().values.insert(last, b"bye".to_vec());
    std::fs::remove_file(host.folder.join("domain")).unwrap();
    assert_eq!(guest.wait().cause, ExitCause::Signal(9));
    let told: Vec<NetEvent> = host.events.try_iter().collect();
    assert_eq!(told, [data(b"bye"), NetEvent::ControlClosed(port)]);
}

#[test]
fn a_guest_that_breaks_its_mailbox_loses_its_connection_only() {
    let host = Host::new("broken", "");
    let (_terminal, toolstack) = host.toolstack();
    let guest = host.start_as(Role::Function, UnixStream::pair().unwrap().0).unwrap();
    toolstack.join().unwrap();
    set(&host.values, "/local/domain/3/data/fades/up/0", b"hello");
    assert_eq!(host.event(), NetEvent::ControlConnected(PortId(1)));
    assert_eq!(host.event(), NetEvent::ControlData(PortId(1), b"hello".to_vec()));
    set(&host.values, "/local/domain/3/data/fades/down-taken", b"1");
    assert_eq!(host.event(), NetEvent::ControlClosed(PortId(1)));
    let said = "the control connection of this guest was ended: the guest broke the protocol of its mailbox: \
        the count of pieces read is 1, after 0 and with 0 written";
    assert!(guest.console().contains(said), "{}", guest.console());
    assert!(host.folder.join("domain").exists());
    guest.kill();
    assert_eq!(guest.wait().cause, ExitCause::Killed);
}

#[test]
fn the_network_of_a_xen_host_sends_by_its_post() {
    let host = Host::new("post", "");
    let (_terminal, toolstack) = host.toolstack();
    let network = PostalNetwork::new(Arc::new(Ports), host.backend.post.clone());
    let port = network.attach(Role::Function).unwrap();
    assert_eq!((port.id, port.control), (PortId(1), Control::Store));
    let guest = host.start_as(Role::Function, port.link.into()).unwrap();
    toolstack.join().unwrap();
    set(&host.values, "/local/domain/3/data/fades/up/0", b"hello");
    assert_eq!(host.event(), NetEvent::ControlConnected(PortId(1)));
    network.send_control(PortId(1), b"shutdown".to_vec()).unwrap();
    // What was queued is sent before the end.
    network.close_control(PortId(1));
    assert_eq!(host.event(), NetEvent::ControlData(PortId(1), b"hello".to_vec()));
    assert_eq!(host.event(), NetEvent::ControlClosed(PortId(1)));
    assert_eq!(host.value("/local/domain/3/fades/down/0").unwrap(), b"shutdown");
    assert_eq!(network.counters().control_connections, 5 + 1);
    network.detach(PortId(1));
    guest.kill();
    assert_eq!(guest.wait().cause, ExitCause::Killed);
}

#[test]
fn a_store_that_was_started_anew_is_found() {
    let host = Host::new("anew", "");
    let (_terminal, toolstack) = host.toolstack();
    let guest = host.start_as(Role::Function, UnixStream::pair().unwrap().0).unwrap();
    toolstack.join().unwrap();
    set(&host.values, "/local/domain/3/data/fades/up/0", b"hello");
    assert_eq!(host.event(), NetEvent::ControlConnected(PortId(1)));
    assert_eq!(host.event(), NetEvent::ControlData(PortId(1), b"hello".to_vec()));
    // The end of a store ends every connection through it.
    for (_, _, socket) in host.values.lock().unwrap().watches.drain(..) {
        socket.shutdown(std::net::Shutdown::Both).unwrap();
    }
    assert_eq!(host.event(), NetEvent::ControlClosed(PortId(1)));
    assert!(guest.console().contains("XenStore does not carry it any more"), "{}", guest.console());
    assert!(host.backend.post.ask(|store| store.has_domain(DomainId::ZERO)).is_ok());
    guest.kill();
    assert_eq!(guest.wait().cause, ExitCause::Killed);
}

#[test]
fn a_xenstore_that_is_gone_is_not_the_specifications_fault() {
    let mut host = Host::new("store", "");
    let connect: Connect = Box::new(|| {
        let source = Arc::new(io::Error::from_raw_os_error(111));
        Err(StoreError::NotThere { tried: "/run/a".to_owned(), source })
    });
    host.backend.post = XenPost::over(connect, Arc::new(|_| ()));
    let error = host.start().map(drop).unwrap_err();
    assert!(matches!(error, BackendError::Io { .. }), "{error:?}");
    assert!(
        words(&error).starts_with("could not ask XenStore for guest A: XenStore is not there"),
        "{error}"
    );
    assert!(!host.folder.join("config").exists());
}

#[test]
fn without_an_xl_nothing_is_left() {
    let host = Host::new("nothing", "");
    std::fs::remove_file(host.folder.join("xl")).unwrap();
    let error = host.start().map(drop).unwrap_err();
    assert_eq!(words(&error), "could not start xl for guest A: No such file or directory (os error 2)");
}

#[test]
fn a_name_that_is_taken_starts_nothing() {
    let host = Host::new("taken", "");
    set(&host.values, "/local/domain/7/name", b"fades-0f-a-2a");
    let error = host.start().map(drop).unwrap_err().to_string();
    assert_eq!(error, "guest A: domain 7 has its name fades-0f-a-2a already");
    assert!(!host.folder.join("config").exists());
}

#[test]
fn orphans_are_this_nodes_that_live() {
    let host = Host::new("orphans", "");
    std::fs::write(host.folder.join("domain"), "").unwrap();
    let ended = host.backend.end_orphans().unwrap();
    assert_eq!(ended, [Orphan { name: "fades-0f-a-2a".to_owned(), pid: None }]);
    assert_eq!(host.read("destroyed"), "fades-0f-a-2a\n");
    // Gone between the list and its end: nothing to end.
    assert_eq!(host.backend.end_orphans().unwrap(), []);
}

#[test]
fn a_machine_that_is_no_dom0_is_told_so() {
    match XenBackend::new("0f", XenPost::new(Arc::new(|_| ()))) {
        Err(BackendError::Unusable { kind: BackendKind::Xen, lack: Lack::Dom0, reason }) => {
            assert!(reason.contains("Xen"), "{reason}")
        }
        Err(other) => panic!("{other}"),
        // A Xen host: the lab's tests tell more.
        Ok(_) => {}
    }
}
