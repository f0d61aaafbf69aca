//! QEMU as a backend, by hardware (KVM) or by its own code generator (TCG).
//!
//! One process per guest, all started from one thread. A function whose like was saved goes on as that one ([`snapshot`]).

mod child;
mod command;
mod guest;
pub(crate) mod holes;
mod jail;
pub(crate) mod probe;
mod rank;
mod regions;
mod snapshot;
mod spawner;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fades_core::backend::{Architecture, Backend, BackendError, BackendKind, Guest, GuestSpec, Lack, Orphan};
use fades_core::ids::Role;
use fades_wire::address::Control;
use fades_wire::region::{Birth, MAX_REGIONS};

pub use self::jail::{Defence, Jail};
pub use self::regions::RegionPost;
pub use self::snapshot::converse;

use self::command::{Boot, Invocation, Machine, Saving, Shared};
use self::guest::{Held, QemuGuest};
use self::regions::{Seated, Table};
use self::snapshot::{Kind, Maker, QmpError, Saved, Snapshots, Wish};
use self::spawner::Spawner;
use crate::orphans;

/// The program that Debian's package `qemu-system-x86` installs.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The program that Debian's package `qemu-system-arm` installs.
pub const ARM_PROGRAM: &str = "qemu-system-aarch64";

/// Regions beside those of all functions that there may be: some are still held when the next one starts.
const SPARE: u16 = 4;
/// Most functions that may share memory with their broker at once.
pub const MOST_FUNCTIONS: u32 = (MAX_REGIONS - SPARE) as u32;

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
    program: String,
    /// Runs guests of 64-bit Arm by translation, if they are to be run.
    arm: Option<String>,
    jail: Jail,
    prefix: String,
    table: Option<Arc<Table>>,
    snapshots: Option<Arc<Snapshots>>,
    spawner: Spawner,
}

/// What guests share with each other and with the orchestrator.
pub struct Sharing {
    /// Through which control messages go.
    pub post: Arc<RegionPost>,
    /// Functions at once, at most; no more than [`MOST_FUNCTIONS`].
    pub functions: u32,
    /// Memory for functions that were booted once and are gone on with, bytes; 0: each function boots.
    pub snapshots: u64,
}

impl QemuBackend {
    /// A backend on `accelerator` for the node folder that `node` names (letters, digits and dashes): guests of other nodes on the
    /// same machine are left alone when orphans are ended. With something to share, guests that are told so reach the orchestrator
    /// through memory, and functions the broker. Each monitor is kept in `jail`.
    ///
    /// # Errors
    /// When a thread cannot be started, or there is no memory to share.
    pub fn new(
        accelerator: Accelerator,
        program: &str,
        node: &str,
        jail: Jail,
        sharing: Option<Sharing>,
    ) -> Result<Self, BackendError> {
        let prefix = format!("fades:{node}:");
        let failed = |action: &str| {
            let action = action.to_owned();
            |source| BackendError::Io { action, source }
        };
        let spawner = Spawner::new().map_err(failed("start the thread that starts guests"))?;
        let (mut table, mut snapshots) = (None, None);
        if let Some(Sharing { post, functions, snapshots: budget }) = sharing {
            let regions = functions.saturating_add(SPARE.into());
            let regions = u16::try_from(regions).map_or(MAX_REGIONS, |regions| regions.min(MAX_REGIONS));
            let made = Table::new(regions, post);
            table = Some(made.map_err(failed("make memory to share with guests"))?);
            let (spawner, program, prefix) = (spawner.clone(), program.to_owned(), prefix.clone());
            let maker = Maker { spawner, accelerator, program, jail: jail.clone(), prefix };
            let made = (budget > 0).then(|| Snapshots::new(maker, budget)).transpose();
            snapshots = made.map_err(failed("start the thread that saves functions"))?;
        }
        let program = program.to_owned();
        Ok(Self { accelerator, program, arm: None, jail, prefix, table, snapshots, spawner })
    }

    /// Has this run guests of 64-bit Arm as well, in the QEMU at `program`, which translates them.
    ///
    /// # Errors
    /// [`BackendError::Unusable`] if that does not run.
    pub fn emulating_arm(mut self, program: &str) -> Result<Self, BackendError> {
        let lacks = |why: String| BackendError::Unusable {
            kind: BackendKind::QemuTcg,
            lack: Lack::Other,
            reason: format!("images for aarch64 need {program} of the package qemu-system-arm: {why}"),
        };
        let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let asked = asked.map_err(|error| lacks(error.to_string()))?;
        if !asked.status.success() {
            return Err(lacks(asked.status.to_string()));
        }
        self.arm = Some(program.to_owned());
        Ok(self)
    }

    /// What runs guests of this architecture.
    fn program(&self, architecture: Architecture) -> Option<&str> {
        match architecture {
            Architecture::X86_64 => Some(&self.program),
            Architecture::Aarch64 => self.arm.as_deref(),
        }
    }

    /// What executes the instructions of guests of this architecture.
    fn accelerator(&self, architecture: Architecture) -> Accelerator {
        if architecture == Architecture::NATIVE { self.accelerator } else { Accelerator::Tcg }
    }

    /// A guest that goes on as a saved one.
    fn go_on(&self, spec: &GuestSpec, seat: Seated, saved: &Saved) -> Result<Arc<QemuGuest>, QmpError> {
        let state = saved.state()?;
        let (line, theirs) = UnixStream::pair()?;
        let name = self.name(spec);
        let (ram, server) = (saved.ram(), &seat.server.client);
        let arguments = command::arguments(&Invocation {
            saving: Some(Saving { ram: ram.as_raw_fd(), line: theirs.as_raw_fd() }),
            region: Some(Shared { server: server.as_raw_fd(), others: Vec::new() }),
            ..self.invocation(spec, &name)
        });
        let files = [ram.as_fd(), state.as_fd(), theirs.as_fd(), server.as_fd()];
        let limits = child::Limits::guest(spec.memory_mib).with_regions(1).on(self.accelerator);
        let (limits, cell) = (limits.within(spec.time_limit), Arc::new(self.jail.cell()));
        let command = child::command(&self.program, &arguments, &files, &limits, &cell);
        let seat = Arc::new(seat);
        let held = Held { seat: Some(Arc::clone(&seat)), _cell: cell, ..Held::default() };
        let guest = self.spawner.spawn(command, spec.time_limit, held)?;
        drop(theirs);
        saved.load(line, guest.process_id(), state.as_raw_fd(), || {
            seat.introduce().map_err(QmpError::Bells)
        })?;
        // It sleeps, as the saved one did, until it is told to look whose turn it is.
        if !seat.wake(snapshot::WAKES_WITHIN) {
            return Err(QmpError::Asleep);
        }
        Ok(guest)
    }

    /// A guest from nothing. With a wish, one like it is saved when it is gone.
    fn boot(&self, spec: GuestSpec, seat: Option<Seated>, wish: Option<Wish>) -> io::Result<Arc<QemuGuest>> {
        let broker = spec.role == Role::Broker;
        let others = self.table.as_ref().filter(|_| broker && seat.is_some());
        let others: Vec<BorrowedFd<'_>> = others.into_iter().flat_map(|table| table.regions()).collect();
        // All that a function needs is in its region.
        let network = (seat.is_none() || broker).then_some(&spec.link);
        let server = seat.as_ref().map(|seat| seat.server.client.as_fd());
        let name = self.name(&spec);
        let arguments = command::arguments(&Invocation {
            boot: Some(Boot {
                command_line: &spec.command_line,
                loader: spec.loader.as_raw_fd(),
                application: spec.application.as_raw_fd(),
            }),
            network: network.map(|link| (link.as_raw_fd(), spec.mac)),
            region: server.map(|server| Shared {
                server: server.as_raw_fd(),
                others: others.iter().map(AsRawFd::as_raw_fd).collect(),
            }),
            ..self.invocation(&spec, &name)
        });
        let accelerator = self.accelerator(spec.architecture);
        let limits = child::Limits::guest(spec.memory_mib).with_regions(1 + others.len()).on(accelerator);
        let mut files = vec![spec.loader.as_fd(), spec.application.as_fd()];
        files.extend(network.map(AsFd::as_fd).into_iter().chain(server).chain(others));
        let program = self.program(spec.architecture).ok_or(io::ErrorKind::Unsupported)?;
        let (limits, cell) = (limits.within(spec.time_limit), Arc::new(self.jail.cell()));
        let command = child::command(program, &arguments, &files, &limits, &cell);
        seat.as_ref().map_or(Ok(()), Seated::introduce)?;
        let told = Machine::of(spec.architecture, &spec.command_line) == Machine::Virt;
        let held = Held { seat: seat.map(Arc::new), _cell: cell, _wish: wish, told };
        self.spawner.spawn(command, spec.time_limit, held)
    }

    fn name(&self, spec: &GuestSpec) -> String {
        format!("{}{}", self.prefix, spec.name)
    }

    /// What is said of every guest.
    fn invocation<'a>(&self, spec: &GuestSpec, name: &'a str) -> Invocation<'a> {
        Invocation {
            accelerator: self.accelerator(spec.architecture),
            name,
            memory_mib: spec.memory_mib,
            machine: Machine::of(spec.architecture, &spec.command_line),
            boot: None,
            saving: None,
            network: None,
            region: None,
        }
    }

    /// A seat for a guest that reaches the orchestrator through memory.
    fn seat(&self, spec: &GuestSpec) -> Result<Option<Seated>, BackendError> {
        let Some(table) = self.table.as_ref().filter(|_| spec.control == Control::Region) else {
            return Ok(None);
        };
        let birth = Birth { turn: 1, time_unix_us: spec.time_unix_us, seed: spec.seed };
        let seated = match spec.role {
            Role::Broker => table.seat_broker(spec.port, birth),
            // It has no use for its link, whose end would be taken for its own.
            Role::Function => table.seat_function(spec.port, birth).and_then(|mut seated| {
                seated.keep(spec.link.try_clone()?);
                Ok(seated)
            }),
        };
        let action = format!("give guest {} a region of shared memory", spec.name);
        seated.map(Some).map_err(|source| BackendError::Io { action, source })
    }

    /// A function that goes on as a saved one; or what its like is to be saved by, if there is none and one is wanted.
    fn saved(&self, spec: &GuestSpec) -> Result<Result<Arc<QemuGuest>, Option<Wish>>, BackendError> {
        // What is saved is of the monitor that runs this machine's own.
        let native = spec.architecture == Architecture::NATIVE;
        let shares = native && spec.role == Role::Function && spec.control == Control::Region;
        let Some(snapshots) = self.snapshots.as_ref().filter(|_| shares) else { return Ok(Err(None)) };
        let kind = Kind { image: spec.image, memory_mib: spec.memory_mib };
        if let Some(saved) = snapshots.of(&kind)
            && let Some(seat) = self.seat(spec)?
        {
            match self.go_on(spec, seat, &saved) {
                Ok(guest) => return Ok(Ok(guest)),
                Err(error) => snapshots.give_up(&kind, &error),
            }
        }
        // A wish that cannot be made is one for the next of its kind.
        Ok(Err(snapshots.wish(kind, [&spec.loader, &spec.application], &spec.command_line).unwrap_or(None)))
    }
}

impl Backend for QemuBackend {
    fn kind(&self) -> BackendKind {
        self.accelerator.kind()
    }

    fn architectures(&self) -> Vec<Architecture> {
        Architecture::ALL.into_iter().filter(|&architecture| self.program(architecture).is_some()).collect()
    }

    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError> {
        if !spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || spec.name.is_empty() {
            let reason = "a guest's name has letters, digits and dashes only".to_owned();
            return Err(BackendError::Spec { name: spec.name, reason });
        }
        let Some(program) = self.program(spec.architecture) else {
            let reason = format!("this node runs no images for {}", spec.architecture);
            return Err(BackendError::Spec { name: spec.name, reason });
        };
        let action = format!("start {program} for guest {}", spec.name);
        let wish = match self.saved(&spec)? {
            Ok(guest) => return Ok(guest),
            Err(wish) => wish,
        };
        let seat = self.seat(&spec)?;
        let guest = self.boot(spec, seat, wish).map_err(|source| BackendError::Io { action, source })?;
        Ok(guest)
    }

    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError> {
        orphans::end(Path::new("/proc"), &self.prefix).map_err(|source| BackendError::Io {
            action: format!("end the guests named {}*", self.prefix),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use fades_core::network::PortId;
    use fades_wire::address::{CONTROL_PORT, Endpoint, GATEWAY};

    use super::*;

    fn backend() -> QemuBackend {
        QemuBackend::new(Accelerator::Tcg, "/bin/true", "unit-tests", Jail::bare(), None).unwrap()
    }

    #[test]
    fn images_for_arm_are_run_where_that_is_said_and_possible() {
        assert_eq!(backend().architectures(), [Architecture::X86_64]);
        let both = backend().emulating_arm("/bin/true").unwrap();
        assert_eq!(both.architectures(), Architecture::ALL);
        assert_eq!(both.accelerator(Architecture::Aarch64), Accelerator::Tcg);
        for (program, words) in [("/nowhere/qemu", "No such file"), ("/bin/false", "exit status: 1")] {
            let refusal = backend().emulating_arm(program).err().unwrap().to_string();
            assert!(refusal.contains(program) && refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn a_guest_for_a_processor_that_is_not_run_is_not_started() {
        let file = || OwnedFd::from(File::open("/dev/null").unwrap());
        let spec = GuestSpec {
            name: "a".to_owned(),
            role: Role::Function,
            image: [0; 32],
            architecture: Architecture::Aarch64,
            memory_mib: 64,
            command_line: String::new(),
            seed: [0; 32],
            time_unix_us: 0,
            loader: file(),
            application: file(),
            port: PortId(1),
            control: Control::Network(Endpoint::new(GATEWAY, CONTROL_PORT)),
            link: file(),
            mac: [2, 0, 0, 0, 0, 7],
            time_limit: None,
        };
        let refusal = backend().start(spec).err().unwrap();
        assert!(matches!(refusal, BackendError::Spec { .. }), "{refusal}");
    }
}
