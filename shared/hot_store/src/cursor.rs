//! `hot.cursors`: where each chain's follower stands.

use std::time::Duration;

use alloy::primitives::B256;
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRef, ChainId, Dataset};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::{HotStoreError, bigint};
use crate::partitions;

/// A row of `hot.cursors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name, as in object keys.
    pub chain: String,
    /// Blocks in each partition, hot and cold; partitions start at its multiples.
    pub partition_blocks: u64,
    /// First block ever stored; `None` while nothing is.
    pub first_block: Option<BlockNumber>,
    /// First block from which on the traces of every block are stored, up to the tip; `None` if the tip's are not.
    pub first_traced_block: Option<BlockNumber>,
    /// Last block stored; `None` while nothing is.
    pub tip: Option<BlockRef>,
    /// Highest block known to be final.
    pub finalized: Option<BlockRef>,
    /// Set while the chain waits for a person's decision.
    pub halted: Option<Halt>,
    /// Last change of the row.
    pub updated_at: DateTime<Utc>,
}

impl Cursor {
    /// First block that hot storage ever had rows of `dataset` of, as long as it has them up to the tip.
    pub fn first_block_of(&self, dataset: Dataset) -> Option<BlockNumber> {
        match dataset {
            Dataset::Blocks | Dataset::Transactions | Dataset::Logs => self.first_block,
            Dataset::Traces => self.first_traced_block,
        }
    }
}

/// Why a chain is halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Stable name of the reason, such as `chain.reorg_below_finalized`.
    pub code: String,
    /// The reason in words.
    pub message: String,
}

const COLUMNS: &str = "chain_id, chain, partition_blocks, first_block, first_traced_block, tip_number, tip_hash, \
                       finalized_number, finalized_hash, halt_code, halt_message, updated_at";

/// Reads a chain's cursor; `None` if the chain was never set up.
///
/// # Errors
/// What Postgres reports.
pub async fn read(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<Cursor>, HotStoreError> {
    select(conn, chain_id, "").await
}

/// Reads and locks a chain's cursor until the caller's transaction ends, also a halted one's; `None` if the chain was
/// never set up.
///
/// # Errors
/// What Postgres reports.
pub async fn hold(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<Cursor>, HotStoreError> {
    select(conn, chain_id, "FOR UPDATE").await
}

/// The hash of the block that is stored at `number`, which stays so until the caller's transaction ends; `None` if none is.
///
/// For what is written elsewhere on the strength of hot rows that were read before. Appends and reorgs wait meanwhile.
///
/// # Errors
/// What Postgres reports.
pub async fn hold_hash(
    conn: &mut PgConnection,
    chain_id: ChainId,
    number: BlockNumber,
) -> Result<Option<B256>, HotStoreError> {
    select(conn, chain_id, "FOR SHARE").await?;
    crate::stored_hash(conn, chain_id, number).await
}

/// Reads and locks a chain's cursor until the caller's transaction ends: appends and reorgs of one chain go one by one.
pub(crate) async fn lock(conn: &mut PgConnection, chain_id: ChainId) -> Result<Cursor, HotStoreError> {
    let cursor = hold(conn, chain_id).await?.ok_or(HotStoreError::UnknownChain { chain_id })?;
    if let Some(Halt { code, message }) = cursor.halted {
        return Err(HotStoreError::Halted { chain_id, code, message });
    }
    Ok(cursor)
}

async fn select(conn: &mut PgConnection, chain_id: ChainId, suffix: &str) -> Result<Option<Cursor>, HotStoreError> {
    let sql = format!("SELECT {COLUMNS} FROM hot.cursors WHERE chain_id = $1 {suffix}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(chain_id.0.cast_signed())
        .fetch_optional(conn)
        .await
        .map_err(HotStoreError::database("read the cursor"))?;
    row.map(|row| from_row(&row)).transpose()
}

/// Reads the cursors of all chains, by chain id.
///
/// # Errors
/// What Postgres reports.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<Cursor>, HotStoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM hot.cursors ORDER BY chain_id")))
        .fetch_all(conn)
        .await
        .map_err(HotStoreError::database("read the cursors"))?;
    rows.iter().map(from_row).collect()
}

/// How old a chain's stored tip is, and when that was measured, both by the database's clock; `None` while nothing is
/// stored. A block whose time is yet to come has no age: zero.
///
/// # Errors
/// What Postgres reports.
pub async fn tip_age(
    conn: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<(Duration, DateTime<Utc>)>, HotStoreError> {
    let row: Option<(f64, DateTime<Utc>)> = sqlx::query_as(
        "SELECT extract(epoch FROM clock.at)::double precision - b.timestamp, clock.at
           FROM (SELECT clock_timestamp() AS at) AS clock, hot.cursors c
           JOIN hot.blocks b ON b.chain_id = c.chain_id AND b.block_number = c.tip_number
          WHERE c.chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("measure the age of the tip"))?;
    Ok(row.map(|(seconds, at)| (Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX), at)))
}

/// Sets a chain up, its tables' first partition level included, or finds it set up.
///
/// # Errors
/// [`HotStoreError::OtherSettings`] if it is set up under another name or partition size; what Postgres reports.
///
/// # Panics
/// If `partition_blocks` is above 2^63 - 1.
pub async fn ensure(
    conn: &mut PgConnection,
    chain_id: ChainId,
    chain: &str,
    partition_blocks: u64,
) -> Result<Cursor, HotStoreError> {
    sqlx::query(
        "INSERT INTO hot.cursors (chain_id, chain, partition_blocks) VALUES ($1, $2, $3)
         ON CONFLICT (chain_id) DO NOTHING",
    )
    .bind(chain_id.0.cast_signed())
    .bind(chain)
    .bind(i64::try_from(partition_blocks).expect("partition sizes stay below 2^63"))
    .execute(&mut *conn)
    .await
    .map_err(HotStoreError::database("set up the cursor"))?;
    let cursor = read(conn, chain_id).await?.ok_or(HotStoreError::UnknownChain { chain_id })?;
    if cursor.chain != chain || cursor.partition_blocks != partition_blocks {
        return Err(HotStoreError::OtherSettings {
            chain_id,
            stored: cursor.chain,
            stored_blocks: cursor.partition_blocks,
            given: chain.to_owned(),
            given_blocks: partition_blocks,
        });
    }
    partitions::ensure_chain(conn, chain_id).await?;
    Ok(cursor)
}

/// Records the highest final block. It only moves up, and only onto a block that is stored.
///
/// Returns whether it moved.
///
/// # Errors
/// [`HotStoreError::NotStored`] if the stored block of that number has another hash: the chain contradicts itself.
pub async fn set_finalized(
    conn: &mut PgConnection,
    chain_id: ChainId,
    finalized: BlockRef,
) -> Result<bool, HotStoreError> {
    let stored = crate::stored_hash(conn, chain_id, finalized.number).await?;
    if stored != Some(finalized.hash) {
        return Err(HotStoreError::NotStored { chain_id, expected: finalized });
    }
    let updated = sqlx::query(
        "UPDATE hot.cursors
            SET finalized_number = $2, finalized_hash = $3, updated_at = now()
          WHERE chain_id = $1 AND state = 'following' AND (finalized_number IS NULL OR finalized_number < $2)",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(finalized.number))
    .bind(finalized.hash.as_slice())
    .execute(conn)
    .await
    .map_err(HotStoreError::database("move the finalized block"))?;
    Ok(updated.rows_affected() == 1)
}

/// Takes the finalized block back to `block` if it is above it: a person has accepted that final blocks are replaced.
pub(crate) async fn lower_finalized(
    conn: &mut PgConnection,
    chain_id: ChainId,
    block: BlockRef,
) -> Result<(), HotStoreError> {
    sqlx::query(
        "UPDATE hot.cursors
            SET finalized_number = $2, finalized_hash = $3, updated_at = now()
          WHERE chain_id = $1 AND state = 'following' AND finalized_number > $2",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(block.number))
    .bind(block.hash.as_slice())
    .execute(conn)
    .await
    .map_err(HotStoreError::database("lower the finalized block"))?;
    Ok(())
}

/// Notes that the traces of blocks below `end` are no longer all there: those from `end` on still are.
pub(crate) async fn forget_traces_below(
    conn: &mut PgConnection,
    chain_id: ChainId,
    end: BlockNumber,
) -> Result<(), HotStoreError> {
    sqlx::query(
        "UPDATE hot.cursors SET first_traced_block = CASE WHEN $2 <= tip_number THEN $2 END
          WHERE chain_id = $1 AND first_traced_block < $2",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(end))
    .execute(conn)
    .await
    .map_err(HotStoreError::database("note that traces are gone"))?;
    Ok(())
}

/// Stops a chain: nothing is written to it until a person has decided. The first reason stays.
///
/// Returns whether it was following.
///
/// # Errors
/// What Postgres reports.
pub async fn halt(conn: &mut PgConnection, chain_id: ChainId, reason: &Halt) -> Result<bool, HotStoreError> {
    let updated = sqlx::query(
        "UPDATE hot.cursors
            SET state = 'halted', halt_code = $2, halt_message = $3, updated_at = now()
          WHERE chain_id = $1 AND state = 'following'",
    )
    .bind(chain_id.0.cast_signed())
    .bind(&reason.code)
    .bind(&reason.message)
    .execute(conn)
    .await
    .map_err(HotStoreError::database("halt the chain"))?;
    Ok(updated.rows_affected() == 1)
}

/// Lets a halted chain be written to again: a person's decision. Returns whether it was halted.
///
/// # Errors
/// What Postgres reports.
pub async fn resume(conn: &mut PgConnection, chain_id: ChainId) -> Result<bool, HotStoreError> {
    let updated = sqlx::query(
        "UPDATE hot.cursors
            SET state = 'following', halt_code = NULL, halt_message = NULL, updated_at = now()
          WHERE chain_id = $1 AND state = 'halted'",
    )
    .bind(chain_id.0.cast_signed())
    .execute(conn)
    .await
    .map_err(HotStoreError::database("resume the chain"))?;
    Ok(updated.rows_affected() == 1)
}

fn from_row(row: &PgRow) -> Result<Cursor, HotStoreError> {
    let read = || -> sqlx::Result<Cursor> {
        let halt_code: Option<String> = row.try_get("halt_code")?;
        let halt_message: Option<String> = row.try_get("halt_message")?;
        let block = |column: &str| -> sqlx::Result<Option<BlockNumber>> {
            Ok(row.try_get::<Option<i64>, _>(column)?.map(|number| BlockNumber(number.cast_unsigned())))
        };
        Ok(Cursor {
            chain_id: ChainId(row.try_get::<i64, _>("chain_id")?.cast_unsigned()),
            chain: row.try_get("chain")?,
            partition_blocks: row.try_get::<i64, _>("partition_blocks")?.cast_unsigned(),
            first_block: block("first_block")?,
            first_traced_block: block("first_traced_block")?,
            tip: block_ref(row.try_get("tip_number")?, row.try_get("tip_hash")?),
            finalized: block_ref(row.try_get("finalized_number")?, row.try_get("finalized_hash")?),
            halted: halt_code.zip(halt_message).map(|(code, message)| Halt { code, message }),
            updated_at: row.try_get("updated_at")?,
        })
    };
    read().map_err(HotStoreError::database("decode a cursor"))
}

fn block_ref(number: Option<i64>, hash: Option<&[u8]>) -> Option<BlockRef> {
    // The table's constraints keep number and hash together and hashes at 32 bytes.
    Some(BlockRef { number: BlockNumber(number?.cast_unsigned()), hash: B256::from_slice(hash?) })
}
