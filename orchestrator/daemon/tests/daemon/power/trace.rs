//! What a process did to files, as `strace` saw it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// The calls that change what a disk holds, and `write`, by which the campaign speaks.
const TRACED: &str = "trace=openat,openat2,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,\
                      sync_file_range,copy_file_range,renameat2,unlinkat,linkat,symlinkat,mkdirat,?truncate,?rename,?renameat,\
                      ?unlink,?link,?symlink,?mkdir,?rmdir";

/// One call that succeeded. They are in the order of their ends.
#[derive(Debug)]
pub(super) struct Call {
    /// In which place it began.
    pub(super) begun: usize,
    /// In which place it ended.
    pub(super) done: usize,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    /// To be written to from its beginning, made if it is not there.
    Opened {
        path: PathBuf,
        empties: bool,
        makes: bool,
        descriptor: i32,
    },
    /// `at`: none goes on where the last one ended.
    Wrote {
        path: PathBuf,
        descriptor: i32,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Sized {
        path: PathBuf,
        len: u64,
    },
    Sync(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Removed(PathBuf),
    MadeFolder(PathBuf),
    /// A line on standard output.
    Said(String),
}

/// Whether a process can be traced here, which is said if not: with `CI` set it must be so.
pub(super) fn is_there() -> bool {
    let tried = Command::new("strace").args(["-f", "-e", TRACED, "-o", "/dev/null", "true"]).output();
    let found = tried.is_ok_and(|output| output.status.success());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "nothing can be traced: `cargo xtask setup` installs strace"
    );
    if !found {
        eprintln!("skipped: nothing can be traced here; `cargo xtask setup` installs strace");
    }
    found
}

/// Runs an ignored test of this program and reads what it did.
pub(super) fn of(test: &str) -> Vec<Call> {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("trace");
    let output = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-xx",
            "-s",
            "100000000",
            "--seccomp-bpf",
            "-e",
            TRACED,
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads", "1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "no test {test}: {told}");
    read(&std::fs::read_to_string(log).unwrap())
}

fn read(log: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    // By process: where a call began that others interrupted, and its text until then.
    let mut open = HashMap::<&str, (usize, String)>::new();
    for (line, text) in log.lines().enumerate() {
        let Some((process, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        let (begun, text) = if let Some(first) = text.strip_suffix(" <unfinished ...>") {
            open.insert(process, (line, first.to_owned()));
            continue;
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some((begun, first)) = open.remove(process) else { continue };
            let rest = rest.split_once(" resumed>").map_or("", |(_, rest)| rest);
            (begun, first + rest)
        } else {
            (line, text.to_owned())
        };
        calls.extend(what(&text).map(|what| Call { begun, done: line, what }));
    }
    calls
}

/// What a line says; `None`: nothing of interest, or it failed.
fn what(text: &str) -> Option<What> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let whole = |bytes: &[u8]| assert_eq!(result.parse(), Ok(bytes.len()), "written in part: not thought of");
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let arguments = arguments.trim_end();
    let arguments = arguments.strip_suffix(')')?;
    // Paths and strings are in hexadecimal, so that a comma is one.
    let parts: Vec<&str> = arguments.split(", ").collect();
    let path_of = |part: &str| {
        let (_, rest) = part.split_once('<')?;
        Some(PathBuf::from(text_of(rest.strip_suffix('>')?)?))
    };
    let quoted = |part: &str| Some(PathBuf::from(text_of(part.trim_matches('"'))?));
    let descriptor = |part: &str| part.split('<').next()?.parse().ok();
    Some(match (name, parts.as_slice()) {
        ("openat", [_, path, flags, ..]) => {
            if !flags.contains("O_WRONLY") && !flags.contains("O_RDWR") {
                return None;
            }
            assert!(!flags.contains("O_APPEND"), "not thought of: {text}");
            What::Opened {
                path: quoted(path)?,
                empties: flags.contains("O_TRUNC"),
                makes: flags.contains("O_CREAT"),
                descriptor: descriptor(result)?,
            }
        }
        ("write", [file, bytes, _]) => {
            let bytes = bytes_of(bytes.trim_matches('"'))?;
            let descriptor = descriptor(file)?;
            if descriptor == 1 {
                return Some(What::Said(String::from_utf8(bytes).ok()?.trim_end().to_owned()));
            }
            let path = path_of(file)?;
            if !path.is_absolute() {
                return None;
            }
            whole(&bytes);
            What::Wrote { path, descriptor, at: None, bytes }
        }
        ("pwrite64", [file, bytes, _, at]) => {
            let bytes = bytes_of(bytes.trim_matches('"'))?;
            whole(&bytes);
            What::Wrote {
                path: path_of(file)?,
                descriptor: descriptor(file)?,
                at: Some(at.parse().ok()?),
                bytes,
            }
        }
        ("ftruncate", [file, len]) => What::Sized { path: path_of(file)?, len: len.parse().ok()? },
        ("fsync" | "fdatasync", [file]) => What::Sync(path_of(file)?),
        ("rename", [from, to]) => What::Renamed { from: quoted(from)?, to: quoted(to)? },
        ("unlink", [path]) => What::Removed(quoted(path)?),
        ("unlinkat", [_, path, _]) => What::Removed(quoted(path)?),
        ("mkdir", [path, _]) => What::MadeFolder(quoted(path)?),
        // Sockets and pipes.
        ("writev", [file, ..]) if !path_of(file)?.is_absolute() => return None,
        _ => panic!("not thought of: {text}"),
    })
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    hex.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}

fn text_of(hex: &str) -> Option<String> {
    String::from_utf8(bytes_of(hex)?).ok()
}

#[test]
fn lines_are_read() {
    let log = "7  openat(AT_FDCWD<\\x2f>, \"\\x2f\\x61\", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 4<\\x2f\\x61>\n\
               7  pwrite64(4<\\x2f\\x61>, \"\\x61\\x2c\", 2, 4096 <unfinished ...>\n\
               8  fdatasync(4<\\x2f\\x61>)           = -1 EIO (Input/output error)\n\
               8  write(1<\\x2f\\x62>, \"\\x68\\x69\\x0a\", 3) = 3\n\
               7  <... pwrite64 resumed>)           = 2\n\
               7  +++ exited with 0 +++\n";
    let calls = read(log);
    let whats: Vec<_> = calls.iter().map(|call| (call.begun, call.done, &call.what)).collect();
    let a = || PathBuf::from("/a");
    assert_eq!(
        whats,
        [
            (0, 0, &What::Opened { path: a(), empties: false, makes: true, descriptor: 4 }),
            (3, 3, &What::Said("hi".to_owned())),
            (1, 4, &What::Wrote { path: a(), descriptor: 4, at: Some(4096), bytes: b"a,".to_vec() }),
        ]
    );
}
