//! Some of the files of `cold.data_partitions`: the short ones, those of a run of blocks, how long they are cold, and
//! whether a key is one of theirs.

use std::num::NonZeroU64;
use std::time::Duration;

use isotherm_types::{BlockRange, ChainId, Dataset};
use sqlx::postgres::PgConnection;

use super::{CatalogError, DataPartition, to_bigint};

/// The files of a dataset that have fewer blocks than `blocks`, in the order of blocks.
///
/// # Errors
/// As [`super::head`].
pub async fn shorter_than(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: NonZeroU64,
) -> Result<Vec<DataPartition>, CatalogError> {
    let files = sqlx::query_as(
        "SELECT start_block, end_block, object_key, row_count, size_bytes, sha256,
                first_block_hash, last_block_hash, schema_version, manifest_version
           FROM cold.data_partitions
          WHERE chain_id = $1 AND dataset = $2 AND end_block - start_block < $3
          ORDER BY start_block",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .bind(to_bigint("partition_blocks", blocks.get())?)
    .fetch_all(conn)
    .await?;
    Ok(files)
}

/// The files of a dataset that hold some of `blocks`, in the order of blocks.
///
/// # Errors
/// As [`super::head`].
pub async fn overlapping(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<Vec<DataPartition>, CatalogError> {
    let files = sqlx::query_as(
        "SELECT start_block, end_block, object_key, row_count, size_bytes, sha256,
                first_block_hash, last_block_hash, schema_version, manifest_version
           FROM cold.data_partitions
          WHERE chain_id = $1 AND dataset = $2 AND start_block < $4 AND end_block > $3
          ORDER BY start_block",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .bind(to_bigint("start_block", blocks.start().0)?)
    .bind(to_bigint("end_block", blocks.end().0)?)
    .fetch_all(conn)
    .await?;
    Ok(files)
}

/// How long ago the last of `blocks` became cold that are, by the database's clock; `None` if none is.
///
/// # Errors
/// As [`super::head`].
pub async fn age(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<Option<Duration>, CatalogError> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM clock_timestamp() - max(committed_at))::double precision
           FROM cold.data_partitions
          WHERE chain_id = $1 AND dataset = $2 AND start_block < $4 AND end_block > $3",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .bind(to_bigint("start_block", blocks.start().0)?)
    .bind(to_bigint("end_block", blocks.end().0)?)
    .fetch_one(conn)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Whether the file with this key is in cold storage or waits.
///
/// # Errors
/// [`CatalogError::Postgres`].
pub async fn is_named(conn: &mut PgConnection, object_key: &str) -> Result<bool, CatalogError> {
    let is_named = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM cold.data_partitions WHERE object_key = $1)
             OR EXISTS (SELECT FROM cold.pending_files WHERE file ->> 'key' = $1)",
    )
    .bind(object_key)
    .fetch_one(conn)
    .await?;
    Ok(is_named)
}
