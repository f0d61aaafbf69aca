//! One QEMU with a loader and an application: its arguments, its end.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xtask::images::probe;

/// Every machine that an image is to boot on, with and without the small firmware.
pub(crate) const MACHINES: [&[&str]; 5] = [
    &["-M", "pc"],
    &["-M", "pc", "-bios", "qboot.rom"],
    &["-M", "q35"],
    &["-M", "q35", "-bios", "qboot.rom"],
    &["-M", "microvm"],
];
/// The one that the node uses.
pub(crate) const USUAL: &[&str] = MACHINES[1];
/// Far above what a boot takes under emulation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running machine; killed when dropped.
pub(crate) struct Machine {
    qemu: Child,
    console: Option<JoinHandle<String>>,
}

/// How a machine ended: QEMU's status, `None` if it had to be killed, and its console.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) console: String,
}

impl Ended {
    /// The one line that starts so, without its start.
    pub(crate) fn line(&self, mark: &str) -> &str {
        let mut lines = self.console.lines().filter_map(|line| line.strip_prefix(mark));
        let line = lines.next().unwrap_or_else(|| panic!("no line {mark:?} in {self:?}"));
        assert_eq!(lines.next(), None, "{self:?}");
        line
    }

    /// The same, read as JSON.
    pub(crate) fn json(&self, mark: &str) -> serde_json::Value {
        serde_json::from_str(self.line(mark)).unwrap()
    }
}

impl Machine {
    /// Starts a machine; `more` are further options.
    pub(crate) fn start(
        machine: &[&str],
        memory_mib: u32,
        application: &Path,
        command_line: &str,
        more: &[&str],
    ) -> Self {
        let (loader, _) = probe("hello").unwrap();
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(machine)
            .args(["-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-no-reboot"])
            .args([
                "-display",
                "none",
                "-serial",
                "stdio",
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=0x04",
            ])
            .args(["-m", &format!("{memory_mib}M"), "-append", command_line])
            .arg("-kernel")
            .arg(loader)
            .arg("-initrd")
            .arg(application)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = qemu.stdout.take().unwrap();
        let console = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).replace('\r', "")
        });
        Self { qemu, console: Some(console) }
    }

    /// Waits for its end, and kills it when that does not come in this time.
    pub(crate) fn end_within(mut self, time: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.qemu.try_wait().unwrap() {
                break status.code();
            }
            if begun.elapsed() > time {
                self.qemu.kill().unwrap();
                self.qemu.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended { status, console: self.console.take().unwrap().join().unwrap() }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Already ended is what is wanted.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Boots and waits for the end. Small machines have no timer to measure their clock by, so they are told.
pub(crate) fn boot(
    machine: &[&str],
    memory_mib: u32,
    application: &Path,
    command_line: &str,
    time: Duration,
) -> Ended {
    let command_line = format!("-freq 2000 {command_line}");
    Machine::start(machine, memory_mib, application, &command_line, &[]).end_within(time)
}

/// What QEMU ends with for a guest's code.
pub(crate) fn status(code: i32) -> Option<i32> {
    Some(code << 1 | 1)
}
