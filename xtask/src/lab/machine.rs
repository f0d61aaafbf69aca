//! The emulated machine around a lab.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::StoodStill;
use super::emulator::Emulator;

/// SVM for domains of their own processor mode, and what guests' kernels ask of a processor. Nested paging, whatever stands at
/// [`PROCESSOR`]: Debian builds Xen without the other kind.
const XEN_PROCESSOR: &str = "qemu64,+svm,+npt,+fsgsbase,+rdrand";
/// One for dom0, and both for its domains. With two of its own Linux' clock stands still now and then, as it must not go
/// back when the emulated processors' counters differ.
const XEN_PROCESSORS: &str = "2";
/// The console on the serial port; the half of the memory for Linux, so that the other half is for domains.
const XEN_ARGUMENTS: &str = "console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M dom0_max_vcpus=1 dom0_vcpus_pin loglvl=warning guest_loglvl=warning noreboot";

/// A machine to be booted.
pub(super) struct Boot<'a> {
    /// What it runs in.
    pub(super) emulator: &'a Emulator,
    /// The hypervisor that is booted first, if any.
    pub(super) hypervisor: Option<&'a Path>,
    /// Linux, as a boot loader takes it.
    pub(super) kernel: &'a Path,
    /// Its first and only file system.
    pub(super) archive: &'a Path,
    /// The folder that both sides see: `/out` inside.
    pub(super) out: &'a Path,
    /// Whether it sees this machine's files, read-only.
    pub(super) around: bool,
    /// Whether somebody types into it.
    pub(super) console: bool,
    /// When it is ended, whatever it does.
    pub(super) limit: Option<Duration>,
}

/// Ends the machine when whoever waits for it goes away.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As many as this machine has at least.
const PROCESSORS: &str = "2";
/// All that the emulator can.
const PROCESSOR: &str = "max";

/// Boots it, with its console on this one, and waits for its end.
pub(super) fn boot(boot: &Boot<'_>) -> Result<()> {
    let mut command = boot.emulator.command();
    command.args(["-m", "3G", "-accel", "tcg,thread=multi,tb-size=512"]).args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    match boot.hypervisor {
        None => command
            .args(["-cpu", PROCESSOR, "-smp", PROCESSORS])
            .arg("-kernel")
            .arg(boot.kernel)
            .arg("-initrd")
            .arg(boot.archive)
            .args(["-append", "console=ttyS0 quiet panic=-1"]),
        // Multiboot: what the hypervisor starts is its first module, with arguments. `max` has what crashes dom0.
        Some(hypervisor) => command
            .args(["-cpu", XEN_PROCESSOR, "-smp", XEN_PROCESSORS])
            .arg("-kernel")
            .arg(hypervisor)
            .arg("-initrd")
            .arg(format!("{} console=hvc0 quiet panic=-1,{}", boot.kernel.display(), boot.archive.display()))
            .args(["-append", XEN_ARGUMENTS]),
    };
    command
        .arg("-fsdev")
        .arg(format!(
            "local,id=out,security_model=none,path={}",
            boot.out.display().to_string().replace(',', ",,")
        ))
        .args(["-device", "virtio-9p-pci,fsdev=out,mount_tag=out"]);
    if boot.around {
        command
            .args(["-fsdev", "local,id=around,security_model=none,multidevs=remap,readonly=on,path=/"])
            .args(["-device", "virtio-9p-pci,fsdev=around,mount_tag=around"]);
    }
    if boot.console {
        // What is typed goes inside, the interrupt key too.
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    } else {
        command.args(["-serial", "stdio"]).stdin(Stdio::null());
    }
    let mut machine = Machine(command.spawn().context("start the lab's QEMU")?);
    let started = Instant::now();
    loop {
        if let Some(status) = machine.0.try_wait().context("wait for the lab's machine")? {
            if !status.success() {
                return Err(StoodStill(format!("it ended with {status}")).into());
            }
            return Ok(());
        }
        if let Some(limit) = boot.limit.filter(|limit| started.elapsed() > *limit) {
            return Err(StoodStill(format!("it did not end within {} s", limit.as_secs())).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
