//! When rules with SQL are asked: `next_run_at` of `alerts.rules`.

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

/// Takes the rule that has been due longest, and sets when it is asked next: nobody else takes it before. `None`: none is due.
///
/// A run that is lost after this is made up for by the next.
///
/// # Errors
/// What Postgres reports.
pub async fn take_due(conn: &mut PgConnection) -> Result<Option<DueSql>, LedgerError> {
    let row: Option<(i64, i64, String, i64)> =
        sqlx::query_as(include_str!("../queries/rules/take_due_sql.sql")).fetch_optional(conn).await?;
    Ok(row.map(|(rule_id, org_id, org, chain_id)| DueSql {
        rule_id: RuleId(rule_id),
        org_id: OrgId(org_id),
        org,
        chain_id: ChainId(chain_id.cast_unsigned()),
    }))
}
