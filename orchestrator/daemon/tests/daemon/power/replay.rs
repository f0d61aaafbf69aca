//! THREATS A5: each way in which a captured wrapper could run a second time, after a kill at every step that lasts.
//!
//! A kill leaves what was written, synced or not. The steps have names, and a node is killed before and after one of each.

use std::collections::BTreeMap;

use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_envelope::{Purpose, sign};
use fades_testkit::Script;
use serde_json::{Value, json};

use super::disk::{Disk, Files, Random};
use super::judge::{Told, envelope, put, with_node};
use super::trace::{Call, What};
use super::{Run, number, trace};
use crate::support::{ISSUER, TestNode, eventually, folder, key};

/// What an attacker, or a restore, does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    SameBytes,
    SameClaimsInANewEnvelope,
    OtherClaimsUnderTheSameId,
    AfterExpiry,
    AfterAnotherRestart,
    ClockSetBack,
    RecordGone,
    PowerCutInsteadOfKill,
    StoreLost,
    StoreRestored,
    FolderRestored,
    AnotherNode,
}

const SITUATIONS: [Situation; 12] = [
    Situation::SameBytes,
    Situation::SameClaimsInANewEnvelope,
    Situation::OtherClaimsUnderTheSameId,
    Situation::AfterExpiry,
    Situation::AfterAnotherRestart,
    Situation::ClockSetBack,
    Situation::RecordGone,
    Situation::PowerCutInsteadOfKill,
    Situation::StoreLost,
    Situation::StoreRestored,
    Situation::FolderRestored,
    Situation::AnotherNode,
];

impl Situation {
    /// Whether the node has lost what it knew, so that nothing signed before may run.
    const fn has_forgotten(self) -> bool {
        matches!(self, Self::StoreLost | Self::StoreRestored | Self::FolderRestored | Self::AnotherNode)
    }

    /// Which answers to a wrapper that was accepted are right, by status and code.
    fn allows(self, status: u16, code: &str) -> bool {
        match self {
            Self::SameBytes
            | Self::SameClaimsInANewEnvelope
            | Self::AfterAnotherRestart
            | Self::PowerCutInsteadOfKill => status == 202,
            Self::OtherClaimsUnderTheSameId => code == "E1203",
            Self::AfterExpiry => code == "E1200",
            Self::ClockSetBack => code == "E1217",
            Self::RecordGone => status == 202 || code == "E5013",
            Self::StoreLost | Self::StoreRestored | Self::FolderRestored => code == "E1204",
            Self::AnotherNode => code == "E1202",
        }
    }

    /// The wrapper as it is sent again.
    fn sends(self, envelope: &[u8]) -> Vec<u8> {
        let payload = || fades_envelope::parse(envelope).unwrap().unverified_payload().to_vec();
        match self {
            Self::SameClaimsInANewEnvelope => sign(&key(super::campaign::SECOND), Purpose::Task, &payload()),
            Self::OtherClaimsUnderTheSameId => {
                let mut wrapper: Value = serde_json::from_slice(&payload()).unwrap();
                wrapper["credentials"]["priority"] = json!(1);
                sign(&key(2), Purpose::Task, wrapper.to_string().as_bytes())
            }
            _ => envelope.to_vec(),
        }
    }
}

/// A step that lasts, by its name.
fn step(run: &Run, call: &Call) -> Option<&'static str> {
    let name = |path: &std::path::Path| {
        path.strip_prefix(&run.folder).ok().and_then(|name| name.to_str().map(str::to_owned))
    };
    Some(match &call.what {
        What::Wrote { path, .. } => match name(path)?.as_str() {
            "store.redb" => "store.write",
            "store.witness" => "witness.write",
            other if other.starts_with("images/") => "image.write",
            _ => return None,
        },
        What::Sync(path) => match name(path)?.as_str() {
            "store.redb" => "store.sync",
            "images" => "images.sync",
            other if other.starts_with("images/") => "image.sync",
            _ => return None,
        },
        What::Renamed { to, .. } => name(to).map(|_| "image.rename")?,
        What::Removed(path) => {
            name(path).filter(|name| name.starts_with("images/")).map(|_| "image.remove")?
        }
        What::Said(line) if line.starts_with("accepted ") => "task.accepted",
        What::Said(line) if line.starts_with("ended ") => "task.ended",
        _ => return None,
    })
}

/// Where each step begins, by its name.
fn steps(run: &Run) -> BTreeMap<&'static str, Vec<usize>> {
    let is_ready = |call: &Call| matches!(&call.what, What::Said(line) if line.starts_with("ready "));
    let ready = run.calls.iter().position(is_ready).unwrap();
    let mut steps = BTreeMap::<_, Vec<usize>>::new();
    // Not in the first moments, when there is little to replay.
    for at in ready + (run.calls.len() - ready) / 4..run.calls.len() {
        if let Some(name) = step(run, &run.calls[at]) {
            steps.entry(name).or_default().push(at);
        }
    }
    steps
}

#[test]
fn a5_nothing_runs_twice_wherever_it_was_killed_and_whatever_comes_then() {
    if !trace::is_there() {
        return;
    }
    let seed = number("FADES_SEED", 1);
    let (run, mut random) = (Run::trace(), Random::new(seed));
    let steps = steps(&run);
    assert_eq!(steps.len(), 10, "{:?}", steps.keys());
    let mut kills: Vec<(usize, String, Situation)> = Vec::new();
    for (name, places) in &steps {
        for situation in SITUATIONS {
            for (when, after) in [("before", 0), ("after", 1)] {
                let at = places[random.below(places.len())] + after;
                kills.push((at, format!("{when} {name}, {situation:?}"), situation));
            }
        }
    }
    kills.sort_by_key(|(at, ..)| *at);
    let (mut disk, mut next, mut ended) = (Disk::new(&run.folder), 0, 0);
    let (mut replayed, mut gone) = (0, 0);
    // The older of the two, so that something has been stored since.
    let mut backups = [Files::new(), Files::new()];
    for (at, name, situation) in &kills {
        while next < *at {
            disk.carry_out(&run.calls[next]);
            next += 1;
            if next == run.begun {
                disk.sync_all();
            }
            // A copy of the files of a running node, after every third task that ended.
            if matches!(&run.calls[next - 1].what, What::Said(line) if line.starts_with("ended ")) {
                ended += 1;
                if ended % 3 == 0 {
                    backups.swap(0, 1);
                    backups[1] = disk.killed();
                }
            }
        }
        let left = match situation {
            Situation::PowerCutInsteadOfKill => disk.cut(&mut random),
            _ => disk.killed(),
        };
        let said = run.said(*at);
        assert!(!backups[0].is_empty(), "{name}: too early for a copy");
        let (sent, without) = with_node(|| replay(*situation, &left, &backups[0], &said))
            .unwrap_or_else(|wrong| panic!("{name}: {wrong} (FADES_SEED={seed})"));
        (replayed, gone) = (replayed + sent, gone + without);
    }
    assert!(gone > 0, "no task was known by its id alone");
    eprintln!("tried: {replayed} | {} kills at {} steps", kills.len(), steps.len());
}

/// Starts a node in this situation and sends every wrapper again; how many, and of how many tasks only the id was known.
async fn replay(
    situation: Situation,
    left: &Files,
    backup: &Files,
    said: &[&str],
) -> Result<(usize, usize), String> {
    let told = Told::of(said);
    let dir = folder();
    put(dir.path(), if situation == Situation::FolderRestored { backup } else { left });
    let store = dir.path().join("store.redb");
    match situation {
        Situation::StoreLost => std::fs::remove_file(&store).unwrap(),
        Situation::StoreRestored => {
            std::fs::write(&store, &backup[std::path::Path::new("store.redb")]).unwrap()
        }
        Situation::FolderRestored => std::fs::remove_file(dir.path().join("store.witness")).unwrap(),
        Situation::AnotherNode => {
            std::fs::remove_file(&store).unwrap();
            std::fs::remove_file(dir.path().join("store.witness")).unwrap();
            std::fs::write(dir.path().join("fades.toml"), "node = \"edge-2\"\n").unwrap();
        }
        _ => {}
    }
    let clock = Clock::default();
    match situation {
        Situation::AfterExpiry => clock.shift_us(3_100_000_000),
        Situation::ClockSetBack => clock.shift_us(-86_400_000_000),
        _ => {}
    }
    let keeps_one = situation == Situation::RecordGone;
    let start = |dir, clock: &Clock| {
        TestNode::start(dir, Script::default(), clock.clone(), move |config| {
            if keeps_one {
                config.keep.finished_tasks = 1;
            }
        })
    };
    let mut node = start(dir, &clock).await;
    let mut started = 0;
    if situation == Situation::AfterAnotherRestart {
        // What a stop interrupts begins again, and rightly so.
        node.quiet().await;
        started = node.backend.started(Role::Function);
        node = start(node.stop().await, &clock).await;
    }
    if matches!(situation, Situation::StoreLost | Situation::AnotherNode) {
        // Whoever sets it up anew trusts the same issuer.
        node.equip().await;
    }
    let open = &node.node.seats;
    eventually("quiet", async || open.open() == 0).await;
    let mut gone = 0;
    for (id, hex) in &told.submitted {
        let answer = node.submit(&situation.sends(&envelope(hex))).await;
        let (status, code) = (answer.status, answer.code());
        gone += usize::from(code == "E5013");
        if told.accepted.contains(id) && !situation.allows(status, &code) {
            return Err(format!("task {id} of {ISSUER} sent again is answered with {status} {code}"));
        }
    }
    eventually("quiet again", async || open.open() == 0).await;
    started += node.backend.started(Role::Function);
    let most = if situation.has_forgotten() { 0 } else { told.submitted.len() - told.ended.len() };
    if started > most {
        return Err(format!("{started} functions ran, {most} at most had not run"));
    }
    let events = node.node.store.events_after(0, None, 100_000).unwrap().events;
    for id in told.submitted.keys() {
        let ends = events.iter().filter(|(_, event)| event.task == **id && event.state.is_end()).count();
        if ends > 1 {
            return Err(format!("task {id} ended {ends} times"));
        }
    }
    node.stop().await;
    Ok((told.submitted.len(), gone))
}
