//! Two functions that try to get out, at once: to each other, to the node, to its host and beyond. Nothing answers but the
//! broker, from which both go on getting their data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::outside::{list, node, on_xen, patience_ms};
use common::{Bed, COLD, guests};
use serde_json::Value;

const POINTS: u64 = 100_000;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// A fresh node gives addresses in order: the broker's is the first, then come the two functions.
const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 7001);
const FUNCTIONS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 3), Ipv4Addr::new(10, 77, 0, 4)];

/// A port of the host that anybody may connect to, and that tells whether somebody did.
struct Bait(TcpListener);

impl Bait {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn taken(&self) -> bool {
        match self.0.accept() {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                false
            }
        }
    }
}

/// Addresses of this host, as its routing table lists them.
fn host_addresses() -> HashSet<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/fib_trie").unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let local = lines.windows(2).filter(|pair| pair[1].contains("/32 host LOCAL"));
    let addresses: HashSet<Ipv4Addr> =
        local.filter_map(|pair| pair[0].trim().strip_prefix("|-- ")?.parse().ok()).collect();
    assert!(addresses.contains(&Ipv4Addr::LOCALHOST), "{table}");
    addresses
}

/// Everything that a function may not reach.
fn forbidden(bed: &Bed, bait: u16) -> Vec<SocketAddrV4> {
    let node = bed.node().url().rsplit(':').next().unwrap().parse().unwrap();
    let influx = bed.influx().port();
    let mut all = Vec::new();
    let mut add = |address, ports: &[u16]| {
        all.extend(ports.iter().map(|port| SocketAddrV4::new(address, *port)));
    };
    // The second connection to the control endpoint, the source that only the broker may use, and the host behind it.
    add(GATEWAY, &[7000, 7001, 20000, 20001, 22, bait, node, influx]);
    add(*BROKER.ip(), &[7000, 9000, 20000, 22]);
    for neighbour in FUNCTIONS {
        add(neighbour, &[9000, 7000]);
    }
    for address in host_addresses() {
        add(address, &[bait, node, influx]);
    }
    // Addresses for documentation, and the one where clouds keep credentials.
    for outside in [[192, 0, 2, 1], [198, 51, 100, 7], [203, 0, 113, 9], [169, 254, 169, 254]] {
        add(outside.into(), &[80]);
    }
    all
}

fn counter(bed: &Bed, name: &str) -> u64 {
    let metrics = bed.node().get("/metrics").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).parse().unwrap()
}

/// Inodes of all IPv4 and IPv6 sockets of this host.
fn internet_sockets() -> HashSet<String> {
    let tables = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"].map(|table| format!("/proc/net/{table}"));
    let texts: Vec<String> = tables.iter().filter_map(|table| fs::read_to_string(table).ok()).collect();
    texts.iter().flat_map(|text| text.lines().skip(1)).filter_map(inode).collect()
}

fn inode(line: &str) -> Option<String> {
    Some(format!("socket:[{}]", line.split_whitespace().nth(9)?))
}

fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// Two functions at once that try all of `forbidden`, and their broker: what they say they reached.
fn reached_by_two(bed: &Bed, forbidden: &[SocketAddrV4]) -> Vec<Value> {
    bed.add_faulty();
    let quoted: Vec<String> =
        forbidden.iter().chain([&BROKER]).map(|address| format!("\"{address}\"")).collect();
    let parameters = format!(
        "mode = \"reach\"\nafter = 1000\nmillis = {}\naddresses = [{}]",
        patience_ms(3500),
        quoted.join(", ")
    );
    let done = AtomicBool::new(false);
    let (together, documents) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut together = 0;
            while !done.load(Ordering::Relaxed) {
                together = together.max(guests(bed.node()).len() - 1);
                std::thread::sleep(Duration::from_millis(20));
            }
            together
        });
        let tasks = [(); 2].map(|()| {
            scope.spawn(|| bed.submit_and_wait(&bed.wrapper("faulty", &parameters, 128, patience_ms(30_000))))
        });
        let ends = tasks.map(|task| task.join());
        done.store(true, Ordering::Relaxed);
        (watching.join().unwrap(), ends.map(|end| end.unwrap()))
    });
    assert_eq!(together, 2, "they did not run at once");
    let ends = documents.into_iter().map(|(exit, document)| {
        assert_eq!(exit, 0, "{document}");
        // What it may have came all the same.
        assert_eq!(document["result"]["points"], POINTS / 5, "{document}");
        document["result"]["reached"].clone()
    });
    ends.collect()
}

#[test]
fn g8_functions_reach_nobody_but_their_broker() {
    // They have a network only if the node is told so.
    let bed = Bed::with("isolation", POINTS, &[("network_only", "true"), COLD]);
    let bait = Bait::new();
    let forbidden = forbidden(&bed, bait.port());
    let before = counter(&bed, "fades_network_dropped_policy");
    let mut own = HashSet::new();
    for reached in reached_by_two(&bed, &forbidden) {
        // The one connection that may be made shows that it can make some.
        assert_eq!(reached["connected"], serde_json::json!([BROKER.to_string()]), "{reached}");
        assert_eq!(reached["listened"], true, "{reached}");
        assert_eq!(reached["visitors"], serde_json::json!([]), "{reached}");
        own.insert(reached["own"].as_str().unwrap().parse::<Ipv4Addr>().unwrap());
    }
    assert_eq!(own, HashSet::from(FUNCTIONS), "each had the other's address among those that it tried");
    assert!(!bait.taken(), "somebody came out to the host");

    // Each attempt on another address than its own cost at least one frame; a second connection to the control endpoint
    // passes the switch and is refused by the gateway, and guests ask for at most one neighbour's address per second.
    let dropped = counter(&bed, "fades_network_dropped_policy") - before;
    let in_network = FUNCTIONS.len() * 2 + 1;
    let least = 2 * (forbidden.len() - in_network + 1);
    assert!(dropped >= least as u64, "{dropped} frames were dropped, at least {least} were sent");
    assert_eq!(counter(&bed, "fades_network_dropped_spoofed"), 0);
    let node: Value = serde_json::from_str(&bed.node().get("/v1/node").unwrap()).unwrap();
    assert_eq!(
        (&node["broker"]["state"], &node["broker"]["restarts"]),
        (&"ready".into(), &0.into()),
        "{node}"
    );
}

/// What they may have, data and control, goes through memory, and on Xen through XenStore: the task itself shows that.
#[test]
fn g8_functions_that_share_memory_with_their_broker_have_no_network_at_all() {
    let bed = Bed::start("isolation-near", POINTS);
    let bait = Bait::new();
    let forbidden = forbidden(&bed, bait.port());
    for reached in reached_by_two(&bed, &forbidden) {
        assert_eq!(reached["connected"], serde_json::json!([]), "{reached}");
        assert_eq!(reached["refused"].as_array().unwrap().len(), forbidden.len() + 1, "{reached}");
        assert_eq!(reached["visitors"], serde_json::json!([]), "{reached}");
    }
    assert!(!bait.taken(), "somebody came out to the host");
}

/// A domain has one network device and nothing else, and dom0's own network has no part in it: the device is in another
/// namespace. Whether there was something to be seen: a domain that is being built or is gone has none yet, or none any more.
fn domain_has_its_link(domain: u32, name: &str) -> bool {
    let devices = list(&format!("/local/domain/{domain}/device"));
    assert!(devices.iter().all(|device| ["vif", "suspend"].contains(&device.as_str())), "{devices:?}");
    let vifs = list(&format!("/local/domain/{domain}/device/vif"));
    if !name.contains("-drb-") {
        assert!(vifs.is_empty(), "{name} has {vifs:?}");
        return true;
    }
    assert!(vifs.len() <= 1, "{vifs:?}");
    // Connected: from here on frames pass.
    if node(&format!("/local/domain/0/backend/vif/{domain}/0/state")).as_deref() != Some("4") {
        return false;
    }
    let device = format!("/sys/class/net/vif{domain}.0");
    assert!(!fs::exists(&device).unwrap(), "{device} is in dom0's own network");
    assert_eq!(vifs.len(), 1);
    true
}

/// Regions of functions on a node of six of these, with those to spare.
const REGIONS: usize = 6 + 4;

/// Regions that a process has open: those of functions, and that of the broker.
fn regions(pid: u32) -> (usize, usize) {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    // All of a kind have the same name, and one may be open more than once.
    let open: HashSet<(String, u64)> = entries
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            Some((link, fs::metadata(entry.path()).ok()?.ino()))
        })
        .collect();
    let of = |name: &str| open.iter().filter(|(link, _)| link.contains(name)).count();
    (of("memfd:fades-function"), of("memfd:fades-broker"))
}

#[test]
fn g8_a_guests_process_has_its_own_links_and_no_internet_socket() {
    let bed = Bed::start("isolation-host", 1_000);
    bed.add_faulty();
    std::thread::scope(|scope| {
        let task = scope.spawn(|| {
            bed.submit_and_wait(&bed.wrapper(
                "faulty",
                "mode = \"slow\"\nmillis = 500",
                64,
                patience_ms(30_000),
            ))
        });
        let (mut seen, mut connected) = (0, HashSet::new());
        let (mut holds, mut broker_holds) = (0, (0, 0));
        while !task.is_finished() {
            let internet = internet_sockets();
            // The daemon and influxd have some, so that the look itself works.
            let daemon = descriptors(bed.node().pid().unwrap());
            assert!(daemon.iter().any(|link| internet.contains(link)), "{daemon:?} {internet:?}");
            let guests = guests(bed.node());
            seen = seen.max(guests.len());
            for (number, line) in guests {
                if on_xen() {
                    if domain_has_its_link(number, &line) {
                        connected.insert(number);
                    }
                    continue;
                }
                let pid = number;
                let foreign: Vec<_> =
                    descriptors(pid).into_iter().filter(|link| internet.contains(link)).collect();
                assert!(foreign.is_empty(), "{foreign:?} of {line}");
                if line.contains(":drb-") {
                    assert_eq!(line.matches(" -netdev ").count(), 1, "{line}");
                    assert!(line.contains(" -netdev stream,") && line.contains("addr.type=fd"), "{line}");
                    // Its own, and a place for each region of a function that there is.
                    let others = line.matches(" -device ivshmem-plain,").count();
                    let (functions, brokers) = regions(pid);
                    assert!(functions <= others && brokers <= 1, "{:?} of {line}", descriptors(pid));
                    broker_holds = broker_holds.max((functions, brokers));
                    assert_eq!(others, REGIONS, "{line}");
                } else {
                    assert_eq!(line.matches(" -netdev ").count(), 0, "{line}");
                    // Its own region, and nobody else's.
                    assert_eq!(line.matches(" -device ivshmem-").count(), 1, "{line}");
                    assert_eq!(line.matches(" -device ivshmem-doorbell,").count(), 1, "{line}");
                    let (functions, brokers) = regions(pid);
                    assert!(functions <= 1 && brokers == 0, "{:?} of {line}", descriptors(pid));
                    holds = holds.max(functions);
                }
                for word in [" -nodefaults ", " -no-user-config ", " -sandbox on,", " -monitor none "] {
                    assert!(line.contains(word), "{word:?} is not in {line}");
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(seen, 2, "broker and function");
        if !on_xen() {
            // A monitor that has just started has not opened all of its own yet.
            assert_eq!(
                (holds, broker_holds),
                (1, (REGIONS, 1)),
                "regions held by a function, and by the broker"
            );
        }
        assert!(!on_xen() || connected.len() == 2, "looked at the devices of {connected:?} only");
        let (exit, document) = task.join().unwrap();
        assert_eq!((exit, &document["result"]["points"]), (0, &200.into()), "{document}");
    });
}

/// A line of a process's status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn g13_every_monitor_is_kept_as_status_says() {
    let bed = Bed::start("isolation-jail", 1_000);
    let info: Value = serde_json::from_str(&bed.node().get("/v1/node").unwrap()).unwrap();
    let defences = &info["defences"];
    if on_xen() {
        assert!(defences.get("monitor-seccomp").is_none(), "a domain has no monitor in dom0: {defences}");
        return;
    }
    // What keeps this machine from giving one is told, and is of the machine.
    for (name, on) in defences.as_object().unwrap() {
        assert_eq!(on.as_bool().unwrap(), info["lacks"].get(name).is_none(), "{name}: {}", info["lacks"]);
    }
    if rustix::process::geteuid().is_root() {
        assert_eq!(info["lacks"], serde_json::json!({}), "for root on this kernel nothing is off");
    }
    let on = |name: &str| defences[name].as_bool().unwrap();
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let guests = guests(bed.node());
    assert!(!guests.is_empty(), "the broker runs");
    for (pid, line) in guests {
        assert_eq!(status(pid, "NoNewPrivs"), "1", "{line}");
        assert_eq!(status(pid, "CapPrm"), "0000000000000000", "{line}");
        // QEMU's own and the jail's two.
        assert_eq!(status(pid, "Seccomp_filters") == "3", on("monitor-seccomp"), "{line}");
        assert_eq!(
            status(pid, "Uid").parse::<u32>().unwrap() >= 0x7000_0000,
            on("monitor-own-user"),
            "{line}"
        );
        assert_eq!(network(&pid.to_string()) != network("self"), on("monitor-own-network"), "{line}");
    }
}
