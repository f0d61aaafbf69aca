//! Starting a domain, with a script in place of `xl` and a small store that speaks XenStore's protocol.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;

use fades_core::ids::Role;
use fades_core::network::PortId;
use fades_xen_store::{Decoder, Kind, Message, Request, Token, WatchEvent};

use super::*;

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

/// Sets a value and tells who watches it, or the introduction of domains.
fn set(all: &Mutex<Values>, path: &str, value: &[u8]) {
    let mut all = all.lock().unwrap();
    all.values.insert(path.to_owned(), value.to_vec());
    for (watched, token, socket) in &all.watches {
        if path.starts_with(watched.as_str()) || watched.as_str().starts_with('@') {
            let event = WatchEvent { path: watched.clone(), token: token.clone() };
            let _ = (&*socket).write_all(&event.message().unwrap().encode());
        }
    }
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
                    all.watches.push((path, token, socket.try_clone().unwrap()));
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
        let connect = move || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let served = Arc::clone(&served);
            thread::spawn(move || serve(&served, theirs));
            Ok(Store::over(ours.into(), Duration::from_secs(10)).unwrap())
        };
        let backend = XenBackend {
            xl,
            instance: "0f".to_owned(),
            run: 0x2a,
            connect: Box::new(connect),
            attaching: Duration::from_secs(2),
        };
        Self { folder, values, backend }
    }

    fn start(&self) -> Result<Arc<dyn Guest>, BackendError> {
        let file = || sealed(b"image").unwrap();
        self.backend.start(GuestSpec {
            name: "A".to_owned(),
            role: Role::Function,
            memory_mib: 64,
            command_line: "-ip 10.0.0.2".to_owned(),
            loader: file(),
            application: file(),
            port: PortId(1),
            link: UnixStream::pair().unwrap().0.into(),
            mac: [2, 0, 0, 0, 0, 7],
            time_limit: None,
        })
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap_or_default()
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
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let host = Host::new("network", "");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = ptsname(&master, Vec::new()).unwrap().into_bytes();
    // An earlier run's guest of this name, which was built late.
    set(&host.values, "/local/domain/2/name", b"fades-0f-a-29");
    let (values, domain) = (Arc::clone(&host.values), host.folder.join("domain"));
    let toolstack = thread::spawn(move || {
        while !domain.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        set(&values, "/local/domain/3", b"");
        set(&values, "/local/domain/3/name", b"fades-0f-a-2a");
        set(&values, "/local/domain/3/console/tty", &terminal);
        set(&values, "/local/domain/0/backend/vif/3/0/state", b"2");
    });
    // No netback made this device.
    let error = host.start().map(drop).unwrap_err();
    assert!(matches!(error, BackendError::Io { .. }), "{error:?}");
    let (error, missing) = (words(&error), "its network is not there: its network device did not come");
    assert!(error.starts_with(&format!("could not bring up the domain of guest A: {missing}")), "{error}");
    toolstack.join().unwrap();
    assert_eq!(host.read("destroyed"), "fades-0f-a-2a\n");
    assert!(!host.folder.join("domain").exists());
}

#[test]
fn a_xenstore_that_is_gone_is_not_the_specifications_fault() {
    let mut host = Host::new("store", "");
    host.backend.connect = Box::new(|| {
        let source = Arc::new(io::Error::from_raw_os_error(111));
        Err(StoreError::NotThere { tried: "/run/a".to_owned(), source })
    });
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
    match XenBackend::new("0f") {
        Err(BackendError::Unusable { kind: BackendKind::Xen, lack: Lack::Dom0, reason }) => {
            assert!(reason.contains("Xen"), "{reason}")
        }
        Err(other) => panic!("{other}"),
        // A Xen host: the lab's tests tell more.
        Ok(_) => {}
    }
}
