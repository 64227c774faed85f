//! How much of each dataset has ever been written. Table `control.dataset_cursors`.
//!
//! The counts only grow: what a reorg takes back stays counted, so that a threshold on them fires once for each step.
//! [`advance`] is called in the transaction of the rows that it counts.

use isotherm_types::{ChainId, Dataset};
use sqlx::PgConnection;

use crate::error::ControlError;

/// What one write added to a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The dataset.
    pub dataset: Dataset,
    /// Blocks, those without a row in this dataset included.
    pub block_count: u64,
    /// Rows.
    pub row_count: u64,
    /// Bytes as COPY sent them.
    pub size_bytes: u64,
}

/// What has ever been written to a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Blocks.
    pub block_count: u64,
    /// Rows.
    pub row_count: u64,
    /// Bytes as COPY sent them.
    pub size_bytes: u64,
}

/// Adds `advances` to the counts of `chain_id`, by one statement. Each dataset at most once.
///
/// # Errors
/// Only what Postgres reports.
pub async fn advance(conn: &mut PgConnection, chain_id: ChainId, advances: &[Advance]) -> Result<(), ControlError> {
    let column = |count: fn(&Advance) -> u64| -> Vec<i64> {
        advances.iter().map(|advance| i64::try_from(count(advance)).unwrap_or(i64::MAX)).collect()
    };
    sqlx::query(
        "INSERT INTO control.dataset_cursors AS c (chain_id, dataset, block_count, row_count, size_bytes, trace_id)
         SELECT $1, dataset, blocks, row_count, bytes, control.trace_id()
           FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS new (dataset, blocks, row_count, bytes)
         ON CONFLICT (chain_id, dataset) DO UPDATE
            SET block_count = c.block_count + EXCLUDED.block_count, row_count = c.row_count + EXCLUDED.row_count,
                size_bytes = c.size_bytes + EXCLUDED.size_bytes, updated_at = now(), trace_id = EXCLUDED.trace_id",
    )
    .bind(chain_id.0.cast_signed())
    .bind(advances.iter().map(|advance| advance.dataset.as_str()).collect::<Vec<_>>())
    .bind(column(|advance| advance.block_count))
    .bind(column(|advance| advance.row_count))
    .bind(column(|advance| advance.size_bytes))
    .execute(conn)
    .await?;
    Ok(())
}

/// What has ever been written to `dataset` of `chain_id`; zeros if nothing was counted yet.
///
/// # Errors
/// Only what Postgres reports.
pub async fn read(conn: &mut PgConnection, chain_id: ChainId, dataset: Dataset) -> Result<Written, ControlError> {
    let row: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT block_count, row_count, size_bytes
           FROM control.dataset_cursors WHERE chain_id = $1 AND dataset = $2",
    )
    .bind(chain_id.0.cast_signed())
    .bind(dataset.as_str())
    .fetch_optional(conn)
    .await?;
    let counts = |(blocks, rows, bytes): (i64, i64, i64)| Written {
        block_count: blocks.unsigned_abs(),
        row_count: rows.unsigned_abs(),
        size_bytes: bytes.unsigned_abs(),
    };
    Ok(row.map_or_else(Written::default, counts))
}
