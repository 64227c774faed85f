//! Where the next manifest takes on: the newest one that Postgres knows, as it is on S3.

use bytes::Bytes;
use isotherm_types::{B256, BlockNumber};

use crate::catalog::DatasetHead;
use crate::digest::{ObjectDigest, Sha256Digest};
use crate::error::ColdStoreError;
use crate::layout::Partition;
use crate::manifest::{Change, DataFile, Manifest, ManifestError};
use crate::objects::{ObjectError, ObjectStore};

/// Most that is read as a manifest; about 300,000 files.
pub(crate) const MANIFEST_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// The newest manifest that Postgres knows, read and checked; where the next one takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentManifest {
    newest: Option<(Manifest, Sha256Digest)>,
    /// Parent of the first block listed, if it is known: manifests do not say it.
    pub(super) first_parent_hash: Option<B256>,
}

impl CurrentManifest {
    /// A dataset of which nothing is cold.
    pub fn none() -> Self {
        Self { newest: None, first_parent_hash: None }
    }

    /// Reads the manifest that `head` names, and checks that it is the one that was committed.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] or [`ObjectError::Altered`] if it is not; [`ManifestError`] if it cannot be read.
    pub async fn load(objects: &ObjectStore, head: Option<&DatasetHead>) -> Result<Self, ColdStoreError> {
        let Some(head) = head else { return Ok(Self::none()) };
        let key = &head.manifest_key;
        let bytes = read_manifest(objects, key).await?;
        let found = ObjectDigest::of(&bytes);
        if found.sha256 != head.manifest_sha256 {
            let expected = ObjectDigest { sha256: head.manifest_sha256, ..found };
            return Err(ObjectError::Altered { key: key.clone(), expected, found }.into());
        }
        let newest = Some((parse(key, &bytes)?, found.sha256));
        Ok(Self { newest, first_parent_hash: head.first_parent_hash })
    }

    /// The same, with the parent of its first block, which the caller has read elsewhere.
    #[must_use]
    pub(crate) fn with_first_parent_hash(self, parent_hash: B256) -> Self {
        Self { first_parent_hash: Some(parent_hash), ..self }
    }

    /// The manifest; `None` if nothing is cold.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.newest.as_ref().map(|(manifest, _)| manifest)
    }

    /// Last block listed; `None` if nothing is cold.
    pub fn last_block(&self) -> Option<BlockNumber> {
        self.last_file().map(|file| file.blocks.last())
    }

    pub(super) fn first_file(&self) -> Option<&DataFile> {
        self.manifest().and_then(|manifest| manifest.files.first())
    }

    pub(super) fn last_file(&self) -> Option<&DataFile> {
        self.manifest().and_then(|manifest| manifest.files.last())
    }

    pub(super) fn next(&self, partition: &Partition, file: DataFile) -> Result<Manifest, ManifestError> {
        match &self.newest {
            None => Manifest::first(partition, file),
            Some((manifest, sha256)) => manifest.successor(*sha256, file),
        }
    }

    pub(super) fn next_merged(&self, file: DataFile) -> Result<Manifest, ManifestError> {
        let (manifest, sha256) = self.newest.as_ref().ok_or(ManifestError::NoFiles)?;
        manifest.successor_merged(*sha256, file)
    }

    /// Checks that `next` is a next manifest, and says what it changes.
    pub(super) fn check_followed_by(&self, next: &Manifest) -> Result<Change, ManifestError> {
        next.check_follows(self.newest.as_ref().map(|(manifest, sha256)| (manifest, *sha256)))
    }

    /// Checks that the first block listed is the child of `lower`, the last block of a file before it.
    pub(super) fn check_lower_link(&self, lower: B256) -> Result<(), ManifestError> {
        let Some(first) = self.first_file() else { return Ok(()) };
        match self.first_parent_hash {
            None => Err(ManifestError::UnknownParent { key: first.key.clone() }),
            Some(parent) if parent == lower => Ok(()),
            Some(parent) => Err(ManifestError::BrokenChain { key: first.key.clone(), parent, last_block_hash: lower }),
        }
    }
}

pub(crate) fn parse(key: &str, bytes: &[u8]) -> Result<Manifest, ColdStoreError> {
    Manifest::parse(bytes).map_err(|source| ColdStoreError::UnusableManifest { key: key.to_owned(), source })
}

pub(crate) async fn read_manifest(objects: &ObjectStore, key: &str) -> Result<Bytes, ObjectError> {
    match objects.read(key, MANIFEST_LIMIT_BYTES).await? {
        Some(bytes) => Ok(bytes),
        None => Err(ObjectError::Missing { key: key.to_owned() }),
    }
}
