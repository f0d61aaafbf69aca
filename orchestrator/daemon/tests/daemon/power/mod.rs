//! Power cuts: what was told before one is so after it.
//!
//! `kill -9` shows little, as what a process has written outlives it in the page cache. So a node is run under `strace`
//! ([`campaign`]), every call that changes its folder is read back ([`trace`]), and a disk is made of them that holds for
//! certain only what was synced ([`disk`]). At any moment of the run that disk can be cut off: of what was not synced some
//! is there and some is not. On what is left a node is started and held against what had been told by then ([`judge`]). No
//! line of the daemon knows of it, and every sync that it makes can be taken out: the judge must then find something.
//!
//! After ALICE (Pillai et al., OSDI 2014). What is assumed of a file system is drawn in [`disk`].

mod campaign;
mod disk;
mod judge;
mod replay;
mod trace;

use std::path::PathBuf;
use std::time::Duration;

use self::disk::Disk;
pub(crate) use self::disk::Random;
use self::trace::{Call, What};

/// Cuts of one test; the long form is asked for by `FADES_CUTS`.
const CUTS: usize = 200;
/// Within so many cuts a sync that is missing is found.
const CUTS_OF_A_MUTANT: usize = 120;

/// A sync that the daemon makes, by the name of what is synced, from the node's folder on.
type Sync = (&'static str, fn(&str) -> bool);

/// Every one of them.
const SYNCS: [Sync; 5] = [
    ("the store", |name| name == "store.redb" || name == "store.new"),
    ("the store's witness", |name| name == "store.witness"),
    ("the node's folder", str::is_empty),
    ("an image's file", |name| name.starts_with("images/")),
    ("the folder of images", |name| name == "images"),
];

/// A run that was traced.
struct Run {
    calls: Vec<Call>,
    /// Where the node's folder was.
    folder: PathBuf,
    /// From where on its power may be cut.
    begun: usize,
}

impl Run {
    fn trace() -> Self {
        let calls = trace::of(campaign::NAME);
        let begun = calls
            .iter()
            .position(|call| matches!(&call.what, What::Said(line) if line.starts_with("folder ")));
        let begun = begun.expect("the campaign says where its folder is");
        let What::Said(line) = &calls[begun].what else { unreachable!() };
        let folder = line.trim_start_matches("folder ").into();
        Self { calls, folder, begun }
    }

    /// What had been told by a moment.
    fn said(&self, moment: usize) -> Vec<&str> {
        let calls = self.calls[self.begun..moment.max(self.begun)].iter();
        let said = calls.filter_map(|call| match &call.what {
            What::Said(line) => Some(line.as_str()),
            _ => None,
        });
        said.collect()
    }

    /// What of the node's folder a call syncs, if it does.
    fn synced<'a>(&self, call: &'a Call) -> Option<&'a str> {
        let What::Sync(path) = &call.what else { return None };
        path.strip_prefix(&self.folder).ok()?.to_str()
    }

    /// Cuts the power at so many moments and looks at what is left; the first that is wrong. `without`: syncs that do nothing.
    fn cuts(&self, seed: u64, count: usize, without: impl Fn(&str) -> bool) -> Result<Seen, String> {
        let mut random = Random::new(seed);
        let mut moments: Vec<usize> =
            (0..count).map(|_| self.begun + random.below(self.calls.len() - self.begun + 1)).collect();
        moments.sort_unstable();
        let (mut disk, mut next, mut seen) = (Disk::new(&self.folder), 0, Seen::default());
        for moment in moments {
            while next < moment {
                let call = &self.calls[next];
                if !self.synced(call).is_some_and(&without) {
                    disk.carry_out(call);
                }
                next += 1;
                if next == self.begun {
                    // What `fades init` has made long before.
                    disk.sync_all();
                }
            }
            let (left, said) = (disk.cut(&mut random), self.said(moment));
            let took = judge::with_node(|| judge::judge(&left, &said))
                .map_err(|wrong| format!("cut before call {moment} of {}: {wrong}", self.calls.len()))?;
            seen.add(took);
        }
        Ok(seen)
    }
}

/// What cuts were seen to do.
#[derive(Default)]
struct Seen {
    cuts: usize,
    longest: Duration,
}

impl Seen {
    fn add(&mut self, took: Duration) {
        self.cuts += 1;
        self.longest = self.longest.max(took);
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// THREATS A5 and B5, and what README promises of an answer 202.
#[test]
fn a5_what_was_told_survives_a_power_cut() {
    if !trace::is_there() {
        return;
    }
    let (seed, cuts) = (number("FADES_SEED", 1), number("FADES_CUTS", CUTS as u64));
    let run = Run::trace();
    let seen = run.cuts(seed, usize::try_from(cuts).unwrap(), |_| false).unwrap_or_else(|wrong| {
        panic!("{wrong} (FADES_SEED={seed})");
    });
    eprintln!(
        "tried: {} | over {} calls, the longest start {:.1?}",
        seen.cuts,
        run.calls.len(),
        seen.longest
    );
}

/// A suite that does not notice a sync that is missing says nothing of those that are there.
#[test]
fn each_sync_that_is_taken_out_is_noticed() {
    if !trace::is_there() {
        return;
    }
    let run = Run::trace();
    for (name, is_it) in SYNCS {
        assert!(run.calls.iter().filter_map(|call| run.synced(call)).any(is_it), "{name} is never synced");
        match run.cuts(1, CUTS_OF_A_MUTANT, is_it) {
            Ok(_) => panic!("nothing is wrong without the sync of {name}"),
            Err(wrong) => eprintln!("without the sync of {name}: {wrong}"),
        }
    }
    eprintln!("tried: {} | {}", SYNCS.len(), SYNCS.map(|(name, _)| name).join(", "));
    // And there is none that this list does not know.
    for name in run.calls[run.begun..].iter().filter_map(|call| run.synced(call)) {
        assert!(SYNCS.iter().any(|(_, is_it)| is_it(name)), "{name:?} is synced");
    }
}
