//! The way of a file into cold storage, one type a step, each step consuming the last.
//!
//! [`StagedFile`] (on local disk) → [`StoredFile`] (on S3, read back) → [`CommittedManifest`] (a manifest on S3 lists
//! it) → [`crate::catalog::commit`] in the caller's transaction. Dropping any of them is safe: nothing was promised
//! yet, and the next run finds what is there, checks it, and goes on. Two runs at once write the same bytes to the
//! same keys; of two different manifests for one version, one is written, and the other run adopts it. A file may also
//! wait between the second step and the third, as a [`PendingFile`] in Postgres, until its neighbour is listed.

use bytes::Bytes;
use isotherm_types::B256;

use crate::catalog::pending::PendingFile;
use crate::digest::{ObjectDigest, Sha256Digest};
use crate::error::ColdStoreError;
use crate::layout::{self, Partition};
use crate::manifest::{Change, DataFile, Manifest, ManifestError};
use crate::objects::{ObjectError, ObjectHead, ObjectStore, PutOutcome, Source};
use crate::scratch_file::ScratchFile;

mod current;

pub use current::CurrentManifest;
pub(crate) use current::{MANIFEST_LIMIT_BYTES, parse, read_manifest};

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

/// A manifest on S3 that follows the one Postgres knows, every file of it in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedManifest {
    manifest: Manifest,
    sha256: Sha256Digest,
    change: Change,
    /// Parent of the first block of the newest file; `None` if another run listed it and did not say.
    parent_hash: Option<B256>,
}

/// What came of listing a file.
#[derive(Debug)]
pub enum Listing {
    /// The next manifest lists our file.
    Ours(CommittedManifest),
    /// Another run wrote the next manifest, with another file. Commit theirs, then list ours.
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

impl StoredFile {
    /// How manifests list it.
    pub fn file(&self) -> &DataFile {
        &self.file
    }

    /// Its place in cold storage.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Parent of its first block.
    pub fn parent_hash(&self) -> B256 {
        self.parent_hash
    }

    /// A file that has waited. It was read back before it was recorded; that it is still that file is looked up, and where S3 does not
    /// vouch for it, it is read once more.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] or [`ObjectError::Altered`] if it has gone or is another one; else what S3 reports.
    pub async fn waiting(objects: &ObjectStore, pending: PendingFile) -> Result<Self, ColdStoreError> {
        let PendingFile { partition, parent_hash, file, .. } = pending;
        let as_recorded = |head: ObjectHead| (head.size_bytes, head.sha256) == (file.size_bytes, Some(file.sha256));
        if !objects.head(&file.key).await?.is_some_and(as_recorded) {
            objects.verify(&file.key, &file.digest()).await?;
        }
        Ok(Self { partition, parent_hash, file })
    }

    /// Writes the manifest after `current`, with this file at the end that it adjoins, to the next version's key.
    ///
    /// If the key is taken by a manifest that follows `current` too, that one counts, once its newest file has read
    /// back as listed.
    ///
    /// # Errors
    /// [`ManifestError::BrokenChain`] if the file's first block is no child of the last block listed, or the first
    /// block listed none of the file's last; [`ManifestError::UnknownParent`] if nobody knows;
    /// [`ManifestError::NotNext`] if the key is taken by anything else; [`ManifestError::Gap`] if the file adjoins
    /// neither end of `current`; else what S3 reports.
    pub async fn list(self, objects: &ObjectStore, current: &CurrentManifest) -> Result<Listing, ColdStoreError> {
        self.check_links(current)?;
        let manifest = current.next(&self.partition, self.file.clone())?;
        self.write(objects, current, manifest).await
    }

    /// Writes the manifest after `current` that lists this file in the place of those whose blocks it has, as
    /// [`StoredFile::list`] writes one that lists it beside them. The other files' objects stay.
    ///
    /// # Errors
    /// [`ManifestError::NotNext`] if it does not have the blocks and as many rows as several files that `current`
    /// lists, or if the key is taken by anything that does not follow `current`; else what S3 reports.
    pub async fn replace(self, objects: &ObjectStore, current: &CurrentManifest) -> Result<Listing, ColdStoreError> {
        let manifest = current.next_merged(self.file.clone())?;
        self.write(objects, current, manifest).await
    }

    async fn write(
        self,
        objects: &ObjectStore,
        current: &CurrentManifest,
        manifest: Manifest,
    ) -> Result<Listing, ColdStoreError> {
        let change = current.check_followed_by(&manifest)?;
        let key = manifest.key();
        let bytes = Bytes::from(manifest.to_bytes()?);
        let digest = ObjectDigest::of(&bytes);
        match objects.put_if_absent(&key, Source::Bytes(&bytes), &digest).await {
            Ok(PutOutcome::Written) => objects.verify(&key, &digest).await?,
            Ok(PutOutcome::AlreadyThere) => {}
            Err(ObjectError::Conflict { .. }) => return self.adopt(objects, current, &key).await,
            Err(error) => return Err(error.into()),
        }
        let parent_hash = Some(self.parent_hash);
        Ok(Listing::Ours(CommittedManifest { manifest, sha256: digest.sha256, change, parent_hash }))
    }

    fn check_links(&self, current: &CurrentManifest) -> Result<(), ManifestError> {
        if current.first_file().is_some_and(|first| self.file.blocks.is_followed_by(first.blocks)) {
            current.check_lower_link(self.file.last_block_hash)?;
        }
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
        let change = current.check_followed_by(&manifest)?;
        let theirs = CommittedManifest { sha256: Sha256Digest::of(&bytes), manifest, change, parent_hash: None };
        let file = theirs.newest_file();
        if change == Change::First && current.first_parent_hash.is_some() {
            current.check_lower_link(file.last_block_hash)?;
        }
        objects.verify(&file.key, &file.digest()).await?;
        // The same object, described in other words: by another version of the writer, say.
        let is_ours = (&file.key, file.digest()) == (&self.file.key, self.file.digest());
        // A block has one parent, whoever lists it.
        let begins_alike = file.first_block_hash == self.file.first_block_hash;
        let theirs = CommittedManifest { parent_hash: begins_alike.then_some(self.parent_hash), ..theirs };
        if is_ours {
            return Ok(Listing::Ours(theirs));
        }
        Ok(Listing::Theirs { manifest: theirs, ours: Box::new(self) })
    }
}

impl Listing {
    /// The manifest that is to be committed, ours or theirs.
    pub fn manifest(&self) -> &CommittedManifest {
        match self {
            Self::Ours(manifest) | Self::Theirs { manifest, .. } => manifest,
        }
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
        let newest = match self.change {
            Change::First => self.manifest.files.first(),
            Change::Last => self.manifest.files.last(),
            Change::Replaced { index, .. } => self.manifest.files.get(index),
        };
        newest.expect("a validated manifest lists a file")
    }

    /// Where that file is, and whether it stands for others that the manifest before listed.
    pub fn change(&self) -> Change {
        self.change
    }

    /// Parent of that file's first block; `None` if another run listed it and did not say.
    pub fn parent_hash(&self) -> Option<B256> {
        self.parent_hash
    }
}
