//! Whether a channel works.

use isotherm_types::{ChannelId, OrgId};
use sqlx::{Connection as _, PgConnection};

use super::{ChannelError, locked, note};

/// Sends nothing to a channel any more; `reason` is a stable code, such as `by_person`, `gone` or `failing`. `false` if it is disabled
/// already.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn disable(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    reason: &str,
    actor: &str,
) -> Result<bool, ChannelError> {
    let mut db_tx = conn.begin().await?;
    locked(&mut db_tx, org, channel).await?;
    let changed = sqlx::query(
        "UPDATE alerts.channels SET state = 'disabled', disabled_reason = $3, updated_at = now()
          WHERE org_id = $1 AND id = $2 AND state = 'active'",
    )
    .bind(org.0)
    .bind(channel.0)
    .bind(reason)
    .execute(&mut *db_tx)
    .await?
    .rows_affected();
    if changed == 1 {
        note(&mut db_tx, org, channel, actor, ("disabled", Some(reason))).await?;
    }
    db_tx.commit().await?;
    Ok(changed == 1)
}

/// Sends to a channel again, with its failures forgotten. `false` if it is active already.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn enable(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    actor: &str,
) -> Result<bool, ChannelError> {
    let mut db_tx = conn.begin().await?;
    let before = locked(&mut db_tx, org, channel).await?;
    let changed = sqlx::query(
        "UPDATE alerts.channels
            SET state = 'active', disabled_reason = NULL, failing_since = NULL, updated_at = now()
          WHERE org_id = $1 AND id = $2 AND state = 'disabled'",
    )
    .bind(org.0)
    .bind(channel.0)
    .execute(&mut *db_tx)
    .await?
    .rows_affected();
    if changed == 1 {
        note(&mut db_tx, org, channel, actor, ("enabled", before.disabled_reason.as_deref())).await?;
    }
    db_tx.commit().await?;
    Ok(changed == 1)
}

/// Something was accepted by each of `channels`.
///
/// # Errors
/// What Postgres reports.
pub async fn note_success(conn: &mut PgConnection, channels: &[ChannelId]) -> Result<(), ChannelError> {
    const STATEMENT: &str = "UPDATE alerts.channels SET failing_since = NULL
          WHERE id IN (SELECT id FROM alerts.channels
                        WHERE id = ANY($1) AND failing_since IS NOT NULL ORDER BY id FOR UPDATE)";
    note_attempts(conn, STATEMENT, channels).await
}

/// Something was not accepted by each of `channels`: they fail since now, unless they do already.
///
/// # Errors
/// What Postgres reports.
pub async fn note_failure(conn: &mut PgConnection, channels: &[ChannelId]) -> Result<(), ChannelError> {
    const STATEMENT: &str = "UPDATE alerts.channels SET failing_since = now()
          WHERE id IN (SELECT id FROM alerts.channels
                        WHERE id = ANY($1) AND failing_since IS NULL ORDER BY id FOR UPDATE)";
    note_attempts(conn, STATEMENT, channels).await
}

/// Carries out `statement`, which locks rows in one order, so that two senders do not wait for each other.
async fn note_attempts(
    conn: &mut PgConnection,
    statement: &'static str,
    channels: &[ChannelId],
) -> Result<(), ChannelError> {
    let ids: Vec<i64> = channels.iter().map(|channel| channel.0).collect();
    sqlx::query(statement).bind(ids).execute(conn).await?;
    Ok(())
}
