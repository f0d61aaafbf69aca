//! Probes as domains of a Xen host, without a node: every part of the drivers, every way to end, and what an earlier daemon
//! left. Runs in the Xen lab, or in any dom0.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fades_backends::{XenBackend, XenPost};
use fades_core::Role;
use fades_core::backend::{Architecture, Backend, ExitCause, Guest, GuestExit, GuestSpec};
use fades_core::network::PortId;
use fades_wire::address::Control;
use fades_xen_store::DomainId;
use fades_xen_toolstack::{DomainName, Store};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use xtask::images::probe;

/// A backend, where there is one; elsewhere that is said.
fn backend(instance: &str) -> Option<XenBackend> {
    if XenBackend::is_dom0() {
        return Some(XenBackend::new(instance, XenPost::new(Arc::new(|_| ()))).unwrap());
    }
    eprintln!("skipped: this is no dom0; `cargo xtask lab xen` runs it in one");
    None
}

/// What this process names the domain of a guest.
fn domain(instance: &str, guest: &str) -> DomainName {
    DomainName::of_guest(instance, guest, std::process::id()).unwrap()
}

/// A started probe, with the other end of its link, which must stay open.
struct Probe {
    guest: Arc<dyn Guest>,
    _link: UnixStream,
}

fn start(backend: &XenBackend, name: &str, guest: &str, arguments: &str, limit: Option<Duration>) -> Probe {
    let (loader, application) = probe(name).unwrap();
    let (ours, link) = UnixStream::pair().unwrap();
    // Only a broker has a network device, which is one of the parts that this probe looks at.
    let role = if name == "xen" { Role::Broker } else { Role::Function };
    let spec = GuestSpec {
        name: guest.to_owned(),
        role,
        image: [0; 32],
        architecture: Architecture::NATIVE,
        memory_mib: 64,
        seed: [0; 32],
        time_unix_us: 0,
        command_line: format!(
            "-ip 10.77.0.9 -gateway 10.77.0.1 -mask 255.255.0.0 -freq {} {arguments}",
            mhz()
        ),
        loader: sealed(&fs::read(loader).unwrap()),
        application: sealed(&fs::read(application).unwrap()),
        port: PortId(1),
        control: Control::Store,
        link: link.into(),
        mac: [2, 0, 10, 77, 0, 9],
        time_limit: limit,
    };
    Probe { guest: backend.start(spec).unwrap(), _link: ours }
}

impl Probe {
    fn end(self) -> GuestExit {
        self.guest.wait()
    }
}

fn run(backend: &XenBackend, name: &str, arguments: &str) -> GuestExit {
    start(backend, name, "dmf-1", arguments, Some(Duration::from_secs(60))).end()
}

/// The rate of the processor's counter, as Linux says.
fn mhz() -> u32 {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(": ").nth(1)).unwrap();
    rate.split('.').next().unwrap().parse().unwrap()
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create("part", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
    file.write_all(bytes).unwrap();
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK).unwrap();
    file.rewind().unwrap();
    file.into()
}

#[test]
fn every_part_works_in_a_domain() {
    let Some(backend) = backend("parts") else { return };
    let ended = run(&backend, "hello", "-- one two");
    assert_eq!(ended.cause, ExitCause::Code(0), "{ended:?}");
    assert!(ended.console_tail.contains("argument: one\nargument: two\nSUCCESS\n"), "{ended:?}");

    let ended = run(&backend, "xen", "");
    assert_eq!(ended.cause, ExitCause::Code(0), "{ended:?}");
    let said = ended.console_tail.replace('\r', "");
    let name = format!("{}\n", domain("parts", "dmf-1"));
    for part in ["hypercalls: this is Xen 4.", &name, "2 events", "event: "] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(said.contains("\nSUCCESS\n"), "{said}");
}

#[test]
fn bytes_go_from_one_domain_to_another_through_granted_pages() {
    let Some(backend) = backend("channel") else { return };
    let limit = Some(Duration::from_secs(60));
    let end = |role: &str| start(&backend, "xen", role, &format!("env=PROBE_CHANNEL={role}"), limit);
    let (producer, consumer) = (end("produce"), end("consume"));
    let store = Store::connect().unwrap();
    let home = |role: &str| store.domain_of_name(&domain("channel", role)).unwrap().unwrap();
    let (from, to) = (home("produce"), home("consume"));
    let node = |domain: DomainId, name: &str| domain.home().join(&format!("data/{name}")).unwrap();
    store.write(&node(from, "peer"), to.get().to_string().as_bytes()).unwrap();
    store.write(&node(to, "peer"), from.get().to_string().as_bytes()).unwrap();
    // Neither may read the other's nodes: what they tell each other is carried.
    for (name, from, to) in [("offer", from, to), ("answer", to, from)] {
        let told = node(from, name);
        let deadline = Instant::now() + Duration::from_secs(30);
        let value = store.wait_until(&told, deadline, |store| store.read(&told)).unwrap().unwrap();
        store.write(&node(to, name), &value).unwrap();
    }
    for (end, word) in [(producer, "sent"), (consumer, "received")] {
        let ended = end.end();
        assert_eq!(ended.cause, ExitCause::Code(0), "{ended:?}");
        assert!(ended.console_tail.contains(&format!("channel: {word} 16777216 bytes")), "{ended:?}");
        eprint!("{}", ended.console_tail);
    }
}

/// As where xenstored runs in a domain of its own: there is no socket, and dom0's kernel carries it.
#[test]
fn the_store_is_reached_through_the_kernel_by_many_threads_at_once() {
    if backend("device").is_none() {
        return;
    }
    let store = Store::by_device().unwrap();
    let folder = fades_xen_store::Path::new("/fades-device").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, folder) = (&store, &folder);
            scope.spawn(move || {
                for round in 0..60 {
                    // As long as the other threads' names and values, so that nothing but the content tells them apart.
                    let node = folder.join(&format!("{thread}-{round:03}")).unwrap();
                    let value = format!("{thread} in round {round:03}");
                    let watch = store.watch(&node).unwrap();
                    store.write(&node, value.as_bytes()).unwrap();
                    assert_eq!(store.read(&node).unwrap().as_deref(), Some(value.as_bytes()));
                    let soon = Instant::now() + Duration::from_secs(10);
                    assert_eq!(watch.next(soon).unwrap().as_ref(), Some(&node));
                    drop(watch);
                }
            });
        }
    });
    assert_eq!(store.list(&folder).unwrap().unwrap().len(), 480);
    store.remove(&folder).unwrap();
}

#[test]
fn every_way_to_end_is_told_with_its_cause() {
    let Some(backend) = backend("ends") else { return };
    let die = |mode: &str| run(&backend, "panic", &format!("env=FADES_PROBE_MODE={mode}"));
    let ended = die("panic");
    let ExitCause::Panicked { message, location } = &ended.cause else { panic!("{ended:?}") };
    assert_eq!(message, "asked to panic, with a \"quote\"");
    assert!(location.starts_with("images/probes/panic/src/main.rs:"), "{location}");
    let ended = die("oom");
    assert!(matches!(ended.cause, ExitCause::OutOfMemory { requested: Some(65_536), .. }), "{ended:?}");
    assert_eq!(die("abort").cause, ExitCause::Code(104));
    assert!(matches!(die("stack").cause, ExitCause::Panicked { .. }));
    assert_eq!(die("exit").cause, ExitCause::Code(0));
    assert_eq!(die("nonsense").cause, ExitCause::Code(1));

    // By the time limit, by us, and by somebody else.
    let endless = |limit| start(&backend, "panic", "dmf-2", "env=FADES_PROBE_MODE=loop", limit);
    assert_eq!(endless(Some(Duration::from_secs(2))).end().cause, ExitCause::Killed);
    let probe = endless(None);
    probe.guest.kill();
    assert_eq!(probe.end().cause, ExitCause::Killed);
    let probe = endless(None);
    assert!(
        Command::new("xl").args(["destroy", domain("ends", "dmf-2").as_str()]).status().unwrap().success()
    );
    assert_eq!(probe.end().cause, ExitCause::Signal(9));
}

#[test]
fn domains_of_a_dead_daemon_are_found_and_ended() {
    let Some(mine) = backend("dead") else { return };
    let other = backend("other").unwrap();
    let endless = |backend, guest| start(backend, "panic", guest, "env=FADES_PROBE_MODE=loop", None);
    // As far as another daemon can tell, who started it is gone.
    let left = endless(&mine, "dmf-7");
    let others = endless(&other, "dmf-7");
    let again = backend("dead").unwrap();
    let ended: Vec<String> = again.end_orphans().unwrap().into_iter().map(|orphan| orphan.name).collect();
    assert_eq!(ended, [domain("dead", "dmf-7").to_string()]);
    assert_eq!(left.end().cause, ExitCause::Signal(9));
    assert!(again.end_orphans().unwrap().is_empty());
    others.guest.kill();
    assert_eq!(others.end().cause, ExitCause::Killed, "another node's domain was left alone until now");
}

/// Hypercalls of any number with any arguments, until there are enough of them: `FADES_CASES`, from `FADES_SEED` on.
#[test]
fn g1_any_hypercall_harms_its_own_domain_at_most() {
    const TIME: Duration = Duration::from_secs(10);
    const LATE: Duration = Duration::from_secs(10);
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let Some(backend) = backend("calls") else { return };
    let neighbour = start(&backend, "panic", "dmf-2", "env=FADES_PROBE_MODE=loop", None);
    let (wanted, first) = (number("FADES_CASES", 5_000), number("FADES_SEED", 1));
    let (mut tried, mut seed, mut ends) = (0, first, BTreeMap::<String, u32>::new());
    while tried < wanted {
        let started = Instant::now();
        let arguments = format!("-- calls {seed} {}", wanted - tried);
        let ended = start(&backend, "hostile", "dmf-1", &arguments, Some(TIME)).end();
        assert!(started.elapsed() < TIME + LATE, "seed {seed}: told after {:?}", started.elapsed());
        let told =
            ended.console_tail.lines().filter_map(|line| line.trim().strip_prefix("cases: ")?.parse().ok());
        tried += told.max().unwrap_or(0_u64);
        *ends.entry(format!("{:?}", ended.cause)).or_default() += 1;
        seed += 1;
        assert!(seed - first < 20 + wanted / 1000, "domains end before a thousand calls: {ended:?}");
    }
    println!("tried: {tried} | hypercalls of {} domains, which ended by {ends:?}", seed - first);
    // Xen is as it was, for others and for those that come.
    assert_eq!(run(&backend, "hello", "-- one two").cause, ExitCause::Code(0));
    neighbour.guest.kill();
    assert_eq!(neighbour.end().cause, ExitCause::Killed, "it has lived until now");
}
