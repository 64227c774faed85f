//! Restoring: a data file that is damaged or gone is put back with the very bytes that its manifest lists.
//!
//! Same blocks, same bytes: a file that was made again from the chain has the listed SHA-256, or it is put nowhere. So
//! no new manifest is needed, and nothing that a reader holds becomes wrong. One type a step, each step consuming the
//! last: [`Unsound`] (looked at) → [`Reproduced`] (the listed bytes are on local disk) → [`Kept`] (the damaged bytes are
//! on S3 under a key of their own, for good) → stored, and read back. Dropping any of them is safe: the next run finds
//! the evidence there, or the file sound.
//!
//! It must never overwrite an object whose bytes it has not kept, or that is not the one that it has looked at; never
//! restore a file that no manifest lists; and never touch a manifest.

use std::path::Path;

use crate::catalog::DataPartition;
use crate::commit::StagedFile;
use crate::digest::ObjectDigest;
use crate::error::ColdStoreError;
use crate::layout::{self, Partition};
use crate::manifest::{DataFile, Manifest};
use crate::objects::{FoundObject, ObjectError, ObjectStore, PutOutcome, Source};

mod error;

pub use error::{Difference, NotReproducible, RestoreError};

/// A listed file whose object is damaged or gone.
#[derive(Debug)]
pub struct Unsound {
    partition: Partition,
    file: DataFile,
    /// `None` if nothing is there.
    found: Option<FoundObject>,
}

/// The same, and a file on local disk with the bytes that belong there.
#[derive(Debug)]
pub struct Reproduced {
    unsound: Unsound,
    staged: StagedFile,
}

/// The same, once nothing is lost if the object is overwritten.
#[derive(Debug)]
pub struct Kept {
    staged: StagedFile,
    /// By what S3 knows the damaged object, and where its bytes are; `None` if nothing was there.
    damaged: Option<(String, String)>,
}

/// How the newest manifest, `None` if nothing is cold, lists the file that holds exactly the blocks of `partition`.
///
/// The manifest and `catalogued`, the rows of `cold.data_partitions` with some of these blocks, are of one snapshot.
/// Pure.
///
/// # Errors
/// [`RestoreError::NotListed`] if there is no such file; [`RestoreError::ListedOtherwise`] if Postgres does not say the
/// same of it.
pub fn listed(
    newest: Option<&Manifest>,
    catalogued: &[DataPartition],
    partition: &Partition,
) -> Result<DataFile, RestoreError> {
    let key = partition.object_key();
    let files = newest.map(|manifest| manifest.files.as_slice()).unwrap_or_default();
    let Some(file) = files.iter().find(|file| file.key == key) else {
        let overlapping = catalogued.iter().map(|file| file.object_key.clone()).collect();
        return Err(RestoreError::NotListed { key, overlapping });
    };
    let row = catalogued.iter().find(|row| row.object_key == key);
    if row.is_some_and(|row| says_the_same(row, file)) {
        Ok(file.clone())
    } else {
        Err(RestoreError::ListedOtherwise { key })
    }
}

fn says_the_same(row: &DataPartition, file: &DataFile) -> bool {
    let digest = ObjectDigest { size_bytes: row.size_bytes, sha256: row.sha256 };
    (row.blocks, row.row_count, digest, row.schema_version)
        == (file.blocks, file.row_count, file.digest(), file.schema_version)
        && (row.first_block_hash, row.last_block_hash) == (file.first_block_hash, file.last_block_hash)
}

impl Unsound {
    /// Reads the object of a listed file; `None` if it has the bytes that are listed.
    ///
    /// What it finds otherwise stays on the disk of the folder `scratch`, without a name.
    ///
    /// # Errors
    /// What S3 or the disk reports.
    pub async fn look(
        objects: &ObjectStore,
        partition: Partition,
        file: DataFile,
        scratch: &Path,
    ) -> Result<Option<Self>, ColdStoreError> {
        let found = objects.find(&file.key, scratch).await?;
        let is_sound = found.as_ref().is_some_and(|found| found.digest == file.digest());
        Ok((!is_sound).then_some(Self { partition, file, found }))
    }

    /// What is there instead; `None` if nothing is.
    pub fn found(&self) -> Option<ObjectDigest> {
        self.found.as_ref().map(|found| found.digest)
    }

    /// Takes a file that was made again of the same blocks.
    ///
    /// # Errors
    /// [`NotReproducible`] unless it has the bytes that are listed.
    pub fn reproduced(self, staged: StagedFile) -> Result<Reproduced, Box<NotReproducible>> {
        match NotReproducible::between(&self.file, staged.file()) {
            None => Ok(Reproduced { unsound: self, staged }),
            Some(difference) => Err(Box::new(difference)),
        }
    }
}

impl Reproduced {
    /// Puts the damaged bytes to a key that names them, unless they are there already, and reads them back.
    ///
    /// # Errors
    /// What S3 reports; [`ObjectError::Altered`] or [`ObjectError::Missing`] if they do not read back as written.
    pub async fn keep(self, objects: &ObjectStore) -> Result<Kept, ColdStoreError> {
        let Self { unsound: Unsound { partition, found, .. }, staged } = self;
        let Some(FoundObject { copy, digest, e_tag }) = found else { return Ok(Kept { staged, damaged: None }) };
        let evidence = layout::evidence_key(&partition, digest.sha256);
        if objects.put_if_absent(&evidence, Source::File(copy.path()), &digest).await? == PutOutcome::Written {
            objects.verify(&evidence, &digest).await?;
        }
        Ok(Kept { staged, damaged: Some((e_tag, evidence)) })
    }
}

impl Kept {
    /// Where the damaged bytes are; `None` if there were none.
    pub fn evidence_key(&self) -> Option<&str> {
        self.damaged.as_ref().map(|(_, evidence)| evidence.as_str())
    }

    /// Puts the file in its place and reads it back.
    ///
    /// # Errors
    /// [`ObjectError::Changed`] if the object is not the one any more that was looked at; it is left alone then.
    /// [`ObjectError::Altered`] or [`ObjectError::Missing`] if it does not read back as written; else what S3 reports.
    pub async fn store(self, objects: &ObjectStore) -> Result<(), ColdStoreError> {
        let Self { staged, damaged } = self;
        let (key, digest) = (&staged.file().key, staged.file().digest());
        match damaged {
            Some((e_tag, _)) => objects.overwrite(key, &e_tag, staged.path(), &digest).await?,
            None => match objects.put_if_absent(key, Source::File(staged.path()), &digest).await {
                Ok(PutOutcome::Written | PutOutcome::AlreadyThere) => {}
                Err(ObjectError::Conflict { key, .. }) => return Err(ObjectError::Changed { key }.into()),
                Err(error) => return Err(error.into()),
            },
        }
        Ok(objects.verify(key, &digest).await?)
    }
}

#[cfg(test)]
mod tests;
