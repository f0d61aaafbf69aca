//! A disk that holds for certain only what was synced.
//!
//! ```text
//! file     a write is there after a sync of the file that began when the write had ended. Before, each of its sectors may
//!          be there or not, and so may each change of its length
//! name     a file that was made, renamed or removed is so after a sync of the folder. Before, the folder has some of
//!          its changes: the first so many, as file systems keep their journals in order
//! ```
//! A file's sync says nothing of its name, which is less than most file systems give.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::trace::{Call, What};

/// What a disk writes whole or not at all, bytes.
const SECTOR: u64 = 512;

/// Files by their names.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// All that was done below one folder.
pub(super) struct Disk {
    folder: PathBuf,
    files: Vec<File>,
    /// As the process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// As they are on the disk.
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names that may not be there, oldest first.
    pending: Vec<(usize, Change)>,
    /// Where the next write goes.
    positions: HashMap<i32, u64>,
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<(usize, Edit)>,
}

enum Edit {
    Write { at: u64, bytes: Vec<u8> },
    Len(u64),
}

enum Change {
    Named(PathBuf, usize),
    Removed(PathBuf),
    Renamed { from: PathBuf, to: PathBuf },
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Named(path, _) | Self::Removed(path) | Self::Renamed { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Named(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Removed(path) => drop(names.remove(path)),
            Self::Renamed { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl Edit {
    /// Does it, whole; or of each sector only what `keeps` says.
    fn apply(&self, content: &mut Vec<u8>, mut keeps: impl FnMut() -> bool) {
        match self {
            Self::Len(len) => {
                if keeps() {
                    content.resize(usize::try_from(*len).unwrap(), 0);
                }
            }
            Self::Write { at, bytes } => {
                let (mut at, mut rest) = (*at, bytes.as_slice());
                while !rest.is_empty() {
                    let room = usize::try_from(SECTOR - at % SECTOR).unwrap().min(rest.len());
                    let (sector, more) = rest.split_at(room);
                    if keeps() {
                        let from = usize::try_from(at).unwrap();
                        content.resize(content.len().max(from + sector.len()), 0);
                        content[from..from + sector.len()].copy_from_slice(sector);
                    }
                    (at, rest) = (at + u64::try_from(room).unwrap(), more);
                }
            }
        }
    }
}

impl File {
    /// What began after `until` may not be there yet.
    fn sync(&mut self, until: usize) {
        let later = self.pending.iter().position(|(done, _)| *done >= until).unwrap_or(self.pending.len());
        for (_, edit) in self.pending.drain(..later) {
            edit.apply(&mut self.durable, || true);
        }
    }

    fn whole(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.pending.iter().for_each(|(_, edit)| edit.apply(&mut content, || true));
        content
    }

    /// What is left of it, in one of the ways in which that can be.
    fn cut(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let (way, first) = (random.below(4), random.below(self.pending.len() + 1));
        for (place, (_, edit)) in self.pending.iter().enumerate() {
            match way {
                0 => {}
                1 => edit.apply(&mut content, || true),
                2 => edit.apply(&mut content, || place < first),
                _ => edit.apply(&mut content, || random.below(2) == 0),
            }
        }
        content
    }
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            positions: HashMap::new(),
        }
    }

    fn change(&mut self, done: usize, change: Change) {
        change.apply(&mut self.names);
        self.pending.push((done, change));
    }

    pub(super) fn carry_out(&mut self, call: &Call) {
        let done = call.done;
        match &call.what {
            What::Opened { path, empties, makes, descriptor } => {
                self.positions.insert(*descriptor, 0);
                if !path.starts_with(&self.folder) {
                    return;
                }
                match self.names.get(path) {
                    Some(file) if *empties => self.files[*file].pending.push((done, Edit::Len(0))),
                    Some(_) => {}
                    None if *makes => {
                        self.files.push(File::default());
                        self.change(done, Change::Named(path.clone(), self.files.len() - 1));
                    }
                    None => {}
                }
            }
            What::Wrote { path, descriptor, at, bytes } => {
                let next = self.positions.entry(*descriptor).or_default();
                let at = at.unwrap_or_else(|| {
                    let at = *next;
                    *next += u64::try_from(bytes.len()).unwrap();
                    at
                });
                if let Some(file) = self.names.get(path) {
                    self.files[*file].pending.push((done, Edit::Write { at, bytes: bytes.clone() }));
                }
            }
            What::Sized { path, len } => {
                if let Some(file) = self.names.get(path) {
                    self.files[*file].pending.push((done, Edit::Len(*len)));
                }
            }
            What::Sync(path) => match self.names.get(path) {
                Some(file) => self.files[*file].sync(call.begun),
                None => self.sync_folder(path, call.begun),
            },
            What::Renamed { from, to } => {
                if self.names.contains_key(from) {
                    self.change(done, Change::Renamed { from: from.clone(), to: to.clone() });
                }
            }
            What::Removed(path) => {
                if self.names.contains_key(path) {
                    self.change(done, Change::Removed(path.clone()));
                }
            }
            // A folder is there when something in it is.
            What::MadeFolder(_) | What::Said(_) => {}
        }
    }

    fn sync_folder(&mut self, folder: &Path, until: usize) {
        let pending = std::mem::take(&mut self.pending);
        for (done, change) in pending {
            if done < until && change.folder() == Some(folder) {
                change.apply(&mut self.durable);
            } else {
                self.pending.push((done, change));
            }
        }
    }

    /// All that was done until now is there for ever.
    pub(super) fn sync_all(&mut self) {
        self.files.iter_mut().for_each(|file| file.sync(usize::MAX));
        self.durable.clone_from(&self.names);
        self.pending.clear();
    }

    /// What is there after the process was killed now: all that it has written.
    pub(super) fn killed(&self) -> Files {
        let below = |path: &Path| path.strip_prefix(&self.folder).map(Path::to_owned).unwrap();
        self.names.iter().map(|(path, file)| (below(path), self.files[*file].whole())).collect()
    }

    /// What is there after the power was cut now, by names below the folder.
    pub(super) fn cut(&self, random: &mut Random) -> Files {
        let mut names = self.durable.clone();
        let mut folders: Vec<&Path> = self.pending.iter().filter_map(|(_, change)| change.folder()).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let changes: Vec<&Change> = self
                .pending
                .iter()
                .map(|(_, change)| change)
                .filter(|change| change.folder() == Some(folder))
                .collect();
            let first = random.below(changes.len() + 1);
            changes[..first].iter().for_each(|change| change.apply(&mut names));
        }
        let below = |path: &Path| path.strip_prefix(&self.folder).map(Path::to_owned).unwrap();
        names.iter().map(|(path, file)| (below(path), self.files[*file].cut(random))).collect()
    }
}

/// A run of calls, each ended before the next began.
#[cfg(test)]
fn disk_of(whats: Vec<What>) -> Disk {
    let mut disk = Disk::new(Path::new("/n"));
    for (place, what) in whats.into_iter().enumerate() {
        disk.carry_out(&Call { begun: 2 * place, done: 2 * place + 1, what });
    }
    disk
}

#[test]
fn only_what_was_synced_is_there_for_certain() {
    let (a, b) = (PathBuf::from("/n/a"), PathBuf::from("/n/b"));
    let opened = What::Opened { path: a.clone(), empties: false, makes: true, descriptor: 3 };
    let wrote =
        |bytes: &[u8]| What::Wrote { path: a.clone(), descriptor: 3, at: None, bytes: bytes.to_vec() };
    let all = |disk: &Disk| -> std::collections::BTreeSet<Vec<(PathBuf, Vec<u8>)>> {
        (0..200).map(|seed| disk.cut(&mut Random::new(seed)).into_iter().collect()).collect()
    };
    let file = |name: &str, content: &[u8]| vec![(PathBuf::from(name), content.to_vec())];
    // Neither name nor content.
    let disk = disk_of(vec![opened, wrote(b"one")]);
    assert_eq!(all(&disk), [vec![], file("a", b""), file("a", b"one")].into());
    // Its content, if it has a name.
    let opened = What::Opened { path: a.clone(), empties: false, makes: true, descriptor: 3 };
    let synced = || What::Sync(a.clone());
    let disk = disk_of(vec![opened, wrote(b"one"), synced()]);
    assert_eq!(all(&disk), [vec![], file("a", b"one")].into());
    // Both, until it is renamed and goes on.
    let opened = What::Opened { path: a.clone(), empties: false, makes: true, descriptor: 3 };
    let folder = || What::Sync("/n".into());
    let renamed = What::Renamed { from: a.clone(), to: b };
    let disk = disk_of(vec![opened, wrote(b"one"), synced(), folder(), renamed]);
    assert_eq!(all(&disk), [file("a", b"one"), file("b", b"one")].into());
    // Sectors are there or not, each by itself.
    let opened = What::Opened { path: a.clone(), empties: false, makes: true, descriptor: 3 };
    let disk = disk_of(vec![opened, folder(), wrote(&[7; 1024])]);
    let seen = all(&disk);
    let second_alone = [vec![0; 512], vec![7; 512]].concat();
    assert!(seen.contains(&file("a", &second_alone)) && seen.contains(&file("a", &[7; 512])), "{seen:?}");
}
