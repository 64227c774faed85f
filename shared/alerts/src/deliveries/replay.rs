//! Sending again by hand, and testing a channel.

use isotherm_types::{ChannelId, OrgId};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{DeliveryError, DeliveryId};
use crate::audit::{self, Entry};
use crate::message::TestContent;

/// Queues a delivery that is over once more: one attempt under the same id, at once; if it fails, it is tried as often as its schedule
/// still has attempts, which are none after the tenth. The audit trail of its channel says that `actor` did.
///
/// # Errors
/// [`DeliveryError::NoSuchDelivery`], [`DeliveryError::NotOver`], [`DeliveryError::ChannelNotActive`], [`DeliveryError::CarriesCode`], and
/// what Postgres reports.
pub async fn replay(conn: &mut PgConnection, org: OrgId, id: DeliveryId, actor: &str) -> Result<(), DeliveryError> {
    let mut db_tx = conn.begin().await?;
    let queued: Option<(i64,)> = sqlx::query_as(
        "UPDATE alerts.deliveries d
            SET state = 'queued', not_before = now(), finished_at = NULL,
                -- Whoever has it is to hear of corrections, whatever becomes of the repetition. Of a text message its
                -- attempts say who has it.
                may_have_arrived = d.may_have_arrived OR d.state = 'delivered'
           FROM alerts.channels c
          WHERE d.id = $1 AND d.org_id = $2 AND d.state IN ('delivered', 'failed', 'cancelled')
            AND c.id = d.channel_id AND c.state = 'active' AND c.deleted_at IS NULL AND c.confirmed_at IS NOT NULL
            AND d.content ->> 'type' IS DISTINCT FROM 'channel.code'
         RETURNING d.channel_id",
    )
    .bind(id.0)
    .bind(org.0)
    .fetch_optional(&mut *db_tx)
    .await?;
    if let Some((channel,)) = queued {
        let reason = id.to_string();
        let reason = Some(reason.as_str());
        let (action, subject) = ("replayed", "channel");
        let entry = Entry { org: Some(org), actor, action, subject, subject_id: channel, reason, ..Entry::default() };
        audit::record(&mut db_tx, &entry).await?;
        db_tx.commit().await?;
        return Ok(());
    }
    let found: Option<(String, bool)> = sqlx::query_as(
        "SELECT state, coalesce(content ->> 'type' = 'channel.code', false) FROM alerts.deliveries WHERE id = $1 AND org_id = $2",
    )
        .bind(id.0)
        .bind(org.0)
        .fetch_optional(&mut *db_tx)
        .await?;
    Err(match found {
        None => DeliveryError::NoSuchDelivery { id },
        // What limits codes would be got around.
        Some((_, true)) => DeliveryError::CarriesCode { id },
        Some((state, false)) if ["delivered", "failed", "cancelled"].contains(&state.as_str()) => {
            DeliveryError::ChannelNotActive { id }
        }
        Some((state, false)) => DeliveryError::NotOver { id, state },
    })
}

/// Queues a message that only says that `asked_by` wanted to see one. The caller has looked whether the channel is the organisation's
/// and active.
///
/// # Errors
/// What Postgres reports, that the channel is not the organisation's among it.
pub async fn test(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    content: &TestContent,
) -> Result<DeliveryId, DeliveryError> {
    let id = DeliveryId(Uuid::new_v4());
    let content = serde_json::to_value(content).map_err(|source| DeliveryError::BadContent { id, source })?;
    sqlx::query(
        "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content) VALUES ($1, $2, $3, 'test', $4)",
    )
    .bind(id.0)
    .bind(org.0)
    .bind(channel.0)
    .bind(content)
    .execute(conn)
    .await?;
    Ok(id)
}
