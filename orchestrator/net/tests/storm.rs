//! THREATS G7 and G8: frames of 25 kinds that no guest may send, from two functions at once, while a neighbour reads from the broker.
//!
//! Each kind's details are drawn from a seed; `FADES_FRAMES` says how many of each, `FADES_SEED` what is drawn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;
#[path = "../../../images/probes/hostile/src/frames.rs"]
mod frames;

use std::thread;

use common::{SOON, digest, drain, eventually, pattern, pour, start};
use fades_core::Role;
use fades_net::DATA_PORT;
use fades_net::testpeer::TestPeer;
use frames::{Attack, KINDS, MARK, mac_of};

const MIB: usize = 1 << 20;
/// Frames of each kind, if nobody says.
const EACH: u64 = 40_000;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn g7_of_25_kinds_of_frames_none_reaches_anybody() {
    let (each, seed) = (number("FADES_FRAMES", EACH), number("FADES_SEED", 1));
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let (good, bad) = (net.peer(Role::Function), [net.peer(Role::Function), net.peer(Role::Function)]);
    let mut stream = good.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    let storm = |attacker: &TestPeer, seed: u64| {
        let (own, neighbour, broker) = (attacker.address(), good.address(), broker.address());
        assert_eq!(mac_of(own), fades_net::mac_of(own).0, "the kinds are of this network");
        let mut attack = Attack::new(own, neighbour, broker, seed);
        let counters = net.net.port_counters(attacker.id()).unwrap();
        let dropped = || counters.drops().map(|(_, count)| count).sum::<u64>();
        let mut sent = 0;
        for _ in 0..each / 2 {
            for (name, make) in KINDS {
                attacker.send_frame(&make(&mut attack));
                sent += 1;
                // Which one came through is to be known.
                if sent % 500 == 0 {
                    eventually(
                        || dropped() >= sent,
                        || format!("{} of {sent} dropped, the last: {name}", dropped()),
                    );
                }
            }
        }
        eventually(|| dropped() == sent, || format!("{} of {sent} dropped", dropped()));
        assert_eq!(counters.forwarded(), 0, "seed {seed}");
        sent
    };
    let sent: u64 = thread::scope(|scope| {
        scope.spawn(|| pour(&mut served, &pattern(3, 8 * MIB)).unwrap());
        let reader = scope.spawn(|| drain(&mut stream).unwrap());
        let storms: Vec<_> =
            (seed..).zip(&bad).map(|(seed, bad)| scope.spawn(move || storm(bad, seed))).collect();
        assert_eq!(digest(&reader.join().unwrap()), digest(&pattern(3, 8 * MIB)));
        storms.into_iter().map(|storm| storm.join().unwrap()).sum()
    });
    let marked = |frame: &Vec<u8>| frame.windows(MARK.len()).any(|window| window == MARK);
    for peer in [&good, &broker, &bad[0], &bad[1]] {
        let through: Vec<_> = peer.frames().into_iter().filter(marked).collect();
        assert!(through.is_empty(), "came to {}: {through:x?}", peer.address());
    }
    println!("tried: {sent} | frames of {} kinds, seed {seed}", KINDS.len());
}
