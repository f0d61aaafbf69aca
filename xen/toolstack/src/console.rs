//! The terminal on which a domain writes: xenconsoled moves what comes out of the domain's console ring into a pty of
//! dom0, and writes that pty's name to `<domain>/console/tty` in XenStore once the domain was introduced.
//!
//! What the domain wrote before anybody opened the terminal is kept there, as much as a terminal keeps. When the domain
//! is gone the terminal hangs up, and what was not read is lost: read without pause.

use crate::store::{Store, StoreError};
use fades_xen_store::{DomainId, PathError};
use rustix::fs::{Mode, OFlags};
use rustix::termios::OptionalActions;
use std::fs::File;
use std::time::{Duration, Instant};

/// Why there is no terminal to read.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// XenStore could not say.
    #[error("console of domain {domain} could not be looked up")]
    Store {
        /// The domain.
        domain: DomainId,
        /// What went wrong.
        #[source]
        source: StoreError,
    },
    /// Nothing was written there in time.
    #[error("domain {domain} had no console after {} ms: is xenconsoled running?", after.as_millis())]
    Absent {
        /// The domain.
        domain: DomainId,
        /// How long was waited.
        after: Duration,
    },
    /// The domain ended before it had one.
    #[error("domain {domain} was gone before its console was there")]
    Gone {
        /// The domain.
        domain: DomainId,
    },
    /// What is written there is no terminal.
    #[error("console of domain {domain} is said to be {name:?}, which is no terminal")]
    Name {
        /// The domain.
        domain: DomainId,
        /// What is written there.
        name: String,
    },
    /// It cannot be opened, or made raw.
    #[error("console {name} of domain {domain} cannot be opened")]
    Open {
        /// The domain.
        domain: DomainId,
        /// The terminal.
        name: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// Waits until the domain has a console and opens it, to be read, with every byte as it came.
///
/// # Errors
/// As [`ConsoleError`] has them.
pub fn open(store: &Store, domain: DomainId, patience: Duration) -> Result<File, ConsoleError> {
    let failed = |source| ConsoleError::Store { domain, source };
    let path = domain.home().join("console/tty").map_err(|error: PathError| failed(error.into()))?;
    let deadline = Instant::now() + patience;
    let look = |store: &Store| match store.read(&path)? {
        Some(name) if !name.is_empty() => Ok::<_, StoreError>(Some(Some(name))),
        // Its nodes go when it does, which is an event here as well.
        _ if !store.has_domain(domain)? => Ok(Some(None)),
        _ => Ok(None),
    };
    let name = store
        .wait_until(&path, deadline, look)
        .map_err(failed)?
        .ok_or(ConsoleError::Absent { domain, after: patience })?
        .ok_or(ConsoleError::Gone { domain })?;
    open_terminal(domain, &String::from_utf8_lossy(&name))
}

/// The name comes from a store that others write to as well: it is taken only if it is a terminal's.
fn open_terminal(domain: DomainId, name: &str) -> Result<File, ConsoleError> {
    let number = name.strip_prefix("/dev/pts/").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ConsoleError::Name { domain, name: name.chars().take(200).collect() });
    }
    let failed = |source: rustix::io::Errno| ConsoleError::Open {
        domain,
        name: name.to_owned(),
        source: source.into(),
    };
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, Mode::empty()).map_err(failed)?;
    let mut settings = rustix::termios::tcgetattr(&terminal).map_err(failed)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &settings).map_err(failed)?;
    Ok(File::from(terminal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_is_opened() {
        let domain = DomainId::new(3).unwrap();
        for name in ["", "/dev/pts/", "/dev/pts/../../etc/passwd", "/etc/passwd", "pts/1", "/dev/pts/1\0"] {
            assert!(matches!(open_terminal(domain, name), Err(ConsoleError::Name { .. })), "{name:?}");
        }
        let gone = open_terminal(domain, "/dev/pts/4000000000").unwrap_err();
        assert!(matches!(gone, ConsoleError::Open { .. }), "{gone}");
    }
}
