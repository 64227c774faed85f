//! The way of a file into cold storage, one type a step, each step consuming the last.
//!
//! [`StagedFile`] (on local disk) → [`StoredFile`] (on S3, read back) → [`CommittedManifest`] (a manifest on S3 lists
//! it) → [`crate::catalog::commit`] in the caller's transaction. Dropping any of them is safe: nothing was promised
//! yet, and the next run finds what is there, checks it, and goes on. Two runs at once write the same bytes to the
//! same keys; of two different manifests for one version, one is written, and the other run adopts it.

use bytes::Bytes;
use isotherm_types::{B256, BlockNumber};

use crate::catalog::DatasetHead;
use crate::digest::{ObjectDigest, Sha256Digest};
use crate::error::ColdStoreError;
use crate::layout::{self, Partition};
use crate::manifest::{DataFile, Manifest, ManifestError};
use crate::objects::{ObjectError, ObjectStore, PutOutcome, Source};
use crate::scratch_file::ScratchFile;

/// Most that is read as a manifest; about 300,000 files.
const MANIFEST_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// A finished data file on local disk; it goes when this value goes, or the process.
#[derive(Debug)]
pub struct StagedFile {
    pub(crate) partition: Partition,
    pub(crate) parent_hash: B256,
    pub(crate) file: DataFile,
    pub(crate) written: ScratchFile,
}

/// A data file on S3 that read back as it was written.
#[derive(Debug)]
pub struct StoredFile {
    partition: Partition,
    parent_hash: B256,
    file: DataFile,
}

/// The newest manifest that Postgres knows, read and checked; where the next one takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentManifest(Option<(Manifest, Sha256Digest)>);

/// A manifest on S3 that follows the one Postgres knows, every file of it in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedManifest {
    manifest: Manifest,
    sha256: Sha256Digest,
}

/// What came of listing a file.
#[derive(Debug)]
pub enum Listing {
    /// The next manifest lists our file.
    Ours(CommittedManifest),
    /// Another run wrote the next manifest, with another file at its end. Commit theirs, then list ours after it.
    Theirs {
        /// Their manifest; its newest file was read back.
        manifest: CommittedManifest,
        /// Our file, not listed yet.
        ours: Box<StoredFile>,
    },
}

impl StagedFile {
    /// How manifests will list it.
    pub fn file(&self) -> &DataFile {
        &self.file
    }

    /// Where this process reads the file on disk.
    pub fn path(&self) -> &std::path::Path {
        self.written.path()
    }

    /// Writes the file to its key, unless it is there already, and reads it back.
    ///
    /// # Errors
    /// [`ObjectError::Conflict`] if its key holds other bytes; [`ObjectError::Altered`] or [`ObjectError::Missing`]
    /// if it does not read back as written; else what S3 reports.
    pub async fn store(self, objects: &ObjectStore) -> Result<StoredFile, ColdStoreError> {
        let Self { partition, parent_hash, file, written } = self;
        let put = objects.put_if_absent(&file.key, Source::File(written.path()), &file.digest()).await?;
        if put == PutOutcome::Written {
            objects.verify(&file.key, &file.digest()).await?;
        }
        Ok(StoredFile { partition, parent_hash, file })
    }
}

impl CurrentManifest {
    /// A dataset of which nothing is cold.
    pub fn none() -> Self {
        Self(None)
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
        Ok(Self(Some((parse(key, &bytes)?, found.sha256))))
    }

    /// The manifest; `None` if nothing is cold.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.0.as_ref().map(|(manifest, _)| manifest)
    }

    /// Last block listed; `None` if nothing is cold.
    pub fn last_block(&self) -> Option<BlockNumber> {
        self.last_file().map(|file| file.blocks.last())
    }

    fn last_file(&self) -> Option<&DataFile> {
        self.manifest().and_then(|manifest| manifest.files.last())
    }

    fn next(&self, partition: &Partition, file: DataFile) -> Result<Manifest, ManifestError> {
        match &self.0 {
            None => Manifest::first(partition, file),
            Some((manifest, sha256)) => manifest.successor(*sha256, file),
        }
    }

    fn check_followed_by(&self, next: &Manifest) -> Result<(), ManifestError> {
        next.check_follows(self.0.as_ref().map(|(manifest, sha256)| (manifest, *sha256)))
    }
}

impl StoredFile {
    /// How manifests list it.
    pub fn file(&self) -> &DataFile {
        &self.file
    }

    /// Writes the manifest after `current`, with this file at its end, to the next version's key.
    ///
    /// If the key is taken by a manifest that follows `current` too, that one counts, once its newest file has read
    /// back as listed.
    ///
    /// # Errors
    /// [`ManifestError::BrokenChain`] if the file's first block is no child of the last block listed;
    /// [`ManifestError::NotNext`] if the key is taken by anything else; [`ManifestError::Gap`] if the file does not
    /// begin where `current` ends; else what S3 reports.
    pub async fn list(self, objects: &ObjectStore, current: &CurrentManifest) -> Result<Listing, ColdStoreError> {
        self.check_parent(current)?;
        let manifest = current.next(&self.partition, self.file.clone())?;
        let key = manifest.key();
        let bytes = Bytes::from(manifest.to_bytes()?);
        let digest = ObjectDigest::of(&bytes);
        match objects.put_if_absent(&key, Source::Bytes(&bytes), &digest).await {
            Ok(PutOutcome::Written) => objects.verify(&key, &digest).await?,
            Ok(PutOutcome::AlreadyThere) => {}
            Err(ObjectError::Conflict { .. }) => return self.adopt(objects, current, &key).await,
            Err(error) => return Err(error.into()),
        }
        Ok(Listing::Ours(CommittedManifest { manifest, sha256: digest.sha256 }))
    }

    fn check_parent(&self, current: &CurrentManifest) -> Result<(), ManifestError> {
        match current.last_file() {
            Some(last) if last.blocks.is_followed_by(self.file.blocks) && last.last_block_hash != self.parent_hash => {
                Err(ManifestError::BrokenChain {
                    key: self.file.key.clone(),
                    parent: self.parent_hash,
                    last_block_hash: last.last_block_hash,
                })
            }
            _ => Ok(()),
        }
    }

    async fn adopt(
        self,
        objects: &ObjectStore,
        current: &CurrentManifest,
        key: &str,
    ) -> Result<Listing, ColdStoreError> {
        let bytes = read_manifest(objects, key).await?;
        let manifest = parse(key, &bytes)?;
        let belongs_here = manifest.key() == key && manifest.chain_id == self.partition.chain_id;
        if !belongs_here {
            return Err(ManifestError::NotNext { key: key.to_owned() }.into());
        }
        current.check_followed_by(&manifest)?;
        let theirs = CommittedManifest { sha256: Sha256Digest::of(&bytes), manifest };
        let file = theirs.newest_file();
        objects.verify(&file.key, &file.digest()).await?;
        // The same object, described in other words: by another version of the writer, say.
        if (&file.key, file.digest()) == (&self.file.key, self.file.digest()) {
            return Ok(Listing::Ours(theirs));
        }
        Ok(Listing::Theirs { manifest: theirs, ours: Box::new(self) })
    }
}

impl CommittedManifest {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its key.
    pub fn key(&self) -> String {
        layout::manifest_key(&self.manifest.chain, self.manifest.dataset, self.manifest.manifest_version)
    }

    /// Digest of its bytes.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// The file that it lists and the manifest before did not.
    pub fn newest_file(&self) -> &DataFile {
        self.manifest.files.last().expect("a validated manifest lists a file")
    }
}

fn parse(key: &str, bytes: &[u8]) -> Result<Manifest, ColdStoreError> {
    Manifest::parse(bytes).map_err(|source| ColdStoreError::UnusableManifest { key: key.to_owned(), source })
}

async fn read_manifest(objects: &ObjectStore, key: &str) -> Result<Bytes, ObjectError> {
    match objects.read(key, MANIFEST_LIMIT_BYTES).await? {
        Some(bytes) => Ok(bytes),
        None => Err(ObjectError::Missing { key: key.to_owned() }),
    }
}
