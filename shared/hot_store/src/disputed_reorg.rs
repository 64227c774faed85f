//! `hot.disputed_reorgs`: reorgs that the follower may not replace by itself, and what a person has decided about them.
//!
//! A row is written with the halt ([`record`]), decided by a person ([`accept`]), and used up by the replacement
//! ([`use_up`]). A permission is for one reorg of one stored tip: whatever else the chain shows halts it again. It
//! never reaches into cold storage.

use alloy::primitives::B256;
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::cursor;
use crate::error::{HotStoreError, bigint};

mod judge;

pub use judge::{Refusal, judge};

/// A reorg as the follower saw it when it halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisputedReorg {
    /// The stored tip.
    pub tip: BlockRef,
    /// The chain's newest block.
    pub head: BlockRef,
    /// The block of the chain's branch at which the follower had to stop.
    pub found: BlockRef,
    /// Hash of the stored block of that number, or of the one that belongs there if its row is missing; `None` if hot
    /// storage does not say.
    pub stored_hash: Option<B256>,
    /// Where the branches part; `None` if that was not found.
    pub parting: Option<Parting>,
}

impl DisputedReorg {
    /// The stored blocks that would be taken back; `None` if it is not known where the branches part.
    pub fn taken_back(&self) -> Option<BlockRange> {
        BlockRange::inclusive(self.parting?.ancestor.number.next(), self.tip.number).ok()
    }
}

/// Where two branches part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The highest block that both share.
    pub ancestor: BlockRef,
    /// Hash of the block above it on the chain's branch.
    pub first_hash: B256,
}

impl Parting {
    /// The block above the ancestor on the chain's branch.
    pub fn first(&self) -> BlockRef {
        BlockRef { number: self.ancestor.number.next(), hash: self.first_hash }
    }
}

/// That a person wants the reorg to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Who.
    pub accepted_by: String,
    /// When.
    pub accepted_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// What the follower saw.
    pub reorg: DisputedReorg,
    /// When.
    pub seen_at: DateTime<Utc>,
    /// What was decided; `None` while nobody has allowed it.
    pub permission: Option<Permission>,
}

/// Notes the reorg that the chain is halted for, in the transaction of the halt. What was noted before is void, a
/// permission too.
///
/// # Errors
/// What Postgres reports.
pub async fn record(conn: &mut PgConnection, chain_id: ChainId, reorg: &DisputedReorg) -> Result<(), HotStoreError> {
    sqlx::query(include_str!("../queries/disputed_reorgs/record.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(bigint(reorg.tip.number))
        .bind(reorg.tip.hash.as_slice())
        .bind(bigint(reorg.head.number))
        .bind(reorg.head.hash.as_slice())
        .bind(bigint(reorg.found.number))
        .bind(reorg.stored_hash.map(|hash| hash.to_vec()))
        .bind(reorg.found.hash.as_slice())
        .bind(reorg.parting.map(|parting| bigint(parting.ancestor.number)))
        .bind(reorg.parting.map(|parting| parting.ancestor.hash.to_vec()))
        .bind(reorg.parting.map(|parting| parting.first_hash.to_vec()))
        .execute(conn)
        .await
        .map_err(HotStoreError::database("note the disputed reorg"))?;
    Ok(())
}

/// The reorg that was last disputed and has not been replaced since; `None` if there is none.
///
/// # Errors
/// What Postgres reports.
pub async fn read(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<Dispute>, HotStoreError> {
    let row = sqlx::query(
        "SELECT tip_number, tip_hash, head_number, head_hash, block_number, stored_hash, found_hash, ancestor_number,
                ancestor_hash, first_hash, seen_at, accepted_by, accepted_at, reason
           FROM hot.disputed_reorgs WHERE chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("read the disputed reorg"))?;
    row.map(|row| from_row(&row)).transpose().map_err(HotStoreError::database("decode the disputed reorg"))
}

/// Carries out a person's decision to have the reorg replaced: notes the permission and ends the halt, if [`judge()`]
/// allows it. Gives back what was accepted.
///
/// `watermark` is the last block in cold storage, read in the same transaction.
///
/// # Errors
/// [`HotStoreError::UnknownChain`]; what Postgres reports. A refusal is no error, and changes nothing.
pub async fn accept(
    conn: &mut PgConnection,
    chain_id: ChainId,
    watermark: Option<BlockNumber>,
    branch_hash: Option<B256>,
    by: &str,
    reason: &str,
) -> Result<Result<DisputedReorg, Refusal>, HotStoreError> {
    let cursor = cursor::hold(conn, chain_id).await?.ok_or(HotStoreError::UnknownChain { chain_id })?;
    let dispute = read(conn, chain_id).await?;
    let reorg = match judge(&cursor, dispute.as_ref(), watermark, branch_hash) {
        Ok(reorg) => reorg,
        Err(refusal) => return Ok(Err(refusal)),
    };
    sqlx::query(
        "UPDATE hot.disputed_reorgs SET accepted_by = $2, accepted_at = now(), reason = $3 WHERE chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .bind(by)
    .bind(reason)
    .execute(&mut *conn)
    .await
    .map_err(HotStoreError::database("note the permission"))?;
    cursor::resume(conn, chain_id).await?;
    Ok(Ok(reorg))
}

/// Uses the permission for this reorg up and takes the finalized block back to the ancestor, so that
/// [`crate::take_back`] and [`crate::append()`] can follow in the same transaction.
///
/// Returns the permission; `None` if there is none for the stored tip, this ancestor and the block `first` above it:
/// then nothing was changed.
///
/// # Errors
/// [`HotStoreError::Halted`], [`HotStoreError::UnknownChain`]; what Postgres reports.
pub async fn use_up(
    conn: &mut PgConnection,
    chain_id: ChainId,
    ancestor: BlockRef,
    first: BlockRef,
) -> Result<Option<Permission>, HotStoreError> {
    let Some(tip) = cursor::lock(conn, chain_id).await?.tip else { return Ok(None) };
    let row: Option<(String, DateTime<Utc>, String)> = sqlx::query_as(
        "DELETE FROM hot.disputed_reorgs
          WHERE chain_id = $1 AND accepted_at IS NOT NULL AND tip_number = $2 AND tip_hash = $3
            AND ancestor_number = $4 AND ancestor_hash = $5 AND first_hash = $6
         RETURNING accepted_by, accepted_at, reason",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(tip.number))
    .bind(tip.hash.as_slice())
    .bind(bigint(ancestor.number))
    .bind(ancestor.hash.as_slice())
    .bind(first.hash.as_slice())
    .fetch_optional(&mut *conn)
    .await
    .map_err(HotStoreError::database("use the permission up"))?;
    let Some((accepted_by, accepted_at, reason)) = row else { return Ok(None) };
    cursor::lower_finalized(conn, chain_id, ancestor).await?;
    Ok(Some(Permission { accepted_by, accepted_at, reason }))
}

fn from_row(row: &PgRow) -> sqlx::Result<Dispute> {
    // The table's constraints keep what belongs together together, and hashes at 32 bytes.
    let number =
        |column: &str| -> sqlx::Result<BlockNumber> { Ok(BlockNumber(row.try_get::<i64, _>(column)?.cast_unsigned())) };
    let hash = |column: &str| -> sqlx::Result<B256> { Ok(B256::from_slice(row.try_get(column)?)) };
    let maybe_hash = |column: &str| -> sqlx::Result<Option<B256>> {
        Ok(row.try_get::<Option<&[u8]>, _>(column)?.map(B256::from_slice))
    };
    let parting = match (maybe_hash("ancestor_hash")?, maybe_hash("first_hash")?) {
        (Some(hash), Some(first_hash)) => {
            Some(Parting { ancestor: BlockRef { number: number("ancestor_number")?, hash }, first_hash })
        }
        _ => None,
    };
    let permission = match row.try_get("accepted_at")? {
        Some(accepted_at) => {
            Some(Permission { accepted_by: row.try_get("accepted_by")?, accepted_at, reason: row.try_get("reason")? })
        }
        None => None,
    };
    let reorg = DisputedReorg {
        tip: BlockRef { number: number("tip_number")?, hash: hash("tip_hash")? },
        head: BlockRef { number: number("head_number")?, hash: hash("head_hash")? },
        found: BlockRef { number: number("block_number")?, hash: hash("found_hash")? },
        stored_hash: maybe_hash("stored_hash")?,
        parting,
    };
    Ok(Dispute { reorg, seen_at: row.try_get("seen_at")?, permission })
}
