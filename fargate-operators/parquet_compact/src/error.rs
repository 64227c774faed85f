//! What can stop a compaction.

use std::time::Duration;

use isotherm_cold_store::ColdStoreError;
use isotherm_cold_store::blocks::LinkError;
use isotherm_cold_store::catalog::CatalogError;
use isotherm_cold_store::compaction::PlanError;
use isotherm_cold_store::parquet_file::ParquetFileError;
use isotherm_control::ControlError;
use isotherm_hot_store::HotStoreError;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{BlockNumber, BlockRef, ChainId, Dataset};

/// How long a range that is not final is left alone: a few blocks of most chains.
const FINALITY_WAIT: Duration = Duration::from_secs(5);

/// Why a compaction stopped.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The chain has no blocks in hot storage, or none that is final.
    #[error("chain {chain_id} has no final block in hot storage")]
    NothingFinal {
        /// The chain.
        chain_id: ChainId,
    },
    /// The traces of the chain's newest blocks are not stored, so that none of them are promised.
    #[error(
        "chain {chain_id} is followed without traces; set `traces` in the follower's job, or take `traces` out of `datasets` of this one"
    )]
    NotTraced {
        /// The chain.
        chain_id: ChainId,
    },
    /// A block was stored without its traces, or has lost some.
    #[error(
        "block {block} has {transactions} transactions, but the top frames of {traced}; take `traces` out of `datasets`: stored blocks are not traced later"
    )]
    Untraced {
        /// The block.
        block: BlockNumber,
        /// Its transactions.
        transactions: u64,
        /// Top frames of its transactions in hot storage.
        traced: u64,
    },
    /// Hot storage knows the chain under another name, or with a partition size of 0.
    #[error("chain {chain_id} is called {found:?} in hot storage, not {expected:?}")]
    OtherChain {
        /// The chain.
        chain_id: ChainId,
        /// Its name in the job.
        expected: String,
        /// Its name in hot storage.
        found: String,
    },
    /// Nothing can be compacted, or not yet.
    #[error("no partition can be compacted")]
    Plan(#[from] PlanError),
    /// The blocks in hot storage are not one chain.
    #[error("the blocks in hot storage are not one chain")]
    Links(#[from] LinkError),
    /// Another run committed something else first.
    #[error("{dataset} in cold storage moved on while a partition was being written")]
    Overtaken {
        /// The dataset.
        dataset: Dataset,
    },
    /// Its blocks were replaced after they had been read, as a person had accepted.
    #[error(
        "{last} and the blocks below it were read to be compacted, but have been replaced since; see docs/operations.md, \"The follower halted\""
    )]
    Replaced {
        /// The last block of the partition, as it was read.
        last: BlockRef,
    },
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

impl From<CatalogError> for CompactError {
    fn from(error: CatalogError) -> Self {
        Self::Cold(error.into())
    }
}

impl From<ParquetFileError> for CompactError {
    fn from(error: ParquetFileError) -> Self {
        Self::Cold(error.into())
    }
}

impl Classified for CompactError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NothingFinal { .. } | Self::Plan(PlanError::NotFinal { .. }) => {
                Disposition::RetryAfter(FINALITY_WAIT)
            }
            Self::Overtaken { .. } | Self::Postgres { .. } | Self::Encoder { .. } => Disposition::Retry,
            Self::NotTraced { .. }
            | Self::Untraced { .. }
            | Self::OtherChain { .. }
            | Self::Replaced { .. }
            | Self::Plan(PlanError::Gap { .. }) => Disposition::GiveUp,
            Self::Links(error) => error.disposition(),
            Self::Hot(error) => error.disposition(),
            Self::Cold(error) => error.disposition(),
            Self::Control(error) => error.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NothingFinal { .. } | Self::Plan(PlanError::NotFinal { .. }) => "compact.not_final",
            Self::Plan(PlanError::Gap { .. }) => "compact.gap",
            Self::NotTraced { .. } => "compact.not_traced",
            Self::Untraced { .. } => "compact.untraced",
            Self::OtherChain { .. } => "compact.other_chain",
            Self::Overtaken { .. } => "compact.overtaken",
            Self::Replaced { .. } => "compact.replaced",
            Self::Postgres { .. } => "compact.postgres",
            Self::Encoder { .. } => "compact.encoder",
            Self::Links(error) => error.code(),
            Self::Hot(error) => error.code(),
            Self::Cold(error) => error.code(),
            Self::Control(error) => error.code(),
        }
    }
}
