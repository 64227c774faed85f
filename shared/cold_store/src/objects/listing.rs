//! Listing what is stored, and taking an object away: only [`crate::garbage`] does the latter.

use aws_sdk_s3::types::Object;
use sqlx::types::chrono::{DateTime, Utc};

use super::{ObjectError, ObjectStore, failed};

/// An object as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, by S3's clock; `None` if S3 does not say.
    pub modified_at: Option<DateTime<Utc>>,
}

impl ObjectStore {
    /// The objects whose keys begin with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// What S3 reports; [`ObjectError::OnlyACopy`] for a copy of the bucket.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, ObjectError> {
        let client = self.s3("list", prefix)?;
        let mut pages = client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("list", prefix, error))?;
            listed.extend(page.contents().iter().filter_map(read));
        }
        listed.sort_by(|left: &ListedObject, right| left.key.cmp(&right.key));
        Ok(listed)
    }

    /// Takes an object away; one that is not there is no fault. In a bucket that keeps versions the bytes stay, as an
    /// older version.
    ///
    /// # Errors
    /// As [`ObjectStore::list`].
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let request = self.s3("delete", key)?.delete_object().bucket(&self.bucket).key(key);
        request.send().await.map(|_deleted| ()).map_err(|error| failed("delete", key, error))
    }
}

/// `None` for an entry without a key, which S3 never lists.
fn read(object: &Object) -> Option<ListedObject> {
    let size_bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let modified_at = object.last_modified().and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()));
    Some(ListedObject { key: object.key()?.to_owned(), size_bytes, modified_at })
}
