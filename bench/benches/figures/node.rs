//! A daemon in this process, with scripted guests, and connections to it that stay open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::http::BackendInfo;
use fades_api::task::TaskId;
use fades_core::network::Network;
use fades_daemon::clock::{Clock, timestamp};
use fades_daemon::node::Node;
use fades_daemon::node_dir::NodeDir;
use fades_daemon::serve::Listener;
use fades_daemon::store::Store;
use fades_daemon::wiring::{Wired, Wiring};
use fades_daemon::{Daemon, config::Config};
use fades_envelope::{Purpose, SigningKey, prove, sign};
use fades_pack::{Architecture, Description, Role, pack};
use fades_testkit::{FunctionAct, Script, ScriptedBackend, ScriptedNetwork};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ISSUER: &str = "bench.example";

/// A node whose functions never end: what is accepted stays queued.
pub(crate) struct BenchNode {
    node: Arc<Node>,
    tcp: SocketAddr,
    issuer: SigningKey,
    image: String,
    next: AtomicU64,
    /// Dropped first: it ends the daemon before its folder goes.
    _runtime: Runtime,
    folder: TempDir,
}

impl BenchNode {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(folder.path().join("fades.toml"), "node = \"edge-1\"\n").unwrap();
        SigningKey::from_seed(&[1; 32]).create(&folder.path().join("node.key")).unwrap();
        let node_dir = NodeDir::open(folder.path()).unwrap();
        let config = unlimited(node_dir.config().unwrap());
        let (node, tcp) = runtime.block_on(async {
            let tcp = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let address = tcp.tcp_address().unwrap();
            let listeners = vec![Listener::local(&node_dir.socket()).unwrap(), tcp];
            let daemon = Daemon::new(node_dir, config, wiring(), Clock::default()).await.unwrap();
            let node = Arc::clone(&daemon.node);
            tokio::spawn(daemon.serve(listeners, std::future::pending::<()>()));
            (node, address)
        });
        let issuer = SigningKey::from_seed(&[2; 32]);
        let mut node = Self {
            node,
            tcp,
            issuer,
            image: String::new(),
            next: AtomicU64::new(0),
            _runtime: runtime,
            folder,
        };
        node.equip();
        node
    }

    fn equip(&mut self) {
        let signer = SigningKey::from_seed(&[3; 32]);
        let id = signer.public().id();
        let document = json!({ "name": "benches", "public_key": signer.public().to_string() });
        self.operate("PUT", &format!("/v1/admin/signers/{id}"), document.to_string().as_bytes());
        for (name, role) in [("drb", Role::Drb), ("stats", Role::Dmf)] {
            let added = self.operate("POST", "/v1/admin/images", &image(name, role, &signer));
            self.image = added["reference"].as_str().unwrap().to_owned();
        }
        let source = json!({ "kind": "influxdb1", "host": "127.0.0.1", "port": 8086, "database": "iot" });
        self.operate("PUT", "/v1/admin/sources/edison", source.to_string().as_bytes());
        let policy = json!({
            "sources": { "edison": { "everything": true } }, "images": ["stats"],
            "memory_mib": 256, "timeout_ms": 600_000, "priority": 7, "result_bytes": 65_536, "operations": 4,
            "life_s": 3_600, "tasks": 10_000_000, "per_minute": 60_000_000, "burst": 1_000_000,
        });
        let proof = Base64UrlUnpadded::encode_string(&prove(&self.issuer, ISSUER).unwrap());
        let update = json!({ "proof": proof, "policy": policy });
        self.operate("PUT", &format!("/v1/admin/issuers/{ISSUER}"), update.to_string().as_bytes());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.local("GET", "/readyz", b"").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < deadline, "the node is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Over the local socket; the answer as text.
    fn local(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("fadesd.sock")).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn operate(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let answer = self.local(method, path, body);
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
    }

    /// How many tasks are in the store that were not begun or have not ended, once the daemon is gone.
    pub(crate) fn kept(self) -> u64 {
        let Self { node, _runtime: runtime, folder, .. } = self;
        let bounds = node.config.keep.into();
        drop(runtime);
        drop(node);
        // Its threads let go of the store a moment later.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Store::open(folder.path(), bounds) {
                Ok((store, _)) => return store.open_tasks().unwrap(),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// So many whole requests, each with a signed wrapper that this node has not seen.
    pub(crate) fn wrappers(&self, count: u64) -> Vec<Vec<u8>> {
        let now = self.node.clock.unix_us();
        (0..count)
            .map(|_| {
                let number = u128::from(self.next.fetch_add(1, Ordering::Relaxed));
                let id = TaskId::from_bytes((0x0199_u128 << 112 | number).to_be_bytes());
                let wrapper = json!({
                    "schema": "fades.task.v1",
                    "credentials": {
                        "task_id": id.to_string(), "issuer": ISSUER, "audience": "edge-1",
                        "node_epoch": self.node.epoch().to_string(), "priority": 5,
                        "issued_at": timestamp(now).to_string(),
                        "expires_at": timestamp(now + 3_000_000_000).to_string(),
                    },
                    "drb": { "operations": [{
                        "id": "temp", "source": "edison", "measurement": "temperature", "field": "value",
                        "tags": { "room": ["r1", "r2"] },
                        "from": "2026-11-01T00:00:00Z", "to": "2026-11-01T12:00:00Z", "group_by": ["room"],
                    }] },
                    "dmf": {
                        "image": self.image, "parameters": {},
                        "resources": { "memory_mib": 64, "timeout_ms": 600_000 }, "lifetime": "ephemeral",
                    },
                });
                let body = sign(&self.issuer, Purpose::Task, wrapper.to_string().as_bytes());
                let head = format!(
                    "POST /v1/tasks HTTP/1.1\r\nHost: node\r\nContent-Type: application/cose; cose-type=\"cose-sign1\"\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                [head.as_bytes(), &body].concat()
            })
            .collect()
    }
}

/// One connection that stays open, as a service's would.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come and belongs to the next answer.
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(node: &BenchNode) -> Self {
        let stream = TcpStream::connect(node.tcp).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Posts one after the other; every one must be accepted. Gives the time it took.
    pub(crate) fn post_all(&mut self, requests: &[Vec<u8>]) -> Duration {
        let start = Instant::now();
        for request in requests {
            self.stream.write_all(request).unwrap();
            self.expect("202");
        }
        start.elapsed()
    }

    /// Posts `batch` of so many requests at once; every one must be refused for its signature.
    pub(crate) fn post_refused(&mut self, batch: &[u8], count: usize) {
        self.stream.write_all(batch).unwrap();
        (0..count).for_each(|_| self.expect("401"));
    }

    /// Reads an answer, which must have this status.
    fn expect(&mut self, status: &str) {
        loop {
            if let Some(end) = end_of(&self.read) {
                let text = String::from_utf8_lossy(&self.read[..end]);
                assert_eq!(text.split(' ').nth(1), Some(status), "{text}");
                self.read.drain(..end);
                return;
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the node has closed: {}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Where an answer with a `content-length` ends, if it is there to its end.
fn end_of(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let end = head + 4 + length.trim().parse::<usize>().unwrap();
    (answer.len() >= end).then_some(end)
}

fn unlimited(mut config: Config) -> Config {
    config.limits.queued = 10_000_000;
    config.keep.remembered = 10_000_000;
    for rate in [&mut config.rates.address, &mut config.rates.key] {
        (rate.per_minute, rate.burst) = (60_000_000, 1_000_000);
    }
    config.door.head_ms = 600_000;
    config.door.connections_per_address = 128;
    config
}

/// An image of two ELF headers: scripted guests do not look inside.
fn image(name: &str, role: Role, signer: &SigningKey) -> Vec<u8> {
    let mut elf = [0u8; 64];
    elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (elf[16], elf[18], elf[20], elf[52], elf[54], elf[58]) = (2, 62, 1, 64, 56, 64);
    let description = Description {
        name: name.parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        role,
        architecture: Architecture::X86_64,
        minimum_memory_mib: 32,
        function: None,
    };
    pack(&description, &elf, &elf, signer).unwrap()
}

fn wiring() -> Wiring {
    Box::new(|_, _, sinks| {
        let network = ScriptedNetwork::new(sinks.events);
        let script = Script::default().functions(vec![FunctionAct::Loops; 1000]);
        let backend = ScriptedBackend::new(Arc::clone(&network), script);
        let info = BackendInfo { kind: "qemu-tcg".into(), reason: "scripted".into(), cost: "none".into() };
        let network = network as Arc<dyn Network>;
        let consumed = Arc::new(|_, _| {});
        Ok(Wired {
            backend,
            info,
            tsc_mhz: None,
            network,
            consumed,
            waits: false,
            defences: Vec::new(),
            region_mib: 0,
        })
    })
}
