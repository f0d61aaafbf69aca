//! How a domain ended, read from what its monitor printed.

use std::fmt;

/// Why a domain shut down (`SHUTDOWN_*` of Xen's public `sched.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 0: it was done.
    PowerOff,
    /// 1: it wants to start again, or tripped over itself (a triple fault).
    Reboot,
    /// 2: it wants to be kept.
    Suspend,
    /// 3: it says that it crashed, or Xen does.
    Crash,
    /// 4: its watchdog was not fed.
    Watchdog,
    /// 5: it wants another kernel in its place.
    SoftReset,
    /// A number that is not known here.
    Other(i64),
}

impl Reason {
    /// The reason of this number.
    #[must_use]
    pub const fn of_number(number: i64) -> Self {
        match number {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("it powered off"),
            Self::Reboot => f.write_str("it asked for a reboot, or had a triple fault"),
            Self::Suspend => f.write_str("it suspended itself"),
            Self::Crash => f.write_str("it crashed"),
            Self::Watchdog => f.write_str("its watchdog ran out"),
            Self::SoftReset => f.write_str("it asked for another kernel"),
            Self::Other(number) => write!(f, "shutdown reason {number}"),
        }
    }
}

/// How a monitor's domain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It shut down by itself.
    ShutDown(Reason),
    /// It was destroyed from outside.
    Destroyed,
    /// `xl` ended without a word on the domain: it was not built, or is not watched any more. What `xl` printed.
    Unknown(String),
}

impl End {
    /// Reads what a monitor printed. The first end is the true one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.lines().find_map(end_in).unwrap_or_else(|| Self::Unknown(text.to_owned()))
    }
}

fn end_in(line: &str) -> Option<End> {
    // Only xl's own lines are of this form, and nothing a domain writes gets among them.
    let (domain, words) = line.strip_prefix("Domain ")?.split_once(' ')?;
    if !domain.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if words.starts_with("has been destroyed") {
        return Some(End::Destroyed);
    }
    let number = words.strip_prefix("has shut down, reason code ")?.split(' ').next()?;
    number.parse().ok().map(|number| End::ShutDown(Reason::of_number(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read() {
        let crashed = "Parsing config from /proc/self/fd/5\nWaiting for domain fades-0f-a (domid 3) to die [pid 812]\n\
            Domain 3 has shut down, reason code 3 0x3\nAction for shutdown reason code 3 is destroy\n\
            Domain 3 needs to be cleaned up: destroying the domain\nDone. Exiting now\n";
        assert_eq!(End::parse(crashed), End::ShutDown(Reason::Crash));
        assert_eq!(End::parse(&crashed.replace("code 3 0x3", "code 0 0x0")), End::ShutDown(Reason::PowerOff));
        assert_eq!(
            End::parse(&crashed.replace("code 3 0x3", "code -1 0xffffffff")),
            End::ShutDown(Reason::Other(-1))
        );
        assert_eq!(End::parse("Domain 3 has been destroyed.\n"), End::Destroyed);
        for nothing in
            ["", "Domain x has been destroyed.\n", "xl: no\n", "Domain 3 has shut down, reason code ?\n"]
        {
            assert_eq!(End::parse(nothing), End::Unknown(nothing.to_owned()));
        }
    }

    #[test]
    fn reasons_are_xens() {
        let pinned = [
            (0, Reason::PowerOff),
            (1, Reason::Reboot),
            (2, Reason::Suspend),
            (3, Reason::Crash),
            (4, Reason::Watchdog),
            (5, Reason::SoftReset),
            (6, Reason::Other(6)),
        ];
        for (number, reason) in pinned {
            assert_eq!(Reason::of_number(number), reason);
        }
    }
}
