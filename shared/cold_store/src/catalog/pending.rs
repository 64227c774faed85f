//! `cold.pending_files`: files on S3 that wait until their neighbour is listed.
//!
//! Files that are fetched in parallel are finished in any order, but manifests tile. So a file is recorded here as soon
//! as it has read back, and whoever finishes lists what adjoins: [`next_adjacent`], [`Adjacent::list`],
//! [`super::commit`], until nothing does. Invariant: no block waits twice, and none begins to wait that is cold. No
//! query reads these rows.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset, TaskId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{FromRow, Row};

use super::advance::lock;
use super::decode::{blocks as blocks_of, bytes_32};
use super::{CatalogError, DataPartition, DatasetHead, head, to_bigint};
use crate::commit::StoredFile;
use crate::layout::Partition;
use crate::manifest::DataFile;

/// A file that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingFile {
    /// Its place.
    pub partition: Partition,
    /// Parent of its first block.
    pub parent_hash: B256,
    /// How manifests will list it.
    pub file: DataFile,
    /// Task that stored it; `None` if it was none.
    pub task_id: Option<TaskId>,
    /// When it was recorded, by the database's clock.
    pub stored_at: DateTime<Utc>,
}

/// What came of recording a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It waits now.
    Recorded,
    /// It waited before.
    AlreadyRecorded,
    /// It is in cold storage.
    AlreadyCommitted,
}

/// A file that can be listed next, and what it is to be listed after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjacent {
    /// Where the dataset is; `None` if nothing of it is cold.
    pub head: Option<DatasetHead>,
    /// The file.
    pub file: PendingFile,
    /// The file of `blocks` that has the first cold block, whose parent `head` does not know.
    pub header_file: Option<DataPartition>,
}

/// Lets a file wait that is on S3 and has read back ([`crate::StagedFile::store`]).
///
/// Locks the dataset's row until the caller's transaction ends; run it under READ COMMITTED, so that it cannot wait
/// after it was committed.
///
/// # Errors
/// [`CatalogError::Overlap`] if some of its blocks are cold, or wait, in another file, unless all of them are cold in
/// one; else as [`head`].
pub async fn record(
    conn: &mut PgConnection,
    stored: &StoredFile,
    task_id: Option<TaskId>,
) -> Result<RecordOutcome, CatalogError> {
    let (partition, file) = (stored.partition(), stored.file());
    let (chain_id, dataset) = (to_bigint("chain_id", partition.chain_id.0)?, partition.dataset.as_str());
    let start = to_bigint("start_block", file.blocks.start().0)?;
    let end = to_bigint("end_block", file.blocks.end().0)?;
    lock(conn, chain_id, dataset).await?;

    let other = sqlx::query(
        "SELECT start_block, end_block, sha256, is_cold
           FROM (SELECT chain_id, dataset, start_block, end_block, encode(sha256, 'hex') AS sha256, true AS is_cold
                   FROM cold.data_partitions
                 UNION ALL
                 SELECT chain_id, dataset, start_block, end_block, file ->> 'sha256', false
                   FROM cold.pending_files) AS files
          WHERE chain_id = $1 AND dataset = $2 AND start_block < $4 AND end_block > $3
          LIMIT 1",
    )
    .bind(chain_id)
    .bind(dataset)
    .bind(start)
    .bind(end)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = other {
        let other = blocks_of(&row)?;
        let is_same = other == file.blocks && row.try_get::<String, _>("sha256")? == file.sha256.to_string();
        let is_cold: bool = row.try_get("is_cold")?;
        let is_within = other.start() <= file.blocks.start() && file.blocks.end() <= other.end();
        return match (is_same, is_cold) {
            (true, true) => Ok(RecordOutcome::AlreadyCommitted),
            // Merged with its neighbours meanwhile.
            (false, true) if is_within => Ok(RecordOutcome::AlreadyCommitted),
            (true, false) => Ok(RecordOutcome::AlreadyRecorded),
            (false, _) => Err(CatalogError::Overlap { dataset: partition.dataset, blocks: file.blocks, other }),
        };
    }
    sqlx::query(
        "INSERT INTO cold.pending_files (chain_id, dataset, start_block, end_block, file, parent_hash, task_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(chain_id)
    .bind(dataset)
    .bind(start)
    .bind(end)
    .bind(Json(file))
    .bind(stored.parent_hash().as_slice())
    .bind(task_id.map(|task_id| task_id.0))
    .execute(conn)
    .await?;
    Ok(RecordOutcome::Recorded)
}

/// The file of a dataset that is to be listed next; `None` if none can be.
///
/// `hot_first_block` is the first block of the dataset in hot storage, if any. It matters while nothing is cold: cold
/// storage then has to begin no later, and to end right before it or later.
///
/// # Errors
/// As [`head`].
pub async fn next_adjacent(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    hot_first_block: Option<BlockNumber>,
) -> Result<Option<Adjacent>, CatalogError> {
    loop {
        let head = head(conn, chain_id, dataset).await?;
        let rows = sqlx::query(
            "SELECT start_block, end_block FROM cold.pending_files
              WHERE chain_id = $1 AND dataset = $2
              ORDER BY start_block",
        )
        .bind(to_bigint("chain_id", chain_id.0)?)
        .bind(dataset.as_str())
        .fetch_all(&mut *conn)
        .await?;
        let waiting = rows.iter().map(blocks_of).collect::<sqlx::Result<Vec<BlockRange>>>()?;
        let Some(blocks) = next_blocks(head.as_ref(), hot_first_block, &waiting) else { return Ok(None) };
        // Gone if another run has committed it meanwhile: look again.
        if let Some(file) = find(conn, chain_id, dataset, blocks).await? {
            let header_file = header_file(conn, chain_id, head.as_ref(), blocks).await?;
            return Ok(Some(Adjacent { head, file, header_file }));
        }
    }
}

/// The files of a dataset that wait, by block.
///
/// # Errors
/// As [`head`].
pub async fn list(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
) -> Result<Vec<PendingFile>, CatalogError> {
    let files = sqlx::query_as(
        "SELECT chain_id, dataset, start_block, end_block, file, parent_hash, task_id, stored_at
           FROM cold.pending_files
          WHERE chain_id = $1 AND dataset = $2
          ORDER BY start_block",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .fetch_all(conn)
    .await?;
    Ok(files)
}

/// Lets the file of exactly `blocks` wait no longer, and returns the parent of its first block; `None` if none waits.
/// Its object stays.
///
/// # Errors
/// As [`head`].
pub async fn forget(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<Option<B256>, CatalogError> {
    let row: Option<PgRow> = sqlx::query(
        "DELETE FROM cold.pending_files
          WHERE chain_id = $1 AND dataset = $2 AND start_block = $3 AND end_block = $4
         RETURNING parent_hash",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .bind(to_bigint("start_block", blocks.start().0)?)
    .bind(to_bigint("end_block", blocks.end().0)?)
    .fetch_optional(conn)
    .await?;
    let parent_hash = row.map(|row| bytes_32(&row, "parent_hash")).transpose()?;
    Ok(parent_hash.map(B256::new))
}

async fn find(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<Option<PendingFile>, CatalogError> {
    let file = sqlx::query_as(
        "SELECT chain_id, dataset, start_block, end_block, file, parent_hash, task_id, stored_at
           FROM cold.pending_files
          WHERE chain_id = $1 AND dataset = $2 AND start_block = $3 AND end_block = $4",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(dataset.as_str())
    .bind(to_bigint("start_block", blocks.start().0)?)
    .bind(to_bigint("end_block", blocks.end().0)?)
    .fetch_optional(conn)
    .await?;
    Ok(file)
}

/// The file of `blocks` with the header that says what the parent of the first cold block is, if `blocks` are to be
/// listed before it and Postgres does not know.
async fn header_file(
    conn: &mut PgConnection,
    chain_id: ChainId,
    head: Option<&DatasetHead>,
    blocks: BlockRange,
) -> Result<Option<DataPartition>, CatalogError> {
    let unknown = head.filter(|head| head.first_parent_hash.is_none() && blocks.end() == head.first_block);
    let Some(head) = unknown else { return Ok(None) };
    let row = sqlx::query(
        "SELECT start_block, end_block, object_key, row_count, size_bytes, sha256,
                first_block_hash, last_block_hash, schema_version, manifest_version
           FROM cold.data_partitions
          WHERE chain_id = $1 AND dataset = 'blocks' AND start_block <= $2 AND end_block > $2",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .bind(to_bigint("first_block", head.first_block.0)?)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(DataPartition::from_row).transpose().map_err(CatalogError::from)
}

/// Which of the `waiting` blocks, in order, are to be listed next: those that end where cold storage begins, else those
/// that begin where it ends, so that every run decides alike.
///
/// While nothing is cold, the lowest. But if hot storage has blocks, cold storage has to end where those begin or
/// later, and to begin no later: compaction goes on after the watermark, and queries read no hot rows below it.
fn next_blocks(
    head: Option<&DatasetHead>,
    hot_first_block: Option<BlockNumber>,
    waiting: &[BlockRange],
) -> Option<BlockRange> {
    let mut waiting = waiting.iter().copied();
    match (head, hot_first_block) {
        (Some(head), _) => {
            let below = waiting.clone().find(|blocks| blocks.end() == head.first_block);
            below.or_else(|| waiting.find(|blocks| blocks.start() == head.watermark.next()))
        }
        (None, Some(hot)) => waiting.find(|blocks| blocks.start() <= hot && hot <= blocks.end()),
        (None, None) => waiting.next(),
    }
}

#[cfg(test)]
mod tests;
