//! G13: a program in the jail tries what is forbidden.
//!
//! The program is this one, run again for one of its tests: a copy of it, where a user without rights can reach it.

mod acts;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use self::acts::ACTS;
use super::*;
use crate::qemu::child::{self, Limits};
use crate::qemu::probe::{self, Probe};
use crate::qemu::{Accelerator, PROGRAM};

/// Names the stage, to the program in the jail.
const STAGE: &str = "FADES_JAIL_STAGE";
/// What begins the line of an act.
const MARK: &str = "act: ";

/// Not a test of its own: what the program in the jail does.
#[test]
fn acts_in_the_jail() {
    let Some(stage) = std::env::var_os(STAGE).map(PathBuf::from) else { return };
    for (name, act) in ACTS {
        // Each in a thread of its own: what one gives up, another still has.
        let tried = std::thread::scope(|scope| scope.spawn(|| act(&stage)).join());
        let word = match tried {
            Ok(Ok(())) => "done".to_owned(),
            Ok(Err(error)) => format!("denied: {error}"),
            Err(_) => "panicked".to_owned(),
        };
        writeln!(io::stdout(), "{MARK}{name}: {word}").unwrap();
    }
}

/// A folder with a file `key` that its owner alone may read, `open` that everybody may read and write, `mode`, a folder `folder` that
/// everybody may write to with the files `old` and `gone`, a socket `socket` on which somebody listens, and the program.
fn stage() -> (TempDir, UnixListener) {
    let stage = tempfile::Builder::new().prefix("fades-jail-").tempdir().unwrap();
    let place = |name: &str| stage.path().join(name);
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(stage.path(), 0o755);
    for folder in ["folder", "bin"] {
        fs::create_dir(place(folder)).unwrap();
    }
    for (name, bits) in
        [("key", 0o600), ("open", 0o666), ("mode", 0o600), ("folder/old", 0o666), ("folder/gone", 0o666)]
    {
        fs::write(place(name), name).unwrap();
        mode(&place(name), bits);
    }
    let listener = UnixListener::bind(place("socket")).unwrap();
    mode(&place("socket"), 0o777);
    mode(&place("folder"), 0o777);
    // By another process: one that another test starts meanwhile would have it open for writing, and none could run it.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(place("bin/program")).status();
    assert!(copied.unwrap().success());
    mode(&place("bin"), 0o755);
    mode(&place("bin/program"), 0o755);
    (stage, listener)
}

/// What came of each act.
fn outcomes(mut command: Command, stage: &Path) -> Vec<(String, String)> {
    let output = command.env(STAGE, stage).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // The first stands on the line on which its harness names the test.
    let of = |line: &str| {
        line.split_once(MARK)?.1.split_once(": ").map(|(act, word)| (act.to_owned(), word.to_owned()))
    };
    let outcomes: Vec<_> = said.lines().filter_map(of).collect();
    assert_eq!(outcomes.len(), ACTS.len(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    outcomes
}

fn done(outcomes: &[(String, String)]) -> Vec<&str> {
    outcomes.iter().filter(|(_, word)| word == "done").map(|(act, _)| act.as_str()).collect()
}

const ARGUMENTS: [&str; 3] = ["qemu::jail::tests::acts_in_the_jail", "--exact", "--nocapture"];

/// The acts of the program in what `jail` makes of it.
fn jailed(jail: impl FnOnce(&str) -> Jail) -> Vec<(String, String)> {
    let (stage, _listener) = stage();
    let program = stage.path().join("bin/program").to_str().unwrap().to_owned();
    let cell = Arc::new(jail(&program).cell());
    let command = child::command(&program, &ARGUMENTS.map(str::to_owned), &[], &Limits::guest(64), &cell);
    outcomes(command, stage.path())
}

fn whole(program: &str) -> Jail {
    Jail::of(&[program], Accelerator::Tcg, "jail-tests")
}

#[test]
fn g13_a_program_in_the_jail_does_none_of_what_is_forbidden() {
    let outcomes = jailed(whole);
    assert!(outcomes.len() >= 30);
    assert_eq!(done(&outcomes), [""; 0], "{outcomes:#?}");
    assert!(outcomes.iter().all(|(_, word)| word.starts_with("denied: ")), "{outcomes:#?}");
}

/// Else their being denied would say nothing.
#[test]
fn g13_outside_of_the_jail_the_same_is_done() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: what is forbidden is possible for root, and this is not root");
        return;
    }
    let (stage, _listener) = stage();
    let mut command = Command::new(stage.path().join("bin/program"));
    // What is mounted and named stays with it.
    // SAFETY: system calls only.
    unsafe {
        command.args(ARGUMENTS).pre_exec(|| {
            super::cell::leave_the_network()?;
            rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS)?;
            let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
            match libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    let outcomes = outcomes(command, stage.path());
    let done = done(&outcomes);
    // Some kernels have some of it not, or not in a container.
    assert!(done.len() >= 30, "{outcomes:#?}");
    eprintln!(
        "done outside: {} of {}; not: {:?}",
        done.len(),
        ACTS.len(),
        outcomes.iter().filter(|(_, word)| word != "done").collect::<Vec<_>>()
    );
}

#[test]
fn g13_each_defence_that_is_taken_out_is_noticed() {
    for (defence, act) in
        [(Defence::View, "reads a file that everybody may read"), (Defence::Calls, "starts a process")]
    {
        let outcomes = jailed(|program| whole(program).without(defence, "to see"));
        assert!(done(&outcomes).contains(&act), "{defence:?}: {outcomes:#?}");
    }
}

#[test]
fn a_monitor_is_kept_as_its_jail_says() {
    let jail = Jail::of(&["/bin/sleep"], Accelerator::Tcg, "jail-tests");
    let cell = Arc::new(jail.cell());
    let mut command = child::command("/bin/sleep", &["60".to_owned()], &[], &Limits::guest(64), &cell);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let place = PathBuf::from(format!("/proc/{}", child.id()));
    let status = fs::read_to_string(place.join("status")).unwrap();
    let network = fs::read_link(place.join("ns/net")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let value = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    assert_eq!((value("NoNewPrivs"), value("CapPrm")), (Some("1"), Some("0000000000000000")), "{status}");
    assert_eq!(value("Seccomp") == Some("2"), jail.has(Defence::Calls), "{status}");
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(network != own, jail.has(Defence::Network), "{network:?}");
    let user = value("Uid").and_then(|ids| ids.split('\t').next()?.parse::<u32>().ok()).unwrap();
    assert_eq!(user >= 0x7000_0000, jail.has(Defence::User), "{status}");
    if jail.has(Defence::User) {
        assert_eq!(value("Groups"), Some(""), "{status}");
    }
    if rustix::process::geteuid().is_root() {
        assert_eq!(jail.lacks(), [], "root on a kernel as this project's machines have it");
    }
}

#[test]
fn qemu_runs_guests_in_the_whole_jail() {
    let jail = whole(PROGRAM);
    let probe = probe::run(PROGRAM, Accelerator::Tcg, &jail);
    assert!(matches!(probe, Probe::Usable(_)), "{probe:?}");
    let without = jail.without(Defence::View, "to see").without(Defence::User, "to see");
    assert_eq!((without.has(Defence::View), without.has(Defence::Calls)), (false, jail.has(Defence::Calls)));
    assert!(without.lacks().contains(&(Defence::User, "to see".to_owned())));
}
