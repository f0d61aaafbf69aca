//! Domains of a Xen host as guests; for a daemon in its dom0.
//!
//! A guest is a PVH domain that one `xl` builds and watches (`fades_xen_toolstack::Monitor`). Its kernel and ramdisk are
//! inherited descriptors of sealed memory, its configuration is one as well. Its console is read from dom0's pty, and its
//! control messages go through nodes of its own in XenStore ([`mail`]). The broker, which has sources to reach, has a
//! network device: a thread that carries frames joins it to the virtual network; no bridge, no address, no other way.
//! Functions have none: what they need of the broker they share memory for, so there is nothing that they could reach.
//!
//! The daemon's death does not end its domains, as it ends processes, nor does anything tell them. They notice that it is
//! silent: after 15 intervals of its heartbeat they end themselves (`images/guest/src/control/mod.rs`), and their `xl` clears
//! up. What does not is found by its name when the daemon is back.

mod device;
mod exit;
mod failure;
mod fence;
mod guest;
mod inherit;
mod mail;
mod network;
mod packet;
mod plan;
mod pump;
mod supervise;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fades_core::backend::{Backend, BackendError, BackendKind, Guest, GuestSpec, Lack, Orphan};
use fades_core::network::PortId;
use fades_wire::address::Control;
use fades_xen_store::{DomainId, Path};
use fades_xen_toolstack::{
    ConsoleError, DomainConfig, DomainName, End, Info, Monitor, Store, StoreError, Watch, Xl, XlError,
    console, of_instance,
};
use rustix::fs::{MemfdFlags, SealFlags};

use self::failure::{refused, system, unusable, words};
use self::guest::XenGuest;
use self::mail::OpenError;
pub use self::mail::XenPost;
use self::network::NetworkError;
use self::supervise::{BUILDING, DESTROYING, Joined, Shared, Supervisor};

/// How long a domain's console and network device may take, once it is there.
const ATTACHING: Duration = Duration::from_secs(20);
/// How long the `xl` of a domain that is gone may take to tell why, which it does when it has cleared up behind it.
const TELLING: Duration = Duration::from_secs(5);
/// The same of a domain that could not be joined for another reason: it may have gone in this moment.
const TELLING_ELSE: Duration = Duration::from_millis(300);

/// Runs guests as domains of this Xen host.
pub struct XenBackend {
    xl: Xl,
    instance: String,
    /// Part of all names: no domain that an earlier run had begun is taken for one of this run.
    run: u32,
    /// Opens their mailboxes, and has the connection to XenStore.
    post: Arc<XenPost>,
    attaching: Duration,
}

impl XenBackend {
    /// A backend for the node folder that `instance` names (letters and digits): domains of other nodes on the same host
    /// are left alone when orphans are ended. Their control messages go by `post`. Checks dom0, `xl`, its version and
    /// XenStore, once.
    ///
    /// # Errors
    /// [`BackendError::Unusable`] with what is missing, [`BackendError::Spec`] for an instance that is no part of a name.
    pub fn new(instance: &str, post: Arc<XenPost>) -> Result<Self, BackendError> {
        let (xl, _) = find()?;
        DomainName::of_guest(instance, "x", 0)
            .map_err(|error| BackendError::Spec { name: instance.to_owned(), reason: error.to_string() })?;
        Ok(Self { xl, instance: instance.to_owned(), run: std::process::id(), post, attaching: ATTACHING })
    }

    /// Whether this is the dom0 of a Xen host.
    #[must_use]
    pub fn is_dom0() -> bool {
        fades_xen_toolstack::host::check(std::path::Path::new("/")).is_ok()
    }

    /// What there is for guests, for `status`, or why there is nothing.
    pub(crate) fn look() -> Result<String, BackendError> {
        let (_, info) = find()?;
        let (major, minor) = info.version;
        Ok(format!("Xen {major}.{minor} with {} MiB free for domains", info.free_mib))
    }

    /// Starts `xl` on the domain's configuration, with a thread that looks after both.
    fn build(&self, spec: &GuestSpec, config: &DomainConfig, building: &Watch) -> io::Result<XenGuest> {
        let file = sealed(config.text().as_bytes())?;
        let path = plan::descriptor(file.as_raw_fd()).map_err(io::Error::other)?;
        let mut command = self.xl.create(&path);
        inherit::keep(&mut command, &[file.as_fd(), spec.loader.as_fd(), spec.application.as_fd()]);
        let (shared, asleep) = Shared::new()?;
        let (xl, name, time_limit) = (self.xl.clone(), config.name.clone(), spec.time_limit);
        let (nudge, supervised) = (building.nudge(), Arc::clone(&shared));
        // The files stay open until this returns, which is after xl was started.
        XenGuest::supervised(shared, spec.memory_mib, move || {
            Ok(Supervisor {
                xl,
                name,
                monitor: Monitor::spawn(command)?,
                shared: supervised,
                asleep,
                building: Box::new(move || nudge.wake()),
                started: Instant::now(),
                time_limit,
                destroying: DESTROYING,
            })
        })
    }
}

impl Backend for XenBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Xen
    }

    /// Returns when the domain is built, runs, and has all that is to be joined to it, or has ended by itself.
    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError> {
        let config = plan::domain(
            &self.instance,
            self.run,
            &spec,
            spec.loader.as_raw_fd(),
            spec.application.as_raw_fd(),
        )?;
        let unreached = |error| system(format!("ask XenStore for guest {}", spec.name), error);
        let (store, building, taken) =
            self.post.ask(|store| introductions(store, &config.name)).map_err(unreached)?;
        if let Some(domain) = taken {
            let reason = format!("domain {domain} has its name {} already", config.name);
            return Err(BackendError::Spec { name: spec.name, reason });
        }
        let guest = self.build(&spec, &config, &building).map_err(|source| BackendError::Io {
            action: format!("start xl for guest {}", spec.name),
            source,
        })?;
        // From here on, dropping the guest destroys its domain.
        let guest = Arc::new(guest);
        let mailbox = (spec.control == Control::Store).then_some(spec.port);
        let wanted = Wanted { mailbox, has_network: config.network.is_some(), link: spec.link };
        let joined = built(&store, &config.name, &building, &guest).and_then(|domain| {
            if mailbox.is_some() {
                guest.is_domain(domain);
            }
            self.join(&store, domain, &guest.shared, wanted)
        });
        match joined {
            Ok(()) => Ok(guest),
            Err(error) => {
                guest.shared.attached(Joined::default());
                let telling = if error.is_gone() { TELLING } else { TELLING_ELSE };
                match guest.shared.ended(Instant::now() + telling) {
                    Some(End::ShutDown(_) | End::Destroyed) => Ok(guest),
                    Some(End::Unknown(said)) => Err(refused(&spec.name, self.xl.refusal(&config, &said))),
                    None => Err(system(format!("bring up the domain of guest {}", spec.name), error)),
                }
            }
        }
    }

    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError> {
        let failed = |error: XlError| system("end the domains that an earlier daemon left".to_owned(), error);
        let listed = self.xl.list().map_err(failed)?;
        // One that is dying was destroyed, and goes when its pages are given back.
        let names = listed.iter().filter(|domain| !domain.is_dying).map(|domain| domain.name.as_str());
        let mut ended = Vec::new();
        for name in of_instance(&self.instance, names) {
            if self.xl.destroy(&name).map_err(failed)? {
                ended.push(Orphan { name: name.to_string(), pid: None });
            }
        }
        Ok(ended)
    }
}

/// Why a domain could not be joined to its mailbox, its console and its network.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    /// XenStore could not say what is built.
    #[error("XenStore could not say whether its domain is built")]
    Store(#[from] StoreError),
    /// It was not built in time.
    #[error("its domain was not built in {} s", BUILDING.as_secs())]
    Slow,
    /// Its `xl` ended, or its domain.
    #[error("its domain ended before it ran")]
    Ended,
    /// It has no mailbox.
    #[error("its control connection cannot be made")]
    Mail(#[from] OpenError),
    /// It has no console.
    #[error("its console is not there")]
    Console(#[from] ConsoleError),
    /// It has no network.
    #[error("its network is not there")]
    Network(#[from] NetworkError),
    /// A thread could not be started, or a pipe not made.
    #[error("the system refused a thread or a pipe")]
    System(#[from] io::Error),
}

impl JoinError {
    /// Whether it is the domain that is missing.
    fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Ended | Self::Console(ConsoleError::Gone { .. }) | Self::Network(NetworkError::Gone)
        )
    }
}

/// `xl` and what the host is, where both it and XenStore are there for guests.
fn find() -> Result<(Xl, Info), BackendError> {
    let found = Xl::find().map_err(|error| unusable(&error))?;
    Store::connect().map_err(|error| BackendError::Unusable {
        kind: BackendKind::Xen,
        lack: Lack::Other,
        reason: words(&error),
    })?;
    Ok(found)
}

/// Watches what is introduced; with who has the name already: an `xl` would refuse it, and we would find the other.
fn introductions(store: &Store, name: &DomainName) -> Result<(Store, Watch, Option<DomainId>), StoreError> {
    let watch = store.watch(&Path::new("@introduceDomain")?)?;
    Ok((store.clone(), watch, store.domain_of_name(name)?))
}

/// Waits until the domain is introduced, which is before its devices are made and before it runs.
fn built(
    store: &Store,
    name: &DomainName,
    building: &Watch,
    guest: &XenGuest,
) -> Result<DomainId, JoinError> {
    let deadline = Instant::now() + BUILDING;
    loop {
        if let Some(domain) = store.domain_of_name(name)? {
            guest.shared.built();
            return Ok(domain);
        }
        if guest.shared.ended(Instant::now()).is_some() {
            return Err(JoinError::Ended);
        }
        if building.next(deadline)?.is_none() {
            return Err(JoinError::Slow);
        }
    }
}

/// What a guest's domain is joined to.
struct Wanted {
    /// The port under which its mailbox is known, if it has one.
    mailbox: Option<PortId>,
    has_network: bool,
    link: OwnedFd,
}

impl XenBackend {
    /// Joins mailbox, console and network to the domain, each with a thread of its own.
    fn join(
        &self,
        store: &Store,
        domain: DomainId,
        shared: &Arc<Shared>,
        wanted: Wanted,
    ) -> Result<(), JoinError> {
        let deadline = Instant::now() + self.attaching;
        // First, as a guest without a network device may write at once.
        let mail = wanted.mailbox.map(|port| self.post.open(port, domain, &shared.console)).transpose()?;
        let mut joined = Joined { mail, ..Joined::default() };
        let rest = || -> Result<(), JoinError> {
            let terminal = console::open(store, domain, self.attaching)?;
            let console = shared.console.clone();
            let reader = thread::Builder::new().name("fades-console".to_owned());
            joined.reader = Some(reader.spawn(move || console.fill_from(terminal))?);
            joined.stop = Some(if wanted.has_network {
                carry(store, domain, shared, wanted.link, deadline)?
            } else {
                // Nothing goes over its link. That is kept to the end all the same: a link that ends says that everything was
                // told of its guest.
                wanted.link
            });
            Ok(())
        };
        let done = rest();
        // What it said is worth keeping, whatever became of the rest.
        shared.attached(joined);
        done
    }
}

/// Starts what carries frames between the domain's network device and `link`; it stops when what this gives is closed.
fn carry(
    store: &Store,
    domain: DomainId,
    shared: &Shared,
    link: OwnedFd,
    deadline: Instant,
) -> Result<OwnedFd, JoinError> {
    let device = network::attach(store, domain, deadline)?;
    let (asleep, stop) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let console = shared.console.clone();
    thread::Builder::new().name("fades-frames".to_owned()).spawn(move || {
        if let Err(error) = pump::run(&link, &device, &asleep) {
            console.note(&format!("the network of this guest has ended: {error}"));
        }
    })?;
    Ok(stop)
}

/// A file in memory that nobody can change.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("fades-domain", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}
