//! `hot.evidence`: what is kept of answers that cannot be true, to be shown to whoever gave them.
//!
//! Bounded: the newest pieces of a chain stay. Nothing is decided by them, and they hold no keys: whoever writes them
//! has taken those out.

use alloy::primitives::B256;
use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::HotStoreError;

/// Pieces of a chain that are kept.
pub const MOST_KEPT: i64 = 100;

/// An untrue answer, as much of it as is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it came.
    pub served_at: DateTime<Utc>,
    /// Scheme, host and port of who gave it.
    pub endpoint: String,
    /// Stable name of what is untrue.
    pub code: String,
    /// What is untrue, with both values.
    pub message: String,
    /// Number of the block, as it was served; `None` if it is 2^63 or more.
    pub block_number: Option<BlockNumber>,
    /// Its hash.
    pub block_hash: B256,
    /// SHA-256 of the whole answer about the block; hexadecimal.
    pub answer_sha256: String,
    /// Its length.
    pub answer_bytes: u64,
    /// As much of its beginning as is kept.
    pub answer_start: String,
}

/// Keeps `evidence`, and forgets the oldest of what is more than [`MOST_KEPT`] then.
///
/// # Errors
/// What Postgres reports.
pub async fn keep(conn: &mut PgConnection, chain_id: ChainId, evidence: &[Evidence]) -> Result<(), HotStoreError> {
    if evidence.is_empty() {
        return Ok(());
    }
    let texts =
        |text: fn(&Evidence) -> &str| -> Vec<String> { evidence.iter().map(|piece| storable(text(piece))).collect() };
    let numbers = evidence.iter().map(|piece| i64::try_from(piece.block_number?.0).ok());
    let lengths = evidence.iter().map(|piece| i64::try_from(piece.answer_bytes).unwrap_or(i64::MAX));
    sqlx::query(include_str!("../queries/evidence/keep.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(evidence.iter().map(|piece| piece.served_at).collect::<Vec<DateTime<Utc>>>())
        .bind(texts(|piece| &piece.endpoint))
        .bind(texts(|piece| &piece.code))
        .bind(texts(|piece| &piece.message))
        .bind(numbers.collect::<Vec<Option<i64>>>())
        .bind(evidence.iter().map(|piece| piece.block_hash.to_vec()).collect::<Vec<Vec<u8>>>())
        .bind(texts(|piece| &piece.answer_sha256))
        .bind(lengths.collect::<Vec<i64>>())
        .bind(texts(|piece| &piece.answer_start))
        .execute(&mut *conn)
        .await
        .map_err(HotStoreError::database("keep evidence of untrue answers"))?;
    sqlx::query(include_str!("../queries/evidence/forget.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(MOST_KEPT)
        .execute(conn)
        .await
        .map_err(HotStoreError::database("forget old evidence"))?;
    Ok(())
}

/// The text as Postgres takes it, which refuses NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Pieces that are kept of a chain.
///
/// # Errors
/// What Postgres reports.
pub async fn count(conn: &mut PgConnection, chain_id: ChainId) -> Result<u64, HotStoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM hot.evidence WHERE chain_id = $1")
        .bind(chain_id.0.cast_signed())
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("count the evidence"))?;
    Ok(count.cast_unsigned())
}

/// The newest pieces of a chain, at most `limit`, the newest first.
///
/// # Errors
/// What Postgres reports.
pub async fn newest(conn: &mut PgConnection, chain_id: ChainId, limit: i64) -> Result<Vec<Evidence>, HotStoreError> {
    let rows = sqlx::query(
        "SELECT served_at, endpoint, code, message, block_number, block_hash, answer_sha256, answer_bytes, answer_start
           FROM hot.evidence WHERE chain_id = $1 ORDER BY served_at DESC, endpoint LIMIT $2",
    )
    .bind(chain_id.0.cast_signed())
    .bind(limit)
    .fetch_all(conn)
    .await
    .map_err(HotStoreError::database("read the evidence"))?;
    rows.iter().map(from_row).collect::<sqlx::Result<_>>().map_err(HotStoreError::database("decode the evidence"))
}

fn from_row(row: &PgRow) -> sqlx::Result<Evidence> {
    let block_number: Option<i64> = row.try_get("block_number")?;
    Ok(Evidence {
        served_at: row.try_get("served_at")?,
        endpoint: row.try_get("endpoint")?,
        code: row.try_get("code")?,
        message: row.try_get("message")?,
        block_number: block_number.map(|number| BlockNumber(number.cast_unsigned())),
        // The table's constraint keeps it at 32 bytes.
        block_hash: B256::from_slice(row.try_get("block_hash")?),
        answer_sha256: row.try_get("answer_sha256")?,
        answer_bytes: row.try_get::<i64, _>("answer_bytes")?.cast_unsigned(),
        answer_start: row.try_get("answer_start")?,
    })
}
