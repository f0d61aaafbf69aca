//! The whole daemon: put together, run, taken apart.

use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use fades_api::task::NodeEpoch;
use fades_core::backend::BackendError;
use fades_core::engine;
use fades_core::limits::{Limits, Patience};
use fades_core::task::ImageRef;
use fades_envelope::Digest;
use tokio::sync::{mpsc, watch};

use crate::admission;
use crate::clock::{Clock, timestamp};
use crate::config::Config;
use crate::images::Images;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::node::{self, Node};
use crate::node_dir::{NodeDir, NodeDirError};
use crate::runtime::{self, Actor, Handle, Message, Recovered, RuntimeError, Signer, Starter, Status};
use crate::serve::{ListenError, Listener, accept};
use crate::sources::Sources;
use crate::store::record::StoredState;
use crate::store::{Continuity, Finished, Store, StoreError};
use crate::trust::{Trust, TrustCache};
use crate::wiring::{Sinks, Wired, Wiring, WiringError};

/// Memory that the broker may use per operation, bytes.
const BUDGET_BYTES: u64 = 4 << 20;
/// Chunk bytes that a function may have outstanding, bytes.
const WINDOW_BYTES: u64 = 2 << 20;
/// How long the actor may take to end its guests.
const FAREWELL: Duration = Duration::from_secs(8);

/// Why the daemon could not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The node's folder.
    #[error("the node's folder cannot be used")]
    Folder(#[from] NodeDirError),
    /// The store.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The parts.
    #[error("the node cannot be put together")]
    Wiring(#[from] WiringError),
    /// Guests of a dead daemon.
    #[error("guests of an earlier daemon could not be ended")]
    Orphans(#[source] BackendError),
    /// Where to listen.
    #[error("connections cannot be accepted")]
    Listen(#[from] ListenError),
    /// The runtime, while running.
    #[error("the node had to end")]
    Runtime(#[from] RuntimeError),
    /// The runtime's task broke.
    #[error("the runtime broke: {0}")]
    Broken(String),
}

/// A node that is put together and not yet serving.
pub struct Daemon {
    /// What requests share.
    pub node: Arc<Node>,
    stop: watch::Sender<bool>,
    actor: Actor,
    _dir: NodeDir,
}

/// Runs a node on its folder until `shutdown` resolves or it cannot go on.
///
/// # Errors
/// When it cannot start, or had to end.
pub async fn run(dir: &Path, wiring: Wiring, shutdown: impl Future<Output = ()>) -> Result<(), DaemonError> {
    let dir = NodeDir::open(dir)?;
    let config = dir.config()?;
    let mut listeners = vec![Listener::local(&dir.socket())?];
    if let Some(address) = config.listen {
        listeners.push(Listener::tcp(address).await?);
    }
    let daemon = Daemon::new(dir, config, wiring, Clock::default()).await?;
    let node = &daemon.node;
    let address = listeners.iter().find_map(Listener::tcp_address);
    tracing::info!(
        node = node.config.node,
        epoch = %node.epoch(),
        backend = node.backend.kind,
        reason = node.backend.reason,
        address = address.map(tracing::field::display),
        "serving"
    );
    daemon.serve(listeners, shutdown).await
}

impl Daemon {
    /// Puts a node together on a folder: opens the store, ends orphans, registers sources, takes up unfinished tasks.
    ///
    /// # Errors
    /// When any of it fails; no guest runs then.
    pub async fn new(
        dir: NodeDir,
        config: Config,
        wiring: Wiring,
        clock: Clock,
    ) -> Result<Self, DaemonError> {
        let key = dir.key()?;
        let (store, opened) = Store::open(dir.path(), config.keep.into())?;
        if opened.continuity == Continuity::Restored {
            tracing::warn!("the store is not what this node had last: new epoch, older wrappers are refused");
        }
        if opened.continuity == Continuity::Kept && !opened.clean {
            tracing::warn!("the last daemon did not end in order; its tasks are taken up again");
        }
        let (inbox, messages) = mpsc::unbounded_channel();
        let wired = wiring(&config, &instance(dir.path()), sinks(&inbox))?;
        let limits = limits(&config, &wired);
        let function_mib = limits.function_mib(config.broker.memory_mib);
        for orphan in wired.backend.end_orphans().map_err(DaemonError::Orphans)? {
            tracing::warn!(name = orphan.name, pid = orphan.pid, "ended a guest of an earlier daemon");
        }
        let trust = Arc::new(TrustCache::default());
        trust.reload(&store)?;
        let sources = Arc::new(Sources::new(Arc::clone(&wired.network)));
        if let Err(error) = sources.adopt(&trust.get().sources) {
            tracing::error!(%error, "a source cannot be reached by the broker");
        }
        let images = Arc::new(Images::new(dir.images(), wired.backend.architectures()));
        if opened.continuity == Continuity::Kept {
            sweep(&images, &store)?;
        }
        let (metrics, live, seats) =
            (Arc::<Metrics>::default(), Arc::<Live>::default(), admission::Seats::default());
        let status = Arc::new(RwLock::new(Status::default()));
        let epoch = NodeEpoch(opened.epoch);
        let public = key.public();
        let defences = crate::defences::with(wired.defences);
        let parts = runtime::Parts {
            store: store.clone(),
            trust: Arc::clone(&trust),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            seats: seats.clone(),
            live: Arc::clone(&live),
            starter: Starter {
                backend: wired.backend,
                network: Arc::clone(&wired.network),
                images: Arc::clone(&images),
                clock: clock.clone(),
                tsc_mhz: wired.tsc_mhz,
                inbox: inbox.clone(),
            },
            consumed: wired.consumed,
            signer: Signer::new(key, config.node.clone(), wired.info.kind.clone(), &defences),
            status: Arc::clone(&status),
            engine: engine_config(&config, &trust, limits),
            facts: {
                let (config, trust, sources) = (config.clone(), Arc::clone(&trust), Arc::clone(&sources));
                // No wrapper is judged by the epoch again.
                Box::new(move || node::facts(&config, function_mib, epoch, &trust.get(), &sources))
            },
        };
        let mut actor = Actor::new(parts, messages);
        let facts = node::facts(&config, function_mib, epoch, &trust.get(), &sources);
        take_up(&mut actor, &store, &facts, &seats, &clock).await?;
        let (stop, stopped) = watch::channel(false);
        let node = Arc::new(Node {
            limits: admission::Limits::new(config.rates),
            nonces: admission::Nonces::default(),
            refusals: admission::Refusals::new(config.rates.refusals, Arc::clone(&metrics)),
            runtime: Handle::new(inbox, status, wired.network),
            key_id: public.id(),
            public,
            epoch: RwLock::new(epoch),
            continuity: opened.continuity,
            clock_high: AtomicI64::new(store.clock_high()?),
            listening: OnceLock::new(),
            started_us: clock.unix_us(),
            backend: wired.info,
            defences,
            function_mib,
            stop: stopped,
            rates: Mutex::default(),
            admin: tokio::sync::Mutex::new(()),
            store,
            trust,
            sources,
            images,
            metrics,
            live,
            seats,
            clock,
            config,
        });
        Ok(Self { node, stop, actor, _dir: dir })
    }

    /// Serves until `shutdown` resolves or the runtime ends by itself. Then: no new connections, requests under way
    /// end, guests are killed, tasks stay as recorded, the store is closed.
    ///
    /// # Errors
    /// When the runtime had to end.
    pub async fn serve(
        self,
        listeners: Vec<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), DaemonError> {
        let Self { node, stop, actor, _dir } = self;
        if let Some(address) = listeners.iter().find_map(Listener::tcp_address) {
            node.listening.get_or_init(|| address);
        }
        let mut running = tokio::spawn(actor.run());
        let router = crate::routes::router(Arc::clone(&node));
        let (door, metrics) = (node.config.door.into(), Arc::clone(&node.metrics));
        let door = tokio::spawn(accept::serve(listeners, router, door, metrics, node.stop.clone()));
        let early = tokio::select! {
            () = shutdown => None,
            ended = &mut running => Some(ended),
        };
        stop.send_replace(true);
        node.runtime.stop();
        let ended = match early {
            Some(ended) => ended,
            None => match tokio::time::timeout(FAREWELL, running).await {
                Ok(ended) => ended,
                Err(_elapsed) => Ok(Ok(())),
            },
        };
        if let Err(error) = door.await {
            tracing::error!(%error, "the door broke");
        }
        node.store.close().await?;
        ended.map_err(|error| DaemonError::Broken(error.to_string()))??;
        Ok(())
    }
}

/// Removes image files that no record speaks of. Not where the store was lost or is an old one: the files may be what another
/// copy of it speaks of, which is put back next.
fn sweep(images: &Images, store: &Store) -> Result<(), StoreError> {
    // All records, also of images that the node would not boot.
    let known = store.images()?.iter().filter_map(|(digest, _)| digest.parse().ok()).collect();
    images.sweep(&known);
    Ok(())
}

fn sinks(inbox: &mpsc::UnboundedSender<Message>) -> Sinks {
    let (events, ends) = (inbox.clone(), inbox.clone());
    // What is not taken in any more belongs to guests that end with the daemon.
    Sinks {
        events: Arc::new(move |event| drop(events.send(Message::Net(event)))),
        link_lost: Arc::new(move |port| drop(ends.send(Message::LinkLost(port)))),
    }
}

/// This folder's name among all of this machine: for process titles, so letters and digits.
fn instance(dir: &Path) -> String {
    let path = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let digest = Digest::of(path.as_os_str().as_encoded_bytes());
    digest.to_string()[..12].to_owned()
}

/// What the node can hold on what it runs on.
fn limits(config: &Config, wired: &Wired) -> Limits {
    Limits {
        guests: config.limits.guests,
        memory_mib: config.limits.memory_mib,
        region_mib: wired.region_mib,
        tasks: config.limits.running,
        waiting: config.limits.queued,
        dormant_mib: if wired.waits { config.limits.dormant_memory_mib } else { 0 },
    }
}

/// Makes the engine's configuration whenever there is an image for the broker.
fn engine_config(
    config: &Config,
    trust: &Arc<TrustCache>,
    limits: Limits,
) -> Box<dyn Fn() -> Option<engine::Config> + Send> {
    let (config, trust) = (config.clone(), Arc::clone(trust));
    Box::new(move || {
        let image = broker_image(&config, &trust.get())?;
        Some(engine::Config {
            limits,
            patience: Patience::default(),
            broker: engine::BrokerConfig { image, memory_mib: config.broker.memory_mib },
            budget_bytes: BUDGET_BYTES,
            window_bytes: WINDOW_BYTES,
        })
    })
}

/// The image that is configured, or the newest of role `drb`.
pub(crate) fn broker_image(config: &Config, trust: &Trust) -> Option<ImageRef> {
    let brokers = trust.images.iter().filter(|(_, image)| image.role == "drb");
    let named =
        brokers.map(|(digest, image)| (ImageRef { name: image.name.clone(), digest: *digest }, image));
    match &config.broker.image {
        Some(wanted) => {
            named.map(|(reference, _)| reference).find(|reference| reference.to_string() == *wanted)
        }
        None => named.max_by_key(|(_, image)| image.added_us).map(|(reference, _)| reference),
    }
}

/// Gives the actor what an earlier daemon did not end, or ends it with the reason.
async fn take_up(
    actor: &mut Actor,
    store: &Store,
    facts: &fades_core::admit::NodeFacts,
    seats: &admission::Seats,
    clock: &Clock,
) -> Result<(), StoreError> {
    for (id, record, envelope) in store.unfinished()? {
        match runtime::recover(id, &record, &envelope, facts) {
            Recovered::Again(spec, recorded) => {
                tracing::info!(task = %id, state = record.state.as_str(), "taken up again");
                if let Some(seat) = seats.take(&record.issuer, u32::MAX, u32::MAX) {
                    seat.keep();
                }
                actor.recovered(*spec, recorded);
            }
            Recovered::Lost(code, detail) => {
                tracing::warn!(task = %id, %code, detail, at = %timestamp(record.accepted_us), "cannot be taken up");
                let end = Finished {
                    id,
                    state: StoredState::Failed,
                    at_us: clock.unix_us(),
                    code: Some(code.to_string()),
                    detail,
                    result: None,
                };
                store.write(move |tables| tables.finish(&end)).await?;
            }
        }
    }
    Ok(())
}
