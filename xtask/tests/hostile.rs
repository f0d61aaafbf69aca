//! THREATS G1 to G7: guests that mean harm to the machine that they run on, in the jail, beside a neighbour that reads.
//!
//! `FADES_CASES` says how many cases of each kind, `FADES_FRAMES` how many frames of each kind, `FADES_CONSOLE_MIB` how much a guest writes to its console, `FADES_SEED` what is drawn.
//! A guest that has ended itself, by chance or because its monitor gave up on it, is followed by one with the next seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![expect(clippy::print_stdout, reason = "what was tried, for the table of `cargo xtask torture`")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fades_backends::{Accelerator, BackendKind, PROGRAM, Programs, QemuBackend, Wanted, select};
use fades_core::Role;
use fades_core::backend::{Architecture, Backend, ExitCause, Guest, GuestExit, GuestSpec};
use fades_core::network::{Network, Port};
use fades_net::testpeer::TestPeer;
use fades_net::{DATA_PORT, NetConfig, VirtualNetwork};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use xtask::images::probe;

/// Cases of each kind, if nobody says.
const CASES: u64 = 200_000;
/// Frames of each kind, if nobody says.
const FRAMES: u64 = 400;
/// Kinds that the guest has, and what is in each frame of its that has room for it (`images/probes/hostile/src/frames.rs`).
const KINDS: u64 = 25;
const MARK: &[u8] = b"fades-storm";
/// MiB for the console, if nobody says.
const CONSOLE_MIB: u64 = 8;
/// The most that is kept of a console.
const KEPT: usize = 1 << 20;
/// How long a guest may take: what it does not do by then it does not do.
const TIME: Duration = Duration::from_secs(60);
/// How much later than its time limit its end is told.
const LATE: Duration = Duration::from_secs(2);
/// What the neighbour reads again and again.
const PIECE: usize = 1 << 20;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// A network with a neighbour in it, and what starts guests beside it.
struct Bed {
    network: Arc<VirtualNetwork>,
    backend: QemuBackend,
    parts: [Vec<u8>; 2],
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create("part", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
    file.write_all(bytes).unwrap();
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK).unwrap();
    file.rewind().unwrap();
    file.into()
}

impl Bed {
    fn new() -> Self {
        let (loader, hostile) = probe("hostile").unwrap();
        let network =
            VirtualNetwork::start(NetConfig::default(), Arc::new(|_| ()), Arc::new(|_| ())).unwrap();
        let programs = Programs { native: PROGRAM, other: None, mended: &[] };
        let chosen = select(programs, Wanted::Auto, "hostile").unwrap();
        let kvm = chosen.kind == BackendKind::QemuKvm;
        let accelerator = if kvm { Accelerator::Kvm } else { Accelerator::Tcg };
        let backend = QemuBackend::new(accelerator, PROGRAM, "hostile", chosen.jail.unwrap(), None).unwrap();
        let parts = [loader, hostile].map(|file| fs::read(file).unwrap());
        Self { network: Arc::new(network), backend, parts }
    }

    fn start(&self, what: &str, seed: u64, count: u64, time: Duration) -> Arc<dyn Guest> {
        self.start_at(self.network.attach(Role::Function).unwrap(), &format!("{what} {seed} {count}"), time)
    }

    /// One that is told these words, at this port.
    fn start_at(&self, port: Port, words: &str, time: Duration) -> Arc<dyn Guest> {
        let spec = GuestSpec {
            name: format!("dmf-{}", port.id.0),
            role: Role::Function,
            image: [0; 32],
            architecture: Architecture::NATIVE,
            memory_mib: 64,
            command_line: format!("-- {words}"),
            seed: [0; 32],
            time_unix_us: 0,
            loader: sealed(&self.parts[0]),
            application: sealed(&self.parts[1]),
            port: port.id,
            control: port.control,
            link: port.link,
            mac: port.mac,
            time_limit: Some(time),
        };
        self.backend.start(spec).unwrap()
    }

    /// A broker, and a function of its own.
    fn peers(&self) -> [TestPeer; 2] {
        [Role::Broker, Role::Function]
            .map(|role| TestPeer::start(self.network.attach(role).unwrap()).unwrap())
    }

    /// Reads from a broker as long as `work` takes: how many bytes a second.
    fn beside<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        self.between(&self.peers(), work)
    }

    /// The same between these two.
    fn between<T>(&self, [broker, neighbour]: &[TestPeer; 2], work: impl FnOnce() -> T) -> (T, f64) {
        let listener = broker.listen(DATA_PORT).unwrap();
        let mut stream = neighbour.connect(broker.address(), DATA_PORT).unwrap();
        let mut served = listener.accept(Duration::from_secs(10)).unwrap();
        let over = AtomicBool::new(false);
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                let piece: Vec<u8> = (0..PIECE).map(|at| at.to_le_bytes()[0]).collect();
                while !over.load(Ordering::Relaxed) {
                    served.write_all(&piece).unwrap();
                }
                served.shutdown_write();
            });
            let reader = scope.spawn(move || {
                let (mut piece, mut read) = (vec![0; PIECE], 0_u64);
                while stream.read_exact(&mut piece).is_ok() {
                    assert!(
                        piece.iter().enumerate().all(|(at, byte)| *byte == at.to_le_bytes()[0]),
                        "after {read} bytes"
                    );
                    read += PIECE as u64;
                }
                read
            });
            let done = work();
            over.store(true, Ordering::Relaxed);
            let read = reader.join().unwrap();
            assert!(read > 0, "the neighbour has read nothing");
            (done, read as f64 / started.elapsed().as_secs_f64())
        })
    }
}

/// How many cases a guest told of.
fn cases(exit: &GuestExit) -> u64 {
    let told = exit.console_tail.lines().filter_map(|line| line.strip_prefix("cases: ")?.parse().ok());
    told.max().unwrap_or_default()
}

/// Cases of this kind until there are enough; what became of the guests.
fn try_cases(bed: &Bed, what: &str) {
    let (wanted, mut seed) = (number("FADES_CASES", CASES), number("FADES_SEED", 1));
    let (mut tried, mut guests, mut ends) = (0, 0, std::collections::BTreeMap::<String, u32>::new());
    let (mut idle, first) = (0, seed);
    let ((), _) = bed.beside(|| {
        while tried < wanted {
            let started = Instant::now();
            let exit = bed.start(what, seed, wanted - tried, TIME).wait();
            assert!(
                started.elapsed() < TIME + LATE,
                "seed {seed}: its end was told after {:?}",
                started.elapsed()
            );
            assert!(!exit.console_tail.contains("FAILED"), "seed {seed}: {}", exit.console_tail);
            idle = if cases(&exit) == 0 { idle + 1 } else { 0 };
            assert!(idle < 200, "{what}: no guest comes to a thousand cases: {exit:?}");
            tried += cases(&exit);
            (seed, guests) = (seed + 1, guests + 1);
            *ends.entry(format!("{:?}", exit.cause)).or_default() += 1;
        }
    });
    println!("tried: {tried} | {what} in {guests} guests from seed {first} on, which ended by {ends:?}");
}

#[test]
fn g1_any_value_at_any_port_harms_its_own_guest_at_most() {
    try_cases(&Bed::new(), "ports");
}

#[test]
fn g1_any_value_at_any_address_without_memory_harms_its_own_guest_at_most() {
    try_cases(&Bed::new(), "memory");
}

/// On QEMU there is nobody to be called but KVM, if that runs the guest.
#[test]
fn g1_any_hypercall_harms_its_own_guest_at_most() {
    try_cases(&Bed::new(), "calls");
}

#[test]
fn g2_queues_and_registers_that_lie_harm_their_own_guest_at_most() {
    try_cases(&Bed::new(), "queues");
}

#[test]
fn g3_of_a_console_without_end_little_is_kept() {
    let (bed, mib) = (Bed::new(), number("FADES_CONSOLE_MIB", CONSOLE_MIB));
    let (exit, _) = bed.beside(|| bed.start("console", 1, mib, Duration::from_secs(60 * mib)).wait());
    assert!(exit.console_tail.trim_end().ends_with("done"), "it has written all: {:?}", exit.cause);
    assert!(exit.console_tail.len() <= KEPT, "{} bytes are kept", exit.console_tail.len());
    println!("tried: {} | bytes to a console, of which {} are kept", mib << 20, exit.console_tail.len());
}

#[test]
fn g4_a_guest_that_halts_or_ends_its_processor_is_told_in_time() {
    let bed = Bed::new();
    let limit = Duration::from_secs(3);
    let started = Instant::now();
    let halted = bed.start("halt", 1, 1, limit).wait();
    assert_eq!(halted.cause, ExitCause::Killed, "{halted:?}");
    assert!((limit..limit + LATE).contains(&started.elapsed()), "{:?}", started.elapsed());
    let ended = bed.start("triple", 2, 1, TIME).wait();
    // Its machine is reset, which ends its monitor: no code of a guest's that came to its end.
    assert!(started.elapsed() < TIME, "{ended:?}");
    assert!(!ended.console_tail.contains("done"), "{ended:?}");
}

/// From a guest's own network device, by way of its monitor, into the switch.
#[test]
fn g7_of_25_kinds_of_frames_that_a_guest_sends_none_reaches_anybody() {
    let (bed, seed) = (Bed::new(), number("FADES_SEED", 1));
    let wanted = number("FADES_FRAMES", FRAMES) * KINDS;
    let peers = bed.peers();
    let port = bed.network.attach(Role::Function).unwrap();
    let counters = bed.network.port_counters(port.id).unwrap();
    let words = format!("frames {seed} {wanted} {} {}", peers[1].address(), peers[0].address());
    let (exit, _) = bed.between(&peers, || bed.start_at(port, &words, TIME + TIME).wait());
    let sent = cases(&exit);
    assert!(exit.console_tail.trim_end().ends_with("done") && sent == wanted, "{exit:?}");
    // The switch may still have some of them to read.
    let dropped = || counters.drops().map(|(_, count)| count).sum::<u64>();
    let until = Instant::now() + LATE;
    while dropped() < sent && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(
        (dropped(), counters.forwarded()),
        (sent, 0),
        "seed {seed}: {:?}",
        counters.drops().collect::<Vec<_>>()
    );
    for peer in &peers {
        let marked = |frame: &Vec<u8>| frame.windows(MARK.len()).any(|window| window == MARK);
        let through: Vec<_> = peer.frames().into_iter().filter(marked).collect();
        assert!(through.is_empty(), "came to {}: {through:x?}", peer.address());
    }
    println!("tried: {sent} | frames of {KINDS} kinds from a guest, seed {seed}");
}
