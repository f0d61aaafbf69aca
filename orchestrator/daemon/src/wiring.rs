//! Which concrete parts a node is made of. The one place that knows backends and the network by name.

use std::sync::Arc;

use fades_api::http::BackendInfo;
use fades_backends::{
    ARM_PROGRAM, Accelerator, Defence as AroundMonitors, Jail, MOST_FUNCTIONS, PROGRAM, Post, PostalNetwork,
    Programs, QemuBackend, RegionPost, Sharing, Wanted, XenBackend, XenPost, select,
};
use fades_core::backend::{Architecture, Backend, BackendError, BackendKind};
use fades_core::network::{NetEventSink, Network, NetworkError, PortId};
use fades_net::{NetConfig, Report, VirtualNetwork};
use fades_wire::address::Control;
use fades_wire::region::REGION_LEN;

use crate::config::Config;
use crate::defences::Defence;
pub use crate::runtime::Consumed;

/// Where the network tells what happens. Called on its thread; neither blocks.
pub struct Sinks {
    /// The control endpoint.
    pub events: NetEventSink,
    /// A port's link has ended, after everything that came over it was told.
    pub link_lost: Arc<dyn Fn(PortId) + Send + Sync>,
}

/// What a node runs on.
pub struct Wired {
    /// Runs guests.
    pub backend: Arc<dyn Backend>,
    /// Which one that is, why, and what it costs.
    pub info: BackendInfo,
    /// Rate of the processor's time stamp counter, for guests on machines without a timer to measure it by.
    pub tsc_mhz: Option<u32>,
    /// Joins them.
    pub network: Arc<dyn Network>,
    /// Gives the network its room back.
    pub consumed: Consumed,
    /// Whether a function waits for its task as long as it takes; else none is started ahead.
    pub waits: bool,
    /// What stands between its guests and this machine.
    pub defences: Vec<Defence>,
    /// The region that each guest has beside its memory, MiB; 0 where guests have none.
    pub region_mib: u32,
}

/// Why a node could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// Nothing runs guests.
    #[error("no backend can run guests")]
    Backend(#[from] BackendError),
    /// The virtual network.
    #[error("the virtual network could not be started")]
    Network(#[from] NetworkError),
    /// What QEMU would translate, where guests are domains.
    #[error("backend.emulate is for QEMU: a Xen host runs images for its own processor only")]
    Emulate,
    /// The machine does not give all that `backend.strict` asks for.
    #[error("backend.strict is set, and this machine does not give: {lacks}")]
    Strict {
        /// Each defence, and why not.
        lacks: String,
    },
    /// More guests than there can be regions for.
    #[error(
        "limits.guests is {guests}, it must be at most {most}: guests of QEMU share memory with their broker, in so many regions \
         at most; with backend.network_only there may be more"
    )]
    Guests {
        /// What is configured.
        guests: u32,
        /// The broker and a function for each region.
        most: u32,
    },
}

/// Puts the parts together; the text names this node's folder among all of this machine. Tests bring their own.
pub type Wiring = Box<dyn FnOnce(&Config, &str, Sinks) -> Result<Wired, WiringError> + Send>;

/// The parts of a real node: domains where this is a dom0, else QEMU by the fastest accelerator that works, and the network in
/// this process.
///
/// # Errors
/// When nothing runs guests here, or the network's thread cannot be started.
pub fn real(config: &Config, instance: &str, sinks: Sinks) -> Result<Wired, WiringError> {
    let (backend, info, post, defences) = backend(config, instance, &sinks.events)?;
    let link_lost = sinks.link_lost;
    let reports = Arc::new(move |report: Report| match report {
        Report::LinkLost { port, why } => {
            tracing::debug!(%port, %why, "a guest's link has ended");
            link_lost(port);
        }
        Report::SourceFailed { port, source, why, kept_back } => {
            tracing::warn!(%port, source, cause = ?why, kept_back, "{why}");
        }
        Report::Broken(error) => tracing::error!(%error, "the virtual network has failed"),
    });
    let network = Arc::new(VirtualNetwork::start(NetConfig::default(), sinks.events, reports)?);
    // Elsewhere a guest that waits too long takes its orchestrator for lost.
    let waits = post.as_ref().is_some_and(|post| post.control() == Control::Region);
    let region_mib = if waits { REGION_MIB } else { 0 };
    let (network, consumed): (Arc<dyn Network>, Consumed) = match post {
        Some(post) => {
            let consumer = Arc::clone(&post);
            (
                Arc::new(PostalNetwork::new(network, post)),
                Arc::new(move |port, bytes| consumer.consumed(port, bytes)),
            )
        }
        None => {
            let consumer = Arc::clone(&network);
            (network, Arc::new(move |port, bytes| consumer.consumed(port, bytes)))
        }
    };
    Ok(Wired { backend, info, tsc_mhz: crate::tsc::mhz(), network, consumed, waits, defences, region_mib })
}

/// A region's size as limits count it.
#[expect(clippy::cast_possible_truncation, reason = "a few MiB")]
const REGION_MIB: u32 = (REGION_LEN >> 20) as u32;
const _: () = assert!((REGION_MIB as usize) << 20 == REGION_LEN);

/// A backend, and the post through which its guests reach the daemon.
type Made = (Arc<dyn Backend>, Arc<dyn Post>);
/// A backend, what it is, its post, unless guests are to use the network, and what stands between its guests and this machine.
type Chosen = (Arc<dyn Backend>, BackendInfo, Option<Arc<dyn Post>>, Vec<Defence>);

fn backend(config: &Config, instance: &str, events: &NetEventSink) -> Result<Chosen, WiringError> {
    let program = config.backend.qemu.as_ref().map_or(PROGRAM.into(), |path| path.to_string_lossy());
    let forced = config.backend.kind.as_deref().and_then(BackendKind::named);
    let emulates = config.backend.emulate.iter().any(|word| word == Architecture::Aarch64.word());
    let programs =
        Programs { native: &program, other: emulates.then_some(ARM_PROGRAM), mended: &config.backend.mended };
    let chosen = select(programs, forced.map_or(Wanted::Auto, Wanted::Only), instance)?;
    let defences = around(chosen.jail.as_ref());
    strict(config, &defences)?;
    let jail = chosen.jail.unwrap_or_else(Jail::bare);
    let qemu = |accelerator| -> Result<Made, WiringError> {
        let functions = regions(config)?;
        let post = RegionPost::new(Arc::clone(events)).map_err(|source| BackendError::Io {
            action: "start the thread that reads control messages".to_owned(),
            source,
        })?;
        let sharing = functions.map(|functions| Sharing {
            post: Arc::clone(&post),
            functions,
            snapshots: u64::from(config.limits.snapshot_memory_mib) << 20,
        });
        let mut made = QemuBackend::new(accelerator, &program, instance, jail.clone(), sharing)?;
        if emulates {
            made = made.emulating_arm(ARM_PROGRAM)?;
        }
        Ok((Arc::new(made), post))
    };
    if emulates && chosen.kind == BackendKind::Xen {
        return Err(WiringError::Emulate);
    }
    let (backend, post) = match chosen.kind {
        BackendKind::QemuKvm => qemu(Accelerator::Kvm)?,
        BackendKind::QemuTcg => qemu(Accelerator::Tcg)?,
        BackendKind::Xen => {
            let post = XenPost::new(Arc::clone(events));
            (Arc::new(XenBackend::new(instance, Arc::clone(&post))?) as _, post as _)
        }
    };
    let kind = chosen.kind.word().to_owned();
    // Guests of a port of the virtual network's own are told to connect there.
    let post = Some(post).filter(|_| !config.backend.network_only);
    let mut reason = chosen.reason;
    for emulated in backend.architectures().into_iter().filter(|&one| one != Architecture::NATIVE) {
        reason.push_str(&format!("; images for {emulated} are translated by {ARM_PROGRAM}"));
    }
    Ok((backend, BackendInfo { kind, reason, cost: chosen.cost }, post, defences))
}

/// What stands between guests and this machine, where they have monitors on it.
fn around(jail: Option<&Jail>) -> Vec<Defence> {
    let Some(jail) = jail else { return Vec::new() };
    let lack =
        |defence| jail.lacks().iter().find(|(lacking, _)| *lacking == defence).map(|(_, why)| why.clone());
    AroundMonitors::ALL.map(|defence| Defence { name: defence.name(), lack: lack(defence) }).into()
}

/// Refuses what the operator would rather not run without.
fn strict(config: &Config, defences: &[Defence]) -> Result<(), WiringError> {
    let lack = |defence: &Defence| defence.lack.as_ref().map(|why| format!("{} ({why})", defence.name));
    let lacks: Vec<String> = defences.iter().filter_map(lack).collect();
    if config.backend.strict && !lacks.is_empty() {
        return Err(WiringError::Strict { lacks: lacks.join(", ") });
    }
    Ok(())
}

/// How many functions share memory with the broker at once in QEMU; `None`: no guest shares any.
fn regions(config: &Config) -> Result<Option<u32>, WiringError> {
    let (guests, most) = (config.limits.guests, MOST_FUNCTIONS + 1);
    if config.backend.network_only {
        return Ok(None);
    }
    if guests > most { Err(WiringError::Guests { guests, most }) } else { Ok(Some(guests.saturating_sub(1))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defence_around_monitors_can_be_explained() {
        for name in AroundMonitors::ALL.map(AroundMonitors::name) {
            assert!(fades_api::http::defence_words(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_a_machine_does_not_give_is_told_and_refused_where_that_is_asked_for() {
        assert_eq!(around(None), [], "a domain has no monitor here");
        let defences = around(Some(&Jail::bare()));
        assert_eq!(defences[0], Defence { name: "monitor-limits", lack: None });
        assert!(defences[1..].iter().all(|defence| defence.lack.is_some()));
        let mut config = Config::of("edge");
        assert!(strict(&config, &defences).is_ok());
        config.backend.strict = true;
        let refusal = strict(&config, &defences).unwrap_err().to_string();
        assert!(
            refusal.contains("does not give: monitor-seccomp (not asked for), monitor-landlock ("),
            "{refusal}"
        );
        assert!(strict(&config, &defences[..1]).is_ok());
    }

    #[test]
    fn more_guests_than_there_are_regions_for_are_refused_where_they_need_one() {
        let mut config = Config::of("edge");
        config.limits.guests = 117;
        assert_eq!(regions(&config).unwrap(), Some(116));
        config.limits.guests = 118;
        let refusal = regions(&config).unwrap_err().to_string();
        assert!(refusal.starts_with("limits.guests is 118, it must be at most 117: "), "{refusal}");
        config.backend.network_only = true;
        assert_eq!(regions(&config).unwrap(), None);
    }
}
