//! Appending blocks to the stored tip. Rows are encoded on threads of their own, while the database does something else.

use alloy::primitives::B256;
use arrow::array::{AsArray, RecordBatch};
use chrono::{DateTime, Utc};
use isotherm_types::{BlockRange, BlockRef, ChainId, Dataset};
use sqlx::PgConnection;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::{HotStoreError, bigint};
use crate::{copy, cursor, lag, partitions};

/// The rows of a run of blocks, ready to be stored.
#[derive(Clone, Debug)]
pub struct BlockBatch {
    /// The blocks.
    pub blocks: BlockRange,
    /// Parent hash of the first of them.
    pub parent_hash: B256,
    /// The last of them.
    pub tip: BlockRef,
    /// Rows by dataset, columns as in the dataset's schema. `blocks` has to be there, `traces` only if they are
    /// collected.
    pub rows: Vec<(Dataset, RecordBatch)>,
    /// When an endpoint first served the last of them.
    pub served_at: DateTime<Utc>,
}

impl BlockBatch {
    /// Whether the traces of its blocks were collected, be it that they have none.
    pub(crate) fn has_traces(&self) -> bool {
        self.rows.iter().any(|(dataset, _)| *dataset == Dataset::Traces)
    }
}

/// What was written to one dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The dataset.
    pub dataset: Dataset,
    /// Its rows.
    pub row_count: u64,
    /// Bytes as COPY sent them; none if there was no row.
    pub size_bytes: u64,
}

/// Writes `batch` after the stored tip by binary COPY and moves the tip onto it.
///
/// Invariant HS-1: the first block's parent is the stored tip, or nothing is stored yet. The cursor row is locked
/// until the caller's transaction ends, so two writers cannot both pass this check.
///
/// Returns what was written, by dataset, in the order of the batch.
///
/// # Errors
/// [`HotStoreError::NotOnTip`] if the batch does not continue the tip: the writer is stale or has missed a reorg;
/// [`HotStoreError::Halted`], [`HotStoreError::UnknownChain`], [`HotStoreError::Inconsistent`] for rows that are not
/// those of the blocks; what Postgres reports, a duplicate key among it.
pub async fn append(
    conn: &mut PgConnection,
    chain_id: ChainId,
    batch: &BlockBatch,
) -> Result<Vec<Appended>, HotStoreError> {
    check_whole(batch)?;
    let encoding: Vec<_> = batch.rows.iter().map(|(_, rows)| encode_aside(rows)).collect();
    let cursor = cursor::lock(conn, chain_id).await?;
    let continues =
        cursor.tip.is_none_or(|tip| tip.hash == batch.parent_hash && tip.number.next() == batch.blocks.start());
    if !continues {
        return Err(HotStoreError::NotOnTip { chain_id, blocks: batch.blocks, tip: cursor.tip });
    }
    if partitions::ensure_leaves(conn, chain_id, cursor.partition_blocks, batch.blocks).await? {
        lag::forget_old(conn, chain_id, batch.tip.number).await?;
    }
    let mut appended = Vec::with_capacity(batch.rows.len());
    for ((dataset, rows), encoding) in batch.rows.iter().zip(encoding) {
        let size_bytes = copy_in(conn, *dataset, rows, encoded(encoding).await?).await?;
        appended.push(Appended { dataset: *dataset, row_count: rows.num_rows() as u64, size_bytes });
    }
    lag::record(conn, chain_id, batch.blocks, batch.served_at).await?;
    // NULL is passed over by `least`, and is what a run without traces leaves.
    sqlx::query(
        "UPDATE hot.cursors
            SET tip_number = $2, tip_hash = $3, first_block = coalesce(first_block, $4),
                first_traced_block = CASE WHEN $5 THEN least(first_traced_block, $4) END, updated_at = now()
          WHERE chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(batch.tip.number))
    .bind(batch.tip.hash.as_slice())
    .bind(bigint(batch.blocks.start()))
    .bind(batch.has_traces())
    .execute(conn)
    .await
    .map_err(HotStoreError::database("move the tip"))?;
    Ok(appended)
}

/// Checks that there is one `blocks` row per block, in order, the last one being the tip.
pub(crate) fn check_whole(batch: &BlockBatch) -> Result<(), HotStoreError> {
    let wrong = |problem| Err(HotStoreError::Inconsistent { blocks: batch.blocks, problem });
    let Some((_, headers)) = batch.rows.iter().find(|(dataset, _)| *dataset == Dataset::Blocks) else {
        return wrong("it has no rows of blocks");
    };
    if headers.num_rows() as u64 != batch.blocks.block_count() {
        return wrong("the number of its block rows is another than its number of blocks");
    }
    if batch.tip.number != batch.blocks.last() {
        return wrong("its tip is not its last block");
    }
    let hashes = headers.column_by_name("block_hash").and_then(|column| column.as_fixed_size_binary_opt());
    match hashes {
        Some(hashes) if hashes.value(headers.num_rows() - 1) == batch.tip.hash.as_slice() => Ok(()),
        _ => wrong("the hash of its last block row is not the tip's"),
    }
}

/// Begins to encode `rows`, for whoever awaits [`encoded`] then.
pub(crate) fn encode_aside(rows: &RecordBatch) -> JoinHandle<Result<Vec<u8>, HotStoreError>> {
    let rows = rows.clone();
    spawn_blocking(move || copy::encode(&rows))
}

/// What has come of [`encode_aside`].
pub(crate) async fn encoded(encoding: JoinHandle<Result<Vec<u8>, HotStoreError>>) -> Result<Vec<u8>, HotStoreError> {
    match encoding.await {
        Ok(encoded) => encoded,
        // Nobody cancels it.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Sends `rows`, which are encoded as `bytes`. Returns the bytes sent.
pub(crate) async fn copy_in(
    conn: &mut PgConnection,
    dataset: Dataset,
    rows: &RecordBatch,
    bytes: Vec<u8>,
) -> Result<u64, HotStoreError> {
    if rows.num_rows() == 0 {
        return Ok(0);
    }
    let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let size_bytes = bytes.len() as u64;
    let sql = format!("COPY hot.{dataset} ({}) FROM STDIN (FORMAT binary)", names.join(", "));
    let database = || HotStoreError::database("copy rows in");
    let mut copy_in = conn.copy_in_raw(&sql).await.map_err(database())?;
    copy_in.send(bytes).await.map_err(database())?;
    copy_in.finish().await.map_err(database())?;
    Ok(size_bytes)
}
