//! Manifests: which files make up a dataset, and the proof of them.
//!
//! Version n+1 of a dataset's manifest lists the files of version n and one more, at either end, or one file in the
//! place of several ([`Change`]). It holds the SHA-256 of version n, so that the newest manifest proves all of them.
//! Format 1 is kept as a sample in `events-fixtures/manifest/v1.json`. Pure; a manifest is read strictly, and checked
//! as a whole before anyone uses it.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use serde::{Deserialize, Serialize};

use crate::digest::{ObjectDigest, Sha256Digest};
use crate::layout::{self, ChainName, Partition};

mod change;
mod error;

pub use change::Change;
pub use error::ManifestError;

/// Format of the manifests that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// The files of one dataset of one chain at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// 1 for the dataset's first manifest, then one more each time.
    pub manifest_version: u64,
    /// Digest of the manifest before; absent in version 1.
    pub previous_manifest_sha256: Option<Sha256Digest>,
    /// The chain.
    pub chain_id: ChainId,
    /// Its name in keys.
    pub chain: ChainName,
    /// The dataset.
    pub dataset: Dataset,
    /// The files by block, without a gap or an overlap; never empty.
    pub files: Vec<DataFile>,
}

/// A data file as manifests list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Its object.
    pub key: String,
    /// Blocks whose rows it holds; `end` is not included.
    pub blocks: BlockRange,
    /// Its rows.
    pub row_count: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
    /// Hash of the first block, whether or not it has a row.
    pub first_block_hash: B256,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// Version of its columns.
    pub schema_version: u32,
    /// Program that wrote it.
    pub writer_version: String,
    /// What was recomputed from its rows.
    pub roots: RootVerdicts,
}

impl DataFile {
    /// What its object must read as.
    pub fn digest(&self) -> ObjectDigest {
        ObjectDigest { size_bytes: self.size_bytes, sha256: self.sha256 }
    }
}

/// Verdicts on the roots that the rows of a range prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootVerdicts {
    /// Header hashes.
    pub header_hash: RootVerdict,
    /// Transactions roots.
    pub transactions_root: RootVerdict,
    /// Receipts roots.
    pub receipts_root: RootVerdict,
}

impl RootVerdicts {
    /// The same verdict on each.
    pub fn all(verdict: &RootVerdict) -> Self {
        Self { header_hash: verdict.clone(), transactions_root: verdict.clone(), receipts_root: verdict.clone() }
    }
}

/// Whether a root came out as the header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootVerdict {
    /// In every block.
    Ok,
    /// It was not recomputed.
    NotVerifiable {
        /// Why.
        reason: String,
    },
    /// Not in some block.
    Bad,
}

impl Manifest {
    /// The first manifest of a dataset.
    ///
    /// # Errors
    /// As [`Manifest::validate`].
    pub fn first(partition: &Partition, file: DataFile) -> Result<Self, ManifestError> {
        let Partition { chain_id, chain, dataset, .. } = partition.clone();
        let manifest = Self {
            format_version: FORMAT_VERSION,
            manifest_version: 1,
            previous_manifest_sha256: None,
            chain_id,
            chain,
            dataset,
            files: vec![file],
        };
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest after this one, whose digest is `sha256`, with `file` at the end that it adjoins.
    ///
    /// # Errors
    /// As [`Manifest::validate`]; [`ManifestError::Gap`] if `file` neither ends where the first one begins nor begins
    /// where the last one ends.
    pub fn successor(&self, sha256: Sha256Digest, file: DataFile) -> Result<Self, ManifestError> {
        let mut next = self.clone();
        next.manifest_version += 1;
        next.previous_manifest_sha256 = Some(sha256);
        match self.files.first() {
            Some(first) if file.blocks.is_followed_by(first.blocks) => next.files.insert(0, file),
            _ => next.files.push(file),
        }
        next.validate()?;
        Ok(next)
    }

    /// Key of its object.
    pub fn key(&self) -> String {
        layout::manifest_key(&self.chain, self.dataset, self.manifest_version)
    }

    /// First block listed.
    pub fn first_block(&self) -> Option<BlockNumber> {
        self.files.first().map(|file| file.blocks.start())
    }

    /// The bytes that stand for it: JSON, indented by two, fields in the order above, a line feed at the end.
    ///
    /// # Errors
    /// [`ManifestError::Json`], which no manifest is known to cause.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|source| ManifestError::Json { source })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`ManifestError::Format`] for another format, [`ManifestError::Json`] for what is none at all, else as
    /// [`Manifest::validate`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format_version: u32,
        }
        let json = |source| ManifestError::Json { source };
        let Format { format_version } = serde_json::from_slice(bytes).map_err(json)?;
        if format_version != FORMAT_VERSION {
            return Err(ManifestError::Format { found: format_version });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(json)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks that it can be true: versions begin at 1 and are chained, files tile in order, and each has its key.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let is_first = self.manifest_version == 1;
        if self.manifest_version == 0 || is_first != self.previous_manifest_sha256.is_none() {
            return Err(ManifestError::Chain { manifest_version: self.manifest_version });
        }
        if self.files.is_empty() {
            return Err(ManifestError::NoFiles);
        }
        for file in &self.files {
            let expected = layout::data_key(&self.chain, self.dataset, file.blocks);
            if file.key != expected {
                return Err(ManifestError::Key { key: file.key.clone(), expected });
            }
        }
        for (left, right) in self.files.iter().zip(self.files.iter().skip(1)) {
            if !left.blocks.is_followed_by(right.blocks) {
                return Err(ManifestError::Gap { left: left.blocks, right: right.blocks });
            }
        }
        Ok(())
    }

    /// Checks that this is a next manifest after `previous`, and says what it changes of its files. The only file of a
    /// first manifest counts as the last.
    ///
    /// # Errors
    /// [`ManifestError::NotNext`] if it is not.
    pub fn check_follows(&self, previous: Option<(&Self, Sha256Digest)>) -> Result<Change, ManifestError> {
        let not_next = || ManifestError::NotNext { key: self.key() };
        let Some((previous, sha256)) = previous else {
            let is_first = self.manifest_version == 1 && self.files.len() == 1;
            return if is_first { Ok(Change::Last) } else { Err(not_next()) };
        };
        let (chain_id, chain, dataset) = (previous.chain_id, &previous.chain, previous.dataset);
        let takes_on = (self.chain_id, &self.chain, self.dataset) == (chain_id, chain, dataset)
            && self.manifest_version == previous.manifest_version + 1
            && self.previous_manifest_sha256 == Some(sha256);
        let change = if takes_on { Change::between(&previous.files, &self.files) } else { None };
        change.ok_or_else(not_next)
    }
}

#[cfg(test)]
mod tests;
