//! Rows of `control.audit_log` about alerts. The table is the control plane's, which this crate may not use.

use isotherm_types::OrgId;
use sqlx::PgConnection;

/// A change or a denial to be written down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry<'a> {
    pub(crate) org: Option<OrgId>,
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) subject_id: i64,
    pub(crate) from_state: Option<&'a str>,
    pub(crate) to_state: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
}

/// Writes `entry` down.
pub(crate) async fn record(conn: &mut PgConnection, entry: &Entry<'_>) -> Result<(), sqlx::Error> {
    // Postgres holds no NUL characters.
    let storable = |text: &str| text.replace('\0', "\u{fffd}");
    sqlx::query(
        "INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(entry.org.map(|org| org.0))
    .bind(storable(entry.actor))
    .bind(entry.action)
    .bind(entry.subject)
    .bind(entry.subject_id)
    .bind(entry.from_state)
    .bind(entry.to_state)
    .bind(entry.reason.map(storable))
    .execute(conn)
    .await?;
    Ok(())
}
