//! What `xl` is told to build: text for its configuration file (xl.cfg(5)), from checked values only.
//!
//! `xl` reads a small language: `key="text"`, `key=number`, `key=["text", …]`, where text in quotes knows escapes.
//! Nothing here needs one: a value that would is refused, so that what is written is what is read. A `vif` entry is a
//! language of its own inside, split at commas and `=`, which its values do not have either.
//!
//! The kernel is an ELF file with the note `Xen`/18 (PHYS32_ENTRY), which is all that `type="pvh"` with `kernel=`
//! asks for; it enters in 32-bit protected mode. `cmdline=` is passed on as it is (`extra=` and `root=` would add).

mod value;

pub use value::{CommandLine, ConfigError, FilePath, InterfaceName, Mac, Memory, Uuid};

use crate::DomainName;
use std::fmt::Write as _;

/// One PVH domain with one processor, no disks, no devices but perhaps one network device and the console that every
/// domain has. Whatever ends it, it is destroyed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainConfig {
    /// Its name.
    pub name: DomainName,
    /// Its number; one is drawn when there is none.
    pub uuid: Option<Uuid>,
    /// What is booted: an ELF file with a PVH entry.
    pub kernel: FilePath,
    /// What is loaded beside it.
    pub ramdisk: Option<FilePath>,
    /// What both are told.
    pub command_line: CommandLine,
    /// Its memory, from the start to the end.
    pub memory: Memory,
    /// Its network device.
    pub network: Option<Network>,
}

/// A network device that is joined to nothing: what carries its frames is up to whoever opens the device in dom0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The domain's address.
    pub mac: Mac,
    /// What dom0 calls the device, if `script` gives it that name; the kernel's own is `vif<domain>.0`.
    pub interface: Option<InterfaceName>,
    /// The program that libxl runs in dom0 when the device comes and goes.
    pub script: FilePath,
}

impl DomainConfig {
    /// The configuration as `xl` reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("type=\"pvh\"\n");
        let mut add = |key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key}=\"{value}\"");
        };
        add("name", self.name.as_str());
        if let Some(uuid) = self.uuid {
            add("uuid", &uuid.to_string());
        }
        add("kernel", self.kernel.as_str());
        if let Some(ramdisk) = &self.ramdisk {
            add("ramdisk", ramdisk.as_str());
        }
        add("cmdline", self.command_line.as_str());
        for event in ["poweroff", "reboot", "watchdog", "crash", "soft_reset"] {
            add(&format!("on_{event}"), "destroy");
        }
        let memory = self.memory.get();
        let _ = write!(text, "memory={memory}\nmaxmem={memory}\nvcpus=1\nmaxvcpus=1\n");
        if let Some(Network { mac, interface, script }) = &self.network {
            let name = interface.as_ref().map(|name| format!(",vifname={name}")).unwrap_or_default();
            let _ = writeln!(text, "vif=[\"mac={mac}{name},script={script}\"]");
        }
        text
    }
}
