//! What a node's guests look like from outside of it, and how they are ended there: the one place that differs by backend.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fades_xen_store::{DomainId, Path};
use fades_xen_toolstack::Store;
use xtask::testbed::node::{BACKEND, Node};

use super::Bed;

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

/// Whether guests are domains of a Xen host.
pub fn on_xen() -> bool {
    std::env::var("FADES_EXPECT_BACKEND").is_ok_and(|backend| backend == "xen")
}

/// Sends a process this signal.
pub fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success(), "kill -{name} {pid}");
}

/// This node's guests: number and name of each domain, or process id and command line of each process whose parent is its
/// daemon, but for one that boots only to be saved.
pub fn guests(node: &Node) -> Vec<(u32, String)> {
    let Some(daemon) = node.pid() else { return Vec::new() };
    if on_xen() {
        return domains();
    }
    let is_guest = |line: &str| line.contains("qemu-system") && !line.contains(":snapshot ");
    children(daemon).into_iter().filter(|(_, line)| is_guest(line)).collect()
}

/// Process id and command line of each process that this one has started.
pub fn children(of: u32) -> Vec<(u32, String)> {
    let parent = format!("PPid:\t{of}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line == parent) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// Whether there is such a domain, or such a process runs; one that only waits to be reaped does not.
pub fn is_alive(guest: u32) -> bool {
    if on_xen() {
        return domains().iter().any(|(domain, _)| *domain == guest);
    }
    let Ok(status) = fs::read_to_string(format!("/proc/{guest}/status")) else { return false };
    !status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

/// Domains of any node, as XenStore has them. In a lab there is one node at a time.
fn domains() -> Vec<(u32, String)> {
    let store = store();
    let ids = list("/local/domain").into_iter().filter_map(|id| DomainId::parse(&id).ok());
    let named = ids.filter_map(|id| {
        let name = store.read(&id.home().join("name").unwrap()).unwrap()?;
        Some((u32::from(id.get()), String::from_utf8(name).unwrap()))
    });
    named.filter(|(_, name)| name.starts_with("fades-")).collect()
}

/// Names of the nodes below a path of XenStore.
pub fn list(path: &str) -> Vec<String> {
    store().list(&Path::new(path).unwrap()).unwrap().unwrap_or_default()
}

/// The text of a node of XenStore, if it is there.
pub fn node(path: &str) -> Option<String> {
    let value = store().read(&Path::new(path).unwrap()).unwrap()?;
    Some(String::from_utf8(value).unwrap())
}

fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| Store::connect().unwrap())
}

/// Nothing is left of these guests, nor, on Xen, of any: no domain, not even a dying one whose pages somebody still has, no
/// node in XenStore, no network device.
pub fn nothing_is_left(guests: &[(u32, String)]) {
    if on_xen() {
        let listed = || {
            let output = Command::new("xl").arg("list").output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let devices = || {
            let names = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().starts_with("vif")).collect::<Vec<_>>()
        };
        let left = || (listed(), list("/local/domain"), list("/local/domain/0/backend/vif"), devices());
        let nothing = (Vec::new(), vec!["0".to_owned()], Vec::new(), Vec::new());
        // The daemon has ended its domains; what dom0's kernel and tools have of them goes a moment later.
        let deadline = Instant::now() + patience(Duration::from_secs(5));
        while left() != nothing && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(left(), nothing, "domains, nodes, backends, devices");
        return;
    }
    // A guest's command line names its node by a hash; its own line tells it from a process that got its number.
    for (pid, line) in guests {
        let now = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert_ne!(&String::from_utf8_lossy(&now).replace('\0', " "), line, "guest {pid} is left");
    }
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

    /// The number of the node's broker.
    pub fn broker(&self) -> u32 {
        let brokers = self.named("drb-");
        let [broker] = brokers[..] else { panic!("not one broker: {brokers:?}") };
        broker
    }

    /// The numbers of the functions that live now.
    pub fn functions(&self) -> Vec<u32> {
        self.named("dmf-")
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
            "xen" => {
                let mut command = Command::new("xl");
                command.args(["destroy", &guest.to_string()]);
                command
            }
            other => panic!("nobody has said yet how a guest of {other} is ended from outside"),
        };
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    /// Has a guest stand still, as one whose processor is taken away.
    pub fn stop_guest(&self, guest: u32) {
        let (program, words) = if on_xen() { ("xl", ["pause"]) } else { ("kill", ["-STOP"]) };
        let mut command = Command::new(program);
        command.args(words).arg(guest.to_string());
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    /// The code of a task whose function was ended so.
    pub fn code_of_a_guest_ended_from_outside(&self) -> &'static str {
        match self.backend().as_str() {
            "qemu-tcg" | "qemu-kvm" | "xen" => "E3008",
            other => {
                panic!("nobody has said yet what becomes of a guest of {other} that is ended from outside")
            }
        }
    }
}
