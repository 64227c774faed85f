//! What can stop a backfill.

use std::num::NonZeroU64;
use std::time::Duration;

use isotherm_chain::ChainError;
use isotherm_cold_store::ColdStoreError;
use isotherm_cold_store::catalog::CatalogError;
use isotherm_cold_store::parquet_file::ParquetFileError;
use isotherm_cold_store::restore::NotReproducible;
use isotherm_control::ControlError;
use isotherm_hot_store::HotStoreError;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};

/// How long a range that is not final is left alone: a few blocks of most chains.
const FINALITY_WAIT: Duration = Duration::from_secs(5);

/// Why a backfill stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Asked for blocks that a reorg may still replace.
    #[error(
        "blocks {blocks} are not final: the chain does not call block {} final yet; ask for them when it does",
        blocks.last()
    )]
    NotFinal {
        /// The blocks.
        blocks: BlockRange,
    },
    /// The range is not one of whole partitions.
    #[error(
        "blocks {blocks} are not whole partitions of {partition_blocks} blocks; begin and end at multiples of that: what is in cold storage already is left out"
    )]
    NotWhole {
        /// The blocks that were asked for.
        blocks: BlockRange,
        /// The partition size.
        partition_blocks: NonZeroU64,
    },
    /// Hot storage knows the chain under another name or with another partition size.
    #[error(
        "chain {chain_id} is {found:?} in partitions of {found_blocks} blocks in hot storage, but {expected:?} in partitions of {expected_blocks} in this job"
    )]
    OtherChain {
        /// The chain.
        chain_id: ChainId,
        /// Its name in the job.
        expected: String,
        /// Its partition size in the job.
        expected_blocks: NonZeroU64,
        /// Its name in hot storage.
        found: String,
        /// Its partition size in hot storage.
        found_blocks: u64,
    },
    /// The chain gave no usable answer for too long.
    #[error("no block could be fetched for {} s", elapsed.as_secs())]
    Unavailable {
        /// How long.
        elapsed: Duration,
        /// The last answer.
        #[source]
        last: Box<IngestError>,
    },
    /// No endpoint has a block that is final.
    #[error("block {block} is final, but no endpoint serves it; one that keeps all history is needed")]
    Withheld {
        /// The block.
        block: BlockNumber,
    },
    /// The fetched blocks are not those of hot storage.
    #[error(
        "{fetched} was fetched, but hot storage has another block of that number: the endpoints of this job and of the follower's do not serve the same chain"
    )]
    Contradicted {
        /// Last block of a partition, as it was fetched.
        fetched: BlockRef,
    },
    /// A file is to be restored of a dataset that the job is not about.
    #[error("a file of {dataset} is to be restored, but the job does not name {dataset} in `datasets`; add it there")]
    OtherDataset {
        /// The file's dataset.
        dataset: Dataset,
    },
    /// A file came out otherwise than it is listed.
    #[error(transparent)]
    NotReproducible(#[from] Box<NotReproducible>),
    /// Postgres failed between the statements of the stores.
    #[error("postgres could not {action}")]
    Postgres {
        /// What was asked of it.
        action: &'static str,
        /// Its words.
        #[source]
        source: sqlx::Error,
    },
    /// The thread that encodes died.
    #[error("the encoder died")]
    Encoder {
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
    /// The chain did not answer, or not truly.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Hot storage.
    #[error(transparent)]
    Hot(#[from] HotStoreError),
    /// Cold storage.
    #[error(transparent)]
    Cold(#[from] ColdStoreError),
    /// The control plane; above all, a fence that has been superseded.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl From<CatalogError> for IngestError {
    fn from(error: CatalogError) -> Self {
        Self::Cold(error.into())
    }
}

impl From<ParquetFileError> for IngestError {
    fn from(error: ParquetFileError) -> Self {
        Self::Cold(error.into())
    }
}

impl Classified for IngestError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotFinal { .. } => Disposition::RetryAfter(FINALITY_WAIT),
            Self::NotWhole { .. } | Self::OtherChain { .. } | Self::Contradicted { .. } => Disposition::GiveUp,
            Self::OtherDataset { .. } | Self::NotReproducible(_) => Disposition::GiveUp,
            Self::Unavailable { .. } | Self::Withheld { .. } | Self::Postgres { .. } | Self::Encoder { .. } => {
                Disposition::Retry
            }
            Self::Chain(error) => error.disposition(),
            Self::Hot(error) => error.disposition(),
            Self::Cold(error) => error.disposition(),
            Self::Control(error) => error.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFinal { .. } => "ingest.not_final",
            Self::NotWhole { .. } => "ingest.not_whole",
            Self::OtherChain { .. } => "ingest.other_chain",
            Self::Unavailable { last, .. } => last.code(),
            Self::Withheld { .. } => "ingest.withheld",
            Self::Contradicted { .. } => "ingest.contradicted",
            Self::OtherDataset { .. } => "ingest.other_dataset",
            Self::NotReproducible(_) => "ingest.not_reproducible",
            Self::Postgres { .. } => "ingest.postgres",
            Self::Encoder { .. } => "ingest.encoder",
            Self::Chain(error) => error.code(),
            Self::Hot(error) => error.code(),
            Self::Cold(error) => error.code(),
            Self::Control(error) => error.code(),
        }
    }
}
