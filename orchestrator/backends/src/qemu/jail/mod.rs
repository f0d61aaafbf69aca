//! The jail of a monitor: what a QEMU that its guest has taken over still cannot do.
//!
//! | defence | who has it | what is left to the monitor |
//! |---|---|---|
//! | [`Defence::Limits`] | every monitor | bounded memory, files, processor time; no core, no file that grows; no privilege, now or by `exec` |
//! | [`Defence::Calls`] | where seccomp is | no new process, no socket, no signal, no name of a file to make or change ([`calls`]) |
//! | [`Defence::View`] | where Landlock is | to read what QEMU is made of, to run itself, KVM's device ([`view`]) |
//! | [`Defence::User`] | where the daemon is root | a user id of the guest's own, without groups ([`users`]) |
//! | [`Defence::Network`] | where the daemon is root | namespaces of network, IPC and host names with nothing in them |
//!
//! What the machine gives is found by trying each in a child that ends there, and by running the probe guest in all of them
//! together. What it does not give is told with the reason; nothing is left off silently.
//!
//! To add a defence: a word in [`Defence`], its trial in [`Jail::of`], its system calls in [`cell`], an act that it forbids
//! in the tests, and a line in the API's `defence_words`.

mod calls;
mod cell;
#[cfg(test)]
mod tests;
mod users;
mod view;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::thread::Gid;

use self::calls::Filters;
pub(crate) use self::cell::Cell;
use self::users::Users;
use super::Accelerator;

/// Something that stands between a monitor and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defence {
    /// Limits of memory, files and processor time, and no privileges.
    Limits,
    /// A filter of system calls, beside QEMU's own.
    Calls,
    /// The part of the host's files that can be reached.
    View,
    /// A user id of its own.
    User,
    /// Namespaces without a network.
    Network,
}

impl Defence {
    /// Each, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Limits, Self::Calls, Self::View, Self::User, Self::Network];

    /// Its name in `status` and in receipts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limits => "monitor-limits",
            Self::Calls => "monitor-seccomp",
            Self::View => "monitor-landlock",
            Self::User => "monitor-own-user",
            Self::Network => "monitor-own-network",
        }
    }
}

/// What this machine gives to keep monitors in.
#[derive(Debug, Clone)]
pub struct Jail {
    filters: Option<Arc<Filters>>,
    view: Option<Arc<OwnedFd>>,
    users: Option<Arc<Users>>,
    /// Of the device that a monitor with a user of its own has to open.
    group: Option<Gid>,
    network: bool,
    lacks: Vec<(Defence, String)>,
}

impl Jail {
    /// What this machine gives for monitors that are these programs on this accelerator. `node` names the node's folder among all
    /// of this machine, so that its user ids are no other node's.
    #[must_use]
    pub fn of(programs: &[&str], accelerator: Accelerator, node: &str) -> Self {
        let mut jail = Self::bare();
        jail.lacks.clear();
        let programs: Vec<PathBuf> = programs.iter().filter_map(|program| located(program)).collect();
        let view = view::of(&programs, accelerator);
        jail.view = jail.given(
            Defence::View,
            view.and_then(|view| {
                let view = Arc::new(view);
                let tried = Arc::clone(&view);
                trial(move || cell::look_through(&tried)).map(|()| view)
            }),
        );
        let filters = calls::filters().and_then(|filters| {
            let filters = Arc::new(filters);
            let tried = Arc::clone(&filters);
            trial(move || tried.apply()).map(|()| filters)
        });
        jail.filters = jail.given(Defence::Calls, filters);
        let device = Some(Path::new(view::KVM)).filter(|_| accelerator == Accelerator::Kvm);
        let user = users::group_of(device).and_then(|group| {
            let users = Users::of(node);
            let tried = users.first();
            trial(move || cell::become_user(tried, group)).map(|()| (Arc::new(users), group))
        });
        (jail.users, jail.group) =
            jail.given(Defence::User, user).map_or((None, None), |(users, group)| (Some(users), group));
        jail.network = jail.given(Defence::Network, trial(cell::leave_the_network)).is_some();
        jail
    }

    /// None but the limits.
    #[must_use]
    pub fn bare() -> Self {
        let lacks = Defence::ALL.into_iter().skip(1).map(|defence| (defence, "not asked for".to_owned()));
        Self { filters: None, view: None, users: None, group: None, network: false, lacks: lacks.collect() }
    }

    /// This one but for `defence`, and why.
    #[must_use]
    pub(crate) fn without(&self, defence: Defence, why: &str) -> Self {
        let mut other = self.clone();
        match defence {
            Defence::Limits => return other,
            Defence::Calls => other.filters = None,
            Defence::View => other.view = None,
            Defence::User => other.users = None,
            Defence::Network => other.network = false,
        }
        other.lacks.retain(|(lacking, _)| *lacking != defence);
        other.lacks.push((defence, why.to_owned()));
        other
    }

    /// What is not given, and why.
    #[must_use]
    pub fn lacks(&self) -> &[(Defence, String)] {
        &self.lacks
    }

    /// Whether this is given.
    #[must_use]
    pub fn has(&self, defence: Defence) -> bool {
        self.lacks.iter().all(|(lacking, _)| *lacking != defence)
    }

    /// A place in it for one monitor.
    pub(crate) fn cell(&self) -> Cell {
        Cell {
            filters: self.filters.clone(),
            view: self.view.clone(),
            user: self.users.as_ref().map(Users::lease),
            group: self.group,
            network: self.network,
        }
    }

    fn given<T>(&mut self, defence: Defence, found: io::Result<T>) -> Option<T> {
        match found {
            Ok(given) => Some(given),
            Err(error) => {
                self.lacks.push((defence, error.to_string()));
                None
            }
        }
    }
}

/// Where the program is that is started by this name.
fn located(program: &str) -> Option<PathBuf> {
    let beside = super::child::PATH.split(':').map(|folder| Path::new(folder).join(program));
    beside.filter(|_| !program.contains('/')).chain([PathBuf::from(program)]).find(|path| path.is_file())
}

/// Does `act` in a child, which ends with it.
fn trial(act: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
    let mut command = Command::new("/");
    // SAFETY: what is tried consists of system calls only (each says so), and ends before the program would begin.
    unsafe { command.pre_exec(move || act().and(Err(Errno::CANCELED.into()))) };
    match command.spawn() {
        Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => Ok(()),
        Err(error) => Err(error),
        Ok(mut child) => child.kill().and_then(|()| child.wait()).and(Err(io::ErrorKind::Unsupported.into())),
    }
}
