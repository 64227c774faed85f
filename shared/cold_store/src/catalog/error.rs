//! What can be wrong with the catalogue.

use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{BlockRange, Dataset};

/// Why the catalogue could not be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Postgres failed, or holds a row that cannot be read.
    #[error("cold storage's catalogue cannot be used")]
    Postgres(#[from] sqlx::Error),
    /// A number that Postgres' `bigint` does not hold.
    #[error("{column} {value} does not fit Postgres' bigint")]
    TooLarge {
        /// Where it was to go.
        column: &'static str,
        /// The number.
        value: u64,
        /// Why.
        #[source]
        source: std::num::TryFromIntError,
    },
    /// Some of a file's blocks are in another file already.
    #[error(
        "{dataset} of blocks {blocks} cannot wait for their place: blocks {other} are in cold storage, or wait, already"
    )]
    Overlap {
        /// The file's dataset.
        dataset: Dataset,
        /// Its blocks.
        blocks: BlockRange,
        /// Blocks of the other file.
        other: BlockRange,
    },
    /// The files that a merged one stands for are not the catalogue's.
    #[error(
        "{found} files of {dataset} are in cold storage for blocks {blocks}, but a merged one stands for {expected}"
    )]
    Replaced {
        /// The dataset.
        dataset: Dataset,
        /// Blocks of the merged file.
        blocks: BlockRange,
        /// Files that it stands for.
        expected: usize,
        /// Files in the catalogue.
        found: i64,
    },
    /// A row that was locked changed all the same.
    #[error("{rows} rows of cold.datasets were moved instead of 1")]
    Unlocked {
        /// Rows that the update changed.
        rows: u64,
    },
}

impl Classified for CatalogError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Postgres(sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)) => Disposition::GiveUp,
            Self::Postgres(_) | Self::Unlocked { .. } => Disposition::Retry,
            Self::TooLarge { .. } | Self::Overlap { .. } | Self::Replaced { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Postgres(sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)) => {
                "cold_store.catalog_corrupt"
            }
            Self::Replaced { .. } => "cold_store.catalog_corrupt",
            Self::Postgres(_) => "cold_store.postgres",
            Self::TooLarge { .. } => "cold_store.number_too_large",
            Self::Overlap { .. } => "cold_store.overlap",
            Self::Unlocked { .. } => "cold_store.catalog_unlocked",
        }
    }
}
