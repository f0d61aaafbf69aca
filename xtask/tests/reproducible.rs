//! The same sources in another folder, on another day, give the same images, to the byte: kernel, loader and functions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fades_image_build::{Author, Builder};
use xtask::setup::FAKETIME;
use xtask::stage::{root, target};

/// The real time, for the build that has another: seconds since 1970.
const NOW: &str = "FADES_NOW";
/// No build takes so long, seconds.
const LIMIT_S: &str = "1800";
/// Where in its folder that one leaves the names of what it built.
const BUILT: &str = "built";
const DAYS_LATER: u64 = 40;
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn another_folder_on_another_day_gives_the_same_bytes() {
    let elsewhere = elsewhere();
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).unwrap();
    }
    copy_sources(&root(), &elsewhere);
    copy_author(&author());
    let here = build(&Builder::new(&root(), &target()));
    // Everything that is started from there on has this clock: cargo, compiler, linker. Waits keep the machine's, and what it fetches
    // is there: certificates may end before that day comes.
    let status = Command::new("timeout")
        .args([LIMIT_S, FAKETIME, "--exclude-monotonic", "-f", &format!("+{DAYS_LATER}d")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "elsewhere_is_built", "--ignored", "--nocapture"])
        .env("CARGO_NET_OFFLINE", "true")
        .env(NOW, since_1970(SystemTime::now()).as_secs().to_string())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let there = fs::read_to_string(elsewhere.join(BUILT)).unwrap();
    assert_eq!(there.lines().count(), here.len());
    for ((what, here), there) in here.iter().zip(there.lines().map(Path::new)) {
        assert!(here != there && there.starts_with(&elsewhere));
        assert!(fs::read(here).unwrap() == fs::read(there).unwrap(), "elsewhere there was another {what}");
    }
    fs::remove_dir_all(&elsewhere).unwrap();
    fs::remove_dir_all(author()).unwrap();
}

#[test]
#[ignore = "the other test starts it, with another clock"]
fn elsewhere_is_built() {
    let Ok(now) = std::env::var(NOW) else { return };
    let now = Duration::from_secs(now.parse().unwrap());
    let later = now + u32::try_from(DAYS_LATER).unwrap() * DAY;
    assert!(since_1970(SystemTime::now()) >= later);
    // Nor do programs that it starts know better.
    let date = Command::new("date").arg("+%s").output().unwrap().stdout;
    assert!(String::from_utf8(date).unwrap().trim().parse::<u64>().unwrap() >= later.as_secs());
    let elsewhere = elsewhere();
    let built = build(&Builder::new(&elsewhere, &elsewhere.join("another name/than target")));
    fs::write(elsewhere.join(BUILT), built.map(|(_, path)| format!("{}\n", path.display())).concat())
        .unwrap();
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap()
}

fn elsewhere() -> PathBuf {
    target().join("beds/elsewhere")
}

/// An author's crate, which lies in one place and is built with either kit.
fn author() -> PathBuf {
    target().join("beds/an-authors")
}

/// The template, with the versions of the crates that it depends on, as `fades dmf new` has it.
fn copy_author(to: &Path) {
    copy_sources(&root().join("dmf-kit/template"), to);
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
}

/// One of each kind, with the kernel in two of them.
fn build(builder: &Builder) -> [(&'static str, PathBuf); 3] {
    let author = Author::at(&author()).unwrap();
    [
        ("loader", builder.loader().unwrap()),
        ("function", builder.guest("dmf-stats").unwrap()),
        ("author's function", builder.author(&author).unwrap()),
    ]
}

/// What git knows of, as it lies here: what was built is not to help.
fn copy_sources(from: &Path, to: &Path) {
    let output = Command::new("git")
        // A checkout may be somebody else's, as in CI; names of files are all that is asked of it.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(from)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = Path::new(std::str::from_utf8(name).unwrap());
        // One that was removed and not committed yet.
        if let Ok(text) = fs::read(from.join(name)) {
            fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
            fs::write(to.join(name), text).unwrap();
        }
    }
}
