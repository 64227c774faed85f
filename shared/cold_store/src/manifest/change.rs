//! What a manifest changes of the one before: one file more at either end, or one file in the place of several.
//!
//! Nothing else may change, so that whoever has two manifests can tell what happened between them. Pure.

use super::{DataFile, Manifest, ManifestError};
use crate::digest::Sha256Digest;

/// How the files of a manifest differ from those of the manifest before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more before all others: history was added.
    First,
    /// One more after all others.
    Last,
    /// One in the place of several neighbours: their blocks and rows, merged.
    Replaced {
        /// Its place in the list, from 0.
        index: usize,
        /// Files that it stands for; at least 2.
        file_count: usize,
    },
}

impl Change {
    /// Whether there are blocks in the dataset now that were not there before.
    pub fn is_growth(self) -> bool {
        match self {
            Self::First | Self::Last => true,
            Self::Replaced { .. } => false,
        }
    }

    /// The one change that leads from the files `before` to the files `after`; `None` if it takes another one.
    pub(super) fn between(before: &[DataFile], after: &[DataFile]) -> Option<Self> {
        if after.split_last().is_some_and(|(_, others)| others == before) {
            return Some(Self::Last);
        }
        if after.split_first().is_some_and(|(_, others)| others == before) {
            return Some(Self::First);
        }
        let index = before.iter().zip(after).position(|(left, right)| left != right)?;
        let file_count = (before.len() + 1).checked_sub(after.len()).filter(|count| *count >= 2)?;
        let end = index + file_count;
        let others_stay = before.get(end..)? == after.get(index + 1..)?;
        let is_merged = others_stay && stands_for(after.get(index)?, before.get(index..end)?);
        is_merged.then_some(Self::Replaced { index, file_count })
    }
}

impl Manifest {
    /// The manifest after this one, whose digest is `sha256`, with `file` in the place of those whose blocks it has.
    ///
    /// # Errors
    /// As [`Manifest::validate`]; [`ManifestError::NotNext`] unless `file` has the blocks and as many rows as two or
    /// more files that are listed.
    pub fn successor_merged(&self, sha256: Sha256Digest, file: DataFile) -> Result<Self, ManifestError> {
        let blocks = file.blocks;
        let is_replaced = |listed: &DataFile| listed.blocks.intersection(blocks).is_some();
        let mut next = self.clone();
        next.manifest_version += 1;
        next.previous_manifest_sha256 = Some(sha256);
        let index = self.files.iter().position(is_replaced);
        let index = index.ok_or_else(|| ManifestError::NotNext { key: next.key() })?;
        next.files.retain(|listed| !is_replaced(listed));
        next.files.insert(index, file);
        next.validate()?;
        next.check_follows(Some((self, sha256)))?;
        Ok(next)
    }
}

/// Whether `file` can be the merged `files`, which are neighbours in order.
fn stands_for(file: &DataFile, files: &[DataFile]) -> bool {
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return false };
    let row_count = files.iter().try_fold(0_u64, |sum, replaced| sum.checked_add(replaced.row_count));
    file.blocks.start() == first.blocks.start()
        && file.blocks.end() == last.blocks.end()
        && file.first_block_hash == first.first_block_hash
        && file.last_block_hash == last.last_block_hash
        && Some(file.row_count) == row_count
        && files.iter().all(|replaced| replaced.schema_version == file.schema_version)
}
