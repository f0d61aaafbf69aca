//! Loader, kernel and probes on QEMU's machines, without a node: what boots, and how what does not boot or dies says so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::images::{Images, probe};
use xtask::stage::target;
use xtask::testbed::node::Programs;

/// Every machine that an image is to boot on, with and without the small firmware.
const MACHINES: [&[&str]; 5] = [
    &["-M", "pc"],
    &["-M", "pc", "-bios", "qboot.rom"],
    &["-M", "q35"],
    &["-M", "q35", "-bios", "qboot.rom"],
    &["-M", "microvm"],
];
/// The one that the node uses.
const USUAL: &[&str] = MACHINES[1];
/// Far above what a boot takes under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The loader's exit code, 120, as QEMU gives it: `code << 1 | 1`.
const LOADER_FAILED: i32 = 241;

/// How a machine ended: QEMU's status, `None` if it had to be killed, and its console.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    console: String,
}

impl Ended {
    /// The one line that starts so, without its start.
    fn line(&self, mark: &str) -> &str {
        let mut lines = self.console.lines().filter_map(|line| line.strip_prefix(mark));
        let line = lines.next().unwrap_or_else(|| panic!("no line {mark:?} in {self:?}"));
        assert_eq!(lines.next(), None, "{self:?}");
        line
    }
}

fn boot(machine: &[&str], memory_mib: u32, application: &Path, command_line: &str, time: Duration) -> Ended {
    let (loader, _) = probe("hello").unwrap();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(machine)
        .args(["-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        .args(["-m", &format!("{memory_mib}M"), "-append", &format!("-freq 2000 {command_line}")])
        .arg("-kernel")
        .arg(loader)
        .arg("-initrd")
        .arg(application)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = qemu.stdout.take().unwrap();
    let console = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = qemu.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > time {
            qemu.kill().unwrap();
            qemu.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended { status, console: console.join().unwrap() }
}

/// What QEMU ends with for a guest's code.
fn status(code: i32) -> Option<i32> {
    Some(code << 1 | 1)
}

#[test]
fn an_application_boots_on_every_machine() {
    let (_, hello) = probe("hello").unwrap();
    for machine in MACHINES {
        for memory_mib in [32, 512] {
            let ended = boot(machine, memory_mib, &hello, "-- one two", PATIENCE);
            assert_eq!(ended.status, status(0), "{machine:?} with {memory_mib} MiB: {ended:?}");
            let expected = "argument: one\nargument: two\nSUCCESS\n";
            assert_eq!(ended.console.trim_start(), expected, "{machine:?} with {memory_mib} MiB");
        }
    }
}

fn number<const N: usize>(file: &[u8], at: usize) -> usize {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&file[at..at + N]);
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

/// Where the program header of this kind stands, the first one from `skip` on.
fn segment(file: &[u8], kind: usize, skip: usize) -> usize {
    let (table, count) = (number::<8>(file, 32), number::<2>(file, 56));
    let all = (0..count).map(|index| table + index * 56);
    all.filter(|at| number::<4>(file, *at) == kind).nth(skip).unwrap()
}

/// Where the first relocation stands in the file.
fn relocation(file: &[u8]) -> usize {
    const DT_RELA: usize = 7;
    let dynamic = number::<8>(file, segment(file, 2, 0) + 8);
    let mut entries = (dynamic..).step_by(16);
    let address = number::<8>(file, entries.find(|at| number::<8>(file, *at) == DT_RELA).unwrap() + 8);
    for index in 0.. {
        let load = segment(file, 1, index);
        let (offset, start, len) =
            (number::<8>(file, load + 8), number::<8>(file, load + 16), number::<8>(file, load + 32));
        if (start..start + len).contains(&address) {
            return offset + address - start;
        }
    }
    unreachable!("`segment` panics when there are no more")
}

/// What is done to a good application, and the loader's number for it.
type Damage = (&'static str, u8, fn(&mut Vec<u8>));

const DAMAGES: &[Damage] = &[
    ("cut inside the header", 11, |file| file.truncate(40)),
    ("cut inside the table of segments", 11, |file| file.truncate(100)),
    ("cut in the middle", 11, |file| file.truncate(file.len() / 2)),
    ("another file", 10, |file| file[..4].copy_from_slice(b"MZ\0\0")),
    ("a Linux program", 10, |file| file[7] = 0),
    ("another machine's", 10, |file| file[18] = 183),
    ("a segment of half the address space", 12, |file| {
        let at = segment(file, 1, 0) + 40;
        file[at..at + 8].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    }),
    ("two segments in one place", 12, |file| {
        let (first, second) = (segment(file, 1, 0) + 16, segment(file, 1, 1) + 16);
        let address: [u8; 8] = file[first..first + 8].try_into().unwrap();
        file[second..second + 8].copy_from_slice(&address);
    }),
    ("a segment from behind the file's end", 11, |file| {
        let at = segment(file, 1, 0) + 8;
        file[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    }),
    ("an entry point outside", 13, |file| {
        file[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    }),
    ("a relocation that writes over the loader", 14, |file| {
        let at = relocation(file);
        file[at..at + 8].copy_from_slice(&0x4000_0000_u64.to_le_bytes());
    }),
    ("a relocation of an unknown kind", 14, |file| {
        let at = relocation(file) + 8;
        file[at..at + 4].copy_from_slice(&250_u32.to_le_bytes());
    }),
];

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, contents: &[u8]) -> Self {
        let folder = target().join("beds");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, contents).unwrap();
        Self(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn the_loader_refuses_what_it_cannot_load_with_a_number_and_words() {
    let (_, hello) = probe("hello").unwrap();
    let good = fs::read(&hello).unwrap();
    for (what, code, damage) in DAMAGES {
        let mut file = good.clone();
        damage(&mut file);
        let scratch = Scratch::new("damaged.elf", &file);
        let ended = boot(USUAL, 64, &scratch.0, "", PATIENCE);
        assert_eq!(ended.status, Some(LOADER_FAILED), "{what}: {ended:?}");
        let words = ended.line(&format!("FADES-LOADER error E{code}: "));
        assert!(words.len() > 20 && words.is_ascii(), "{what}: {words:?}");
        assert!(!ended.console.contains("SUCCESS"), "{what}: {ended:?}");
    }
}

#[test]
fn the_loader_says_when_memory_does_not_suffice() {
    let (_, hello) = probe("hello").unwrap();
    let mut file = fs::read(&hello).unwrap();
    // Uninitialised memory beyond what the machine has.
    let last = (0..).map_while(|n| (n < count_of_loads(&file)).then(|| segment(&file, 1, n))).last().unwrap();
    file[last + 40..last + 48].copy_from_slice(&(200_u64 << 20).to_le_bytes());
    let scratch = Scratch::new("large.elf", &file);
    let ended = boot(USUAL, 64, &scratch.0, "", PATIENCE);
    assert_eq!(ended.status, Some(LOADER_FAILED), "{ended:?}");
    ended.line("FADES-LOADER error E20: ");
}

fn count_of_loads(file: &[u8]) -> usize {
    let (table, count) = (number::<8>(file, 32), number::<2>(file, 56));
    (0..count).filter(|index| number::<4>(file, table + index * 56) == 1).count()
}

#[test]
fn every_way_to_die_is_told_with_its_cause() {
    let (_, panic) = probe("panic").unwrap();
    let run = |mode: &str, time| boot(USUAL, 64, &panic, &format!("env=FADES_PROBE_MODE={mode}"), time);
    let json = |ended: &Ended, mark: &str| -> Value { serde_json::from_str(ended.line(mark)).unwrap() };

    for (mode, message) in
        [("panic", "asked to panic, with a \"quote\""), ("thread", "asked to panic in a thread")]
    {
        let ended = run(mode, PATIENCE);
        assert_eq!(ended.status, status(10), "{ended:?}");
        let report = json(&ended, "FADES-PANIC ");
        assert_eq!(report["message"], message);
        assert_eq!(report["file"], "images/probes/panic/src/main.rs");
        assert!(report["line"].as_u64().unwrap() > 0, "{report}");
    }

    let ended = run("oom", PATIENCE);
    assert_eq!(ended.status, status(11), "{ended:?}");
    let report = json(&ended, "FADES-OOM ");
    assert_eq!(report["requested"], 64 * 1024);
    assert!(report["message"].as_str().unwrap().starts_with("memory ran out: 65536 bytes"), "{report}");

    let ended = run("abort", PATIENCE);
    assert_eq!(ended.status, status(104), "{ended:?}");

    let ended = run("stack", PATIENCE);
    assert_eq!(ended.status, status(102), "{ended:?}");
    let report = json(&ended, "FADES-PANIC ");
    assert_eq!((&report["kernel"], &report["message"]), (&true.into(), &"processor exception".into()));

    let ended = run("exit", PATIENCE);
    assert_eq!((ended.status, ended.console.trim()), (status(0), ""), "{ended:?}");

    let ended = run("nonsense", PATIENCE);
    assert_eq!(ended.status, status(1), "{ended:?}");
    assert_eq!(json(&ended, "FADES-END ")["message"], "probe mode \"nonsense\" is unknown");

    let ended = run("loop", Duration::from_secs(2));
    assert_eq!((ended.status, ended.console.trim()), (None, ""), "only a kill ends it: {ended:?}");
}

fn inspect(file: &Path, more: &[&str]) -> Output {
    // A node that does not exist: nobody is asked.
    Command::new(Programs::of("debug").path("fades"))
        .args(["image", "inspect", file.to_str().unwrap()])
        .args(more)
        .env("FADES_NODE", "http://127.0.0.1:1")
        .output()
        .unwrap()
}

#[test]
fn an_image_is_inspected_without_booting_it() {
    let images = Images::built().unwrap();
    let (file, signer) = (images.file("stats"), images.signer.to_str().unwrap().to_owned());
    let (loader, _) = probe("hello").unwrap();

    let output = inspect(&file, &["--signer", &signer, "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = &told["manifest"];
    assert_eq!((&manifest["name"], &manifest["role"]), (&"stats".into(), &"dmf".into()));
    assert_eq!(told["signature"], "verified");
    assert_eq!(told["file_size"], fs::metadata(&file).unwrap().len());
    assert_eq!(
        told["reference"].as_str().unwrap(),
        format!("stats@sha256:{}", told["digest"].as_str().unwrap())
    );
    // Its parts are what was built, by the word of another program.
    let application = loader.with_file_name("dmf-stats.elf");
    for (part, built) in [(0, &loader), (1, &application)] {
        let part = &manifest["parts"][part];
        assert_eq!(part["size"], fs::metadata(built).unwrap().len(), "{part}");
        assert_eq!(part["sha256"].as_str().unwrap(), sha256sum(built), "{part}");
    }
    for sections in ["loader_sections", "application_sections"] {
        let sections = told[sections].as_array().unwrap();
        let text = sections.iter().find(|section| section["name"] == ".text").unwrap();
        assert!(text["size"].as_u64().unwrap() > 4096, "{text}");
    }

    let output = inspect(&file, &[]);
    let words = String::from_utf8(output.stdout).unwrap();
    for word in ["stats@sha256:", "not checked", "loader: ", "application: ", ".text"] {
        assert!(words.contains(word), "{word:?} is not in {words}");
    }
}

#[test]
fn an_image_that_was_tampered_with_is_refused() {
    let images = Images::built().unwrap();
    let (good, signer) =
        (fs::read(images.file("stats")).unwrap(), images.signer.to_str().unwrap().to_owned());
    let refused = |what: &str, contents: &[u8]| {
        let scratch = Scratch::new("tampered.img", contents);
        let output = inspect(&scratch.0, &["--signer", &signer, "-o", "json"]);
        assert_eq!(output.status.code(), Some(4), "{what}: {output:?}");
        let failure: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(failure["code"].as_str().unwrap().starts_with("E15"), "{what}: {failure}");
    };
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refused("a bit of the application", &flipped);
    refused("cut", &good[..good.len() - 1]);
    refused("a byte more", &[good.as_slice(), b"\n"].concat());
    refused("nothing", b"");
}

fn sha256sum(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
