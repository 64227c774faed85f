//! Which causes alerts follow from, for the log.

use std::collections::BTreeMap;

use isotherm_types::{BlockNumber, TraceId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::PAGE_ROWS;
use crate::ledger::LedgerError;

/// The traces of these alerts, one for each block that has any of them.
///
/// # Errors
/// Only what Postgres reports.
pub async fn traces(conn: &mut PgConnection, ids: &[Uuid]) -> Result<BTreeMap<BlockNumber, TraceId>, LedgerError> {
    let mut traces = BTreeMap::new();
    for page in ids.chunks(PAGE_ROWS) {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT DISTINCT block_number, trace_id FROM alerts.alert_events
              WHERE id = ANY ($1) AND trace_id IS NOT NULL",
        )
        .bind(page)
        .fetch_all(&mut *conn)
        .await?;
        let parsed = |(number, text): (i64, String)| Some((BlockNumber(number.unsigned_abs()), text.parse().ok()?));
        traces.extend(rows.into_iter().filter_map(parsed));
    }
    Ok(traces)
}
