//! The ledger. Tables `alerts.alert_events` and `alerts.alert_history`.
//!
//! What is read here is decided upon in [`crate::turn`], and what was decided is carried out by [`write()`], in one transaction under
//! the lock of the cursor ([`crate::cursors::hold_as`]). Nothing else writes to these tables.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, OrgId, RuleId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ledger::{Alert, AlertState, LedgerError};
use crate::turn::{Group, Holder, Known};

mod traces;
mod write;

pub use traces::traces;
pub use write::write;

/// Rows handled by one statement at most.
pub const PAGE_ROWS: usize = 2_000;

type Row = (Uuid, i64, i32, String, Option<String>, i64, Vec<u8>);

/// The rows of these ids, as far as there are any.
///
/// # Errors
/// What Postgres reports; [`LedgerError::UnknownState`].
pub async fn known(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Known>, LedgerError> {
    let mut known = HashMap::new();
    for page in ids.chunks(PAGE_ROWS) {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, rule_id, rule_version, state, reason, block_number, block_hash
               FROM alerts.alert_events WHERE id = ANY ($1)",
        )
        .bind(page)
        .fetch_all(&mut *conn)
        .await?;
        for row in rows {
            known.insert(row.0, of_row(row)?);
        }
    }
    Ok(known)
}

/// Alerts that may keep others of these groups back, in blocks before `before`; [`PAGE_ROWS`] groups a statement.
///
/// # Errors
/// What Postgres reports.
pub async fn holders(
    conn: &mut PgConnection,
    chain_id: ChainId,
    groups: &[Group<'_>],
    before: BlockNumber,
) -> Result<Vec<Holder>, LedgerError> {
    type Row = (i64, Option<String>, i64, Vec<u8>, DateTime<Utc>);
    let mut rows: Vec<Row> = Vec::new();
    for page in groups.chunks(PAGE_ROWS) {
        let found: Vec<Row> = sqlx::query_as(include_str!("../queries/alert_events/holders.sql"))
            .bind(page.iter().map(|group| group.rule_id.0).collect::<Vec<_>>())
            .bind(page.iter().map(|group| group.group_key).collect::<Vec<_>>())
            .bind(page.iter().map(|group| group.since).collect::<Vec<_>>())
            .bind(chain_id.0.cast_signed())
            .bind(before.0.cast_signed())
            .fetch_all(&mut *conn)
            .await?;
        rows.extend(found);
    }
    let holder = |(rule_id, group_key, number, hash, block_time): Row| Holder {
        rule_id: RuleId(rule_id),
        group_key,
        block: block(number, &hash),
        block_time,
    };
    Ok(rows.into_iter().map(holder).collect())
}

/// What a reorg may have taken: everything live from `from` on, [`PAGE_ROWS`] at most, after the row `after`.
///
/// # Errors
/// What Postgres reports; [`LedgerError::UnknownState`].
pub async fn suspects(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    from: BlockNumber,
    after: Option<&Known>,
) -> Result<Vec<Known>, LedgerError> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("../queries/alert_events/suspects.sql"))
        .bind(org_id.0)
        .bind(chain_id.0.cast_signed())
        .bind(from.0.cast_signed())
        .bind(after.map_or(-1, |known| known.alert.block.number.0.cast_signed()))
        .bind(after.map_or(Uuid::nil(), |known| known.alert_id))
        .bind(i64::try_from(PAGE_ROWS).expect("a page is short"))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(of_row).collect()
}

/// Which rows are due.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Rows in blocks up to here are confirmed; `None`: no block is final.
    pub finalized: Option<BlockNumber>,
    /// Rows in blocks below are known to be canonical; `None`: all are.
    pub below: Option<BlockNumber>,
    /// Up to which block the pending rows of each rule are sent.
    pub up_to: Vec<(RuleId, BlockNumber)>,
}

/// Rows that are due to be sent or confirmed, [`PAGE_ROWS`] at most; when they have been, the next are found.
///
/// # Errors
/// What Postgres reports; [`LedgerError::UnknownState`].
pub async fn due(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    due: &Due,
) -> Result<Vec<Known>, LedgerError> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("../queries/alert_events/due.sql"))
        .bind(org_id.0)
        .bind(chain_id.0.cast_signed())
        .bind(due.finalized.map_or(-1, |block| block.0.cast_signed()))
        .bind(due.below.map_or(i64::MAX, |block| block.0.cast_signed()))
        .bind(due.up_to.iter().map(|(rule_id, _)| rule_id.0).collect::<Vec<_>>())
        .bind(due.up_to.iter().map(|(_, block)| block.0.cast_signed()).collect::<Vec<_>>())
        .bind(i64::try_from(PAGE_ROWS).expect("a page is short"))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(of_row).collect()
}

/// Pending rows whose rule has been deleted, [`PAGE_ROWS`] at most; when they have been cancelled, the next are found.
///
/// # Errors
/// What Postgres reports; [`LedgerError::UnknownState`].
pub async fn of_deleted_rules(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
) -> Result<Vec<Known>, LedgerError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT e.id, e.rule_id, e.rule_version, e.state, e.reason, e.block_number, e.block_hash
           FROM alerts.alert_events e JOIN alerts.rules r ON r.id = e.rule_id
          WHERE e.org_id = $1 AND e.chain_id = $2 AND e.state = 'pending' AND r.deleted_at IS NOT NULL
          LIMIT $3",
    )
    .bind(org_id.0)
    .bind(chain_id.0.cast_signed())
    .bind(i64::try_from(PAGE_ROWS).expect("a page is short"))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(of_row).collect()
}

/// The organisations whose cursor on the chain has rows before it that the chain may still change.
///
/// # Errors
/// What Postgres reports.
pub async fn orgs_with_live(conn: &mut PgConnection, chain_id: ChainId) -> Result<Vec<OrgId>, LedgerError> {
    let orgs: Vec<i64> = sqlx::query_scalar(
        "SELECT c.org_id FROM alerts.cursors c
          WHERE c.chain_id = $1
            AND EXISTS (SELECT FROM alerts.alert_events e
                         WHERE e.org_id = c.org_id AND e.chain_id = $1 AND e.state IN ('pending', 'sent', 'moved'))
          ORDER BY c.org_id",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_all(conn)
    .await?;
    Ok(orgs.into_iter().map(OrgId).collect())
}

fn of_row((alert_id, rule_id, rule_version, state, reason, number, hash): Row) -> Result<Known, LedgerError> {
    let state = AlertState::of_stored(&state, reason.as_deref())
        .ok_or_else(|| LedgerError::UnknownState { alert_id, state: state.clone() })?;
    let alert = Alert { state, block: block(number, &hash) };
    Ok(Known { alert_id, rule_id: RuleId(rule_id), rule_version, alert })
}

fn block(number: i64, hash: &[u8]) -> BlockRef {
    // The table's constraint keeps hashes at 32 bytes.
    BlockRef { number: BlockNumber(number.cast_unsigned()), hash: B256::from_slice(hash) }
}
