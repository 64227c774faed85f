//! `alerts.cursors`: how far an organisation's rules have looked at a chain.
//!
//! The row's lock is what evaluators take turns by: whoever writes to the ledger of an organisation and chain holds it, and has
//! found it as its work assumes ([`hold_as`]). So redelivered messages, several evaluators and kills are harmless.
//!
//! Invariant AL-1: every row of the ledger that is live (pending, sent, moved, suppressed) and whose block is below `recheck_from`
//! is in a block of the chain that the cursor's block is on.

use std::collections::BTreeMap;

use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, OrgId};
use sqlx::PgConnection;

use crate::ledger::LedgerError;

/// A row of `alerts.cursors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertCursor {
    /// The last block that was looked at; `None` while none was.
    pub block: Option<BlockRef>,
    /// Reorgs up to this row of `hot.data_invalidations` are dealt with, but for what `recheck_from` says.
    pub invalidation_id: i64,
    /// Findings in blocks from here on may be in blocks that are gone, until the tip has been reached; `None`: none is.
    pub recheck_from: Option<BlockNumber>,
}

type Row = (i64, Option<i64>, Option<Vec<u8>>, i64, Option<i64>);

const COLUMNS: &str = "org_id, block_number, block_hash, invalidation_id, recheck_from";

/// The cursors on a chain, by organisation.
///
/// # Errors
/// What Postgres reports.
pub async fn of_chain(conn: &mut PgConnection, chain_id: ChainId) -> Result<BTreeMap<OrgId, AlertCursor>, LedgerError> {
    let rows: Vec<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM alerts.cursors WHERE chain_id = $1")))
            .bind(chain_id.0.cast_signed())
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(of_row).collect())
}

/// Locks the organisation's cursor until the caller's transaction ends, having made it if there was none, and checks that it is
/// as it was read.
///
/// # Errors
/// [`LedgerError::CursorMoved`] if another evaluator has gone on since; what Postgres reports.
pub async fn hold_as(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    expected: Option<&AlertCursor>,
) -> Result<(), LedgerError> {
    if expected.is_none() {
        let made = sqlx::query("INSERT INTO alerts.cursors (org_id, chain_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(org_id.0)
            .bind(chain_id.0.cast_signed())
            .execute(&mut *conn)
            .await?;
        // A row that was just made is nobody else's before the commit.
        return if made.rows_affected() == 1 { Ok(()) } else { Err(LedgerError::CursorMoved { org_id, chain_id }) };
    }
    let held = hold(conn, org_id, chain_id).await?;
    if held.as_ref() == expected { Ok(()) } else { Err(LedgerError::CursorMoved { org_id, chain_id }) }
}

/// Locks the organisation's cursor until the caller's transaction ends, wherever it stands; `None` if there is none yet.
///
/// # Errors
/// What Postgres reports.
pub async fn hold(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
) -> Result<Option<AlertCursor>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM alerts.cursors WHERE org_id = $1 AND chain_id = $2 FOR UPDATE");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(org_id.0)
        .bind(chain_id.0.cast_signed())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| of_row(row).1))
}

/// Locks the organisation's cursors on all chains, in one order, until the caller's transaction ends: for whoever changes rules of several
/// chains in it, since a cursor is locked before any rule is.
///
/// # Errors
/// What Postgres reports.
pub async fn hold_all(conn: &mut PgConnection, org_id: OrgId) -> Result<(), LedgerError> {
    sqlx::query("SELECT FROM alerts.cursors WHERE org_id = $1 ORDER BY chain_id FOR UPDATE")
        .bind(org_id.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves the cursor, which the caller holds.
///
/// # Errors
/// What Postgres reports.
pub async fn set(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    cursor: &AlertCursor,
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE alerts.cursors
            SET block_number = $3, block_hash = $4, invalidation_id = $5, recheck_from = $6, updated_at = now()
          WHERE org_id = $1 AND chain_id = $2",
    )
    .bind(org_id.0)
    .bind(chain_id.0.cast_signed())
    .bind(cursor.block.map(|block| block.number.0.cast_signed()))
    .bind(cursor.block.map(|block| block.hash.to_vec()))
    .bind(cursor.invalidation_id)
    .bind(cursor.recheck_from.map(|block| block.0.cast_signed()))
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the organisation's rules look again at every block after `block`, or at all of them: for a rule that is to find what was
/// before it. What was found stays; what is found again in its block changes nothing. A cursor that is not beyond stays where it is.
///
/// Whoever is at a turn with rules that were read before finds the cursor moved, also if it stood nowhere yet: one that is not there is
/// made, with no reorg up to `newest_reorg` to be dealt with, and one without a block is to be checked from there on.
///
/// # Errors
/// What Postgres reports.
pub async fn look_again_after(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    block: Option<BlockRef>,
    newest_reorg: i64,
) -> Result<(), LedgerError> {
    sqlx::query(include_str!("../queries/cursors/look_again_after.sql"))
        .bind(org_id.0)
        .bind(chain_id.0.cast_signed())
        .bind(block.map(|block| block.number.0.cast_signed()))
        .bind(block.map(|block| block.hash.to_vec()))
        .bind(newest_reorg)
        .execute(conn)
        .await?;
    Ok(())
}

/// What changes whenever a rule of the chain that is at work does, or one begins or ends to be: a sum over their rows, so that no change
/// hides another, whatever the order in which they are committed.
///
/// # Errors
/// What Postgres reports.
pub async fn fingerprint_of_rules(conn: &mut PgConnection, chain_id: ChainId) -> Result<String, LedgerError> {
    let fingerprint = sqlx::query_scalar(
        "SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', id, version, first_block, updated_at, muted_until),
                                                           0)::numeric))
           FROM alerts.rules WHERE chain_id = $1 AND state = 'active' AND deleted_at IS NULL",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_one(conn)
    .await?;
    Ok(fingerprint)
}

fn of_row((org_id, number, hash, invalidation_id, recheck_from): Row) -> (OrgId, AlertCursor) {
    // The table's constraints keep number and hash together, and hashes at 32 bytes.
    let block = number
        .zip(hash)
        .map(|(number, hash)| BlockRef { number: BlockNumber(number.cast_unsigned()), hash: B256::from_slice(&hash) });
    let recheck_from = recheck_from.map(|block| BlockNumber(block.cast_unsigned()));
    (OrgId(org_id), AlertCursor { block, invalidation_id, recheck_from })
}
