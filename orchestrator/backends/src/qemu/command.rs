//! The argument list of one QEMU process. Pure: nothing here touches the system, and nothing of a task's text gets in.

use std::os::fd::RawFd;

use super::Accelerator;

/// What one QEMU process is told. Numbers and our own names only.
pub(crate) struct Invocation<'a> {
    pub(crate) accelerator: Accelerator,
    /// `fades:<node>:<guest>`; also how orphans are recognised. Commas would start a new option, so they are doubled.
    pub(crate) name: &'a str,
    pub(crate) memory_mib: u32,
    pub(crate) command_line: &'a str,
    pub(crate) loader: RawFd,
    pub(crate) application: RawFd,
    pub(crate) link: RawFd,
    pub(crate) mac: [u8; 6],
}

/// Port of `isa-debug-exit`, by which a guest gives its exit code: the process ends with `code << 1 | 1`.
pub(crate) const EXIT_PORT: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";

/// Arguments that every QEMU of ours has: no default device, no configuration of the user, no display, no monitor,
/// a seccomp filter that denies other programs, other users and resource changes.
pub(crate) fn bare(accelerator: Accelerator) -> Vec<String> {
    let (accelerator, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // Translation buffer in MiB: guests are small, and each buffer is resident memory of its process.
        Accelerator::Tcg => ("tcg,tb-size=32", "max"),
    };
    [
        "-machine",
        "pc,graphics=off,usb=off,vmport=off,hpet=off",
        "-bios",
        "qboot.rom",
        "-accel",
        accelerator,
        "-cpu",
        processor,
        "-smp",
        "1",
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-monitor",
        "none",
        "-parallel",
        "none",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-device",
        EXIT_PORT,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The whole argument list for a guest.
pub(crate) fn arguments(guest: &Invocation<'_>) -> Vec<String> {
    let mac = guest.mac.map(|byte| format!("{byte:02x}")).join(":");
    let mut arguments = bare(guest.accelerator);
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-name", format!("guest={}", guest.name.replace(',', ",,")));
    add("-m", format!("{}M", guest.memory_mib));
    add("-serial", "stdio".to_owned());
    // Sealed memory files, not names: what was verified is what boots.
    add("-kernel", format!("/proc/self/fd/{}", guest.loader));
    add("-initrd", format!("/proc/self/fd/{}", guest.application));
    add("-append", guest.command_line.to_owned());
    add("-netdev", format!("stream,id=net0,server=off,addr.type=fd,addr.str={}", guest.link));
    add("-device", format!("virtio-net-pci,netdev=net0,mac={mac},romfile=,disable-legacy=on"));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Vec<String> {
        arguments(&Invocation {
            accelerator: Accelerator::Tcg,
            name,
            memory_mib: 64,
            command_line: "-ip 10.77.0.2",
            loader: 5,
            application: 6,
            link: 7,
            mac: [2, 0, 0, 0, 0, 9],
        })
    }

    #[test]
    fn a_comma_in_a_name_starts_no_option() {
        let arguments = sample("a,debug-threads=on");
        assert!(arguments.contains(&"guest=a,,debug-threads=on".to_owned()));
    }

    #[test]
    fn every_guest_is_bare_and_sandboxed() {
        let arguments = sample("g");
        for wanted in ["-nodefaults", "-no-user-config", "-sandbox", "-no-reboot"] {
            assert!(arguments.iter().any(|a| a == wanted), "{wanted} missing");
        }
        assert!(arguments.contains(
            &"virtio-net-pci,netdev=net0,mac=02:00:00:00:00:09,romfile=,disable-legacy=on".to_owned()
        ));
    }
}
