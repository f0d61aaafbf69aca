//! QEMU as a backend, by hardware (KVM) or by its own code generator (TCG).
//!
//! One process per guest, started from a thread that lives as long as the backend: the processes are told to die with that
//! thread, so they die with the daemon, however it ends.

mod child;
mod command;
mod guest;
pub(crate) mod probe;
mod regions;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use fades_core::backend::{Backend, BackendError, BackendKind, Guest, GuestSpec, Orphan};
use fades_core::ids::Role;
use fades_wire::address::Control;
use fades_wire::region::{Birth, MAX_REGIONS};

pub use self::regions::RegionPost;

use self::guest::QemuGuest;
use self::regions::{Seated, Table};
use crate::orphans;

/// The program that Debian's package `qemu-system-x86` installs.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Regions beside those of all functions that there may be: some are still held when the next one starts.
const SPARE: u16 = 4;
/// Most functions that may share memory with their broker at once.
pub const MOST_FUNCTIONS: u32 = (MAX_REGIONS - SPARE) as u32;

type Started = Result<Arc<QemuGuest>, BackendError>;
type Request = (Order, Sender<Started>);

/// What executes the instructions of a guest in QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU's own code generator.
    Tcg,
    /// The processor, through the kernel's KVM.
    Kvm,
}

impl Accelerator {
    /// The backend that this makes.
    #[must_use]
    pub const fn kind(self) -> BackendKind {
        match self {
            Self::Tcg => BackendKind::QemuTcg,
            Self::Kvm => BackendKind::QemuKvm,
        }
    }
}

/// Runs guests in QEMU.
pub struct QemuBackend {
    accelerator: Accelerator,
    prefix: String,
    table: Option<Arc<Table>>,
    spawner: Sender<Request>,
}

/// A guest to be started, with its region if it has one, and those of others that it sees.
struct Order {
    spec: GuestSpec,
    seat: Option<Seated>,
    others: Option<Arc<Table>>,
}

impl QemuBackend {
    /// A backend on `accelerator` for the node folder that `node` names (letters, digits and dashes): guests of other nodes on the
    /// same machine are left alone when orphans are ended. With a post, guests that are told so reach the orchestrator through
    /// memory, and functions the broker: so many at once at most, and no more than [`MOST_FUNCTIONS`].
    ///
    /// # Errors
    /// When the spawning thread cannot be started, or there is no memory to share.
    pub fn new(
        accelerator: Accelerator,
        program: &str,
        node: &str,
        post: Option<(Arc<RegionPost>, u32)>,
    ) -> Result<Self, BackendError> {
        let prefix = format!("fades:{node}:");
        let failed = |action: &str| {
            let action = action.to_owned();
            |source| BackendError::Io { action, source }
        };
        let table = post.map(|(post, functions)| {
            let regions = functions.saturating_add(SPARE.into());
            Table::new(u16::try_from(regions).map_or(MAX_REGIONS, |regions| regions.min(MAX_REGIONS)), post)
        });
        let table = table.transpose().map_err(failed("make memory to share with guests"))?;
        let (spawner, requests) = channel::<Request>();
        let (program, names) = (program.to_owned(), prefix.clone());
        thread::Builder::new()
            .name("fades-spawn".to_owned())
            .spawn(move || {
                for (order, answer) in requests {
                    // Whoever asked may have gone; dropping the guest then ends it.
                    let _ = answer.send(start(accelerator, &program, &names, order));
                }
                // The processes must outlive this loop only as long as the daemon does: parking keeps them from dying with
                // this thread when the backend is dropped before its guests are.
                loop {
                    thread::park();
                }
            })
            .map_err(failed("start the thread that starts guests"))?;
        Ok(Self { accelerator, prefix, table, spawner })
    }
}

impl Backend for QemuBackend {
    fn kind(&self) -> BackendKind {
        self.accelerator.kind()
    }

    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError> {
        let gone = |name: &str| BackendError::Spec {
            name: name.to_owned(),
            reason: "the thread that starts guests has ended".to_owned(),
        };
        let name = spec.name.clone();
        // Here and not on the thread that all starts go through, as it may wait for the broker.
        let seat = seat(self.table.as_ref(), &spec)?;
        let others = self.table.clone().filter(|_| spec.role == Role::Broker && seat.is_some());
        let (answer, started) = channel();
        if self.spawner.send((Order { spec, seat, others }, answer)).is_err() {
            return Err(gone(&name));
        }
        match started.recv() {
            Ok(guest) => guest.map(|guest| guest as Arc<dyn Guest>),
            Err(_) => Err(gone(&name)),
        }
    }

    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError> {
        orphans::end(Path::new("/proc"), &self.prefix).map_err(|source| BackendError::Io {
            action: format!("end the guests named {}*", self.prefix),
            source,
        })
    }
}

fn start(accelerator: Accelerator, program: &str, prefix: &str, order: Order) -> Started {
    let Order { spec, seat, others } = order;
    if !spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || spec.name.is_empty() {
        return Err(BackendError::Spec {
            name: spec.name,
            reason: "a guest's name has letters, digits and dashes only".to_owned(),
        });
    }
    let region = seat.as_ref();
    let others: Vec<BorrowedFd<'_>> = others.iter().flat_map(|table| table.regions()).collect();
    // All that a function needs is in its region.
    let joined = region.is_none() || spec.role == Role::Broker;
    let network = joined.then_some(&spec.link);
    let name = format!("{prefix}{}", spec.name);
    let arguments = command::arguments(&command::Invocation {
        accelerator,
        name: &name,
        memory_mib: spec.memory_mib,
        command_line: &spec.command_line,
        loader: spec.loader.as_raw_fd(),
        application: spec.application.as_raw_fd(),
        network: network.map(|link| (link.as_raw_fd(), spec.mac)),
        region: region.map(|seat| command::Shared {
            server: seat.server.client.as_raw_fd(),
            others: others.iter().map(AsRawFd::as_raw_fd).collect(),
        }),
    });
    let limits = child::Limits::guest(spec.memory_mib).with_regions(1 + others.len());
    let mut files = vec![spec.loader.as_fd(), spec.application.as_fd()];
    files.extend(network.map(AsFd::as_fd));
    files.extend(region.map(|seat| seat.server.client.as_fd()));
    files.extend(others);
    let command = child::command(program, &arguments, &files, &limits);
    drop(files);
    let GuestSpec { name, link, time_limit, .. } = spec;
    let mut seat = seat;
    match &mut seat {
        Some(seat) if !joined => seat.keep(link),
        _ => {}
    }
    QemuGuest::spawn(command, time_limit, seat)
        .map_err(|source| BackendError::Io { action: format!("start {program} for guest {name}"), source })
}

/// A seat for a guest that reaches the orchestrator through memory.
fn seat(table: Option<&Arc<Table>>, spec: &GuestSpec) -> Result<Option<Seated>, BackendError> {
    let Some(table) = table.filter(|_| spec.control == Control::Region) else { return Ok(None) };
    let birth = Birth { turn: 1, time_unix_us: spec.time_unix_us, seed: spec.seed };
    let seated = match spec.role {
        Role::Broker => table.seat_broker(spec.port, birth),
        Role::Function => table.seat_function(spec.port, birth),
    };
    let action = format!("give guest {} a region of shared memory", spec.name);
    seated.map(Some).map_err(|source| BackendError::Io { action, source })
}
