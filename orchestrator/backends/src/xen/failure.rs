//! What failed in `xl`, XenStore and around them, as a backend's error: told apart by what somebody would do about it.

use std::error::Error;
use std::io;

use fades_core::backend::{BackendError, BackendKind, Lack};
use fades_xen_toolstack::XlError;

/// Why there is no Xen for guests here.
pub(super) fn unusable(error: &XlError) -> BackendError {
    let lack = match error {
        XlError::NotDom0 { .. } => Lack::Dom0,
        XlError::Missing { .. } => Lack::Toolstack,
        XlError::TooOld { .. } => Lack::Version,
        _ => Lack::Other,
    };
    BackendError::Unusable { kind: BackendKind::Xen, lack, reason: words(error) }
}

/// Why the domain of a guest was not built.
pub(super) fn refused(guest: &str, error: XlError) -> BackendError {
    match &error {
        XlError::Memory { .. } => BackendError::Memory { name: guest.to_owned(), reason: words(&error) },
        XlError::Config { .. } => BackendError::Spec { name: guest.to_owned(), reason: words(&error) },
        _ => system(format!("build the domain of guest {guest}"), error),
    }
}

/// What is this host's trouble, not its guest's.
pub(super) fn system(action: String, error: impl Error + Send + Sync + 'static) -> BackendError {
    BackendError::Io { action, source: io::Error::other(error) }
}

/// An error with its causes, in one line.
pub(super) fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use fades_core::fault::Fault;

    use super::*;

    #[test]
    fn what_xen_lacks_is_told_apart() {
        for (error, lacks) in [
            (XlError::NotDom0 { found: "nothing" }, Lack::Dom0),
            (XlError::Missing { looked: "/bin".to_owned() }, Lack::Toolstack),
            (XlError::TooOld { major: 4, minor: 13 }, Lack::Version),
            (XlError::NoHvm { caps: "xen-3.0-x86_64".to_owned() }, Lack::Other),
        ] {
            let said = error.to_string();
            match unusable(&error) {
                BackendError::Unusable { kind: BackendKind::Xen, lack, reason } => {
                    assert_eq!((lack, reason), (lacks, said));
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn only_a_refused_configuration_blames_the_specification() {
        let name = || "fades-0f-a-2a".to_owned();
        let memory = refused("a", XlError::Memory { name: name(), wanted: 64, free: Some(12) });
        assert!(matches!(memory, BackendError::Memory { .. }), "{memory}");
        let config = refused("a", XlError::Config { name: name(), last: "no".to_owned() });
        assert!(matches!(config, BackendError::Spec { .. }), "{config}");
        let failed = refused("a", XlError::Failed { what: "xl create".to_owned(), last: "no".to_owned() });
        assert!(matches!(failed, BackendError::Io { .. }), "{failed}");
        let said = Fault::not_started(&failed).message;
        assert_eq!(said, "could not build the domain of guest a: xl create failed: no");
    }
}
