//! Taking blocks back after a reorg: the inverse of [`crate::append()`].

use alloy::primitives::B256;
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::{PgConnection, Row};

use crate::cursor;
use crate::error::{HotStoreError, bigint};

/// Hash of the stored block of this number; `None` if it is not in hot storage.
///
/// # Errors
/// What Postgres reports.
pub async fn stored_hash(
    conn: &mut PgConnection,
    chain_id: ChainId,
    number: BlockNumber,
) -> Result<Option<B256>, HotStoreError> {
    let hash: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT block_hash FROM hot.blocks WHERE chain_id = $1 AND block_number = $2")
            .bind(chain_id.0.cast_signed())
            .bind(bigint(number))
            .fetch_optional(conn)
            .await
            .map_err(HotStoreError::database("read a block's hash"))?;
    Ok(hash.map(|hash| B256::from_slice(&hash)))
}

/// Number of the stored block with this hash; `None` if it is not in hot storage. Looks from the tip downwards, since
/// there is no index of hashes.
///
/// # Errors
/// What Postgres reports.
pub async fn stored_number(
    conn: &mut PgConnection,
    chain_id: ChainId,
    hash: B256,
) -> Result<Option<BlockNumber>, HotStoreError> {
    let number: Option<i64> = sqlx::query_scalar(
        "SELECT block_number FROM hot.blocks
          WHERE chain_id = $1 AND block_hash = $2
          ORDER BY block_number DESC
          LIMIT 1",
    )
    .bind(chain_id.0.cast_signed())
    .bind(hash.as_slice())
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("look for a block by its hash"))?;
    Ok(number.map(|number| BlockNumber(number.cast_unsigned())))
}

/// Hash of the block that belongs at this number between the first stored block and the tip: that of its row; if the
/// row is missing, the one that the block above, or else the cursor's tip or finalized block names. `None` outside of
/// these, and if nothing names it.
///
/// # Errors
/// What Postgres reports.
pub async fn known_hash(
    conn: &mut PgConnection,
    chain_id: ChainId,
    number: BlockNumber,
) -> Result<Option<B256>, HotStoreError> {
    let hash: Option<Option<Vec<u8>>> = sqlx::query_scalar(
        "SELECT coalesce((SELECT block_hash FROM hot.blocks WHERE chain_id = $1 AND block_number = $2),
                         (SELECT parent_hash FROM hot.blocks WHERE chain_id = $1 AND block_number = $2 + 1),
                         CASE $2 WHEN tip_number THEN tip_hash WHEN finalized_number THEN finalized_hash END)
           FROM hot.cursors WHERE chain_id = $1 AND $2 BETWEEN first_block AND tip_number",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(number))
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("find out which block belongs at a number"))?;
    Ok(hash.flatten().map(|hash| B256::from_slice(&hash)))
}

/// Deletes every row above `ancestor`, moves the tip back onto it, and records the invalidation.
///
/// The ancestor's own row may be missing: what the block above says of it is enough, and the gap stays one.
///
/// To be followed in the same transaction by appending the branch that ends in `new_tip`. Returns the blocks taken
/// back, by number.
///
/// # Errors
/// [`HotStoreError::BelowFinalized`] if a finalized block would go; [`HotStoreError::NotStored`] if `ancestor` is not
/// the block that belongs at its number below the tip ([`known_hash`]); [`HotStoreError::Halted`]; what Postgres
/// reports.
pub async fn take_back(
    conn: &mut PgConnection,
    chain_id: ChainId,
    ancestor: BlockRef,
    new_tip: BlockRef,
) -> Result<BlockRange, HotStoreError> {
    let not_stored = HotStoreError::NotStored { chain_id, expected: ancestor };
    let cursor = cursor::lock(conn, chain_id).await?;
    if let Some(finalized) = cursor.finalized.filter(|finalized| finalized.number > ancestor.number) {
        return Err(HotStoreError::BelowFinalized { chain_id, finalized, ancestor });
    }
    if known_hash(conn, chain_id, ancestor.number).await? != Some(ancestor.hash) {
        return Err(not_stored);
    }
    let Some(old_tip) = cursor.tip else { return Err(not_stored) };
    let Ok(blocks) = BlockRange::inclusive(ancestor.number.next(), old_tip.number) else { return Err(not_stored) };
    delete_above(conn, chain_id, ancestor.number).await?;
    sqlx::query(
        "INSERT INTO hot.data_invalidations
             (chain_id, start_block, end_block, old_tip_hash, new_tip_hash, ancestor_hash)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(blocks.start()))
    .bind(bigint(blocks.end()))
    .bind(old_tip.hash.as_slice())
    .bind(new_tip.hash.as_slice())
    .bind(ancestor.hash.as_slice())
    .execute(&mut *conn)
    .await
    .map_err(HotStoreError::database("record the invalidation"))?;
    sqlx::query("UPDATE hot.cursors SET tip_number = $2, tip_hash = $3, updated_at = now() WHERE chain_id = $1")
        .bind(chain_id.0.cast_signed())
        .bind(bigint(ancestor.number))
        .bind(ancestor.hash.as_slice())
        .execute(conn)
        .await
        .map_err(HotStoreError::database("move the tip back"))?;
    Ok(blocks)
}

async fn delete_above(conn: &mut PgConnection, chain_id: ChainId, ancestor: BlockNumber) -> Result<(), HotStoreError> {
    let tables = Dataset::ALL.map(Dataset::as_str).into_iter().chain(["block_arrivals"]);
    for table in tables {
        let sql = format!("DELETE FROM hot.{table} WHERE chain_id = $1 AND block_number > $2");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(chain_id.0.cast_signed())
            .bind(bigint(ancestor))
            .execute(&mut *conn)
            .await
            .map_err(HotStoreError::database("delete orphaned rows"))?;
    }
    Ok(())
}

/// Reorgs that reached stored rows, of all chains.
///
/// # Errors
/// What Postgres reports.
pub async fn count(conn: &mut PgConnection) -> Result<u64, HotStoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM hot.data_invalidations")
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("count the invalidations"))?;
    Ok(count.cast_unsigned())
}

/// The newest row of a chain's reorgs; 0 if there was none.
///
/// # Errors
/// What Postgres reports.
pub async fn newest_id(conn: &mut PgConnection, chain_id: ChainId) -> Result<i64, HotStoreError> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM hot.data_invalidations WHERE chain_id = $1")
        .bind(chain_id.0.cast_signed())
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("read the newest invalidation"))
}

/// The reorgs of a chain that were recorded after the row `id`: their rows, and the first block that each took back. By row.
///
/// # Errors
/// What Postgres reports.
pub async fn since(
    conn: &mut PgConnection,
    chain_id: ChainId,
    id: i64,
) -> Result<Vec<(i64, BlockNumber)>, HotStoreError> {
    let found: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, start_block FROM hot.data_invalidations WHERE chain_id = $1 AND id > $2 ORDER BY id",
    )
    .bind(chain_id.0.cast_signed())
    .bind(id)
    .fetch_all(conn)
    .await
    .map_err(HotStoreError::database("read the invalidations"))?;
    Ok(found.into_iter().map(|(id, start)| (id, BlockNumber(start.cast_unsigned()))).collect())
}

/// A reorg that reached stored rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The blocks taken back, by their numbers; as many as the reorg was deep.
    pub blocks: BlockRange,
    /// Hash of the highest block that both branches share.
    pub ancestor_hash: B256,
    /// Hash of the stored tip before.
    pub old_tip_hash: B256,
    /// Hash of the stored tip after.
    pub new_tip_hash: B256,
    /// When it was replaced.
    pub invalidated_at: DateTime<Utc>,
}

/// The chain's latest reorg; `None` if there was none.
///
/// # Errors
/// What Postgres reports.
pub async fn last(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<Invalidation>, HotStoreError> {
    let row = sqlx::query(
        "SELECT start_block, end_block, ancestor_hash, old_tip_hash, new_tip_hash, invalidated_at
           FROM hot.data_invalidations WHERE chain_id = $1 ORDER BY id DESC LIMIT 1",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("read the last invalidation"))?;
    let Some(row) = row else { return Ok(None) };
    let number =
        |column: &str| -> sqlx::Result<BlockNumber> { Ok(BlockNumber(row.try_get::<i64, _>(column)?.cast_unsigned())) };
    // The table's constraint keeps hashes at 32 bytes.
    let hash = |column: &str| -> sqlx::Result<B256> { Ok(B256::from_slice(row.try_get(column)?)) };
    let decode = || -> sqlx::Result<Option<Invalidation>> {
        let Ok(blocks) = BlockRange::new(number("start_block")?, number("end_block")?) else { return Ok(None) };
        Ok(Some(Invalidation {
            blocks,
            ancestor_hash: hash("ancestor_hash")?,
            old_tip_hash: hash("old_tip_hash")?,
            new_tip_hash: hash("new_tip_hash")?,
            invalidated_at: row.try_get("invalidated_at")?,
        }))
    };
    decode().map_err(HotStoreError::database("decode the last invalidation"))
}
