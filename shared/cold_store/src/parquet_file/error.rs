//! What can be wrong with rows, or with the file made of them.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use parquet::errors::ParquetError;

use crate::blocks::LinkError;

/// Why rows do not make a data file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFileError {
    /// The blocks that rows are held against are not the partition's.
    #[error("the blocks {given} were given for the partition {partition}")]
    Blocks {
        /// The partition's blocks.
        partition: BlockRange,
        /// The blocks that were given.
        given: BlockRange,
    },
    /// The blocks that came are not one chain over the partition.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// Blocks came without the numbers of their rows, or with some too many.
    #[error("{counts} numbers of rows came with {blocks} blocks")]
    Counts {
        /// Blocks that came.
        blocks: usize,
        /// Numbers that came with them.
        counts: usize,
    },
    /// The temporary file cannot be made or written; a full disk, say.
    #[error("{path} cannot be written")]
    Scratch {
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Columns that are not the dataset's.
    #[error("the columns {given:?} are not those of {dataset}")]
    Columns {
        /// The dataset.
        dataset: Dataset,
        /// The names that came.
        given: Vec<String>,
    },
    /// Arrays that do not fit the dataset's types.
    #[error("the rows do not fit the dataset's columns")]
    Arrow(#[from] ArrowError),
    /// A row of another chain.
    #[error("a row is of chain {found}, not {expected}")]
    Chain {
        /// The partition's chain.
        expected: ChainId,
        /// The row's.
        found: ChainId,
    },
    /// A row of a block outside the partition.
    #[error("a row of block {block} is outside blocks {blocks}")]
    OutsideRange {
        /// The row's block.
        block: BlockNumber,
        /// The partition's blocks.
        blocks: BlockRange,
    },
    /// A row of a block that is in the partition, but has not come yet.
    #[error("a row of {dataset} came before its block, which is {block}")]
    TooEarly {
        /// The dataset.
        dataset: Dataset,
        /// The row's block.
        block: BlockNumber,
    },
    /// A row that is not after the one before: out of order, or doubled. A place is block and index in it.
    #[error("a row of {dataset} at {found:?} came after the one at {before:?}")]
    Order {
        /// The dataset.
        dataset: Dataset,
        /// Place of the row before.
        before: (u64, u64),
        /// Place of the row.
        found: (u64, u64),
    },
    /// A row of a block that is not on the chain.
    #[error("a row of {dataset} is of block {block} with hash {found}, but the chain has {expected}")]
    BlockHash {
        /// The dataset.
        dataset: Dataset,
        /// The row's block.
        block: BlockNumber,
        /// The chain's hash.
        expected: B256,
        /// The row's.
        found: B256,
    },
    /// A block with too few or too many rows.
    #[error("block {block} has {found} rows of {dataset} instead of {expected}")]
    RowCount {
        /// The dataset.
        dataset: Dataset,
        /// The block.
        block: BlockNumber,
        /// Rows that it must have.
        expected: u64,
        /// Rows that it has.
        found: u64,
    },
    /// Encoding failed, or writing what it made.
    #[error("the rows cannot be encoded or written")]
    Parquet(#[from] ParquetError),
}

impl ParquetFileError {
    /// What encoding into the file at `path` reported; what the disk reported names the file.
    pub(super) fn of_writing(error: ParquetError, path: &Path) -> Self {
        let cause = match error {
            ParquetError::External(cause) => cause,
            other => return Self::Parquet(other),
        };
        match cause.downcast::<io::Error>() {
            Ok(source) => Self::Scratch { path: path.to_path_buf(), source: *source },
            Err(cause) => Self::Parquet(ParquetError::External(cause)),
        }
    }
}

impl Classified for ParquetFileError {
    fn disposition(&self) -> Disposition {
        match self {
            // The disk is full, or was: there is more room elsewhere or later.
            Self::Scratch { .. } | Self::Parquet(_) => Disposition::Retry,
            Self::Blocks { .. } | Self::Columns { .. } | Self::Arrow(_) | Self::Chain { .. } => Disposition::GiveUp,
            Self::OutsideRange { .. } | Self::TooEarly { .. } | Self::Order { .. } => Disposition::GiveUp,
            Self::Links(error) => error.disposition(),
            Self::Counts { .. } => Disposition::GiveUp,
            Self::BlockHash { .. } | Self::RowCount { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Scratch { .. } | Self::Parquet(_) => "cold_store.staged_file",
            Self::Columns { .. } | Self::Arrow(_) => "cold_store.columns",
            Self::Blocks { .. } | Self::OutsideRange { .. } => "cold_store.outside_range",
            Self::Chain { .. } => "cold_store.wrong_chain",
            Self::Links(error) => error.code(),
            Self::TooEarly { .. } => "cold_store.missing_block",
            Self::Order { .. } => "cold_store.row_order",
            Self::BlockHash { .. } => "cold_store.row_block_hash",
            Self::Counts { .. } | Self::RowCount { .. } => "cold_store.row_count",
        }
    }
}
