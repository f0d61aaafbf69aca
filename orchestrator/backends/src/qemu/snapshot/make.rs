//! Boots a function and saves it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fades_core::backend::{Architecture, Guest as _};
use fades_wire::control::FromGuest;
use fades_wire::region::Birth;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::rand::{GetRandomFlags, getrandom};

use super::qmp::{Qmp, QmpError};
use super::state::{StateError, unplace_region};
use super::{Monitor, PATIENCE, Saved, Wished, size_of_file};
use crate::qemu::Accelerator;
use crate::qemu::child::{self, Limits};
use crate::qemu::command::{self, Boot, Invocation, Machine, Saving, Shared};
use crate::qemu::guest::{Held, QemuGuest};
use crate::qemu::jail::Jail;
use crate::qemu::regions::Alone;
use crate::qemu::spawner::Spawner;

/// After its hello a function looks whether that was read, rehearses its waking, and then sleeps (`fades_guest`, `dormant`): some 35 ms.
/// One that is saved before goes on with that before it says a word. Nobody waits for who is saved.
const ASLEEP: Duration = Duration::from_millis(500);
/// A state is 0.2 MB, whatever memory the guest has.
const LARGEST_STATE: u64 = 16 << 20;

/// Why a function could not be saved.
#[derive(Debug, thiserror::Error)]
pub(in crate::qemu) enum MakeError {
    #[error("{action}")]
    Io { action: &'static str, source: io::Error },
    #[error("its monitor")]
    Qmp(#[from] QmpError),
    #[error("it said {0} instead of a hello")]
    NoHello(&'static str),
    #[error("its state is over {LARGEST_STATE} bytes")]
    TooLarge,
    #[error(transparent)]
    State(#[from] StateError),
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> MakeError {
    move |source| MakeError::Io { action, source }
}

/// What makes snapshots.
pub(in crate::qemu) struct Maker {
    pub(in crate::qemu) spawner: Spawner,
    pub(in crate::qemu) accelerator: Accelerator,
    pub(in crate::qemu) program: String,
    pub(in crate::qemu) jail: Jail,
    /// What the names of its guests begin with.
    pub(in crate::qemu) prefix: String,
}

impl Maker {
    pub(super) fn make(&self, wish: &Wished) -> Result<Saved, MakeError> {
        // Neither its turn nor its seed is anybody else's: what it draws before it is saved, all have that go on from it.
        let seed = seed().map_err(failed("draw its seed"))?;
        let command_line = with_seed(&wish.command_line, &seed);
        let mut region = Alone::new(&Birth { turn: Birth::SAVED, time_unix_us: 0, seed })
            .map_err(failed("make memory to share with it"))?;
        let ram = memfd_create("fades-saved", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let ram = ram.map_err(io::Error::from).map_err(failed("make its memory"))?;
        ftruncate(&ram, u64::from(wish.kind.memory_mib) << 20)
            .map_err(io::Error::from)
            .map_err(failed("make its memory"))?;
        let (line, theirs) = UnixStream::pair().map_err(failed("make a control connection"))?;
        let guest =
            self.boot(wish, &command_line, &region, &ram, &theirs).map_err(failed("start its monitor"))?;
        drop(theirs);
        let mut line = Qmp::open(line, PATIENCE)?;
        let monitor =
            Monitor::of(&line, guest.process_id()).map_err(failed("look at its monitor's program"))?;
        match region.first(PATIENCE).map_err(failed("wait for its hello"))? {
            FromGuest::Hello(_) => {}
            FromGuest::Failed(_) => return Err(MakeError::NoHello("that it failed")),
            _ => return Err(MakeError::NoHello("something else")),
        }
        thread::sleep(ASLEEP);
        let mut state = save(&mut line)?;
        guest.kill();
        // Then nobody writes its memory any more.
        let _ = guest.wait();
        unplace_region(&mut state)?;
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&ram, seals).map_err(io::Error::from).map_err(failed("seal its memory"))?;
        let state = sealed(&state, seals).map_err(failed("keep its state"))?;
        let bytes = size_of_file(&ram) + size_of_file(&state);
        Ok(Saved { ram, state, monitor, bytes })
    }

    fn boot(
        &self,
        wish: &Wished,
        command_line: &str,
        region: &Alone,
        ram: &OwnedFd,
        line: &UnixStream,
    ) -> io::Result<Arc<QemuGuest>> {
        let name = format!("{}snapshot", self.prefix);
        let arguments = command::arguments(&Invocation {
            accelerator: self.accelerator,
            name: &name,
            memory_mib: wish.kind.memory_mib,
            machine: Machine::of(Architecture::NATIVE, &wish.command_line),
            boot: Some(Boot {
                command_line,
                loader: wish.loader.as_raw_fd(),
                application: wish.application.as_raw_fd(),
            }),
            saving: Some(Saving { ram: ram.as_raw_fd(), line: line.as_raw_fd() }),
            network: None,
            region: Some(Shared { server: region.server.client.as_raw_fd(), others: Vec::new() }),
        });
        let files = [
            wish.loader.as_fd(),
            wish.application.as_fd(),
            ram.as_fd(),
            line.as_fd(),
            region.server.client.as_fd(),
        ];
        let limits = Limits::guest(wish.kind.memory_mib).with_regions(1).on(self.accelerator);
        let (limits, cell) = (limits.within(Some(2 * PATIENCE)), Arc::new(self.jail.cell()));
        let command = child::command(&self.program, &arguments, &files, &limits, &cell);
        self.spawner.spawn(command, Some(2 * PATIENCE), Held { _cell: cell, ..Held::default() })
    }
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        filled += getrandom(&mut seed[filled..], GetRandomFlags::empty())?;
    }
    Ok(seed)
}

/// The command line of another guest with a seed of its own (`fades_wire::boot`).
fn with_seed(command_line: &str, seed: &[u8; 32]) -> String {
    const SEED: &str = "env=FADES_SEED=";
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let word = |word: &str| if word.starts_with(SEED) { format!("{SEED}{digits}") } else { word.to_owned() };
    command_line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// What the monitor writes of its guest, all but its memory.
fn save(line: &mut Qmp) -> Result<Vec<u8>, MakeError> {
    let (ours, theirs) = UnixStream::pair().map_err(failed("make a way for its state"))?;
    line.save(theirs.as_fd())?;
    drop(theirs);
    let until = Instant::now() + PATIENCE;
    let (mut state, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        ours.set_read_timeout(Some(left)).map_err(failed("read its state"))?;
        let count = (&ours).read(&mut piece).map_err(failed("read its state"))?;
        if count == 0 {
            break;
        }
        state.extend_from_slice(&piece[..count]);
        if state.len() as u64 > LARGEST_STATE {
            return Err(MakeError::TooLarge);
        }
    }
    line.migrated()?;
    Ok(state)
}

fn sealed(bytes: &[u8], seals: SealFlags) -> io::Result<OwnedFd> {
    let file = memfd_create("fades-state", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_exchanged_and_nothing_else() {
        let line = "-ip 10.77.0.2 env=FADES_SEED=00 env=FADES_TIME=7";
        let wanted = format!("-ip 10.77.0.2 env=FADES_SEED={} env=FADES_TIME=7", "ab".repeat(32));
        assert_eq!(with_seed(line, &[0xab; 32]), wanted);
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
