//! Cold storage's catalogue in Postgres: `cold.datasets` and `cold.data_partitions`.
//!
//! These rows are what a query reads in its snapshot; the manifests on S3 are the proof of them. The caller owns the
//! transaction. A commit takes only the manifest that follows the one it finds under the lock of the dataset's row,
//! so that versions are linear and ranges tile whoever commits. It never takes a watermark back.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgRow};

use crate::commit::CommittedManifest;
use crate::digest::Sha256Digest;

mod decode;
mod error;

pub use error::CatalogError;

use decode::{parsed, unsigned};

/// How far a dataset is in cold storage: its newest committed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetHead {
    /// First block in cold storage.
    pub first_block: BlockNumber,
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
    /// How far it is.
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
    /// The watermark stands at the file's last block now.
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
        "SELECT first_block, watermark, manifest_version, manifest_key, manifest_sha256
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
        "SELECT chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256
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

/// Moves the dataset's watermark to the end of the newest file of `manifest`.
///
/// Locks the dataset's row until the caller's transaction ends; run it under READ COMMITTED. Invariant: one linear
/// history, version by version, each manifest holding the hash of the one before.
///
/// # Errors
/// As [`head`].
pub async fn commit(conn: &mut PgConnection, manifest: &CommittedManifest) -> Result<CommitOutcome, CatalogError> {
    let listed = manifest.manifest();
    let file = manifest.newest_file();
    let chain_id = to_bigint("chain_id", listed.chain_id.0)?;
    let dataset = listed.dataset.as_str();

    sqlx::query("INSERT INTO cold.datasets (chain_id, dataset) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(chain_id)
        .bind(dataset)
        .execute(&mut *conn)
        .await?;
    sqlx::query("SELECT FROM cold.datasets WHERE chain_id = $1 AND dataset = $2 FOR UPDATE")
        .bind(chain_id)
        .bind(dataset)
        .execute(&mut *conn)
        .await?;
    let found = head(conn, listed.chain_id, listed.dataset).await?;

    if is_committed(conn, manifest).await? {
        return Ok(CommitOutcome::AlreadyCommitted);
    }
    if !follows(manifest, found.as_ref()) {
        return Ok(CommitOutcome::Stale { head: found });
    }

    let manifest_version = to_bigint("manifest_version", listed.manifest_version)?;
    let (start, end) = (file.blocks.start().0, file.blocks.end().0);
    sqlx::query(
        "INSERT INTO cold.data_partitions
                (chain_id, dataset, start_block, end_block, object_key, row_count, size_bytes, sha256,
                 first_block_hash, last_block_hash, schema_version, manifest_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(chain_id)
    .bind(dataset)
    .bind(to_bigint("start_block", start)?)
    .bind(to_bigint("end_block", end)?)
    .bind(&file.key)
    .bind(to_bigint("row_count", file.row_count)?)
    .bind(to_bigint("size_bytes", file.size_bytes)?)
    .bind(file.sha256.as_bytes().as_slice())
    .bind(file.first_block_hash.as_slice())
    .bind(file.last_block_hash.as_slice())
    .bind(file.schema_version.cast_signed())
    .bind(manifest_version)
    .execute(&mut *conn)
    .await?;
    let moved = sqlx::query(
        "UPDATE cold.datasets
            SET first_block = COALESCE(first_block, $3), watermark = $4, manifest_version = $5,
                manifest_key = $6, manifest_sha256 = $7, updated_at = now()
          WHERE chain_id = $1 AND dataset = $2 AND manifest_version IS NOT DISTINCT FROM $8",
    )
    .bind(chain_id)
    .bind(dataset)
    .bind(to_bigint("first_block", start)?)
    .bind(to_bigint("watermark", end - 1)?)
    .bind(manifest_version)
    .bind(manifest.key())
    .bind(manifest.sha256().as_bytes().as_slice())
    .bind(found.as_ref().map(|head| to_bigint("manifest_version", head.manifest_version)).transpose()?)
    .execute(conn)
    .await?;
    match moved.rows_affected() {
        1 => Ok(CommitOutcome::Committed),
        rows => Err(CatalogError::Unlocked { rows }),
    }
}

/// Whether `manifest` is the next one after `head`, and its newest file begins right after the watermark.
fn follows(manifest: &CommittedManifest, head: Option<&DatasetHead>) -> bool {
    let listed = manifest.manifest();
    match head {
        None => listed.manifest_version == 1 && listed.previous_manifest_sha256.is_none() && listed.files.len() == 1,
        Some(head) => {
            listed.manifest_version == head.manifest_version + 1
                && listed.previous_manifest_sha256 == Some(head.manifest_sha256)
                && manifest.newest_file().blocks.start() == head.watermark.next()
        }
    }
}

async fn is_committed(conn: &mut PgConnection, manifest: &CommittedManifest) -> Result<bool, CatalogError> {
    let file = manifest.newest_file();
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM cold.data_partitions
                         WHERE chain_id = $1 AND dataset = $2 AND start_block = $3 AND end_block = $4
                           AND object_key = $5 AND sha256 = $6)",
    )
    .bind(to_bigint("chain_id", manifest.manifest().chain_id.0)?)
    .bind(manifest.manifest().dataset.as_str())
    .bind(to_bigint("start_block", file.blocks.start().0)?)
    .bind(to_bigint("end_block", file.blocks.end().0)?)
    .bind(&file.key)
    .bind(file.sha256.as_bytes().as_slice())
    .fetch_one(conn)
    .await?;
    Ok(found)
}

fn to_bigint(column: &'static str, value: u64) -> Result<i64, CatalogError> {
    value.try_into().map_err(|source| CatalogError::TooLarge { column, value, source })
}
