//! Nodes side by side, each with a broker of its own, and one source: in each, functions come to be in one way.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::figures::linux::{self, Linux};
use super::super::task::{Data, Task};
use super::stock;
use crate::images::Images;
use crate::testbed::node::{Node, Programs};

/// How a function comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Started ahead, and waits.
    Awake,
    /// Goes on for its task from a snapshot.
    Restored,
    /// Boots for its task.
    Cold,
    /// Boots for its task, with what QEMU has unless told otherwise.
    Stock,
    /// The same program on Linux, which boots for it.
    Linux,
}

/// The slowest boots come first, so that what a turn leaves behind does not meet them.
pub(super) const WAYS: [Way; 5] = [Way::Stock, Way::Linux, Way::Cold, Way::Restored, Way::Awake];

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::Restored => "restored",
            Self::Cold => "cold",
            Self::Stock => "stock",
            Self::Linux => "linux",
        }
    }

    /// For captions.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Awake => "a unikernel that was started ahead and waits",
            Self::Restored => "a unikernel that goes on from a snapshot of one that had just booted",
            Self::Cold => "a unikernel that boots for its task",
            Self::Stock => "the same, by SeaBIOS and option ROMs, with TCP at MTU 1500",
            Self::Linux => "the same Rust code in a Linux guest on the same monitor",
        }
    }

    pub(super) const fn memory_mib(self) -> u32 {
        match self {
            Self::Linux => linux::MEMORY_MIB,
            Self::Awake | Self::Restored | Self::Cold | Self::Stock => 64,
        }
    }

    /// Whether what this way leaves behind is still at work when a task is over.
    pub(super) const fn goes_on(self) -> bool {
        matches!(self, Self::Awake)
    }
}

/// A node of one way.
pub(super) struct Running {
    pub(super) way: Way,
    node: Node,
    /// Gone before its node's folder is.
    _linux: Option<Linux>,
}

impl Running {
    fn start(way: Way, folder: &Path, images: &Images, data: &Data) -> Result<Self> {
        let node = Node::make(Programs::of("release"), &folder.join(way.name()))?;
        match way {
            Way::Awake => {}
            Way::Restored => node.set("dormant_memory_mib", "0")?,
            Way::Cold | Way::Stock | Way::Linux => node.set_cold()?,
        }
        let linux = match way {
            Way::Stock => {
                stock::in_front_of(&node)?;
                None
            }
            Way::Linux => {
                node.set("network_only", "true")?;
                Some(Linux::instead_of_functions(&node, "qemu")?)
            }
            Way::Awake | Way::Restored | Way::Cold => None,
        };
        let node = node.started(images, &data.influx).with_context(|| format!("node {}", way.name()))?;
        Ok(Self { way, node, _linux: linux })
    }

    /// A task over so many points; its result document.
    pub(super) fn run(&self, points: u64) -> Result<Value> {
        let task = Task { points, memory_mib: self.way.memory_mib() };
        let done = task.run(&self.node).with_context(|| format!("a task, {}", self.way.name()));
        done.inspect_err(|_| eprintln!("node {} logged:\n{}", self.way.name(), self.node.log()))
    }
}

/// One of each.
pub(super) struct Ways(pub(super) Vec<Running>);

impl Ways {
    /// Starts them, and gives each a first task, which makes what later ones find: caches of files, of the source, of brokers.
    pub(super) fn start(folder: &Path, images: &Images, data: &Data) -> Result<Self> {
        let start = |way| {
            let running = Running::start(way, folder, images, data)?;
            running.run(super::ready::FEW)?;
            if way == Way::Restored {
                // One like it is saved when the second of a kind is gone.
                running.run(super::ready::FEW)?;
                running.node.wait_for_snapshot()?;
            }
            Ok(running)
        };
        WAYS.into_iter().map(start).collect::<Result<_>>().map(Self)
    }
}
