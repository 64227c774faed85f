//! Cold storage's catalogue in Postgres: `cold.datasets`, `cold.data_partitions`, `cold.pending_files` and
//! `cold.integrity_checks`.
//!
//! These rows are what a query reads in its snapshot; the manifests on S3 are the proof of them. The caller owns the
//! transaction. A commit takes only the manifest that follows the one it finds under the lock of the dataset's row,
//! so that versions are linear and ranges tile whoever commits. It never takes a watermark back.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgRow};

use crate::digest::Sha256Digest;

mod advance;
pub mod checks;
mod decode;
mod error;
mod files;
pub mod pending;

pub use advance::commit;
pub use error::CatalogError;
pub use files::{age, is_named, overlapping, shorter_than};

use decode::{parsed, unsigned};

/// Where a dataset is in cold storage: its newest committed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetHead {
    /// First block in cold storage.
    pub first_block: BlockNumber,
    /// That block's parent; `None` if nobody has noted it: what became cold before this was kept has none.
    pub first_parent_hash: Option<B256>,
    /// Last block in cold storage.
    pub watermark: BlockNumber,
    /// Version of the manifest.
    pub manifest_version: u64,
    /// Its key.
    pub manifest_key: String,
    /// Digest of its bytes.
    pub manifest_sha256: Sha256Digest,
}

/// A dataset that has something in cold storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdDataset {
    /// Its chain.
    pub chain_id: ChainId,
    /// Which one.
    pub dataset: Dataset,
    /// Where it is.
    pub head: DatasetHead,
}

/// A committed data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPartition {
    /// Blocks whose rows it holds.
    pub blocks: BlockRange,
    /// Its key.
    pub object_key: String,
    /// Its rows.
    pub row_count: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
    /// Hash of its first block.
    pub first_block_hash: B256,
    /// Hash of its last block.
    pub last_block_hash: B256,
    /// Version of its columns.
    pub schema_version: u32,
    /// Version of the manifest that first listed it.
    pub manifest_version: u64,
}

/// What came of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The file is in cold storage now: the watermark stands at its last block, or `first_block` at its first, unless
    /// it took the place of others.
    Committed,
    /// This very file was committed before.
    AlreadyCommitted,
    /// The dataset is not where the manifest takes it on from; nothing was changed.
    Stale {
        /// Where it is; `None` if nothing is cold.
        head: Option<DatasetHead>,
    },
}

/// The newest committed manifest of a dataset; `None` if nothing of it is cold.
///
/// # Errors
/// [`CatalogError::Postgres`], and [`CatalogError::TooLarge`] for a chain id above 2^63 - 1.
pub async fn head(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
) -> Result<Option<DatasetHead>, CatalogError> {
    let row = sqlx::query(
        "SELECT first_block, first_parent_hash, watermark, manifest_version, manifest_key, manifest_sha256
           FROM cold.datasets
          WHERE chain_id = $1 AND dataset = $2 AND watermark IS NOT NULL",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(DatasetHead::from_row).transpose().map_err(CatalogError::from)
}

/// The last block of a dataset in cold storage; `None` if nothing is cold, never 0.
///
/// # Errors
/// As [`head`].
pub async fn watermark(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
) -> Result<Option<BlockNumber>, CatalogError> {
    Ok(head(conn, chain_id, dataset).await?.map(|head| head.watermark))
}

/// Every dataset that has something in cold storage, by chain and name.
///
/// # Errors
/// As [`head`].
pub async fn datasets(conn: &mut PgConnection) -> Result<Vec<ColdDataset>, CatalogError> {
    let rows = sqlx::query(
        "SELECT chain_id, dataset, first_block, first_parent_hash, watermark, manifest_version, manifest_key,
                manifest_sha256
           FROM cold.datasets
          WHERE watermark IS NOT NULL
          ORDER BY chain_id, dataset",
    )
    .fetch_all(conn)
    .await?;
    let read = |row: &PgRow| {
        Ok(ColdDataset {
            chain_id: ChainId(unsigned(row, "chain_id")?),
            dataset: parsed(row, "dataset")?,
            head: DatasetHead::from_row(row)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The files of a dataset, by block. They tile from its first block to its watermark.
///
/// # Errors
/// As [`head`].
pub async fn partitions(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
) -> Result<Vec<DataPartition>, CatalogError> {
    let partitions = sqlx::query_as(
        "SELECT start_block, end_block, object_key, row_count, size_bytes, sha256,
                first_block_hash, last_block_hash, schema_version, manifest_version
           FROM cold.data_partitions
          WHERE chain_id = $1 AND dataset = $2
          ORDER BY start_block",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .fetch_all(conn)
    .await?;
    Ok(partitions)
}

fn to_bigint(column: &'static str, value: u64) -> Result<i64, CatalogError> {
    value.try_into().map_err(|source| CatalogError::TooLarge { column, value, source })
}
