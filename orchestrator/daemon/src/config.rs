//! `fades.toml`: the node's settings. Every key has a default but `node`; unknown keys are refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fades_core::backend::{Architecture, BackendKind};
use serde::Deserialize;

use crate::rate::Rate;
use crate::serve::Door;
use crate::store::Bounds;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's id: what wrappers name as their audience. A name as in wrappers.
    pub node: String,
    /// Where services connect over TCP; none without it. The local socket is always there.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// What runs guests.
    #[serde(default)]
    pub backend: BackendConfig,
    /// The broker.
    #[serde(default)]
    pub broker: BrokerConfig,
    /// What the node allows at most.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How often anybody may knock.
    #[serde(default)]
    pub rates: RatesConfig,
    /// How patient the door is.
    #[serde(default)]
    pub door: DoorConfig,
    /// How much is kept.
    #[serde(default)]
    pub keep: KeepConfig,
}

/// `[backend]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendConfig {
    /// `xen`, `qemu-kvm` or `qemu-tcg` forces one; without it the fastest that works is taken.
    pub kind: Option<String>,
    /// The QEMU program; without it `qemu-system-x86_64` from PATH.
    pub qemu: Option<PathBuf>,
    /// Other processors whose images this node runs as well, which QEMU translates: `aarch64`, by `qemu-system-aarch64` from PATH.
    pub emulate: Vec<String>,
    /// Control and data go over the virtual network, not through memory that guests share (and XenStore, on Xen), and every
    /// function has a network device. For guests that know no other way, and to compare.
    pub network_only: bool,
    /// Known holes (`CVE-2021-3748`) that this QEMU is without, though its release has them, as distributions mend older releases.
    pub mended: Vec<String>,
    /// The node does not start where the machine lacks a defence around guests; without it `status` and receipts say which are off.
    pub strict: bool,
}

/// `[broker]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// `name@sha256:<hex>`; without it the newest image of role `drb`.
    pub image: Option<String>,
    /// Its memory, MiB.
    pub memory_mib: u32,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { image: None, memory_mib: 128 }
    }
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Tasks that run at once.
    pub running: u32,
    /// Tasks that wait.
    pub queued: u32,
    /// Guests at once, the broker included. In QEMU at most 117, unless they share no memory (`backend.network_only`).
    pub guests: u32,
    /// Memory of all guests, MiB, with the region of 4 MiB that each guest of QEMU shares.
    pub memory_mib: u32,
    /// Of that, memory of functions that are started ahead of tasks like those of late, MiB, without their regions; 0: none are.
    pub dormant_memory_mib: u32,
    /// Memory for functions that were booted once, so that the next of their kind goes on from there, MiB, beside that of guests;
    /// 0: each boots.
    pub snapshot_memory_mib: u32,
    /// Bytes of a result, whatever a policy says.
    pub result_bytes: u64,
    /// Longest life of a wrapper, seconds: ids are remembered that long.
    pub wrapper_life_s: u32,
    /// Longest life of a signed request, seconds.
    pub request_life_s: u32,
    /// Event streams at once.
    pub streams: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            running: 6,
            queued: 10_000,
            guests: 7,
            memory_mib: 1024,
            dormant_memory_mib: 128,
            snapshot_memory_mib: 64,
            result_bytes: 4 << 20,
            wrapper_life_s: 7 * 24 * 3600,
            request_life_s: 120,
            streams: 128,
        }
    }
}

/// `[rates]`, judged before any signature is looked at. The local socket is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RatesConfig {
    /// Signed things from one address (IPv6: one /64).
    pub address: Rate,
    /// Of these under one key id. Keys that the node does not know share one bucket per address.
    pub key: Rate,
    /// Refusals that are kept; the rest is counted only.
    pub refusals: Rate,
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            address: Rate { per_minute: 1200, burst: 200 },
            key: Rate { per_minute: 600, burst: 100 },
            refusals: Rate { per_minute: 120, burst: 60 },
        }
    }
}

/// `[door]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorConfig {
    /// Deadline for the head of a request, and for idleness between two, ms.
    pub head_ms: u64,
    /// Deadline for a body, ms.
    pub body_ms: u64,
    /// How long an answer may stand still because nobody reads it, ms.
    pub stalled_ms: u64,
    /// TCP connections at once.
    pub connections: usize,
    /// Of these, from one address.
    pub connections_per_address: usize,
    /// Connections at once on the local socket.
    pub local_connections: usize,
}

impl Default for DoorConfig {
    fn default() -> Self {
        let door = Door::default();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            head_ms: ms(door.head),
            body_ms: ms(door.body),
            stalled_ms: ms(door.stalled),
            connections: door.connections,
            connections_per_address: door.connections_per_address,
            local_connections: door.local_connections,
        }
    }
}

impl From<DoorConfig> for Door {
    fn from(config: DoorConfig) -> Self {
        Self {
            head: Duration::from_millis(config.head_ms),
            body: Duration::from_millis(config.body_ms),
            stalled: Duration::from_millis(config.stalled_ms),
            connections: config.connections,
            connections_per_address: config.connections_per_address,
            local_connections: config.local_connections,
            ..Self::default()
        }
    }
}

/// `[keep]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepConfig {
    /// Events for resuming streams.
    pub events: u64,
    /// Tasks after their end, with their results.
    pub finished_tasks: u64,
    /// Bytes of what these leave: results, receipts, wrappers. The oldest end goes first, whichever bound is reached.
    pub result_bytes: u64,
    /// Periods of each persistent task, with their results.
    pub periods: u64,
    /// Refusals.
    pub refusals: u64,
    /// Ids of tasks whose wrappers have not expired; beyond it nothing is accepted.
    pub remembered: u64,
    /// Room on the disk that is kept for tasks under way, MiB; below it nothing is accepted.
    pub free_mib: u64,
}

impl Default for KeepConfig {
    fn default() -> Self {
        let Bounds { events, finished_tasks, result_bytes, periods, refusals, remembered, free } =
            Bounds::default();
        Self { events, finished_tasks, result_bytes, periods, refusals, remembered, free_mib: free >> 20 }
    }
}

impl From<KeepConfig> for Bounds {
    fn from(config: KeepConfig) -> Self {
        let KeepConfig { events, finished_tasks, result_bytes, periods, refusals, remembered, free_mib } =
            config;
        let free = free_mib.saturating_mul(1 << 20);
        Self { events, finished_tasks, result_bytes, periods, refusals, remembered, free }
    }
}

/// What is wrong with `fades.toml`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has unknown keys or wrong types. The source names line and key.
    #[error("{} is not a configuration", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{key} is {value}, it must be {wanted}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, parsed, or makes no sense.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        config.check()?;
        Ok(config)
    }

    /// A configuration with nothing but defaults.
    #[must_use]
    pub fn of(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            listen: None,
            backend: BackendConfig::default(),
            broker: BrokerConfig::default(),
            limits: LimitsConfig::default(),
            rates: RatesConfig::default(),
            door: DoorConfig::default(),
            keep: KeepConfig::default(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.node.parse::<fades_api::task::Name>().is_err() {
            let wanted = "a name: letters, digits, dots, dashes and underscores";
            return Err(ConfigError::Value { key: "node", value: format!("{:?}", self.node), wanted });
        }
        if self.broker.memory_mib >= self.limits.memory_mib {
            let value = self.broker.memory_mib.to_string();
            let wanted = "below limits.memory_mib, so that functions have some";
            return Err(ConfigError::Value { key: "broker.memory_mib", value, wanted });
        }
        let at_least_one: [(&'static str, u64); 13] = [
            ("limits.running", self.limits.running.into()),
            ("limits.queued", self.limits.queued.into()),
            ("limits.result_bytes", self.limits.result_bytes),
            ("limits.wrapper_life_s", self.limits.wrapper_life_s.into()),
            ("limits.request_life_s", self.limits.request_life_s.into()),
            ("rates.address.per_minute", self.rates.address.per_minute.into()),
            ("rates.key.per_minute", self.rates.key.per_minute.into()),
            ("door.head_ms", self.door.head_ms),
            ("door.body_ms", self.door.body_ms),
            ("door.connections", self.door.connections as u64),
            ("keep.events", self.keep.events),
            ("keep.periods", self.keep.periods),
            ("keep.refusals", self.keep.refusals),
        ];
        if let Some((key, value)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value { key, value: value.to_string(), wanted: "at least 1" });
        }
        if self.keep.result_bytes < self.limits.result_bytes {
            let value = self.keep.result_bytes.to_string();
            let wanted = "at least limits.result_bytes, so that one result can be kept";
            return Err(ConfigError::Value { key: "keep.result_bytes", value, wanted });
        }
        if self.limits.guests < 2 {
            let value = self.limits.guests.to_string();
            return Err(ConfigError::Value {
                key: "limits.guests",
                value,
                wanted: "at least 2: the broker and a function",
            });
        }
        if self.backend.kind.as_deref().is_some_and(|word| BackendKind::named(word).is_none()) {
            let value = format!("{:?}", self.backend.kind);
            let wanted = "xen, qemu-kvm or qemu-tcg";
            return Err(ConfigError::Value { key: "backend.kind", value, wanted });
        }
        let foreign =
            |word: &str| Architecture::named(word).is_some_and(|found| found != Architecture::NATIVE);
        if let Some(word) = self.backend.emulate.iter().find(|word| !foreign(word)) {
            let (key, wanted) = ("backend.emulate", "aarch64");
            return Err(ConfigError::Value { key, value: format!("{word:?}"), wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::read(file.path())
    }

    #[test]
    fn one_line_is_enough() {
        assert_eq!(read("node = \"edge-1\"").unwrap(), Config::of("edge-1"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "node = 3",
            "node = \"n\"\nlissten = \"127.0.0.1:1\"",
            "node = \"a b\"",
            "node = \"n\"\n[broker]\nmemory_mib = 1024",
            "node = \"n\"\n[limits]\nguests = 1",
            "node = \"n\"\n[limits]\nqueued = 0",
            "node = \"n\"\n[keep]\nresult_bytes = 4000000",
            "node = \"n\"\n[backend]\nkind = \"vmware\"",
            "node = \"n\"\n[backend]\nemulate = [\"x86_64\"]",
            "node = \"n\"\n[backend]\nemulate = [\"riscv64\"]",
            "node = \"n\"\n[rates]\naddress = { per_minute = 1, burst = 1, more = 1 }",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
