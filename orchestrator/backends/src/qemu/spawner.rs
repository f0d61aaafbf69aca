//! The thread that starts QEMU processes. It lives as long as this process: they are told to die with the thread that starts
//! them, so they die with the daemon, however it ends.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::guest::{Held, QemuGuest};

type Request = (Command, Option<Duration>, Held, Sender<io::Result<Arc<QemuGuest>>>);

#[derive(Clone)]
pub(super) struct Spawner(Sender<Request>);

impl Spawner {
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn new() -> io::Result<Self> {
        let (spawner, requests) = channel::<Request>();
        thread::Builder::new().name("fades-spawn".to_owned()).spawn(move || {
            for (command, time_limit, held, answer) in requests {
                // Whoever asked may have gone; dropping the guest then ends it.
                let _ = answer.send(QemuGuest::spawn(command, time_limit, held));
            }
            // The processes must outlive this loop only as long as the daemon does: parking keeps them from dying with
            // this thread when the backend is dropped before its guests are.
            loop {
                thread::park();
            }
        })?;
        Ok(Self(spawner))
    }

    /// Starts a process; `held` is given up when it is gone. What `command` inherits must be open until this returns.
    ///
    /// # Errors
    /// As [`QemuGuest::spawn`] has them.
    pub(super) fn spawn(
        &self,
        command: Command,
        time_limit: Option<Duration>,
        held: Held,
    ) -> io::Result<Arc<QemuGuest>> {
        let (answer, started) = channel();
        let gone = || io::Error::other("the thread that starts guests has ended");
        self.0.send((command, time_limit, held, answer)).map_err(|_| gone())?;
        started.recv().map_err(|_| gone())?
    }
}
