//! Whether rules are still what they were when a turn began: asked, and kept so, in the transaction that writes down what they found.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use isotherm_types::RuleId;
use sqlx::PgConnection;

use crate::ledger::LedgerError;
use crate::turn::Terms;

/// Looks whether the definitions of `rules`, all of one organisation and chain, are still those that a turn looks for. Whoever changes a
/// definition holds the cursor before the rule, so under the cursor's lock the answer stays.
///
/// # Errors
/// [`LedgerError::RuleChanged`] if one is another: blocks may not be passed for which only the earlier one was looked for. What Postgres
/// reports.
pub async fn check_versions<'t>(
    conn: &mut PgConnection,
    rules: impl Iterator<Item = &'t Terms>,
) -> Result<(), LedgerError> {
    let (ids, versions): (Vec<i64>, Vec<i32>) = rules.map(|terms| (terms.rule_id.0, terms.version)).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    let changed: Option<i64> = sqlx::query_scalar(
        "SELECT r.id
           FROM unnest($1::bigint[], $2::integer[]) AS n (id, version)
           JOIN alerts.rules r ON r.id = n.id
          WHERE r.version <> n.version
          LIMIT 1",
    )
    .bind(ids)
    .bind(versions)
    .fetch_optional(conn)
    .await?;
    changed.map_or(Ok(()), |id| Err(LedgerError::RuleChanged { rule_id: RuleId(id) }))
}

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
