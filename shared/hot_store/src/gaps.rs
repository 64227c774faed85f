//! Gaps: stored blocks that are missing or not whole. They are found page by page from the tip down, and written anew.
//!
//! The cursor's tip is what is believed: each block names the one below it by its parent hash, and a stored block is
//! right if the one above names it. Never writes a block that the one above does not name, and never moves a cursor.

use alloy::primitives::B256;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::PgConnection;

use crate::append::{BlockBatch, check_whole, copy_in, encode_aside, encoded};
use crate::cursor;
use crate::error::{HotStoreError, bigint};
use crate::partitions;

mod requests;

pub use requests::{Request, ask, asked, take_request};

/// The datasets that every chain keeps: as far as all of them are cold, nothing is looked at. Traces are looked at
/// beside them, where they are kept.
pub const COUNTED: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];

/// Blocks looked at in one statement at most.
const PAGE_BLOCKS: u64 = 1_000;

/// Transactions above which no further block is taken into a page: their rows, their logs' and traces' are counted.
const PAGE_TRANSACTIONS: i64 = 20_000;

/// A block that is missing or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its number.
    pub number: BlockNumber,
    /// What is wrong.
    pub kind: GapKind,
    /// Hash of the block that is stored there, if one is.
    pub stored_hash: Option<B256>,
    /// Hash that belongs there, as the block above or the cursor says; `None` if the block above is missing as well.
    pub named_hash: Option<B256>,
    /// Hash of the block that is stored above; `None` at the tip, and if it is missing.
    pub above_hash: Option<B256>,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// No block of this number is stored.
    Missing,
    /// The block above names another one as its parent.
    OtherHash,
    /// It has another number of transactions than its header says, or those of another block.
    Transactions,
    /// It has another number of logs than its receipts say, or those of another block.
    Logs,
    /// It has another number of top frames than transactions, lacks one of its numbered frames, or has those of another
    /// block.
    Traces,
}

impl GapKind {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::OtherHash => "other_hash",
            Self::Transactions => "transactions",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Missing, Self::OtherHash, Self::Transactions, Self::Logs, Self::Traces];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl std::fmt::Display for GapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "the block is missing",
            Self::OtherHash => "it is not the parent of the block above",
            Self::Transactions => "its transactions are not whole",
            Self::Logs => "its logs are not whole",
            Self::Traces => "its traces are not whole",
        })
    }
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The blocks that were looked at.
    pub blocks: BlockRange,
    /// The blocks below that are still to be looked at.
    pub below: Option<BlockRange>,
    /// What is missing or not whole, the highest first.
    pub gaps: Vec<Gap>,
}

/// The stored blocks that queries read from hot storage: those above `watermark`, up to the tip; `None` if there is
/// none.
///
/// `watermark` is the lowest of [`COUNTED`]; `None` if one of them has none.
///
/// # Errors
/// What Postgres reports.
pub async fn hot_blocks(
    conn: &mut PgConnection,
    chain_id: ChainId,
    watermark: Option<BlockNumber>,
) -> Result<Option<BlockRange>, HotStoreError> {
    let cursor = cursor::read(conn, chain_id).await?;
    let Some((first_block, tip)) = cursor.and_then(|cursor| cursor.first_block.zip(cursor.tip)) else {
        return Ok(None);
    };
    let start = watermark.map_or(first_block, |watermark| first_block.max(watermark.next()));
    Ok(BlockRange::inclusive(start, tip.number).ok())
}

/// Looks at the upper end of `within`, as far as one bounded statement goes.
///
/// `traces_watermark` is the last block whose traces are in cold storage: those up to it are not looked at.
///
/// # Errors
/// What Postgres reports.
pub async fn look(
    conn: &mut PgConnection,
    chain_id: ChainId,
    within: BlockRange,
    traces_watermark: Option<BlockNumber>,
) -> Result<Page, HotStoreError> {
    let window = BlockNumber(within.end().0.saturating_sub(PAGE_BLOCKS)).max(within.start());
    let heavy: Option<i64> = sqlx::query_scalar(include_str!("../queries/gaps/heavy.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(bigint(window))
        .bind(bigint(within.end()))
        .bind(PAGE_TRANSACTIONS)
        .fetch_one(&mut *conn)
        .await
        .map_err(HotStoreError::database("measure a page of blocks"))?;
    let start = heavy.map_or(window, |below| BlockNumber(below.cast_unsigned()).next());
    let blocks = BlockRange::new(start, within.end()).expect("the highest block has no transactions above it");
    let below = BlockRange::new(within.start(), start).ok();
    Ok(Page { blocks, below, gaps: find(conn, chain_id, blocks, traces_watermark).await? })
}

async fn find(
    conn: &mut PgConnection,
    chain_id: ChainId,
    blocks: BlockRange,
    traces_watermark: Option<BlockNumber>,
) -> Result<Vec<Gap>, HotStoreError> {
    type Row = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
    let rows: Vec<Row> = sqlx::query_as(include_str!("../queries/gaps/find.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(bigint(blocks.start()))
        .bind(bigint(blocks.end()))
        .bind(traces_watermark.map(bigint))
        .fetch_all(conn)
        .await
        .map_err(HotStoreError::database("look for gaps"))?;
    let hash = |bytes: Option<Vec<u8>>| bytes.map(|bytes| B256::from_slice(&bytes));
    let gap = |(number, kind, stored, named, above): Row| Gap {
        number: BlockNumber(number.cast_unsigned()),
        kind: GapKind::named(&kind).expect("the statement knows these kinds only"),
        stored_hash: hash(stored),
        named_hash: hash(named),
        above_hash: hash(above),
    };
    Ok(rows.into_iter().map(gap).collect())
}

/// Writes the blocks of `batch` in the place of what is stored under their numbers.
///
/// The cursor stays as it is, and so do arrivals and events: the blocks are those that were announced. Returns `false`,
/// with nothing changed, if the stored block above the batch does not name its last block as its parent. Where a batch
/// without traces leaves blocks without them, they are no longer said to be there.
///
/// # Errors
/// [`HotStoreError::Halted`], [`HotStoreError::UnknownChain`], [`HotStoreError::Inconsistent`] for rows that are not
/// those of the blocks; what Postgres reports.
pub async fn write_anew(conn: &mut PgConnection, chain_id: ChainId, batch: &BlockBatch) -> Result<bool, HotStoreError> {
    check_whole(batch)?;
    let cursor = cursor::lock(conn, chain_id).await?;
    let is_named = match cursor.tip {
        Some(tip) if tip.number <= batch.tip.number => tip == batch.tip,
        _ => parent_hash(conn, chain_id, batch.tip.number.next()).await? == Some(batch.tip.hash),
    };
    if !is_named || cursor.first_block.is_none_or(|first_block| batch.blocks.start() < first_block) {
        return Ok(false);
    }
    partitions::ensure_leaves(conn, chain_id, cursor.partition_blocks, batch.blocks).await?;
    for dataset in batch.rows.iter().map(|(dataset, _)| dataset) {
        let sql = format!("DELETE FROM hot.{dataset} WHERE chain_id = $1 AND block_number >= $2 AND block_number < $3");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(chain_id.0.cast_signed())
            .bind(bigint(batch.blocks.start()))
            .bind(bigint(batch.blocks.end()))
            .execute(&mut *conn)
            .await
            .map_err(HotStoreError::database("delete rows that are not whole"))?;
    }
    for (dataset, rows) in &batch.rows {
        copy_in(conn, *dataset, rows, encoded(encode_aside(rows)).await?).await?;
    }
    if !batch.has_traces() {
        let are_deleted = delete_traces_of_others(conn, chain_id, batch).await? > 0;
        let left = find(conn, chain_id, batch.blocks, None).await?;
        if are_deleted || left.iter().any(|gap| gap.kind == GapKind::Traces) {
            cursor::forget_traces_below(conn, chain_id, batch.blocks.end()).await?;
        }
    }
    Ok(true)
}

/// Deletes traces under the batch's numbers that are not those of its blocks, and returns how many: a block's own stay true.
async fn delete_traces_of_others(
    conn: &mut PgConnection,
    chain_id: ChainId,
    batch: &BlockBatch,
) -> Result<u64, HotStoreError> {
    let deleted = sqlx::query(
        "DELETE FROM hot.traces t
          WHERE t.chain_id = $1 AND t.block_number >= $2 AND t.block_number < $3
            AND NOT EXISTS (SELECT FROM hot.blocks b
                             WHERE b.chain_id = t.chain_id AND b.block_number = t.block_number
                               AND b.block_hash = t.block_hash)",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(batch.blocks.start()))
    .bind(bigint(batch.blocks.end()))
    .execute(conn)
    .await
    .map_err(HotStoreError::database("delete traces of other blocks"))?;
    Ok(deleted.rows_affected())
}

async fn parent_hash(
    conn: &mut PgConnection,
    chain_id: ChainId,
    number: BlockNumber,
) -> Result<Option<B256>, HotStoreError> {
    let hash: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT parent_hash FROM hot.blocks WHERE chain_id = $1 AND block_number = $2")
            .bind(chain_id.0.cast_signed())
            .bind(bigint(number))
            .fetch_optional(conn)
            .await
            .map_err(HotStoreError::database("read a block's parent hash"))?;
    Ok(hash.map(|hash| B256::from_slice(&hash)))
}
