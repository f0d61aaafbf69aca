//! The argument list of one QEMU process. Pure: nothing here touches the system, and nothing of a task's text gets in.

use std::os::fd::RawFd;

use fades_core::backend::Architecture;
use fades_wire::region::{MAX_REGIONS, REGION_LEN};

use super::Accelerator;

/// What one QEMU process is told. Numbers and our own names only.
pub(crate) struct Invocation<'a> {
    pub(crate) accelerator: Accelerator,
    /// `fades:<node>:<guest>`; also how orphans are recognised. Commas would start a new option, so they are doubled.
    pub(crate) name: &'a str,
    pub(crate) memory_mib: u32,
    pub(crate) machine: Machine,
    /// `None`: it waits for the state of another one, and goes on there.
    pub(crate) boot: Option<Boot<'a>>,
    pub(crate) saving: Option<Saving>,
    /// The end of the link, and the address of the device on it.
    pub(crate) network: Option<(RawFd, [u8; 6])>,
    pub(crate) region: Option<Shared>,
}

/// What a guest begins with.
pub(crate) struct Boot<'a> {
    pub(crate) command_line: &'a str,
    pub(crate) loader: RawFd,
    pub(crate) application: RawFd,
}

/// What it takes to save a guest, or to go on as a saved one.
pub(crate) struct Saving {
    /// The guest's memory. One that boots writes there; one that goes on has pages of its own where it writes.
    pub(crate) ram: RawFd,
    /// Where QEMU takes commands (QMP).
    pub(crate) line: RawFd,
}

/// Memory that a guest shares.
pub(crate) struct Shared {
    /// Where QEMU is told of the guest's own region and of the bells.
    pub(crate) server: RawFd,
    /// The regions of functions, for a broker.
    pub(crate) others: Vec<RawFd>,
}

/// Devices of others' regions, from this one on; the guest's own is the one before.
const FIRST_OTHER: usize = 4;
/// Functions that a device has on its bus.
const PER_DEVICE: usize = 8;
/// Devices on a bus.
const DEVICES: usize = 32;
const _: () = assert!(MAX_REGIONS as usize <= (DEVICES - FIRST_OTHER) * PER_DEVICE);

/// The network device. What it offers besides is off, as QEMU has it: reports of hashes, scaling by them.
pub(crate) const NETWORK_DEVICE: &str = "virtio-net-pci,romfile=,disable-legacy=on";

/// Port of `isa-debug-exit`, by which a guest gives its exit code: the process ends with `code << 1 | 1`.
pub(crate) const EXIT_PORT: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";

/// The machine: what of a PC there is, or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// With the interval timer of 1981, by which a kernel that is not told its processor's frequency measures it.
    Whole,
    /// Without that timer, which runs from reset on, 18 times a second, and wakes the monitor twice each time, whether its guest sleeps
    /// or not: 2 ms of processor time a second for each that waits. And without ACPI, whose tables no kernel of ours reads:
    /// 8 ms of the monitor's start, and 0.5 MiB.
    Bare,
    /// QEMU's own machine of 64-bit Arm, with the interrupt controller that takes devices' messages.
    Virt,
}

impl Machine {
    /// What the kernel needs that is told this. One that goes on as another needs what that one had.
    pub(crate) fn of(architecture: Architecture, command_line: &str) -> Self {
        if architecture == Architecture::Aarch64 {
            return Self::Virt;
        }
        if command_line.split(' ').any(|word| word == "-freq") { Self::Bare } else { Self::Whole }
    }
}

/// Arguments that every QEMU of ours has: no default device, no configuration of the user, no display, no monitor,
/// a seccomp filter that denies other programs, other users and resource changes.
pub(crate) fn bare(accelerator: Accelerator, machine: Machine) -> Vec<String> {
    let board = match machine {
        Machine::Virt => "virt,gic-version=3,acpi=off,dtb-randomness=off",
        Machine::Whole => "pc,graphics=off,usb=off,vmport=off,hpet=off",
        // The processor's own timers are the kernel's affair under KVM, where this was not tried.
        Machine::Bare if accelerator == Accelerator::Kvm => "pc,graphics=off,usb=off,vmport=off,hpet=off",
        Machine::Bare => "pc,graphics=off,usb=off,vmport=off,hpet=off,acpi=off,pit=off",
    };
    // Translation buffer in MiB: guests are small, and each buffer is resident memory of its process.
    const TRANSLATOR: &str = "tcg,tb-size=32";
    let (accelerator, processor) = match (machine, accelerator) {
        // Another processor than this machine's, and the least that Linux' distributions want: a later one signs its pointers,
        // which is slow to emulate.
        (Machine::Virt, _) => (TRANSLATOR, "cortex-a72"),
        (_, Accelerator::Kvm) => ("kvm", "host"),
        (_, Accelerator::Tcg) => (TRANSLATOR, "max"),
    };
    let mut arguments = [
        "-machine",
        board,
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
    ]
    .map(str::to_owned)
    .to_vec();
    // Elsewhere there is neither: the loader is entered at once, and a kernel tells its code on the console.
    if machine != Machine::Virt {
        arguments.extend(["-bios", "qboot.rom", "-device", EXIT_PORT].map(str::to_owned));
    }
    arguments
}

/// The whole argument list for a guest.
pub(crate) fn arguments(guest: &Invocation<'_>) -> Vec<String> {
    let mut arguments = bare(guest.accelerator, guest.machine);
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-name", format!("guest={}", guest.name.replace(',', ",,")));
    add("-m", format!("{}M", guest.memory_mib));
    add("-serial", "stdio".to_owned());
    if let Some(boot) = &guest.boot {
        // Sealed memory files, not names: what was verified is what boots.
        add("-kernel", format!("/proc/self/fd/{}", boot.loader));
        add("-initrd", format!("/proc/self/fd/{}", boot.application));
        add("-append", boot.command_line.to_owned());
    } else {
        add("-incoming", "defer".to_owned());
    }
    if let Some(Saving { ram, line }) = &guest.saving {
        let (size, share) = (guest.memory_mib, if guest.boot.is_some() { "on" } else { "off" });
        let place = format!("id=ram,mem-path=/proc/self/fd/{ram},size={size}M,share={share}");
        add("-object", format!("memory-backend-file,{place}"));
        add("-machine", "memory-backend=ram".to_owned());
        add("-chardev", format!("socket,id=line,fd={line}"));
        add("-mon", "chardev=line,mode=control".to_owned());
    }
    if let Some((link, mac)) = guest.network {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        add("-netdev", format!("stream,id=net0,server=off,addr.type=fd,addr.str={link}"));
        add("-device", format!("{NETWORK_DEVICE},netdev=net0,mac={mac},addr=2.0"));
    }
    if let Some(Shared { server, others }) = &guest.region {
        // Their places are what the kernel looks for (kernel patch 0028).
        add("-chardev", format!("socket,id=bell,fd={server}"));
        add(
            "-device",
            format!("ivshmem-doorbell,chardev=bell,vectors=1,master=on,addr={}.0", FIRST_OTHER - 1),
        );
        for (index, other) in others.iter().enumerate() {
            let (device, function) = (FIRST_OTHER + index / PER_DEVICE, index % PER_DEVICE);
            let place = format!("id=region{index},mem-path=/proc/self/fd/{other},size={REGION_LEN},share=on");
            add("-object", format!("memory-backend-file,{place}"));
            let place = format!("addr={device:x}.{function},multifunction=on");
            add("-device", format!("ivshmem-plain,memdev=region{index},master=on,{place}"));
        }
    }
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
            machine: Machine::Whole,
            boot: Some(Boot { command_line: "-ip 10.77.0.2", loader: 5, application: 6 }),
            saving: None,
            network: Some((7, [2, 0, 0, 0, 0, 9])),
            region: Some(Shared { server: 8, others: (9..19).collect() }),
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
        assert!(
            arguments.contains(
                &"virtio-net-pci,romfile=,disable-legacy=on,netdev=net0,mac=02:00:00:00:00:09,addr=2.0"
                    .to_owned()
            )
        );
    }

    #[test]
    fn who_knows_its_frequency_has_no_timer_to_measure_it() {
        let of = |command_line: &str| {
            let machine = Machine::of(Architecture::X86_64, command_line);
            bare(Accelerator::Tcg, machine).iter().any(|word| word.contains("pit=off"))
        };
        assert!(of("-ip 10.77.0.2 -freq 2000") && !of("-ip 10.77.0.2") && !of("env=X=-freq"));
    }

    #[test]
    fn arm_is_always_translated_on_a_machine_of_its_own_without_a_way_to_the_hosts_files() {
        let machine = Machine::of(Architecture::Aarch64, "-freq 2000");
        for accelerator in [Accelerator::Kvm, Accelerator::Tcg] {
            let arguments = bare(accelerator, machine).join(" ");
            assert!(arguments.starts_with("-machine virt,gic-version=3,"), "{arguments}");
            assert!(arguments.contains("-accel tcg,") && arguments.contains("-sandbox on,"), "{arguments}");
            // By semihosting a guest could end QEMU with a code, and open the host's files.
            assert!(!arguments.contains("semihosting") && !arguments.contains("isa"), "{arguments}");
        }
    }

    #[test]
    fn regions_lie_where_the_kernel_looks_for_them() {
        let arguments = sample("g");
        let devices: Vec<&str> =
            arguments.iter().filter(|a| a.starts_with("ivshmem")).map(String::as_str).collect();
        assert_eq!(devices[0], "ivshmem-doorbell,chardev=bell,vectors=1,master=on,addr=3.0");
        assert_eq!(devices[1], "ivshmem-plain,memdev=region0,master=on,addr=4.0,multifunction=on");
        assert_eq!(devices[10], "ivshmem-plain,memdev=region9,master=on,addr=5.1,multifunction=on");
        let region = "memory-backend-file,id=region9,mem-path=/proc/self/fd/18,size=4194304,share=on";
        assert!(arguments.contains(&region.to_owned()));
    }
}
