//! Why a file is not restored.

use std::fmt;

use isotherm_types::disposition::{Classified, Disposition};

use crate::digest::Sha256Digest;
use crate::manifest::DataFile;
use crate::parquet_file::WRITER_VERSION;

/// Why it is not known what a file must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// No file of exactly these blocks is listed.
    #[error(
        "{key} is not listed in the newest manifest, so nobody reads it and it is not restored; files with some of its blocks that are listed: {}",
        names(overlapping)
    )]
    NotListed {
        /// Key of the file that was asked for.
        key: String,
        /// Keys of the files with some of its blocks.
        overlapping: Vec<String>,
    },
    /// Postgres does not list the file as its manifest does.
    #[error(
        "{key} is listed in the manifest otherwise than in cold.data_partitions; nothing was changed: find out which of the two was altered, and put that right first"
    )]
    ListedOtherwise {
        /// The file.
        key: String,
    },
}

impl Classified for RestoreError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotListed { .. } | Self::ListedOtherwise { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotListed { .. } => "cold_store.not_listed",
            Self::ListedOtherwise { .. } => "cold_store.listed_otherwise",
        }
    }
}

fn names(keys: &[String]) -> String {
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}

/// A file that was made again and came out otherwise than it is listed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key} cannot be made again: {difference}; made by {WRITER_VERSION} it has sha256 {made}, but the manifest lists {listed}, made by {listed_writer}; the object was left as it is: restore the version of it that has the listed sha256 from the versions that the bucket keeps"
)]
pub struct NotReproducible {
    /// The file.
    pub key: String,
    /// The digest that is listed.
    pub listed: Sha256Digest,
    /// The program that wrote the listed bytes.
    pub listed_writer: String,
    /// The digest that it has now.
    pub made: Sha256Digest,
    /// Where the difference comes from, as far as can be told.
    pub difference: Difference,
}

/// Where a difference of bytes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The blocks at its ends are others.
    Blocks,
    /// The blocks at its ends are the same, but another version of the program wrote them.
    Writer,
    /// Neither.
    Rows,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocks => "the endpoints serve other blocks than those that it was made of",
            Self::Writer => "it is of the same blocks, but another version of the program made it",
            Self::Rows => "the endpoints give other rows of the same blocks than those that it was made of",
        })
    }
}

impl NotReproducible {
    /// How `made` differs from `listed`, which holds the same range; `None` if their bytes are the same. Pure.
    pub(super) fn between(listed: &DataFile, made: &DataFile) -> Option<Self> {
        if made.digest() == listed.digest() {
            return None;
        }
        let has_same_ends = made.first_block_hash == listed.first_block_hash
            && made.last_block_hash == listed.last_block_hash
            && made.blocks == listed.blocks;
        let difference = match has_same_ends {
            false => Difference::Blocks,
            true if made.writer_version != listed.writer_version => Difference::Writer,
            true => Difference::Rows,
        };
        Some(Self {
            key: listed.key.clone(),
            listed: listed.sha256,
            listed_writer: listed.writer_version.clone(),
            made: made.sha256,
            difference,
        })
    }
}
