//! What can be wrong with a manifest.

use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{B256, BlockRange};

use super::FORMAT_VERSION;

/// Why a manifest cannot be used, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON of the format, or has a field that the format does not know.
    #[error("a manifest cannot be read")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of another format.
    #[error("a manifest has format {found}; this program reads format {FORMAT_VERSION}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// Its version and the hash of the manifest before do not fit.
    #[error("manifest version {manifest_version} and its hash of the manifest before contradict each other")]
    Chain {
        /// Its version.
        manifest_version: u64,
    },
    /// It lists no file.
    #[error("a manifest lists no file")]
    NoFiles,
    /// A file is not where a file of its blocks belongs.
    #[error("a manifest lists {key} where {expected} belongs")]
    Key {
        /// The key it lists.
        key: String,
        /// The key of those blocks.
        expected: String,
    },
    /// Two files leave blocks out, overlap, or are out of order.
    #[error("blocks {right} do not begin where blocks {left} end")]
    Gap {
        /// Blocks of a file.
        left: BlockRange,
        /// Blocks of the one listed after it.
        right: BlockRange,
    },
    /// The first block of a file is no child of the last block of the file before.
    #[error("the parent of the first block of {key} is {parent}, but the file before ends with {last_block_hash}")]
    BrokenChain {
        /// The file.
        key: String,
        /// Parent of its first block.
        parent: B256,
        /// Hash of the last block of the file before.
        last_block_hash: B256,
    },
    /// A file cannot be added before the first one, as nobody knows what that one's parent is.
    #[error(
        "nobody knows the parent of the first block of {key}; move the dataset blocks to cold storage that far first"
    )]
    UnknownParent {
        /// The first file listed.
        key: String,
    },
    /// The next version's key is taken by a manifest that does not follow the committed one.
    #[error("manifest {key} does not follow the committed one")]
    NotNext {
        /// Its key.
        key: String,
    },
}

impl Classified for ManifestError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Json { .. } | Self::Format { .. } | Self::Chain { .. } | Self::NoFiles => Disposition::GiveUp,
            Self::Key { .. } | Self::Gap { .. } | Self::BrokenChain { .. } | Self::NotNext { .. } => {
                Disposition::GiveUp
            }
            // Known as soon as the blocks are in cold storage that far.
            Self::UnknownParent { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } | Self::Format { .. } => "cold_store.manifest_format",
            Self::Chain { .. } | Self::NoFiles | Self::Key { .. } | Self::Gap { .. } => "cold_store.manifest_invalid",
            Self::BrokenChain { .. } => "cold_store.broken_chain",
            Self::UnknownParent { .. } => "cold_store.first_parent_unknown",
            Self::NotNext { .. } => "cold_store.manifest_conflict",
        }
    }
}
