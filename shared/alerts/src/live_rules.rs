//! Whether rules are still what they were when a turn began: asked, and kept so, in the transaction that writes down what they found.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use isotherm_types::RuleId;
use sqlx::PgConnection;

use crate::ledger::LedgerError;
use crate::turn::Terms;

/// The terms of those of `rules` that are at work, as they are muted now. Until the caller's transaction is over nobody pauses, changes,
/// mutes or deletes them; whoever has begun to is waited for.
///
/// # Errors
/// [`LedgerError::RuleChanged`] if the definition of one is another than `terms` has: what was found is not what it looks for now. What
/// Postgres reports.
pub async fn hold(
    conn: &mut PgConnection,
    rules: Vec<RuleId>,
    terms: &HashMap<RuleId, Terms>,
) -> Result<HashMap<RuleId, Terms>, LedgerError> {
    let mut ids: Vec<i64> = rules.into_iter().map(|rule_id| rule_id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, i32, Option<DateTime<Utc>>)> = sqlx::query_as(
        "SELECT id, version, muted_until FROM alerts.rules
          WHERE id = ANY ($1) AND state = 'active' AND deleted_at IS NULL
          ORDER BY id
            FOR KEY SHARE",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let mut held = HashMap::with_capacity(rows.len());
    for (id, version, muted_until) in rows {
        let Some(terms) = terms.get(&RuleId(id)) else { continue };
        if terms.version != version {
            return Err(LedgerError::RuleChanged { rule_id: terms.rule_id });
        }
        held.insert(terms.rule_id, Terms { muted_until, ..terms.clone() });
    }
    Ok(held)
}
