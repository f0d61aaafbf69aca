//! A child process under a deadline, with what it says collected and bounded.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{Error, Read, Result};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes kept of each of the two outputs; the rest is read and dropped.
pub(super) const KEPT: usize = 64 * 1024;

/// What a child that ended in time left.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs `command` with nothing to read. `None`: it did not end in `patience` and was killed.
pub(super) fn run(mut command: Command, patience: Duration) -> Result<Option<Output>> {
    let deadline = Instant::now() + patience;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let collected = collect(&mut child, deadline);
    if !matches!(collected, Ok(Some(_))) {
        // It may have ended by now, which is as well; it is reaped below.
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok(collected?.map(|[stdout, stderr]| Output { status, stdout: text(&stdout), stderr: text(&stderr) }))
}

/// Opens the process, to be watched for its end.
pub(super) fn watch_process(child: &Child) -> Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until the child has ended, reading all the while. What a grandchild may write after that is not waited for.
fn collect(child: &mut Child, deadline: Instant) -> Result<Option<[Vec<u8>; 2]>> {
    let process = watch_process(child)?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::other("a child without its pipes"));
    };
    rustix::io::ioctl_fionbio(&stdout, true)?;
    rustix::io::ioctl_fionbio(&stderr, true)?;
    let (mut kept, mut open) = ([Vec::new(), Vec::new()], [true, true]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
        // An output that has ended would be ready for ever.
        if open[0] {
            watched.push(PollFd::new(&stdout, PollFlags::IN));
        }
        if open[1] {
            watched.push(PollFd::new(&stderr, PollFlags::IN));
        }
        match poll(&mut watched, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ended = !watched[0].revents().is_empty();
        drop(watched);
        open[0] = open[0] && drain(&mut stdout, &mut kept[0])?;
        open[1] = open[1] && drain(&mut stderr, &mut kept[1])?;
        if ended {
            return Ok(Some(kept));
        }
    }
}

/// Reads all that is there; whether more may come.
fn drain(source: &mut impl Read, kept: &mut Vec<u8>) -> Result<bool> {
    let mut block = [0; 4096];
    // Bounded, so that a child that writes without end cannot keep us from its deadline.
    for _ in 0..64 {
        match source.read(&mut block) {
            Ok(0) => return Ok(false),
            Ok(count) => kept.extend_from_slice(&block[..count.min(KEPT - kept.len())]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> Option<Output> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, patience).unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_is_said_is_collected_and_bounded() {
        let output = shell("echo out; echo err >&2; exit 3", LONG).unwrap();
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str(), output.status.code()),
            ("out\n", "err\n", Some(3))
        );
        let output = shell("head -c 1000000 /dev/zero | tr '\\0' x", LONG).unwrap();
        assert_eq!((output.stdout.len(), output.status.code()), (KEPT, Some(0)));
    }

    #[test]
    fn a_deadline_ends_it_however_much_it_says() {
        for script in ["exec sleep 60", "exec yes"] {
            let asked = Instant::now();
            assert!(shell(script, Duration::from_millis(200)).is_none(), "{script}");
            assert!(asked.elapsed() < Duration::from_secs(10), "{script}");
        }
    }

    #[test]
    fn a_grandchild_with_its_pipes_is_not_waited_for() {
        let asked = Instant::now();
        let output = shell("sleep 30 & echo $!", LONG).unwrap();
        assert!(asked.elapsed() < Duration::from_secs(10));
        let pid = Pid::from_raw(output.stdout.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn a_missing_program_is_an_error() {
        assert!(run(Command::new("/nowhere/xl"), LONG).is_err());
    }
}
