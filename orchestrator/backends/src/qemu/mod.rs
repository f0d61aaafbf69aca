//! QEMU as a backend, by hardware (KVM) or by its own code generator (TCG).
//!
//! One process per guest, started from a thread that lives as long as the backend: the processes are told to die with that
//! thread, so they die with the daemon, however it ends.

mod child;
mod command;
mod guest;
pub(crate) mod probe;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use fades_core::backend::{Backend, BackendError, BackendKind, Guest, GuestSpec, Orphan};

use self::guest::QemuGuest;
use crate::orphans;

/// The program that Debian's package `qemu-system-x86` installs.
pub const PROGRAM: &str = "qemu-system-x86_64";

type Started = Result<Arc<QemuGuest>, BackendError>;
type Request = (GuestSpec, Sender<Started>);

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
    spawner: Sender<Request>,
}

impl QemuBackend {
    /// A backend on `accelerator` for the node folder that `node` names (letters, digits and dashes): guests of other nodes on the
    /// same machine are left alone when orphans are ended.
    ///
    /// # Errors
    /// When the spawning thread cannot be started.
    pub fn new(accelerator: Accelerator, program: &str, node: &str) -> Result<Self, BackendError> {
        let prefix = format!("fades:{node}:");
        let (spawner, requests) = channel::<Request>();
        let (program, names) = (program.to_owned(), prefix.clone());
        thread::Builder::new()
            .name("fades-spawn".to_owned())
            .spawn(move || {
                for (spec, answer) in requests {
                    // Whoever asked may have gone; dropping the guest then ends it.
                    let _ = answer.send(start(accelerator, &program, &names, spec));
                }
                // The processes must outlive this loop only as long as the daemon does: parking keeps them from dying with
                // this thread when the backend is dropped before its guests are.
                loop {
                    thread::park();
                }
            })
            .map_err(|source| BackendError::Io {
                action: "start the thread that starts guests".to_owned(),
                source,
            })?;
        Ok(Self { accelerator, prefix, spawner })
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
        let (answer, started) = channel();
        if self.spawner.send((spec, answer)).is_err() {
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

fn start(accelerator: Accelerator, program: &str, prefix: &str, spec: GuestSpec) -> Started {
    if !spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || spec.name.is_empty() {
        return Err(BackendError::Spec {
            name: spec.name,
            reason: "a guest's name has letters, digits and dashes only".to_owned(),
        });
    }
    let name = format!("{prefix}{}", spec.name);
    let arguments = command::arguments(&command::Invocation {
        accelerator,
        name: &name,
        memory_mib: spec.memory_mib,
        command_line: &spec.command_line,
        loader: spec.loader.as_raw_fd(),
        application: spec.application.as_raw_fd(),
        link: spec.link.as_raw_fd(),
        mac: spec.mac,
    });
    let files = [spec.loader.as_fd(), spec.application.as_fd(), spec.link.as_fd()];
    let command = child::command(program, &arguments, &files, &child::Limits::guest(spec.memory_mib));
    QemuGuest::spawn(command, spec.time_limit).map_err(|source| BackendError::Io {
        action: format!("start {program} for guest {}", spec.name),
        source,
    })
}
