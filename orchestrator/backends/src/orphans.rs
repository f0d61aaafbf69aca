//! Guests that a dead daemon left behind. They should have died with it; what is found all the same is ended.

use std::fs;
use std::path::Path;

use fades_core::backend::Orphan;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Finds every process under `proc` whose arguments carry `-name guest=<prefix>…`, and kills it.
///
/// The process is opened by pidfd before its arguments are read again, so that a process id that was given anew in between
/// is not what is killed.
pub(crate) fn end(proc: &Path, prefix: &str) -> std::io::Result<Vec<Orphan>> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let Some(pid) =
            entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if guest_name(&entry.path(), prefix).is_none() {
            continue;
        }
        // Gone since it was listed: nothing to end.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if let Some(name) = guest_name(&entry.path(), prefix) {
            pidfd_send_signal(&process, Signal::KILL)?;
            ended.push(Orphan { name, pid: Some(pid.as_raw_nonzero().get().unsigned_abs()) });
        }
    }
    Ok(ended)
}

fn guest_name(process: &Path, prefix: &str) -> Option<String> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let mut words = line.split(|&byte| byte == 0);
    let program = words.next()?;
    if !program.rsplit(|&byte| byte == b'/').next()?.starts_with(b"qemu-system-") {
        return None;
    }
    words.find(|word| *word == b"-name")?;
    let name = std::str::from_utf8(words.next()?).ok()?.strip_prefix("guest=")?;
    name.starts_with(prefix).then(|| name.to_owned())
}
