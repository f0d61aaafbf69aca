//! Records of images: what is in the images folder, when it was last used, and letting go what no task needs.

use std::collections::{BTreeMap, BTreeSet};

use redb::ReadableTable;
use ulid::Ulid;

use super::record::ImageRecord;
use super::schema::{IMAGE_USE, IMAGES, Tables, encode};
use super::{Store, StoreError};

/// The hex digest in `name@sha256:<hex>`.
#[must_use]
pub fn digest_of(reference: &str) -> &str {
    reference.rsplit(':').next().unwrap_or(reference)
}

impl Tables<'_> {
    /// Notes that a task starts on an image.
    pub(super) fn note_image_use(&mut self, reference: &str, at_us: i64) -> Result<(), StoreError> {
        self.image_use.insert(digest_of(reference), at_us)?;
        Ok(())
    }

    /// Removes those of the images that are there and that no unfinished task names; their digests.
    fn remove_images(&mut self, digests: Vec<String>) -> Result<Vec<String>, StoreError> {
        let open: Vec<u128> =
            self.open.iter()?.map(|entry| Ok(entry?.0.value())).collect::<Result<_, StoreError>>()?;
        let mut named = BTreeSet::new();
        for id in open {
            named.extend(self.task(Ulid(id))?.map(|task| digest_of(&task.image).to_owned()));
        }
        let mut removed = Vec::new();
        for digest in digests.into_iter().filter(|digest| !named.contains(digest)) {
            if self.images.remove(digest.as_str())?.is_some() {
                self.image_use.remove(digest.as_str())?;
                removed.push(digest);
            }
        }
        Ok(removed)
    }
}

impl Store {
    /// All images by their hex digest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self) -> Result<Vec<(String, ImageRecord)>, StoreError> {
        self.list("images", IMAGES)
    }

    /// Puts an image, in place of the same one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_image(&self, digest: String, record: ImageRecord) -> Result<(), StoreError> {
        self.write(move |tables| {
            tables.images.insert(digest.as_str(), encode("images", &record)?.as_slice())?;
            Ok(())
        })
        .await
    }

    /// Removes those of the images that are there and that no unfinished task names, all in one transaction: no task can be
    /// accepted in between. Says which.
    ///
    /// # Errors
    /// When the store fails; nothing is removed then.
    pub async fn remove_images(&self, digests: Vec<String>) -> Result<Vec<String>, StoreError> {
        self.write(move |tables| tables.remove_images(digests)).await
    }

    /// When tasks last started on images, by hex digest, in microseconds of Unix time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn image_uses(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let table = self.read()?.open_table(IMAGE_USE)?;
        let mut uses = BTreeMap::new();
        for entry in table.iter()? {
            let (digest, at_us) = entry?;
            uses.insert(digest.value().to_owned(), at_us.value());
        }
        Ok(uses)
    }
}
