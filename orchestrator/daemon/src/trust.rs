//! Whom the node trusts, read from the store into a form that checks fast. Replaced as a whole at every change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use fades_api::codes::{self, Code};
use fades_api::http::{PolicyDocument, SourceDocument};
use fades_api::task::ImageReference;
use fades_core::policy::{Fields, ImageRule, Policy, Readable};
use fades_core::terms::{Shape, Terms};
use fades_envelope::{KeyId, PublicKey};

use crate::schema::Schema;
use crate::store::record::{ImageRecord, KeyRecord};
use crate::store::{Store, StoreError};

/// A snapshot of everything that is trusted.
#[derive(Debug, Default)]
pub struct Trust {
    /// By name.
    pub issuers: BTreeMap<String, Issuer>,
    /// By id.
    pub keys: HashMap<KeyId, Key>,
    /// By name.
    pub sources: BTreeMap<String, SourceDocument>,
    /// Who may sign images, by key id.
    pub signers: HashMap<KeyId, PublicKey>,
    /// By the digest of the manifest.
    pub images: BTreeMap<[u8; 32], ImageRecord>,
    /// What functions take, by the digest of their manifest.
    pub parameters: HashMap<[u8; 32], Schema>,
    /// What they give.
    pub results: HashMap<[u8; 32], Shape>,
}

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    /// What it may ask for.
    pub policy: Policy,
    /// Other issuers whose tasks it may read.
    pub reads: BTreeSet<String>,
}

/// A key of an issuer, in force or not.
#[derive(Debug)]
pub struct Key {
    /// Whose it is.
    pub issuer: String,
    /// The key.
    pub public: PublicKey,
    record: KeyRecord,
}

impl Key {
    /// Why the key is not in force at this time, in microseconds of Unix time; `None` when it is.
    #[must_use]
    pub fn refusal(&self, now_us: i64) -> Option<Code> {
        key_refusal(&self.record, now_us)
    }

    /// Whether it was revoked, which is for ever.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.record.revoked_us.is_some()
    }
}

/// Why a key is not in force; `None` when it is. Revocation comes first: it never ends.
#[must_use]
pub fn key_refusal(record: &KeyRecord, now_us: i64) -> Option<Code> {
    if record.revoked_us.is_some() {
        Some(codes::KEY_REVOKED)
    } else if record.not_after_us.is_some_and(|end| now_us >= end) {
        Some(codes::KEY_EXPIRED)
    } else if record.not_before_us.is_some_and(|start| now_us < start) {
        Some(codes::KEY_NOT_YET_VALID)
    } else {
        None
    }
}

/// The current snapshot.
#[derive(Default)]
pub struct TrustCache(RwLock<Arc<Trust>>);

impl TrustCache {
    /// The snapshot as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<Trust> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads everything from the store again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn reload(&self, store: &Store) -> Result<(), StoreError> {
        // Read under the lock: of two changes at once, what was read before the second must not be what stays.
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(load(store)?);
        Ok(())
    }
}

fn load(store: &Store) -> Result<Trust, StoreError> {
    let mut trust = Trust::default();
    for (name, issuer) in store.issuers()? {
        for (id, record) in issuer.keys {
            // Admitted again on every load: a store that was tampered with gets no weaker check than an enrolment.
            match (id.parse::<KeyId>(), record.public_key.parse::<PublicKey>()) {
                (Ok(id), Ok(public)) if public.id() == id => {
                    trust.keys.insert(id, Key { issuer: name.clone(), public, record });
                }
                _ => {
                    tracing::error!(issuer = name, key = id, "a stored key is not admissible and is not used")
                }
            }
        }
        let document: PolicyDocument = read("policy", &name, issuer.policy).unwrap_or_default();
        let reads = document.reads.iter().map(|name| name.as_str().to_owned()).collect();
        trust.issuers.insert(name, Issuer { policy: policy(&document), reads });
    }
    for (name, source) in store.sources()? {
        if let Some(document) = read("source", &name, source.settings) {
            trust.sources.insert(name, document);
        }
    }
    for (id, signer) in store.signers()? {
        match (id.parse::<KeyId>(), signer.public_key.parse::<PublicKey>()) {
            (Ok(id), Ok(public)) if public.id() == id => {
                trust.signers.insert(id, public);
            }
            _ => tracing::error!(key = id, "a stored image signer is not admissible and is not used"),
        }
    }
    for (digest, image) in store.images()? {
        match digest.parse::<fades_envelope::Digest>() {
            Ok(digest) => {
                let compile = |schema: &Option<_>| schema.as_ref().map(Schema::compile).transpose();
                match (compile(&image.parameters), compile(&image.result)) {
                    (Ok(parameters), Ok(result)) => {
                        trust.parameters.extend(parameters.map(|schema| (digest.0, schema)));
                        trust.results.extend(result.map(|schema| (digest.0, Shape(Arc::new(schema)))));
                        trust.images.insert(digest.0, image);
                    }
                    (Err(words), _) | (_, Err(words)) => {
                        // Both were compiled when the image came.
                        tracing::error!(%digest, words, "a stored image's schema cannot be used, and neither is the image");
                    }
                }
            }
            Err(error) => tracing::error!(digest, %error, "a stored image has no digest and is not used"),
        }
    }
    Ok(trust)
}

fn read<T: serde::de::DeserializeOwned>(what: &str, name: &str, value: serde_json::Value) -> Option<T> {
    match serde_json::from_value(value) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::error!(what, name, %error, "cannot be read from the store and is not used");
            None
        }
    }
}

/// The policy that a document spells. What is not an image's name or reference allows nothing; the way in checks that.
#[must_use]
pub fn policy(document: &PolicyDocument) -> Policy {
    let sources = document.sources.iter().map(|(name, source)| {
        let readable = if source.everything {
            Readable::All
        } else {
            let measurements = source.measurements.iter().map(|(measurement, fields)| {
                let fields = if fields.is_empty() {
                    Fields::All
                } else {
                    Fields::Only(fields.iter().map(|field| field.as_str().to_owned()).collect())
                };
                (measurement.as_str().to_owned(), fields)
            });
            Readable::Only(measurements.collect())
        };
        (name.as_str().to_owned(), readable)
    });
    Policy {
        sources: sources.collect(),
        images: document.images.iter().filter_map(|text| image_rule(text)).collect(),
        memory_mib: document.memory_mib,
        timeout_ms: document.timeout_ms,
        priority: document.priority,
        result: Terms {
            bytes: document.result_bytes,
            fields: document.result_fields,
            per_mille: document.result_per_mille,
            group_points: document.group_points,
            group_series: document.group_series,
        },
        life_s: document.life_s,
        operations: document.operations,
        range_s: document.range_s,
        tasks: document.tasks,
        per_minute: document.per_minute,
        burst: document.burst,
        periods: document.periods,
        state_bytes: document.state_bytes,
    }
}

/// `name`, `name:1.2.0+` for this version and later ones, or `name@sha256:<hex>`; `None` for anything else.
#[must_use]
pub fn image_rule(text: &str) -> Option<ImageRule> {
    if text.contains('@') {
        let reference: ImageReference = text.parse().ok()?;
        let (name, digest) = (reference.name.as_str().to_owned(), Some(reference.digest));
        return Some(ImageRule { name, digest, floor: None });
    }
    let (name, floor) = match text.split_once(':') {
        Some((name, floor)) => (name, Some(floor.strip_suffix('+')?.parse().ok()?)),
        None => (text, None),
    };
    let name: fades_api::task::Name = name.parse().ok()?;
    Some(ImageRule { name: name.as_str().to_owned(), digest: None, floor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_names_least_versions_and_builds() {
        let rule = |text: &str| image_rule(text).map(|rule| (rule.name, rule.digest.is_some(), rule.floor));
        let named = |name: &str| name.to_owned();
        assert_eq!(rule("stats"), Some((named("stats"), false, None)));
        assert_eq!(rule("stats:1.2.0+"), Some((named("stats"), false, "1.2.0".parse().ok())));
        let one = format!("stats@sha256:{}", "0".repeat(64));
        assert_eq!(rule(&one), Some((named("stats"), true, None)));
        for text in
            ["", ":1.2.0+", "stats:", "stats:+", "stats:1.2.0", "stats:1.2+", "stats:1.2.0++", "stats>=1.2.0"]
        {
            assert_eq!(rule(text), None, "{text:?}");
        }
    }
}
