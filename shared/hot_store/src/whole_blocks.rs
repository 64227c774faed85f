//! Runs of whole blocks with the rows of several datasets, bounded in rows and bytes: what an evaluator of rows reads.
//!
//! All functions read in the caller's snapshot. A run ends with a block, never inside one, whatever its bounds are.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use futures::TryStreamExt;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::{HotStoreError, bigint};
use crate::rows::{self, Order};

/// Rows in one batch.
const BATCH_ROWS: usize = 4_096;

/// A stored block and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The block.
    pub block: BlockRef,
    /// Hash of the block before it.
    pub parent_hash: B256,
}

/// The headers that are stored of `blocks`, by number; what is missing is left out.
///
/// # Errors
/// What Postgres reports.
pub async fn headers(
    conn: &mut PgConnection,
    chain_id: ChainId,
    blocks: BlockRange,
) -> Result<Vec<Header>, HotStoreError> {
    let found = sqlx::query(
        "SELECT block_number, block_hash, parent_hash FROM hot.blocks
          WHERE chain_id = $1 AND block_number >= $2 AND block_number < $3 ORDER BY block_number",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(blocks.start()))
    .bind(bigint(blocks.end()))
    .fetch_all(conn)
    .await
    .and_then(|found| found.iter().map(header).collect());
    found.map_err(HotStoreError::database("read headers"))
}

/// The first header that is stored at `from` or above it; `None` if there is none.
///
/// # Errors
/// What Postgres reports.
pub async fn first_header(
    conn: &mut PgConnection,
    chain_id: ChainId,
    from: BlockNumber,
) -> Result<Option<Header>, HotStoreError> {
    let found = sqlx::query(
        "SELECT block_number, block_hash, parent_hash FROM hot.blocks
          WHERE chain_id = $1 AND block_number >= $2 ORDER BY block_number LIMIT 1",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(from))
    .fetch_optional(conn)
    .await
    .and_then(|found| found.as_ref().map(header).transpose());
    found.map_err(HotStoreError::database("look for a header"))
}

/// Hashes of the stored blocks of these numbers; what is missing is left out.
///
/// # Errors
/// What Postgres reports.
pub async fn hashes(
    conn: &mut PgConnection,
    chain_id: ChainId,
    numbers: &[BlockNumber],
) -> Result<BTreeMap<BlockNumber, B256>, HotStoreError> {
    let numbers: Vec<i64> = numbers.iter().map(|number| bigint(*number)).collect();
    let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT block_number, block_hash FROM hot.blocks WHERE chain_id = $1 AND block_number = ANY ($2)",
    )
    .bind(chain_id.0.cast_signed())
    .bind(numbers)
    .fetch_all(conn)
    .await
    .map_err(HotStoreError::database("read the hashes of blocks"))?;
    Ok(found.into_iter().map(|(number, hash)| (BlockNumber(number.cast_unsigned()), B256::from_slice(&hash))).collect())
}

fn header(row: &PgRow) -> sqlx::Result<Header> {
    let hash = |column: &str| -> sqlx::Result<B256> { Ok(B256::from_slice(row.try_get(column)?)) };
    let number = BlockNumber(row.try_get::<i64, _>("block_number")?.cast_unsigned());
    Ok(Header { block: BlockRef { number, hash: hash("block_hash")? }, parent_hash: hash("parent_hash")? })
}

/// How much a run holds at most. A single block may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows of all datasets together.
    pub row_count: usize,
    /// Their memory.
    pub size_bytes: usize,
}

/// The rows of a run of blocks.
#[derive(Clone, Debug)]
pub struct WholeBlocks {
    /// The blocks; as many of those that were asked for as the bounds allow, at least one.
    pub blocks: BlockRange,
    /// Batches by dataset, sorted by block and place in the block ([`Dataset::sort_columns`]).
    pub rows: BTreeMap<Dataset, Vec<RecordBatch>>,
}

/// Reads the rows of `blocks`, or of as many of them from the start on as `bounds` allow.
///
/// `wanted` names the columns of each dataset; `block_number` has to be among them.
///
/// # Errors
/// [`HotStoreError::UnknownColumn`], also without `block_number`; what Postgres reports.
pub async fn read(
    conn: &mut PgConnection,
    chain_id: ChainId,
    blocks: BlockRange,
    wanted: &[(Dataset, Vec<&str>)],
    bounds: Bounds,
) -> Result<WholeBlocks, HotStoreError> {
    let mut read = WholeBlocks { blocks, rows: BTreeMap::new() };
    let (mut row_count, mut size_bytes) = (0, 0);
    for (dataset, columns) in wanted {
        let mut batches = Vec::new();
        let mut cut = None;
        let mut stream = rows::read(conn, chain_id, *dataset, columns, read.blocks, Order::ByPlace, BATCH_ROWS).await?;
        while let Some(batch) = stream.try_next().await? {
            let Some(last) = numbers(*dataset, &batch)?.last().copied() else { continue };
            row_count += batch.num_rows();
            size_bytes += batch.get_array_memory_size();
            batches.push(batch);
            // The block of the last row may go on in the next batch, so it is not taken; the first block is, in any case.
            let whole_until = BlockNumber(u64::from(last));
            if (row_count > bounds.row_count || size_bytes > bounds.size_bytes) && whole_until > read.blocks.start() {
                cut = Some(whole_until);
                break;
            }
        }
        drop(stream);
        read.rows.insert(*dataset, batches);
        if let Some(end) = cut {
            read.keep_before(end)?;
        }
    }
    Ok(read)
}

impl WholeBlocks {
    /// Leaves out the blocks from `end` on; the first block stays in any case.
    ///
    /// # Errors
    /// [`HotStoreError::UnknownColumn`] if a batch has no block numbers.
    pub fn keep_before(&mut self, end: BlockNumber) -> Result<(), HotStoreError> {
        let end = end.max(self.blocks.start().next()).min(self.blocks.end());
        self.blocks = BlockRange::new(self.blocks.start(), end).expect("its end is after its start");
        for (dataset, batches) in &mut self.rows {
            for batch in batches.iter_mut() {
                let kept = numbers(*dataset, batch)?.partition_point(|number| u64::from(*number) < end.0);
                *batch = batch.slice(0, kept);
            }
            batches.retain(|batch| batch.num_rows() > 0);
        }
        Ok(())
    }
}

fn numbers(dataset: Dataset, batch: &RecordBatch) -> Result<&[u32], HotStoreError> {
    let column = batch.column_by_name("block_number").and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let missing = || HotStoreError::UnknownColumn { dataset, column: "block_number".to_owned() };
    Ok(&column.ok_or_else(missing)?.values()[..])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, UInt32Array};

    use super::*;

    fn logs(blocks: &[u32]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(UInt32Array::from(blocks.to_vec()));
        RecordBatch::try_from_iter([("block_number", numbers)]).unwrap()
    }

    #[test]
    fn a_run_is_shortened_to_whole_blocks_of_every_dataset_and_never_to_none() {
        let blocks = BlockRange::new(BlockNumber(5), BlockNumber(9)).unwrap();
        let rows = BTreeMap::from([
            (Dataset::Logs, vec![logs(&[5, 5, 6]), logs(&[6, 7]), logs(&[8])]),
            (Dataset::Transactions, vec![logs(&[5, 6, 7, 8])]),
        ]);
        let mut run = WholeBlocks { blocks, rows };
        run.keep_before(BlockNumber(7)).unwrap();
        assert_eq!(run.blocks, BlockRange::new(BlockNumber(5), BlockNumber(7)).unwrap());
        let left = |run: &WholeBlocks, dataset: Dataset| -> Vec<u32> {
            run.rows[&dataset].iter().flat_map(|batch| numbers(dataset, batch).unwrap().to_vec()).collect()
        };
        assert_eq!(left(&run, Dataset::Logs), [5, 5, 6, 6]);
        assert_eq!(left(&run, Dataset::Transactions), [5, 6]);
        run.keep_before(BlockNumber(0)).unwrap();
        assert_eq!(run.blocks.block_count(), 1);
        assert_eq!(left(&run, Dataset::Logs), [5, 5]);
    }

    #[test]
    fn rows_without_block_numbers_are_refused() {
        let column: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("log_index", column)]).unwrap();
        assert!(numbers(Dataset::Logs, &batch).is_err());
    }
}
