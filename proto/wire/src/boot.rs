//! Boot parameters: everything that a guest learns before its first connection.
//!
//! | parameter | on the command line | read by | why |
//! |---|---|---|---|
//! | address, gateway, mask | `-ip -gateway -mask` | kernel | its interface |
//! | MTU | `env=HERMIT_MTU` (with 14 bytes of Ethernet header) | kernel | its interface |
//! | TCP buffer | `env=HERMIT_TCP_BUF` | kernel | throughput against memory |
//! | clock rate | `-freq` | kernel | small machines have no timer to measure it by |
//! | seed | `env=FADES_SEED` | kernel, which hides it | emulated machines have no entropy |
//! | time | `env=FADES_TIME` | kernel | there may be no clock |
//! | role | `env=FADES_ROLE` | application | refuses to serve as something else |
//! | control | `env=FADES_CONTROL` | application | where to connect, or `xenstore` |
//! | log level | `env=FADES_LOG` | application | what to report |
//!
//! Nothing else: no task, no source, no credential, no name of the node. Every value is a word of letters,
//! digits, dots, colons and dashes, so that the line needs no quoting.

use crate::address::Control;
use crate::ids::Role;
use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;
use core::net::Ipv4Addr;

/// Bytes of an Ethernet header, which the kernel counts into its MTU.
const ETHERNET_HEADER: u32 = 14;

const ROLE: &str = "FADES_ROLE";
const CONTROL: &str = "FADES_CONTROL";
const LOG: &str = "FADES_LOG";

/// What the host gives a guest at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootParameters {
    /// Its address.
    pub address: Ipv4Addr,
    /// The gateway's address.
    pub gateway: Ipv4Addr,
    /// Length of the network's prefix, 0 to 32 bits.
    pub mask_bits: u8,
    /// Largest IP packet, in bytes, without Ethernet's header.
    pub mtu: u16,
    /// Bytes of each TCP send and receive buffer.
    pub tcp_buffer: u32,
    /// Rate of the processor's time stamp counter; needed where the machine has no timer.
    pub tsc_mhz: Option<u32>,
    /// Random bytes for the kernel's generator. Fresh for each boot.
    pub seed: [u8; 32],
    /// The node's clock at boot, in microseconds since 1970, UTC.
    pub time_unix_us: u64,
    /// What the guest's application learns.
    pub guest: GuestParameters,
}

/// What a guest's application reads in its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestParameters {
    /// What the guest is for.
    pub role: Role,
    /// How to reach the orchestrator.
    pub control: Control,
    /// Log level: 0 nothing, 1 errors, to 5 everything.
    pub log: u8,
}

/// Why an environment is not that of a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// A variable is not there.
    #[error("boot parameter {0} is missing")]
    Missing(&'static str),
    /// A variable has a value that means nothing.
    #[error("boot parameter {name} is {value:?}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl BootParameters {
    /// The kernel's command line.
    #[must_use]
    pub fn command_line(&self) -> String {
        let host_bits = 32_u32.saturating_sub(self.mask_bits.into());
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(host_bits).unwrap_or(0));
        let mut line = format!("-ip {} -gateway {} -mask {mask}", self.address, self.gateway);
        if let Some(mhz) = self.tsc_mhz {
            let _ = write!(line, " -freq {mhz}");
        }
        let GuestParameters { role, control, log } = self.guest;
        for (name, value) in [
            ("HERMIT_MTU", format!("{}", u32::from(self.mtu) + ETHERNET_HEADER)),
            ("HERMIT_TCP_BUF", format!("{}", self.tcp_buffer)),
            ("FADES_SEED", hex(&self.seed)),
            ("FADES_TIME", format!("{}", self.time_unix_us)),
            (ROLE, role.name().into()),
            (CONTROL, format!("{control}")),
            (LOG, format!("{log}")),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(line, " env={name}={value}");
        }
        line
    }
}

impl GuestParameters {
    /// Whether anything was told at all: a program that is also used in other ways asks this first.
    #[must_use]
    pub fn are_told(mut lookup: impl FnMut(&'static str) -> Option<String>) -> bool {
        lookup(ROLE).is_some()
    }

    /// Reads the parameters in the guest; `lookup` gives the value of an environment variable.
    ///
    /// # Errors
    /// A variable is missing or means nothing.
    pub fn from_env(mut lookup: impl FnMut(&'static str) -> Option<String>) -> Result<Self, BootError> {
        Ok(Self {
            role: parse(&mut lookup, ROLE, Role::from_name)?,
            control: parse(&mut lookup, CONTROL, |text| text.parse().ok())?,
            log: parse(&mut lookup, LOG, |text| text.parse().ok())?,
        })
    }
}

fn parse<T>(
    lookup: &mut impl FnMut(&'static str) -> Option<String>,
    name: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, BootError> {
    let value = lookup(name).ok_or(BootError::Missing(name))?;
    read(&value).ok_or(BootError::Invalid { name, value })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
