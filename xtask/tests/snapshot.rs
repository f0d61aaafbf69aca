//! Functions that were booted once and go on for each task, on real guests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::outside::{on_xen, patience, patience_ms};
use common::service::{Ask, Service, is_end};
use common::{Bed, COLD, guests};
use serde_json::Value;

/// More than a node has run one after the other, each of which took the region that the last had left.
const AT_ONCE: usize = 8;
/// Tasks that are done at most until one finds a snapshot.
const TASKS: usize = 20;

/// Whoever goes on from a snapshot gives the same answers, with a seed and a clock of its own, and shares the memory that it has
/// not written with the others.
#[test]
fn a_function_goes_on_from_a_snapshot_as_somebody_else() {
    if on_xen() {
        eprintln!("skipped: on Xen no function is saved");
        return;
    }
    let bed = Bed::with("snapshot", 25_000, &[]);
    bed.add_faulty();
    let run = |image: &str, parameters: &str| {
        let wrapper = bed.wrapper(image, parameters, 64, patience_ms(30_000));
        let (exit, document) = bed.submit_and_wait(&wrapper);
        assert_eq!(exit, 0, "{document}");
        document["result"].clone()
    };
    let booted = run("stats", "");
    wait_for_one_that_goes_on(&bed, || drop(run("stats", "")));
    assert_eq!(run("stats", ""), booted, "another answer than that of one that booted");

    let identity = || run("faulty", "mode = \"identity\"")["identity"].clone();
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut told = |identity: &Value| {
        let clock = Duration::from_millis(identity["unix_ms"].as_u64().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(
            now.abs_diff(clock) < patience(Duration::from_secs(10)),
            "its clock says {clock:?} at {now:?}"
        );
        assert!(seen.insert(identity["random"].as_u64().unwrap()), "two have the same randomness: {seen:?}");
    };
    told(&identity());
    let pid = wait_for_one_that_goes_on(&bed, || told(&identity()));
    let own = written(pid);
    let log = bed.node().log();
    let last = log.lines().rfind(|line| line.contains("a function was saved")).unwrap();
    // The last number; a log may be coloured.
    let saved: u64 =
        last.rsplit(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty()).unwrap().parse().unwrap();
    assert!(own < saved / 2, "it has {own} bytes of its own, where {saved} were saved");
    for _ in 0..3 {
        told(&identity());
    }
}

/// Those that go on in regions where nobody was before them wake as well.
#[test]
fn many_go_on_at_once() {
    if on_xen() {
        eprintln!("skipped: on Xen no function is saved");
        return;
    }
    let bed = Bed::with("saved-many", 2_500, &[COLD]);
    let (service, ask) = (Service::of(bed.node()), Ask::of(&bed));
    let run = || service.end(&service.ask(&ask), patience(Duration::from_secs(30)));
    // The second is saved, when it is gone.
    assert_eq!([run()["state"].clone(), run()["state"].clone()], ["succeeded", "succeeded"]);
    bed.node().wait_for_snapshot().unwrap();
    let ids: Vec<String> = (0..AT_ONCE).map(|_| service.ask(&ask)).collect();
    let mut together = 0;
    for id in ids {
        let task = service.until(&id, patience(Duration::from_secs(60)), |task| {
            let going_on = |(_, line): &(u32, String)| line.contains(":dmf-") && line.contains(" -incoming ");
            together = together.max(guests(bed.node()).iter().filter(|guest| going_on(guest)).count());
            is_end(task["state"].as_str().unwrap())
        });
        assert_eq!(task["state"], "succeeded", "{task}");
    }
    assert!(together >= 2, "{together} went on at once");
    let log = bed.node().log();
    assert!(!log.contains("could not go on"), "{log}");
}

/// A monitor that is another one than the one that saved is not given the snapshot: its function boots.
#[test]
fn a_snapshot_of_another_monitor_is_not_used() {
    if on_xen() {
        eprintln!("skipped: on Xen no function is saved");
        return;
    }
    let Fronted { folder, script, bed, booted } = saved_behind("monitor");
    // Beside it, what a QEMU looks for beside itself.
    fs::create_dir_all(folder.join("bin")).unwrap();
    for beside in ["lib", "share"] {
        std::os::unix::fs::symlink(format!("/usr/{beside}"), folder.join(beside)).unwrap();
    }
    let copy = folder.join("bin/qemu-system-x86_64");
    fs::copy("/usr/bin/qemu-system-x86_64", &copy).unwrap();
    script(&format!("exec {} \"$@\"", copy.display()));
    assert_eq!(stats(&bed), booted);
    let log = bed.node().log();
    assert!(log.contains("not the monitor that saved the guest"), "{log}");
    drop(bed);
    fs::remove_dir_all(&folder).unwrap();
}

/// A monitor that ends before it has loaded costs its function a boot, and nothing else.
#[test]
fn a_monitor_that_ends_instead_of_loading_has_its_function_boot() {
    if on_xen() {
        eprintln!("skipped: on Xen no function is saved");
        return;
    }
    let Fronted { folder, script, bed, booted } = saved_behind("ends");
    script("case \" $* \" in *\" -incoming \"*) exit 3 ;; esac\nexec qemu-system-x86_64 \"$@\"");
    assert_eq!(stats(&bed), booted);
    let log = bed.node().log();
    assert!(log.contains("a saved function could not go on, so it boots"), "{log}");
    drop(bed);
    fs::remove_dir_all(&folder).unwrap();
}

/// A task's result.
fn stats(bed: &Bed) -> Value {
    let (exit, document) = bed.submit_and_wait(&bed.wrapper("stats", "", 64, patience_ms(30_000)));
    assert_eq!(exit, 0, "{document}");
    document["result"].clone()
}

/// A node with a program in front of QEMU, as an operator may have one.
struct Fronted<S> {
    folder: PathBuf,
    /// Writes what that does, which can change under a node.
    script: S,
    bed: Bed,
    /// The result of a function that booted.
    booted: Value,
}

/// Such a node, which has saved a function.
fn saved_behind(name: &str) -> Fronted<impl Fn(&str) + use<>> {
    let folder = xtask::stage::target().join("beds").join(format!("{name}-front"));
    // What an earlier run left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("qemu");
    let setting = format!("{:?}", program.display().to_string());
    let script = move |commands: &str| {
        fs::write(&program, format!("#!/bin/sh\n{commands}\n")).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    script("exec qemu-system-x86_64 \"$@\"");
    let bed = Bed::with(name, 2_500, &[COLD, ("qemu", &setting)]);
    let booted = stats(&bed);
    stats(&bed);
    bed.node().wait_for_snapshot().unwrap();
    Fronted { folder, script, bed, booted }
}

/// Does tasks until the function that waits for the next one goes on from a snapshot.
fn wait_for_one_that_goes_on(bed: &Bed, mut task: impl FnMut()) -> u32 {
    for _ in 0..TASKS {
        let until = Instant::now() + patience(Duration::from_secs(2));
        while Instant::now() < until {
            let waiting = guests(bed.node());
            let saved =
                waiting.iter().find(|(_, line)| line.contains(":dmf-") && line.contains(" -incoming "));
            if let Some((pid, _)) = saved {
                return *pid;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        task();
    }
    panic!("none goes on from a snapshot: {}", bed.node().log());
}

/// Bytes of a guest's memory that it has written since it goes on, and so are its own.
fn written(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let rest = maps.split_once("/memfd:fades-saved").unwrap().1;
    let line = rest.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    eprintln!("{kibibytes} KiB are its own");
    kibibytes * 1024
}
