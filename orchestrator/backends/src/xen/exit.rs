//! Why a guest ended, from what it said, how its domain ended, and what was done to it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use fades_core::backend::ExitCause;
use fades_xen_toolstack::xl::telling_line;
use fades_xen_toolstack::{DomainName, End, Reason};

/// The code of a guest that powered off without telling one: what the kernel tells for a code that it cannot tell, so
/// that nothing lost on the way is taken for success.
const UNTOLD: i32 = 127;

/// What is known when a guest is over.
pub(super) struct Known<'a> {
    /// Its domain.
    pub(super) name: &'a DomainName,
    /// The cause that the guest named on its console.
    pub(super) named: Option<ExitCause>,
    /// The exit code that its kernel told there.
    pub(super) code: Option<i32>,
    /// How its domain ended.
    pub(super) end: &'a End,
    /// How its monitor ended.
    pub(super) status: Option<ExitStatus>,
    /// Whether we ended it, or were about to.
    pub(super) killed: bool,
}

/// The cause, the guest's own words before what is seen from outside.
pub(super) fn cause(known: Known<'_>) -> ExitCause {
    let Known { name, named, code, end, status, killed } = known;
    if let Some(named) = named {
        return named;
    }
    let died = |reason: Reason| ExitCause::Died { domain: name.to_string(), reason: reason.to_string() };
    match (end, code) {
        (End::ShutDown(Reason::PowerOff), code) => ExitCause::Code(code.unwrap_or(UNTOLD)),
        (End::ShutDown(_), Some(code)) if code != 0 => ExitCause::Code(code),
        (End::ShutDown(reason), _) => died(*reason),
        _ if killed => ExitCause::Killed,
        // Somebody else destroyed it, which is to a domain what this signal is to a process.
        (End::Destroyed, _) => ExitCause::Signal(9),
        (End::Unknown(said), _) => match status.and_then(|status| status.signal()) {
            Some(signal) => ExitCause::Signal(signal),
            None => ExitCause::LoaderError { code: 0, message: telling_line(said) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_guests_then_the_domains_then_ours() {
        let name = DomainName::new("fades-0f-a").unwrap();
        let shut = |number| End::ShutDown(Reason::of_number(number));
        let known = |end, code, killed| {
            cause(Known { name: &name, named: None, code, end: &end, status: None, killed })
        };
        assert_eq!(known(shut(0), Some(0), false), ExitCause::Code(0));
        assert_eq!(known(shut(0), Some(14), true), ExitCause::Code(14));
        assert_eq!(known(shut(0), None, false), ExitCause::Code(127));
        assert_eq!(known(shut(3), Some(102), false), ExitCause::Code(102));
        let died = |reason: &str| ExitCause::Died { domain: name.to_string(), reason: reason.to_owned() };
        assert_eq!(known(shut(3), None, false), died("it crashed"));
        assert_eq!(known(shut(3), Some(0), false), died("it crashed"));
        assert_eq!(known(shut(4), None, false), died("its watchdog ran out"));
        assert_eq!(known(End::Destroyed, None, true), ExitCause::Killed);
        assert_eq!(known(End::Destroyed, None, false), ExitCause::Signal(9));
        assert_eq!(known(End::Unknown(String::new()), None, true), ExitCause::Killed);
        let refused = ExitCause::LoaderError { code: 0, message: "no room".to_owned() };
        assert_eq!(known(End::Unknown("a\n no room \n\n".to_owned()), None, false), refused);

        let named = ExitCause::Panicked { message: "no".to_owned(), location: "a.rs:3".to_owned() };
        let end = End::ShutDown(Reason::Crash);
        let known = Known {
            name: &name,
            named: Some(named.clone()),
            code: Some(101),
            end: &end,
            status: None,
            killed: true,
        };
        assert_eq!(cause(known), named);
        let end = End::Unknown(String::new());
        let status = Some(ExitStatus::from_raw(11));
        assert_eq!(
            cause(Known { name: &name, named: None, code: None, end: &end, status, killed: false }),
            ExitCause::Signal(11)
        );
    }
}
