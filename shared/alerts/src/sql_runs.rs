//! When rules with SQL are asked: `next_run_at` and `asked_at` of `alerts.rules`.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::{ChainId, OrgId, RuleId};
use sqlx::PgConnection;

use crate::ledger::LedgerError;

/// A rule whose SQL is to be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSql {
    /// The rule.
    pub rule_id: RuleId,
    /// Whose it is.
    pub org_id: OrgId,
    /// The organisation's name.
    pub org: String,
    /// The chain that it is about.
    pub chain_id: ChainId,
}

/// Takes a rule that is due, and sets when it is asked next: nobody else takes it before. `None`: none is due.
///
/// The organisation that has taken least of this invocation's time comes first (`spent`), of several the one that was asked for
/// longest ago, and of its rules the one that was. So one organisation's slow rules keep nobody else's waiting, nor some of its own the
/// others. A run that is lost after this is made up for by the next.
///
/// # Errors
/// What Postgres reports.
pub async fn take_due(
    conn: &mut PgConnection,
    spent: &BTreeMap<OrgId, Duration>,
) -> Result<Option<DueSql>, LedgerError> {
    let milliseconds = |time: &Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let row: Option<(i64, i64, String, i64)> = sqlx::query_as(include_str!("../queries/rules/take_due_sql.sql"))
        .bind(spent.keys().map(|org_id| org_id.0).collect::<Vec<_>>())
        .bind(spent.values().map(milliseconds).collect::<Vec<_>>())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|(rule_id, org_id, org, chain_id)| DueSql {
        rule_id: RuleId(rule_id),
        org_id: OrgId(org_id),
        org,
        chain_id: ChainId(chain_id.cast_unsigned()),
    }))
}
