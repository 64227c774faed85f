//! What can go wrong in hot storage.

use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Classified, Dataset, Disposition};

/// A failure of hot storage.
#[derive(Debug, thiserror::Error)]
pub enum HotStoreError {
    /// Postgres refused or did not answer.
    #[error("hot storage could not {action}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },
    /// A batch does not continue the stored tip: its writer is stale or has missed a reorg.
    #[error("blocks {blocks} do not continue the stored tip of chain {chain_id}, {}", shown(.tip.as_ref()))]
    NotOnTip {
        /// The chain.
        chain_id: ChainId,
        /// The blocks that were to be written.
        blocks: BlockRange,
        /// The stored tip.
        tip: Option<BlockRef>,
    },
    /// The chain is halted until a person has decided.
    #[error("chain {chain_id} is halted ({code}): {message}")]
    Halted {
        /// The chain.
        chain_id: ChainId,
        /// Why, as a stable name.
        code: String,
        /// Why, in words.
        message: String,
    },
    /// The chain has no cursor yet.
    #[error("chain {chain_id} is not set up in hot storage")]
    UnknownChain {
        /// The chain.
        chain_id: ChainId,
    },
    /// The chain was set up with other settings.
    #[error(
        "chain {chain_id} is stored as {stored:?} with partitions of {stored_blocks} blocks, not as {given:?} with {given_blocks}"
    )]
    OtherSettings {
        /// The chain.
        chain_id: ChainId,
        /// Stored name.
        stored: String,
        /// Stored partition size, blocks.
        stored_blocks: u64,
        /// Name that was given.
        given: String,
        /// Partition size that was given, blocks.
        given_blocks: u64,
    },
    /// A block that must be stored is not, or has another hash.
    #[error("{expected} is not stored on chain {chain_id}")]
    NotStored {
        /// The chain.
        chain_id: ChainId,
        /// The block that was expected.
        expected: BlockRef,
    },
    /// Blocks at or below the finalized one were to be taken back.
    #[error("chain {chain_id} is finalized up to {finalized}, above the common ancestor {ancestor}")]
    BelowFinalized {
        /// The chain.
        chain_id: ChainId,
        /// The stored finalized block.
        finalized: BlockRef,
        /// Where the branches part.
        ancestor: BlockRef,
    },
    /// A batch whose rows do not match its blocks.
    #[error("batch of blocks {blocks} is not whole: {problem}")]
    Inconsistent {
        /// The blocks of the batch.
        blocks: BlockRange,
        /// What is wrong.
        problem: &'static str,
    },
    /// A value that the column's Postgres type cannot hold.
    #[error("value {value} in column {column} does not fit its Postgres type")]
    OutOfRange {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A column that the dataset does not have.
    #[error("dataset {dataset} has no column {column:?}")]
    UnknownColumn {
        /// The dataset.
        dataset: Dataset,
        /// The name that was asked for.
        column: String,
    },
    /// Bytes that are not the binary COPY of the expected columns.
    #[error("binary COPY data is malformed: {problem}")]
    MalformedCopy {
        /// What is wrong.
        problem: &'static str,
    },
    /// Arrow refused to build a batch.
    #[error("rows could not be put into a record batch")]
    Arrow(#[source] arrow::error::ArrowError),
}

impl HotStoreError {
    pub(crate) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }
}

impl Classified for HotStoreError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database { .. } | Self::NotOnTip { .. } => Disposition::Retry,
            Self::Halted { .. }
            | Self::UnknownChain { .. }
            | Self::OtherSettings { .. }
            | Self::NotStored { .. }
            | Self::BelowFinalized { .. }
            | Self::Inconsistent { .. }
            | Self::OutOfRange { .. }
            | Self::UnknownColumn { .. }
            | Self::MalformedCopy { .. }
            | Self::Arrow(_) => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Database { .. } => "hot_store.database",
            Self::NotOnTip { .. } => "hot_store.not_on_tip",
            Self::Halted { .. } => "hot_store.halted",
            Self::UnknownChain { .. } => "hot_store.unknown_chain",
            Self::OtherSettings { .. } => "hot_store.other_settings",
            Self::NotStored { .. } => "hot_store.not_stored",
            Self::BelowFinalized { .. } => "hot_store.below_finalized",
            Self::Inconsistent { .. } => "hot_store.inconsistent",
            Self::OutOfRange { .. } => "hot_store.out_of_range",
            Self::UnknownColumn { .. } => "hot_store.unknown_column",
            Self::MalformedCopy { .. } => "hot_store.malformed_copy",
            Self::Arrow(_) => "hot_store.arrow",
        }
    }
}

fn shown(tip: Option<&BlockRef>) -> String {
    tip.map_or_else(|| "which is not set".to_owned(), ToString::to_string)
}

/// A block number as Postgres keeps it.
///
/// # Panics
/// Above 2^63 - 1, which no chain reaches.
pub(crate) fn bigint(number: BlockNumber) -> i64 {
    i64::try_from(number.0).expect("block numbers stay below 2^63")
}
