//! Messages that are to be sent. Called in the transaction of the ledger's change that they tell of: both are there or neither is.
//!
//! What a message says is rendered when it is sent, from the ledger's row as it is then. So a first message that nobody has tried to
//! send needs no correction: it is dropped, or says the new block.

use isotherm_types::{OrgId, RuleId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ledger::{LedgerError, Message};

/// Alerts whose messages one statement writes: each has one for each of a rule's 20 channels at most, and the statement must end
/// long before Postgres ends it.
pub const PAGE_ALERTS: usize = 500;

/// The first message of each alert, to every channel of its rule. Returns how many were added; one that is there already stays.
///
/// They are due in the order of `alerts`, however many statements that takes. A channel stays until the caller's transaction is over:
/// whoever deletes it waits, and whoever has deleted it is not told.
///
/// # Errors
/// What Postgres reports.
pub async fn fired(conn: &mut PgConnection, org_id: OrgId, alerts: &[Uuid]) -> Result<u64, LedgerError> {
    let mut added = 0;
    for (before, page) in pages(alerts) {
        let written = sqlx::query(include_str!("../../queries/deliveries/fired.sql"))
            .bind(org_id.0)
            .bind(page)
            .bind(before)
            .execute(&mut *conn)
            .await?;
        added += written.rows_affected();
    }
    Ok(added)
}

/// Pages of `alerts`, each with how many come before it.
fn pages(alerts: &[Uuid]) -> impl Iterator<Item = (i64, &[Uuid])> {
    let page = i64::try_from(PAGE_ALERTS).expect("a page is short");
    (0_i64..).map(move |number| number * page).zip(alerts.chunks(PAGE_ALERTS))
}

/// Tells the channels that got an alert, or may have got it, what became of it. Returns how many messages are due because of it.
///
/// Messages of the alerts are locked, so that no sender takes one meanwhile that is decided upon here.
///
/// # Errors
/// What Postgres reports.
///
/// # Panics
/// If `message` is [`Message::Fired`], which corrects nothing.
pub async fn corrections(
    conn: &mut PgConnection,
    org_id: OrgId,
    message: Message,
    alerts: &[Uuid],
) -> Result<u64, LedgerError> {
    let mut due = 0;
    for (before, page) in pages(alerts) {
        due += correct(conn, org_id, message, before, page).await?;
    }
    Ok(due)
}

async fn correct(
    conn: &mut PgConnection,
    org_id: OrgId,
    message: Message,
    before: i64,
    alerts: &[Uuid],
) -> Result<u64, LedgerError> {
    sqlx::query("SELECT FROM alerts.deliveries WHERE alert_id = ANY ($1) AND org_id = $2 ORDER BY id FOR UPDATE")
        .bind(alerts)
        .bind(org_id.0)
        .execute(&mut *conn)
        .await?;
    // An earlier correction that nobody has tried to send is overtaken.
    drop_unsent(conn, org_id, alerts, &["retracted", "moved"]).await?;
    let (kind, revived) = match message {
        Message::Retracted => {
            drop_unsent(conn, org_id, alerts, &["fired"]).await?;
            ("retracted", 0)
        }
        Message::Moved => ("moved", revive(conn, org_id, alerts).await?),
        Message::Fired => panic!("a first message corrects nothing"),
    };
    let added = sqlx::query(include_str!("../../queries/deliveries/correct.sql"))
        .bind(org_id.0)
        .bind(alerts)
        .bind(kind)
        .bind(before)
        .execute(conn)
        .await?;
    Ok(revived + added.rows_affected())
}

async fn drop_unsent(
    conn: &mut PgConnection,
    org_id: OrgId,
    alerts: &[Uuid],
    kinds: &[&str],
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE alerts.deliveries SET state = 'cancelled', finished_at = now()
          WHERE alert_id = ANY ($1) AND org_id = $2 AND kind = ANY ($3) AND state = 'queued' AND attempts = 0",
    )
    .bind(alerts)
    .bind(org_id.0)
    .bind(kinds)
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts first messages back that were dropped because their alert was gone: it is on the chain again.
async fn revive(conn: &mut PgConnection, org_id: OrgId, alerts: &[Uuid]) -> Result<u64, LedgerError> {
    let revived = sqlx::query(
        "UPDATE alerts.deliveries f SET state = 'queued', finished_at = NULL, not_before = now()
           FROM alerts.channels c
          WHERE f.alert_id = ANY ($1) AND f.org_id = $2 AND f.kind = 'fired' AND f.state = 'cancelled' AND f.attempts = 0
            AND c.id = f.channel_id AND c.deleted_at IS NULL AND c.state = 'active'",
    )
    .bind(alerts)
    .bind(org_id.0)
    .execute(conn)
    .await?;
    Ok(revived.rows_affected())
}

/// Tells the channels of a rule something about the rule itself. Returns whose it is, if there is anybody to be told.
///
/// # Errors
/// What Postgres reports.
pub async fn notice(conn: &mut PgConnection, rule_id: RuleId, content: &Value) -> Result<Option<OrgId>, LedgerError> {
    let orgs: Vec<i64> = sqlx::query_scalar(
        "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content)
         SELECT gen_random_uuid(), c.org_id, c.id, 'notice', $2
           FROM alerts.rule_channels rc JOIN alerts.channels c ON c.id = rc.channel_id
          WHERE rc.rule_id = $1 AND c.deleted_at IS NULL AND c.state = 'active'
         RETURNING org_id",
    )
    .bind(rule_id.0)
    .bind(content)
    .fetch_all(conn)
    .await?;
    Ok(orgs.first().copied().map(OrgId))
}
