//! What a function's monitor costs others where processors are short: one that has had much of them yields from then on to the
//! broker, to this process and to functions that have had little. As with feedback queues of schedulers, nobody has to say what a
//! function will need.
//!
//! Less weight alone yields little where it matters most: who wakes up beside one that computes waits until that one's slice ends,
//! whatever its weight, and its devices' threads wake up often themselves. So what yields is also in batch: it wakes up without pushing
//! others aside, and in return has long slices (sched(7), `SCHED_BATCH`; `sched_setattr(2)`).

use std::time::Duration;

use rustix::process::{Pid, getpriority_process};

/// Processor time from which on a monitor yields: more than a start takes.
const MUCH: Duration = Duration::from_secs(2);
/// How much is added to its nice value: a tenth of its weight is left (`sched_prio_to_weight` of Linux), so that it still goes on beside
/// others that compute without end.
const STEP: i32 = 10;
/// The largest nice value.
const LAST: i32 = 19;
/// Threads of a monitor that compute: its guest's and its devices'.
const THREADS: u32 = 2;
/// Its slices in ns, as long as Linux has them. Kernels before 6.12 take no notice.
const SLICE: u64 = 100_000_000;
/// Bytes of the first version of `sched_attr`, all that is said here (`SCHED_ATTR_SIZE_VER0` of Linux).
const ATTRIBUTES: u32 = 48;
const _: () = assert!(size_of::<libc::sched_attr>() >= ATTRIBUTES as usize);
/// No shorter than this until the next look.
const PAUSE: Duration = Duration::from_millis(250);

/// A monitor that does not yield yet.
pub(super) struct Rank(Pid);

impl Rank {
    pub(super) const fn new(process: Pid) -> Self {
        Self(process)
    }

    /// Has it yield if it has had much. Else, how long until it may have.
    pub(super) fn look(&self) -> Option<Duration> {
        let left = MUCH.saturating_sub(had(self.0)?);
        if !left.is_zero() {
            return Some(PAUSE.max(left / THREADS));
        }
        // What cannot be told is gone.
        if let Ok(nice) = getpriority_process(Some(self.0)) {
            threads(self.0).for_each(|thread| last(thread, LAST.min(nice + STEP)));
        }
        None
    }
}

/// The threads of a process: its first one before others, so that those it begins meanwhile are as it is.
fn threads(process: Pid) -> impl Iterator<Item = i32> {
    let first = process.as_raw_nonzero().get();
    let all = std::fs::read_dir(format!("/proc/{first}/task")).into_iter().flatten().flatten();
    let others =
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(move |other| *other != first);
    std::iter::once(first).chain(others)
}

/// Has a thread yield, with this nice value.
fn last(thread: i32, nice: i32) {
    let attributes = libc::sched_attr {
        size: ATTRIBUTES,
        sched_policy: libc::SCHED_BATCH.unsigned_abs(),
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the attributes live as long as the call, which reads no more bytes than they have and keeps nothing of them. A thread that is
    // gone meanwhile is refused.
    unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
}

/// Processor time that a process has had (proc(5), `/proc/PID/stat`).
fn had(process: Pid) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // Behind its name, which may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    let ticks = times.next()? + times.next()?;
    let rate = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(ticks.saturating_mul(1000) / rate))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> (Child, Pid) {
        let child = Command::new("/bin/sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    /// Field 41 of `/proc/PID/stat`.
    fn policy(process: Pid) -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
        text.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn who_has_had_much_yields_and_who_sleeps_does_not() {
        let (mut busy, one) = shell("while :; do :; done");
        let (mut idle, other) = shell("exec sleep 600");
        let before = getpriority_process(Some(one)).unwrap();
        let begun = Instant::now();
        while let Some(wait) = Rank::new(one).look() {
            assert!(wait >= PAUSE);
            assert!(begun.elapsed() < Duration::from_secs(60), "it is not seen to compute");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(had(one).unwrap() >= MUCH);
        assert_eq!(getpriority_process(Some(one)).unwrap(), LAST.min(before + STEP));
        assert_eq!(policy(one), libc::SCHED_BATCH);
        assert_eq!(Rank::new(other).look(), Some(MUCH / THREADS));
        assert_eq!(getpriority_process(Some(other)).unwrap(), before);
        assert_eq!(policy(other), libc::SCHED_OTHER);
        for child in [&mut busy, &mut idle] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(Rank::new(one).look(), None);
    }
}
