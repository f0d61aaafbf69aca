//! THREATS A1 to A11: hostile wrappers by a seeded generator, through the whole line from bytes to a stored task. None is
//! taken. What is about connections (A8) is in `door.rs`, what is about replays (A5) in `power/replay.rs`.
//!
//! `FADES_HOSTILE` asks for another number, in a run of this test alone, which then looks at memory as well; `FADES_SEED` repeats one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fades_core::Role;
use fades_daemon::admission::submit;
use fades_daemon::node::Node;
use fades_daemon::serve::Peer;
use fades_envelope::{Purpose, SigningKey, sign};
use serde_json::{Value, json};

use crate::power::Random;
use crate::support::{ISSUER, TestNode, id, key, policy, proof};

/// Wrappers of one run.
const HOSTILE: u64 = 20_000;
/// Asked for by `FADES_HOSTILE`, memory may grow by so many bytes.
const GROWTH: u64 = 16 << 20;
/// The order of the group, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// An issuer whose key is revoked.
const REVOKED: &str = "revoked.example";

/// What a generator has to begin with.
struct Source {
    /// A wrapper that the node takes, and as it is signed.
    wrapper: Value,
    good: Vec<u8>,
    /// The issuer's, one that is revoked, and one that nobody knows.
    issuer: SigningKey,
    revoked: SigningKey,
    stranger: SigningKey,
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

/// An item's head (RFC 8949, section 3) with its argument in so many bytes, 0 for the shortest.
fn head(major: u8, argument: u64, width: usize) -> Vec<u8> {
    let width = match width {
        0 if argument < 24 => return vec![major << 5 | u8::try_from(argument).unwrap()],
        0 if argument < 256 => 1,
        0 if argument < 65_536 => 2,
        0 => 4,
        width => width,
    };
    let info = match width {
        1 => 24,
        2 => 25,
        4 => 26,
        _ => 27,
    };
    [&[major << 5 | info][..], &argument.to_be_bytes()[8 - width..]].concat()
}

/// The content of a byte string at `at`, and where it ends.
fn string(envelope: &[u8], at: usize) -> (&[u8], usize) {
    let width = match envelope[at] & 31 {
        info @ 0..24 => return (&envelope[at + 1..][..usize::from(info)], at + 1 + usize::from(info)),
        info => 1 << (info - 24),
    };
    let length = envelope[at + 1..][..width].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (&envelope[at + 1 + width..][..length], at + 1 + width + length)
}

/// The parts of an envelope of ours: protected header, payload, signature.
fn parts(envelope: &[u8]) -> [&[u8]; 3] {
    let (protected, at) = string(envelope, 2);
    let (payload, at) = string(envelope, at + 1);
    [protected, payload, string(envelope, at).0]
}

fn assemble(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let string = |content: &[u8]| [&head(2, content.len() as u64, 0)[..], content].concat();
    [&[0xd2, 0x84][..], &string(protected), unprotected, &string(payload), &string(signature)].concat()
}

impl Source {
    /// One of them, had again by seed and number.
    fn make(&self, seed: u64, number: u64) -> (&'static str, Vec<u8>) {
        let (name, way) = WAYS[usize::try_from(number).unwrap() % WAYS.len()];
        (name, way(self, &mut Random::new(seed ^ number << 20)))
    }

    /// A signed wrapper of the issuer with something changed.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut wrapper = self.wrapper.clone();
        change(&mut wrapper);
        self.signs(&wrapper.to_string())
    }

    fn signs(&self, payload: &str) -> Vec<u8> {
        sign(&self.issuer, Purpose::Task, payload.as_bytes())
    }

    fn a1(&self, random: &mut Random) -> Vec<u8> {
        let text = self.wrapper.to_string();
        let [protected, payload, signature] = parts(&self.good);
        match random.below(6) {
            0 => text.into_bytes(),
            1 => assemble(protected, &[0xa0], payload, &[]),
            2 => sign(&self.stranger, Purpose::Task, text.as_bytes()),
            3 => {
                // The right id over another key's signature.
                let other = sign(&self.stranger, Purpose::Task, text.as_bytes());
                assemble(protected, &[0xa0], payload, parts(&other)[2])
            }
            4 => {
                let mut other = protected.to_vec();
                other[2] = pick(random, &[0x26, 0x01, 0x00, 0x20, 0x28, 0x38, 0xf6]);
                assemble(&other, &[0xa0], payload, signature)
            }
            _ => assemble(
                protected,
                pick(random, &[&[0xa1, 0x01, 0x27][..], &[0xa1, 0x04, 0x40]]),
                payload,
                signature,
            ),
        }
    }

    fn a2(&self, random: &mut Random) -> Vec<u8> {
        let mut made = self.good.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(made.len());
            match random.below(6) {
                0 => made[at] ^= 1 << random.below(8),
                1 => made.insert(at, u8::try_from(random.below(256)).unwrap()),
                2 => drop(made.remove(at)),
                3 => made.insert(at, made[at]),
                4 if at > 0 => made.truncate(at),
                _ => made.extend_from_within(..at),
            }
            if made.is_empty() {
                break;
            }
        }
        made
    }

    fn a3(&self, random: &mut Random) -> Vec<u8> {
        let [protected, payload, signature] = parts(&self.good);
        let string = |content: &[u8], width| [&head(2, content.len() as u64, width)[..], content].concat();
        let (mut tag, mut array, mut end) = (vec![0xd2], vec![0x84], Vec::new());
        let (mut widths, mut unprotected) = ([0; 3], vec![0xa0]);
        match random.below(8) {
            0 => tag.clear(),
            1 => tag = head(6, 18, pick(random, &[1, 2, 4, 8])),
            2 => array = head(4, 4, pick(random, &[1, 2, 4, 8])),
            3 => (array, end) = (vec![0x9f], vec![0xff]),
            4 => widths[random.below(3)] = 4 + 4 * random.below(2),
            5 => unprotected = vec![0xbf, 0xff],
            6 => unprotected = head(5, 0, pick(random, &[1, 2, 4, 8])),
            _ => {
                end = {
                    let count = 1 + random.below(9);
                    bytes(random, count)
                }
            }
        }
        let strings = [
            string(protected, widths[0]),
            unprotected,
            string(payload, widths[1]),
            string(signature, widths[2]),
        ];
        [tag, array, strings.concat(), end].concat()
    }

    fn a4(&self, random: &mut Random) -> Vec<u8> {
        let [protected, payload, signature] = parts(&self.good);
        let mut forged = signature.to_vec();
        if random.below(2) == 0 {
            // S + L, which a lenient verifier takes for S (RFC 8032, section 5.1.7).
            let mut carry = 0;
            for (byte, order) in forged[32..].iter_mut().zip(ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
        } else {
            // R of small order: the neutral element, the point of order 2, one of order 4.
            let mut minus_one = [0xff; 32];
            (minus_one[0], minus_one[31]) = (0xec, 0x7f);
            let mut one = [0; 32];
            one[0] = 1;
            forged[..32].copy_from_slice(&pick(random, &[one, minus_one, [0; 32]]));
            if random.below(2) == 0 {
                forged[32..].fill(0);
            }
        }
        assemble(protected, &[0xa0], payload, &forged)
    }

    fn a6(&self, random: &mut Random) -> Vec<u8> {
        let text = self.wrapper.to_string();
        match random.below(4) {
            0 => sign(
                &self.issuer,
                pick(random, &[Purpose::Image, Purpose::Receipt, Purpose::Request]),
                text.as_bytes(),
            ),
            1 => self.changed(|w| {
                w["credentials"]["audience"] = json!(pick(random, &["edge-2", "EDGE-1", "edge-1 ", ""]))
            }),
            2 => self.changed(|w| {
                w["schema"] = json!(pick(random, &["fades.task.v2", "fades.task.v0", "fades.receipt.v1", ""]))
            }),
            _ => self.changed(|w| w["credentials"]["node_epoch"] = json!("0".repeat(32))),
        }
    }

    fn a7(&self, random: &mut Random) -> Vec<u8> {
        match random.below(3) {
            0 => {
                let mut wrapper = self.wrapper.clone();
                wrapper["credentials"]["issuer"] = json!(REVOKED);
                sign(&self.revoked, Purpose::Task, wrapper.to_string().as_bytes())
            }
            1 => self.changed(|w| {
                w["credentials"]["issued_at"] = json!("2020-01-01T00:00:00Z");
                w["credentials"]["expires_at"] =
                    json!(format!("2020-01-01T00:00:{:02}Z", 1 + random.below(59)));
            }),
            _ => self.changed(|w| {
                w["credentials"]["issued_at"] = json!("2090-01-01T00:00:00Z");
                w["credentials"]["expires_at"] =
                    json!(format!("2090-01-01T00:00:{:02}Z", 1 + random.below(59)));
            }),
        }
    }

    fn a9(&self, random: &mut Random) -> Vec<u8> {
        let [protected, payload, signature] = parts(&self.good);
        let text = self.wrapper.to_string();
        let number =
            |text: &str, with: &str| text.replacen("\"priority\":5", &format!("\"priority\":{with}"), 1);
        match random.below(8) {
            0 => {
                // A length that nobody has sent.
                let length = 1_u64 << (16 + random.below(47));
                let string = [head(2, length, 8), payload.to_vec()].concat();
                let before =
                    [&[0xd2, 0x84][..], &head(2, protected.len() as u64, 0), protected, &[0xa0]].concat();
                [before, string, head(2, 64, 0), signature.to_vec()].concat()
            }
            1 => {
                let depth = 1 << (7 + random.below(8));
                self.signs(&text.replacen(
                    "\"parameters\":{}",
                    &format!("\"parameters\":{}{}", "[".repeat(depth), "]".repeat(depth)),
                    1,
                ))
            }
            2 => self.signs(&number(
                &text,
                pick(random, &["NaN", "Infinity", "-Infinity", "1e999", "-0.5", "05", "0x5"]),
            )),
            3 => self.signs(&number(&text, &"9".repeat(20 + random.below(300)))),
            4 => {
                let mut broken = text.into_bytes();
                let at = broken.iter().position(|byte| *byte == b'p').unwrap();
                broken[at] = pick(random, &[0xff, 0xc0, 0x80, 0xf5]);
                sign(&self.issuer, Purpose::Task, &broken)
            }
            5 => self.signs(&number(&text, "5,\"priority\":5")),
            6 => self.changed(|w| w["credentials"][format!("x{}", random.below(1000))] = json!(1)),
            _ => {
                let count = random.below(2000);
                bytes(random, count)
            }
        }
    }

    fn a10(&self, random: &mut Random) -> Vec<u8> {
        let [protected, payload, _] = parts(&self.good);
        let forged = bytes(random, 64);
        assemble(protected, &[0xa0], payload, &forged)
    }

    fn a11(&self, random: &mut Random) -> Vec<u8> {
        const NAMES: [&str; 9] = ["../x", "a/b", "a\u{0}b", "a\nb", "a,b", "-a", "--daemonize", "", "a b"];
        let huge = pick(random, &[0_u64, 1 << 63, u64::MAX]);
        let name = pick(random, &NAMES);
        self.changed(|w| match random.below(9) {
            0 => w["dmf"]["resources"]["memory_mib"] = json!(huge),
            1 => w["dmf"]["resources"]["timeout_ms"] = json!(huge),
            2 => w["drb"]["operations"][0]["to"] = w["drb"]["operations"][0]["from"].clone(),
            3 => w["drb"]["operations"][0]["from"] = json!("0001-01-01T00:00:00Z"),
            4 => w["drb"]["operations"][0]["source"] = json!(pick(random, &["elsewhere", name])),
            5 => w["dmf"]["image"] = json!(format!("{name}@sha256:{}", "0".repeat(64))),
            6 => w["drb"]["operations"][0]["measurement"] = json!("of nobody's policy"),
            7 => w["credentials"]["issuer"] = json!("somebody.else.example"),
            _ => {
                w["credentials"]["task_id"] = json!(pick(
                    random,
                    &["", "../../etc", "01M8310AK0158J8E1JP1NSD4E", "81M8310AK0158J8E1JP1NSD4EN"]
                ))
            }
        })
    }
}

/// A way to make one, by the number of the threat.
type Way = (&'static str, fn(&Source, &mut Random) -> Vec<u8>);

const WAYS: [Way; 9] = [
    ("A1", Source::a1),
    ("A2", Source::a2),
    ("A3", Source::a3),
    ("A4", Source::a4),
    ("A6", Source::a6),
    ("A7", Source::a7),
    ("A9", Source::a9),
    ("A10", Source::a10),
    ("A11", Source::a11),
];

/// Memory that this process holds, bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Sends those of one thread; how often each was refused with which code.
async fn send(
    node: Arc<Node>,
    source: Arc<Source>,
    seed: u64,
    numbers: std::ops::Range<u64>,
) -> BTreeMap<(&'static str, String), u64> {
    let mut refused = BTreeMap::new();
    let peer = Peer::Remote("127.0.0.1".parse().unwrap());
    for number in numbers {
        let (name, made) = source.make(seed, number);
        if made == source.good {
            continue;
        }
        match submit(&node, peer, &made).await {
            Ok(_) => {
                panic!("seed {seed}, number {number} ({name}) is taken: {}", String::from_utf8_lossy(&made))
            }
            Err(problem) => *refused.entry((name, problem.code.to_string())).or_default() += 1,
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_to_a11_no_hostile_wrapper_is_taken() {
    let asked = std::env::var("FADES_HOSTILE").ok().map(|count| count.parse().unwrap());
    let seed = std::env::var("FADES_SEED").map_or(1, |seed| seed.parse().unwrap());
    let count: u64 = asked.unwrap_or(HOSTILE);
    let node = TestNode::with(fades_testkit::Script::default(), |config| {
        let free = fades_daemon::rate::Rate { per_minute: u32::MAX, burst: u32::MAX };
        (config.rates.address, config.rates.key) = (free, free);
    })
    .await;
    let revoked = key(40);
    let update = json!({ "proof": proof(&revoked, REVOKED), "policy": policy() });
    let put = node.admin("PUT", &format!("/v1/admin/issuers/{REVOKED}"), &update).await;
    assert_eq!(put.status, 200, "{put:?}");
    let path = format!("/v1/admin/issuers/{REVOKED}/keys/{}", revoked.public().id());
    let answer = node.local("DELETE", &path, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let far = |w: &mut Value| w["credentials"]["expires_at"] = json!(node.in_seconds(3_000));
    let wrapper = node.wrapper(&id(1), far);
    let good = sign(&key(2), Purpose::Task, wrapper.to_string().as_bytes());
    let source = Arc::new(Source { wrapper, good, issuer: key(2), revoked, stranger: key(99) });
    let mut refused = BTreeMap::<(&str, String), u64>::new();
    let (mut before, begun, warm) = (0, std::time::Instant::now(), count / 10);
    for numbers in [0..warm, warm..count] {
        let middle = numbers.start.midpoint(numbers.end);
        let halves = [numbers.start..middle, middle..numbers.end]
            .map(|half| tokio::spawn(send(Arc::clone(&node.node), Arc::clone(&source), seed, half)));
        for half in halves {
            for (kind, times) in half.await.unwrap() {
                *refused.entry(kind).or_default() += times;
            }
        }
        if before == 0 {
            before = resident();
        }
    }
    let (took, grown) = (begun.elapsed(), resident().saturating_sub(before));
    let total: u64 = refused.values().sum();
    eprintln!("{refused:#?}\ntried: {total} | in {took:.1?}, memory grew by {} KiB", grown >> 10);
    // One of a hundred over HTTP.
    for number in count..count + count / 100 {
        let (name, made) = source.make(seed, number);
        if made != source.good {
            let answer = node.submit(&made).await;
            assert!((400..500).contains(&answer.status), "seed {seed}, number {number} ({name}): {answer:?}");
        }
    }
    assert!(node.node.store.tasks(None, 10, |_| true).unwrap().is_empty());
    assert_eq!(node.backend.started(Role::Function), 0);
    // Not vacuous: hardly any was what it was made of, each way got somewhere, and the signature had its share.
    assert!(total > count - count / 100, "{total} of {count}");
    for (name, _) in WAYS {
        assert!(refused.keys().any(|(way, _)| *way == name), "{name} was never refused");
    }
    let of = |code: &str| {
        refused.iter().filter(|((_, found), _)| found == code).map(|(_, times)| times).sum::<u64>()
    };
    assert!(of("E1112") > count / 10, "{refused:#?}");
    assert!(of("E1205") > 0, "a revoked key was never what was wrong: {refused:#?}");
    assert!(refused.iter().any(|((way, code), _)| *way == "A11" && code.starts_with("E14")), "{refused:#?}");
    // And the one that they were made of is taken still.
    assert_eq!(node.submit(&source.good).await.status, 202, "of {ISSUER}");
    if asked.is_some() {
        assert!(grown < GROWTH, "memory grew by {grown} bytes");
    }
}
