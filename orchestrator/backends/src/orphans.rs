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

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    use super::*;

    /// A process that looks like a guest of this name, and is not ours to die with.
    ///
    /// `spawn` returns in the midst of `exec`: for a moment the kernel shows no arguments, or those of the parent.
    fn stray(program: &str, name: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.arg0(program).args(["-c", "read line", "sh", "-name", &format!("guest={name}")]);
        let child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let arguments = format!("/proc/{}/cmdline", child.id());
        while !fs::read(&arguments).unwrap().ends_with(format!("guest={name}\0").as_bytes()) {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn guests_of_this_node_are_ended_and_nobody_else() {
        let prefix = format!("fades:test-{}:", std::process::id());
        let mut ours = stray("/usr/bin/qemu-system-x86_64", &format!("{prefix}dmf-7"));
        let mut others = stray("qemu-system-x86_64", "fades:another:dmf-7");
        let mut no_guest = stray("editor", &format!("{prefix}dmf-7"));
        let ended = end(Path::new("/proc"), &prefix).unwrap();
        assert_eq!(ended, [Orphan { name: format!("{prefix}dmf-7"), pid: Some(ours.id()) }]);
        assert_eq!(ours.wait().unwrap().signal(), Some(9));
        for child in [&mut others, &mut no_guest] {
            assert_eq!(child.try_wait().unwrap(), None);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(end(Path::new("/proc"), &prefix).unwrap(), []);
    }
}
