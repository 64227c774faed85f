//! Rows of `control.audit_log` about rules. The table is the control plane's, which this crate may not use.

use isotherm_types::{OrgId, RuleId};
use sqlx::PgConnection;

/// A change of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) org: OrgId,
    pub(super) actor: &'a str,
    pub(super) rule: RuleId,
    pub(super) action: &'a str,
    pub(super) from_state: Option<&'a str>,
    pub(super) to_state: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// Writes `entry` down.
pub(super) async fn record(conn: &mut PgConnection, entry: &Entry<'_>) -> Result<(), sqlx::Error> {
    // Postgres holds no NUL characters.
    let storable = |text: &str| text.replace('\0', "\u{fffd}");
    sqlx::query(
        "INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state, reason)
         VALUES ($1, $2, $3, 'alert_rule', $4, $5, $6, $7)",
    )
    .bind(entry.org.0)
    .bind(storable(entry.actor))
    .bind(entry.action)
    .bind(entry.rule.0)
    .bind(entry.from_state)
    .bind(entry.to_state)
    .bind(entry.reason.map(storable))
    .execute(conn)
    .await?;
    Ok(())
}
