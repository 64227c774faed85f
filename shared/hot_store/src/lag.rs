//! `hot.block_arrivals`: how long after an endpoint served a block its rows were committed.

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRange, ChainId};
use sqlx::{PgConnection, Row};

use crate::error::{HotStoreError, bigint};

/// Blocks whose arrivals are kept; about an hour at 300 ms a block.
const KEPT_BLOCKS: i64 = 12_000;

/// Lag over the most recent blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Blocks measured.
    pub block_count: i64,
    /// Median, milliseconds from first served to committed.
    pub p50_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
}

/// Lag of the chain's last `block_count` blocks; `None` if there is none yet.
///
/// # Errors
/// What Postgres reports.
pub async fn recent(
    conn: &mut PgConnection,
    chain_id: ChainId,
    block_count: i64,
) -> Result<Option<Lag>, HotStoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS block_count,
                percentile_cont(0.50) WITHIN GROUP (ORDER BY ms) AS p50_ms,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms
           FROM (SELECT extract(epoch FROM committed_at - served_at)::double precision * 1000 AS ms
                   FROM hot.block_arrivals
                  WHERE chain_id = $1
                  ORDER BY block_number DESC
                  LIMIT $2) AS arrivals",
    )
    .bind(chain_id.0.cast_signed())
    .bind(block_count)
    .fetch_one(conn)
    .await
    .map_err(HotStoreError::database("measure lag"))?;
    let decode = || -> sqlx::Result<Option<Lag>> {
        let p50_ms: Option<f64> = row.try_get("p50_ms")?;
        let p95_ms: Option<f64> = row.try_get("p95_ms")?;
        let block_count = row.try_get("block_count")?;
        Ok(p50_ms.zip(p95_ms).map(|(p50_ms, p95_ms)| Lag { block_count, p50_ms, p95_ms }))
    };
    decode().map_err(HotStoreError::database("measure lag"))
}

/// Notes the arrival of `blocks`; the commit time is the database's clock just before the commit.
pub(crate) async fn record(
    conn: &mut PgConnection,
    chain_id: ChainId,
    blocks: BlockRange,
    served_at: DateTime<Utc>,
) -> Result<(), HotStoreError> {
    sqlx::query(
        "INSERT INTO hot.block_arrivals (chain_id, block_number, served_at)
         SELECT $1, number, $4 FROM generate_series($2::bigint, $3::bigint) AS number",
    )
    .bind(chain_id.0.cast_signed())
    .bind(bigint(blocks.start()))
    .bind(bigint(blocks.last()))
    .bind(served_at)
    .execute(conn)
    .await
    .map_err(HotStoreError::database("note the arrival"))?;
    Ok(())
}

/// Deletes arrivals far below `tip`.
pub(crate) async fn forget_old(
    conn: &mut PgConnection,
    chain_id: ChainId,
    tip: BlockNumber,
) -> Result<(), HotStoreError> {
    sqlx::query("DELETE FROM hot.block_arrivals WHERE chain_id = $1 AND block_number < $2")
        .bind(chain_id.0.cast_signed())
        .bind(bigint(tip) - KEPT_BLOCKS)
        .execute(conn)
        .await
        .map_err(HotStoreError::database("forget old arrivals"))?;
    Ok(())
}
