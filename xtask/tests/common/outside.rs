//! What a node's guests look like from outside of it, and how they are ended there: the one place that differs by backend.

use std::process::Command;
use std::time::Duration;

use xtask::testbed::node::BACKEND;

use super::{Bed, guests};

/// Whether this runs in a lab, where everything takes some ten times as long.
pub fn in_lab() -> bool {
    std::env::var_os("FADES_LAB").is_some()
}

/// How long something may take that takes this long at most elsewhere. A lab emulates its processor, and has one.
pub fn patience(usual: Duration) -> Duration {
    if in_lab() { 4 * usual } else { usual }
}

/// The same in milliseconds, as wrappers have it.
pub fn patience_ms(usual: u32) -> u32 {
    u32::try_from(patience(Duration::from_millis(usual.into())).as_millis()).unwrap()
}

impl Bed {
    /// What runs the node's guests, by its own word.
    pub fn backend(&self) -> String {
        self.node().backend().unwrap().0
    }

    /// Has the node use this backend without trying others, from its next start on.
    pub fn pin_backend(&self) {
        if std::env::var_os(BACKEND).is_none() {
            self.node().set("kind", &format!("{:?}", self.backend())).unwrap();
        }
    }

    /// The process id of the node's broker.
    pub fn broker(&self) -> u32 {
        let brokers = self.named(":drb-");
        let [broker] = brokers[..] else { panic!("not one broker: {brokers:?}") };
        broker
    }

    /// The process ids of the functions that live now.
    pub fn functions(&self) -> Vec<u32> {
        self.named(":dmf-")
    }

    fn named(&self, part: &str) -> Vec<u32> {
        guests(self.node()).into_iter().filter(|(_, line)| line.contains(part)).map(|(pid, _)| pid).collect()
    }

    /// Ends a guest as nobody but an operator of the machine could.
    pub fn end_guest(&self, guest: u32) {
        let mut command = match self.backend().as_str() {
            "qemu-tcg" | "qemu-kvm" => {
                let mut command = Command::new("kill");
                command.args(["-KILL", &guest.to_string()]);
                command
            }
            other => panic!("nobody has said yet how a guest of {other} is ended from outside"),
        };
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    /// The code of a task whose function was ended so.
    pub fn code_of_a_guest_ended_from_outside(&self) -> &'static str {
        match self.backend().as_str() {
            "qemu-tcg" | "qemu-kvm" => "E3008",
            other => {
                panic!("nobody has said yet what becomes of a guest of {other} that is ended from outside")
            }
        }
    }
}
