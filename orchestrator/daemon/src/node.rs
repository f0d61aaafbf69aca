//! The node: everything that requests share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use fades_api::http::BackendInfo;
use fades_api::task::NodeEpoch;
use fades_core::admit::{NodeFacts, Refusal};
use fades_core::policy::{Policy, Rates};
use fades_envelope::{KeyId, PublicKey};
use tokio::sync::watch;

use crate::admission::{Limits, Nonces, Refusals, Seats};
use crate::clock::Clock;
use crate::config::Config;
use crate::defences::Defence;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::runtime::Handle;
use crate::serve::Peer;
use crate::sources::Sources;
use crate::store::{Continuity, Store};
use crate::trust::TrustCache;

/// Everything that requests share. Made by [`crate::run`].
pub struct Node {
    /// Settings.
    pub config: Config,
    /// The node's public key.
    pub public: PublicKey,
    /// Its id.
    pub key_id: KeyId,
    /// What wrappers must carry. Renewed by the operator only while the daemon runs.
    pub epoch: RwLock<NodeEpoch>,
    /// Whether the store is what this node had last.
    pub continuity: Continuity,
    /// Tasks, results, events, trust.
    pub store: Store,
    /// Trust, for checking fast.
    pub trust: Arc<TrustCache>,
    /// Sources as the broker reaches them.
    pub sources: Arc<Sources>,
    /// Both clocks.
    pub clock: Clock,
    /// Where it listens over TCP, once it does.
    pub listening: OnceLock<SocketAddr>,
    /// When the daemon was started, in microseconds of Unix time.
    pub started_us: i64,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits before verification.
    pub limits: Limits,
    /// Nonces of signed requests.
    pub nonces: Nonces,
    /// What was refused.
    pub refusals: Refusals,
    /// Open tasks.
    pub seats: Seats,
    /// Progress of tasks under way.
    pub live: Arc<Live>,
    /// The actor that runs tasks.
    pub runtime: Handle,
    /// What runs guests, and why.
    pub backend: BackendInfo,
    /// What stands between strangers, guests and this host.
    pub defences: Vec<Defence>,
    /// Memory of the largest function that there is room for, MiB.
    pub function_mib: u32,
    /// Images, and what boots from them.
    pub images: Arc<crate::images::Images>,
    /// True once the daemon is to end.
    pub stop: watch::Receiver<bool>,
    /// One change of trust at a time.
    pub(crate) admin: tokio::sync::Mutex<()>,
    pub(crate) rates: Mutex<Rates>,
    pub(crate) clock_high: AtomicI64,
}

impl Node {
    /// The node as the engine's admission sees it.
    #[must_use]
    pub fn facts(&self) -> NodeFacts {
        facts(&self.config, self.function_mib, self.epoch(), &self.trust.get(), &self.sources)
    }

    /// The epoch now.
    #[must_use]
    pub fn epoch(&self) -> NodeEpoch {
        *self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one task against its issuer's rate.
    ///
    /// # Errors
    /// When it has submitted as many as it may for now.
    pub fn take_rate(&self, issuer: &str, policy: &Policy) -> Result<(), Refusal> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(issuer, policy, self.clock.mono_us())
    }

    /// The highest wall clock by which anything was decided, µs of Unix time.
    #[must_use]
    pub fn clock_high(&self) -> i64 {
        self.clock_high.load(Ordering::Relaxed)
    }

    /// Notes a wall clock by which a task was accepted, as the store has.
    pub fn raise_clock(&self, now_us: i64) {
        self.clock_high.fetch_max(now_us, Ordering::Relaxed);
    }

    /// Whether this is the operator: the local socket, as the daemon's own user or root.
    #[must_use]
    pub fn is_operator(&self, peer: Peer) -> bool {
        match peer {
            Peer::Local { uid } => uid == 0 || uid == rustix::process::geteuid().as_raw(),
            Peer::Remote(_) => false,
        }
    }
}

/// What admission and recovery judge by.
pub(crate) fn facts(
    config: &Config,
    function_mib: u32,
    epoch: NodeEpoch,
    trust: &crate::trust::Trust,
    sources: &Sources,
) -> NodeFacts {
    let images = trust.images.iter().filter_map(|(digest, image)| {
        let facts = fades_core::admit::ImageFacts {
            name: image.name.clone(),
            version: image.version.parse().ok()?,
            role: crate::images::role(&image.role)?,
            minimum_memory_mib: image.minimum_memory_mib,
            together: image.together,
            result: trust.results.get(digest).cloned(),
        };
        Some((*digest, facts))
    });
    NodeFacts {
        id: config.node.clone(),
        epoch: epoch.0,
        sources: sources.facts(),
        images: images.collect(),
        function_memory_mib: function_mib,
        waiting_limit: config.limits.queued.saturating_add(config.limits.running),
    }
}
