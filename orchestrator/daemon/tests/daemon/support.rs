//! A whole node in a scratch folder, with scripted guests.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::http::BackendInfo;
use fades_core::Role;
use fades_core::backend::{Backend, BackendError, BackendKind, Guest, GuestExit, GuestSpec, Orphan};
use fades_core::network::Network;
use fades_daemon::clock::Clock;
use fades_daemon::config::Config;
use fades_daemon::node::Node;
use fades_daemon::node_dir::NodeDir;
use fades_daemon::serve::Listener;
use fades_daemon::wiring::{Wired, Wiring};
use fades_daemon::{Daemon, DaemonError};
use fades_envelope::{Purpose, SigningKey, sign};
use fades_testkit::{Script, ScriptedBackend, ScriptedNetwork};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::{Answer, PATIENCE, over_tcp, over_unix, request};

pub(crate) const COSE: (&str, &str) = ("Content-Type", "application/cose; cose-type=\"cose-sign1\"");
pub(crate) const ISSUER: &str = "pollution.example";

/// A node that runs.
pub(crate) struct TestNode {
    pub(crate) dir: TempDir,
    pub(crate) tcp: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) node: Arc<Node>,
    pub(crate) backend: Arc<ScriptedBackend>,
    pub(crate) brittle: Arc<Brittle>,
    pub(crate) network: Arc<ScriptedNetwork>,
    pub(crate) issuer: SigningKey,
    /// `stats@sha256:…`
    pub(crate) image: String,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), DaemonError>>,
}

/// Keys of tests are numbers.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// An ELF of nothing but its header.
fn elf() -> Vec<u8> {
    let mut elf = vec![0u8; 64];
    elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    elf[16] = 2;
    elf[18] = 62;
    elf[20] = 1;
    elf[52] = 64;
    elf[54] = 56;
    elf[58] = 64;
    elf
}

/// A signed image file of a function that says what it takes.
pub(crate) fn described(name: &str, function: Option<fades_pack::Function>, signer: &SigningKey) -> Vec<u8> {
    let description =
        fades_pack::Description { function, ..description(name, "1.0.0", fades_pack::Role::Dmf, 32) };
    fades_pack::pack(&description, &elf(), &elf(), signer).unwrap()
}

/// A signed image file.
pub(crate) fn image(name: &str, role: fades_pack::Role, signer: &SigningKey) -> Vec<u8> {
    image_of(name, "1.0.0", role, 32, signer)
}

/// The same of any version and least memory.
pub(crate) fn image_of(
    name: &str,
    version: &str,
    role: fades_pack::Role,
    minimum_memory_mib: u32,
    signer: &SigningKey,
) -> Vec<u8> {
    fades_pack::pack(&description(name, version, role, minimum_memory_mib), &elf(), &elf(), signer).unwrap()
}

fn description(
    name: &str,
    version: &str,
    role: fades_pack::Role,
    minimum_memory_mib: u32,
) -> fades_pack::Description {
    fades_pack::Description {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        role,
        architecture: fades_pack::Architecture::X86_64,
        minimum_memory_mib,
        function: None,
    }
}

/// A folder as `fades init` makes it.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(dir.path().join("fades.toml"), "node = \"edge-1\"\n").unwrap();
    key(1).create(&dir.path().join("node.key")).unwrap();
    dir
}

/// What a policy of the tests allows: all of source `edison`, image `stats`.
pub(crate) fn policy() -> Value {
    json!({
        "sources": { "edison": { "measurements": { "temperature": ["value"] } } },
        "images": ["stats"],
        "memory_mib": 256, "timeout_ms": 60_000, "priority": 7, "result_bytes": 65_536, "operations": 4,
        "range_s": 86_400, "life_s": 3_600, "tasks": 1000, "per_minute": 100_000, "burst": 1000,
        "periods": 50, "state_bytes": 262_144,
    })
}

impl TestNode {
    /// A node with an issuer, a source and images, whose guests behave.
    pub(crate) async fn new() -> Self {
        Self::with(Script::default(), |_| {}).await
    }

    /// The same with guests that follow a script and changed settings.
    pub(crate) async fn with(script: Script, change: impl FnOnce(&mut Config)) -> Self {
        let mut node = Self::start(folder(), script, Clock::default(), change).await;
        node.equip().await;
        node
    }

    /// A node on a folder, as it is.
    pub(crate) async fn start(
        dir: TempDir,
        script: Script,
        clock: Clock,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let node_dir = loop {
            // The last daemon's lock and store go a moment after it.
            match NodeDir::open(dir.path()) {
                Ok(opened) => break opened,
                Err(fades_daemon::node_dir::NodeDirError::Taken { .. }) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let mut config = node_dir.config().unwrap();
        config.door.head_ms = 700;
        config.door.body_ms = 700;
        config.rates.address.burst = 100_000;
        config.rates.key.burst = 100_000;
        change(&mut config);
        let socket = node_dir.socket();
        let parts = Arc::new(Mutex::new(None));
        let listeners = vec![
            Listener::local(&socket).unwrap(),
            Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap(),
        ];
        let tcp = listeners[1].tcp_address().unwrap();
        let daemon = Daemon::new(node_dir, config, wiring(script, Arc::clone(&parts)), clock).await.unwrap();
        let node = Arc::clone(&daemon.node);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(daemon.serve(listeners, async move {
            let _ = stopped.await;
        }));
        let (brittle, network) = parts.lock().unwrap().take().unwrap();
        let backend = Arc::clone(&brittle.inner);
        let issuer = key(2);
        Self {
            dir,
            tcp,
            socket,
            node,
            backend,
            brittle,
            network,
            issuer,
            image: String::new(),
            stop: Some(stop),
            running,
        }
    }

    /// Signer, images, source, issuer, over the operator's routes; returns once the broker is ready.
    pub(crate) async fn equip(&mut self) {
        let signer = key(3);
        let id = signer.public().id().to_string();
        let document = json!({ "name": "tests", "public_key": signer.public().to_string() });
        assert_eq!(self.admin("PUT", &format!("/v1/admin/signers/{id}"), &document).await.status, 200);
        for (name, role) in [("stats", fades_pack::Role::Dmf), ("drb", fades_pack::Role::Drb)] {
            let added = self.local("POST", "/v1/admin/images", &image(name, role, &signer)).await;
            assert_eq!(added.status, 201, "{added:?}");
            if name == "stats" {
                self.image = added.json()["reference"].as_str().unwrap().to_owned();
            }
        }
        let source = json!({ "kind": "influxdb1", "host": "127.0.0.1", "port": 8086, "database": "iot" });
        assert_eq!(self.admin("PUT", "/v1/admin/sources/edison", &source).await.status, 200);
        let update = json!({ "proof": proof(&self.issuer, ISSUER), "policy": policy() });
        let put = self.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &update).await;
        assert_eq!(put.status, 200, "{put:?}");
        self.until_ready().await;
    }

    pub(crate) async fn until_ready(&self) {
        eventually("ready", async || self.get("/readyz").await.status == 200).await;
    }

    /// Over TCP, unsigned.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        over_tcp(self.tcp, &request("GET", path, &[], b"")).await
    }

    /// Over the local socket.
    pub(crate) async fn local(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        over_unix(&self.socket, &request(method, path, &[], body)).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.local(method, path, body.to_string().as_bytes()).await
    }

    /// Submits an envelope over TCP.
    pub(crate) async fn submit(&self, envelope: &[u8]) -> Answer {
        over_tcp(self.tcp, &request("POST", "/v1/tasks", &[COSE], envelope)).await
    }

    /// A wrapper that this node takes, changed.
    pub(crate) fn wrapper(&self, id: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut wrapper = json!({
            "schema": "fades.task.v1",
            "credentials": {
                "task_id": id, "issuer": ISSUER, "audience": "edge-1",
                "node_epoch": self.node.epoch().to_string(), "priority": 5,
                "issued_at": self.in_seconds(0), "expires_at": self.in_seconds(60),
            },
            "drb": { "operations": [{
                "id": "temp", "source": "edison", "measurement": "temperature", "field": "value",
                "tags": { "room": ["r1", "r2"] },
                "from": "2026-11-01T00:00:00Z", "to": "2026-11-01T12:00:00Z", "group_by": ["room"],
            }] },
            "dmf": {
                "image": self.image, "parameters": {},
                "resources": { "memory_mib": 64, "timeout_ms": 30_000 }, "lifetime": "ephemeral",
            },
        });
        change(&mut wrapper);
        wrapper
    }

    /// The same, signed by the issuer.
    pub(crate) fn signed(&self, id: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        sign(&self.issuer, Purpose::Task, self.wrapper(id, change).to_string().as_bytes())
    }

    /// The node's clock so many seconds from now.
    pub(crate) fn in_seconds(&self, seconds: i64) -> String {
        fades_daemon::clock::timestamp(self.node.clock.unix_us() + seconds * 1_000_000).to_string()
    }

    /// Waits until a task has ended; its view.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let path = format!("/v1/tasks/{id}");
        let mut view = Value::Null;
        eventually("ended", async || {
            view = self.local("GET", &path, b"").await.json();
            matches!(view["state"].as_str(), Some("succeeded" | "failed" | "cancelled" | "expired"))
        })
        .await;
        view
    }

    /// Waits until no task is open: a seat is free a moment after its task's end is stored.
    pub(crate) async fn quiet(&self) {
        eventually("quiet", async || self.node.seats.open() == 0).await;
    }

    /// Ends the daemon in order; the folder it leaves.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, &mut self.running).await.unwrap().unwrap().unwrap();
        let Self { dir, node, .. } = self;
        let weak = Arc::downgrade(&node);
        drop(node);
        eventually("let go", async || weak.strong_count() == 0).await;
        dir
    }
}

/// The proof of possession that an operator is handed.
pub(crate) fn proof(key: &SigningKey, name: &str) -> String {
    Base64UrlUnpadded::encode_string(&fades_envelope::prove(key, name).unwrap())
}

/// A valid task id that ends in this number.
pub(crate) fn id(number: u32) -> String {
    fades_api::task::TaskId::from_bytes(
        (0x0199_0000_0000_0000_0000_0000_0000_0000u128 + u128::from(number)).to_be_bytes(),
    )
    .to_string()
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not {what} in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// When the thread of a guest panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panics {
    /// While it starts the guest.
    Starting,
    /// While the guest runs.
    Waiting,
}

/// The scripted backend, with panics in the daemon's own thread.
pub(crate) struct Brittle {
    inner: Arc<ScriptedBackend>,
    /// For the functions that come next.
    pub(crate) panics: Mutex<Vec<Panics>>,
}

struct BrittleGuest(Arc<dyn Guest>);

impl Backend for Brittle {
    fn kind(&self) -> BackendKind {
        self.inner.kind()
    }

    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError> {
        let due = if spec.role == Role::Function { self.panics.lock().unwrap().pop() } else { None };
        assert_ne!(due, Some(Panics::Starting), "as the test wants it");
        let guest = self.inner.start(spec)?;
        Ok(if due.is_some() { Arc::new(BrittleGuest(guest)) } else { guest })
    }

    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError> {
        self.inner.end_orphans()
    }
}

impl Guest for BrittleGuest {
    fn wait(&self) -> GuestExit {
        panic!("as the test wants it")
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn console(&self) -> String {
        self.0.console()
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    fn resident_bytes(&self) -> Option<u64> {
        self.0.resident_bytes()
    }
}

type Scripted = (Arc<Brittle>, Arc<ScriptedNetwork>);

fn wiring(script: Script, parts: Arc<Mutex<Option<Scripted>>>) -> Wiring {
    Box::new(move |_, _, sinks| {
        let network = ScriptedNetwork::new(sinks.events);
        let backend = ScriptedBackend::new(Arc::clone(&network), script);
        backend.leave_orphan("dmf-7");
        let backend = Arc::new(Brittle { inner: backend, panics: Mutex::default() });
        *parts.lock().unwrap() = Some((Arc::clone(&backend), Arc::clone(&network)));
        let info = BackendInfo { kind: "qemu-tcg".into(), reason: "scripted".into(), cost: "none".into() };
        let network = network as Arc<dyn Network>;
        Ok(Wired {
            backend,
            info,
            tsc_mhz: None,
            network,
            consumed: Arc::new(|_, _| {}),
            waits: false,
            // One that the machine gives, and one that it does not.
            defences: [("monitor-seccomp", None), ("monitor-landlock", Some("it is a script".to_owned()))]
                .map(|(name, lack)| fades_daemon::defences::Defence { name, lack })
                .into(),
            region_mib: 0,
        })
    })
}

impl TestNode {
    /// Where the network knows a source.
    pub(crate) fn network_source(&self, name: &str) -> Option<(String, u16)> {
        self.network.source(name).map(|endpoint| (endpoint.host, endpoint.port))
    }
}
