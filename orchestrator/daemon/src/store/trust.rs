//! Whom the node trusts: issuers with their keys, sources, image signers. Images are in [`super::images`].
//!
//! They lie in the store and not in files of their own, so that an older list cannot be put back unnoticed: an older store is
//! noticed, see [`super::witness`], and no key that was revoked lives again by it, see [`super::revoked`].

use redb::{ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;

use super::record::{IssuerRecord, SignerRecord, SourceRecord};
use super::schema::{ISSUERS, SIGNERS, SOURCES, decode, encode};
use super::{Store, StoreError};

macro_rules! registry {
    ($(#[$doc:meta])* $list:ident, $put:ident, $remove:ident, $field:ident, $table:ident, $record:ty) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// When the store cannot be read.
        pub fn $list(&self) -> Result<Vec<(String, $record)>, StoreError> {
            self.list(stringify!($field), $table)
        }

        /// Puts an entry of that name, in place of an older one.
        ///
        /// # Errors
        /// When the store cannot be written.
        pub async fn $put(&self, name: String, record: $record) -> Result<(), StoreError> {
            self.write(move |tables| {
                tables.$field.insert(name.as_str(), encode(stringify!($field), &record)?.as_slice())?;
                Ok(())
            })
            .await
        }

        /// Removes the entry of that name; says whether there was one.
        ///
        /// # Errors
        /// When the store cannot be written.
        pub async fn $remove(&self, name: String) -> Result<bool, StoreError> {
            self.write(move |tables| Ok(tables.$field.remove(name.as_str())?.is_some())).await
        }
    };
}

impl Store {
    registry!(
        /// All issuers by name, as this copy of the store has them: [`Self::issuers`] knows more.
        stored_issuers, put_issuer, remove_issuer, issuers, ISSUERS, IssuerRecord
    );

    /// All issuers by name, with every key revoked that ever was.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn issuers(&self) -> Result<Vec<(String, IssuerRecord)>, StoreError> {
        let mut issuers = self.stored_issuers()?;
        for (id, key) in issuers.iter_mut().flat_map(|(_, issuer)| &mut issuer.keys) {
            key.revoked_us = key.revoked_us.or_else(|| self.revoked.at(id));
        }
        Ok(issuers)
    }

    /// When a key was revoked, whatever the store says of it.
    #[must_use]
    pub fn revoked_us(&self, key_id: &str) -> Option<i64> {
        self.revoked.at(key_id)
    }

    /// Notes beside the store which of these keys are revoked; before it has that itself.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn note_revoked(&self, issuers: &[(String, IssuerRecord)]) -> Result<(), StoreError> {
        let keys = issuers.iter().flat_map(|(_, issuer)| &issuer.keys);
        let revoked = keys.filter_map(|(id, key)| Some((id.clone(), key.revoked_us?)));
        self.revoked.note(&revoked.collect::<Vec<_>>())
    }
    registry!(
        /// All sources by name.
        sources, put_source, remove_source, sources, SOURCES, SourceRecord
    );
    registry!(
        /// All image signers by the hex id of their key.
        signers, put_signer, remove_signer, signers, SIGNERS, SignerRecord
    );

    pub(super) fn list<T: DeserializeOwned>(
        &self,
        name: &'static str,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let table = self.read()?.open_table(table)?;
        let mut found = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            found.push((key.value().to_owned(), decode(name, value.value())?));
        }
        Ok(found)
    }
}
