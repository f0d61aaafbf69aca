//! Registered sources, and where the broker finds each in the virtual network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fades_api::http::SourceDocument;
use fades_core::admit::SourceFacts;
use fades_core::network::{Network, NetworkError, SourceAddress, SourceEndpoint};
use fades_wire::address::Endpoint;
use fades_wire::control::{Credentials, SourceKind};

/// Longest silence of a source before its operation fails, ms.
const SILENCE_MS: u32 = 30_000;

/// Keeps the network's registrations equal to the trusted sources.
pub struct Sources {
    network: Arc<dyn Network>,
    known: Mutex<BTreeMap<String, (SourceDocument, SourceAddress)>>,
}

impl Sources {
    /// No sources yet.
    #[must_use]
    pub fn new(network: Arc<dyn Network>) -> Self {
        Self { network, known: Mutex::default() }
    }

    /// Registers what is new or changed and unregisters what is gone.
    ///
    /// # Errors
    /// The first source that the network refuses; the others are registered all the same.
    pub fn adopt(&self, wanted: &BTreeMap<String, SourceDocument>) -> Result<(), NetworkError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| {
            let stays = wanted.contains_key(name);
            if !stays {
                self.network.unregister_source(name);
            }
            stays
        });
        let mut refused = Ok(());
        for (name, document) in wanted {
            if known.get(name).is_some_and(|(old, _)| old == document) {
                continue;
            }
            match self.network.register_source(name, endpoint(document)) {
                Ok(address) => {
                    known.insert(name.clone(), (document.clone(), address));
                }
                Err(error) => refused = Err(error),
            }
        }
        refused
    }

    /// What knows where a source's name may lead.
    pub(crate) fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// What admission needs to know of every source.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, SourceFacts> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, (document, address))| (name.clone(), facts(document, *address))).collect()
    }
}

/// Where a source really is.
#[must_use]
pub fn endpoint(document: &SourceDocument) -> SourceEndpoint {
    match document {
        SourceDocument::InfluxDb1 { host, port, allow_private, .. } => {
            SourceEndpoint { host: host.clone(), port: *port, allow_private: *allow_private }
        }
    }
}

fn facts(document: &SourceDocument, address: SourceAddress) -> SourceFacts {
    let SourceDocument::InfluxDb1 { database, retention, user, password, .. } = document;
    let credentials = user.as_ref().map(|user| Credentials {
        user: user.as_str().into(),
        password: password.as_deref().unwrap_or_default().into(),
    });
    SourceFacts {
        kind: SourceKind::InfluxDb1 {
            database: database.as_str().into(),
            retention: retention.as_deref().map(Into::into),
            credentials,
        },
        endpoint: Endpoint::new(address.address, address.port),
        timeout_ms: SILENCE_MS,
    }
}
