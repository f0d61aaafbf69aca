//! How `fadesd` says why it could not start or had to end: as the other tools do, with code and hint.

use std::error::Error;

use fades_api::codes::{self, Code};
use fades_core::backend::BackendError;

use crate::daemon::DaemonError;
use crate::node_dir::NodeDirError;
use crate::store::StoreError;
use crate::wiring::WiringError;

impl DaemonError {
    /// The reason's code of the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Folder(NodeDirError::NotOne { .. }) => codes::NOT_A_NODE_FOLDER,
            Self::Folder(NodeDirError::Open { .. }) => codes::FOLDER_OPEN_TO_OTHERS,
            Self::Folder(NodeDirError::Taken { .. }) => codes::NODE_RUNNING_ALREADY,
            Self::Folder(NodeDirError::Config(_))
            | Self::Wiring(WiringError::Guests { .. } | WiringError::Emulate) => codes::CONFIGURATION_INVALID,
            Self::Folder(NodeDirError::Key(_)) => codes::NODE_KEY_UNUSABLE,
            Self::Store(StoreError::TooNew { .. }) => codes::STORE_NEWER,
            Self::Folder(NodeDirError::Io { .. }) | Self::Store(_) => codes::STORE_NOT_OPENED,
            Self::Wiring(WiringError::Backend(BackendError::Unusable { lack, .. })) => lack.code(),
            Self::Wiring(WiringError::Backend(_)) => codes::BACKEND_NONE,
            Self::Wiring(WiringError::Strict { .. }) => codes::SANDBOX_UNAVAILABLE,
            Self::Wiring(WiringError::Network(_)) => codes::NETWORK_START_FAILED,
            Self::Listen(_) => codes::ADDRESS_TAKEN,
            Self::Runtime(_) => codes::STORE_WRITE_FAILED,
            Self::Orphans(_) | Self::Broken(_) => codes::INTERNAL,
        }
    }
}

/// What to print of an error: its causes joined by colons, its code before them and its hint below, where it has one.
#[must_use]
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    match error.downcast_ref::<DaemonError>().map(DaemonError::code) {
        Some(code) => format!("fadesd: {code}: {text}\n  {}\n", code.hint()),
        None => format!("fadesd: {text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use fades_core::backend::{BackendKind, Lack};

    use super::*;

    #[test]
    fn what_a_backend_is_for_want_of_is_told_with_its_code() {
        let said = |lack| {
            let reason = "no xl in /bin".to_owned();
            let error = BackendError::Unusable { kind: BackendKind::Xen, lack, reason };
            words(&DaemonError::from(WiringError::from(error)))
        };
        let causes =
            "the node cannot be put together: no backend can run guests: xen cannot be used: no xl in /bin";
        for (lack, code) in [
            (Lack::Other, codes::BACKEND_NONE),
            (Lack::Dom0, codes::XEN_NOT_DOM0),
            (Lack::Toolstack, codes::XEN_TOOLSTACK_MISSING),
            (Lack::Version, codes::XEN_TOO_OLD),
            (Lack::Mended, codes::MONITOR_HAS_HOLE),
        ] {
            assert_eq!(said(lack), format!("fadesd: {code}: {causes}\n  {}\n", code.hint()));
        }
    }
}
