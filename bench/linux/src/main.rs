//! The first process of the Linux guest: makes of Linux what a function finds in a unikernel, and runs the function.
//!
//! ```text
//! proc --> kernel's command line --> modules --> interface: address, mask, MTU --> /function, with its variables --> reset
//! ```
//! The function is the same crate as in the unikernel, built for Linux. It reads the same variables.

mod interface;
mod line;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

use interface::Interface;
use line::Line;

/// Names of modules, a line each, in the order in which they are loaded.
const ORDER: &str = "/modules/order";
const FUNCTION: &str = "/function";
/// The only device.
const DEVICE: &str = "eth0";
/// Made in front of it where it sends what only another Linux would understand.
const BRIDGE: &str = "br0";

/// Why no function runs.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// A system call, or a file.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// How it failed.
        source: std::io::Error,
    },
    /// The command line.
    #[error(transparent)]
    Line(#[from] line::LineError),
}

fn main() -> ExitCode {
    if let Err(failure) = run() {
        tell(&failure.to_string());
    }
    // A monitor that restarts nothing ends here.
    if let Err(error) = reboot(RebootCommand::Restart) {
        tell(&format!("the machine cannot be reset: {error}"));
    }
    ExitCode::FAILURE
}

fn run() -> Result<(), Failure> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |source: rustix::io::Errno| Failure::System { what, source: source.into() }
    };
    mount("proc", "/proc", "proc", MountFlags::empty(), None).map_err(system("mount /proc"))?;
    let line = Line::parse(&read("/proc/cmdline")?)?;
    for module in read(ORDER)?.lines() {
        let path = Path::new(ORDER).with_file_name(module);
        let file = File::open(&path)
            .map_err(|source| Failure::System { what: format!("open {}", path.display()), source })?;
        finit_module(&file, c"", 0).map_err(system(&format!("load {module}")))?;
    }
    let mut interface = Interface::wait(DEVICE).map_err(system("wait for the network device"))?;
    interface.set_up().map_err(system("set the network device up"))?;
    interface.wait_until_it_is_joined().map_err(system("wait for the network device's other end"))?;
    interface.set_mtu(line.mtu).map_err(system("set the MTU"))?;
    if !interface.sends_whole_frames().map_err(system("ask for checksums"))? {
        interface = Interface::bridge(BRIDGE, &interface).map_err(system("make a bridge"))?;
        interface.wait_until_it_is_joined().map_err(system("wait for the bridge"))?;
        interface.set_mtu(line.mtu).map_err(system("set the bridge's MTU"))?;
    }
    interface.set_address(line.address, line.mask).map_err(system("give the interface its address"))?;
    let status = Command::new(FUNCTION)
        .envs(line.variables)
        .status()
        .map_err(|source| Failure::System { what: format!("start {FUNCTION}"), source })?;
    if !status.success() {
        tell(&format!("the function ended with {status}"));
    }
    Ok(())
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::System { what: format!("read {path}"), source })
}

/// On the console. There is nobody to tell if that fails.
fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "linux guest: {what}");
}
