//! How channels do: since when one only fails, and when it is disabled for that.
//!
//! What a batch of attempts says of each channel is decided by [`super::finish::healths`], which is pure. A channel is disabled at once
//! if its receiver is gone for good, and otherwise after days in which it accepted nothing; its owner is told by email.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::ChannelId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::DeliveryError;
use super::DeliveryId;
use super::finish::Health;
use crate::message::NoticeContent;

/// A channel that has only failed for so long is disabled.
pub const FAILING_FOR: Duration = Duration::from_secs(5 * 24 * 3600);

/// Why a channel was disabled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledBecause {
    /// It has only failed for [`FAILING_FOR`].
    FailedForDays,
    /// It is gone for good, as this code says.
    Gone(&'static str),
}

impl DisabledBecause {
    /// Stable name, in the channel's row and in the notice.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FailedForDays => "alerts.failed_for_days",
            Self::Gone(code) => code,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Disabled {
    id: i64,
    org_id: i64,
    name: String,
    kind: String,
    disabled_reason: String,
    owner_id: Option<i64>,
}

/// Writes down how channels do, and queues a notice for each that was disabled by that. Returns the disabled ones.
///
/// # Errors
/// Only what Postgres reports.
pub async fn note(
    conn: &mut PgConnection,
    healths: &BTreeMap<ChannelId, Health>,
) -> Result<Vec<ChannelId>, DeliveryError> {
    if healths.is_empty() {
        return Ok(Vec::new());
    }
    let gone = |health: &Health| match health {
        Health::Gone { code } => Some(DisabledBecause::Gone(code).code()),
        Health::Mended | Health::Failing { .. } => None,
    };
    let disabled: Vec<Disabled> = sqlx::query_as(include_str!("../../queries/channels/health.sql"))
        .bind(healths.keys().map(|channel| channel.0).collect::<Vec<_>>())
        .bind(healths.values().map(|health| *health == Health::Mended).collect::<Vec<_>>())
        .bind(healths.values().map(gone).collect::<Vec<_>>())
        .bind(DisabledBecause::FailedForDays.code())
        .bind(FAILING_FOR.as_secs_f64())
        .fetch_all(&mut *conn)
        .await?;
    for channel in &disabled {
        tell(conn, channel).await?;
    }
    Ok(disabled.into_iter().map(|channel| ChannelId(channel.id)).collect())
}

/// Queues the notice for the owner's other email channels; for all of the organisation if the owner has none.
async fn tell(conn: &mut PgConnection, disabled: &Disabled) -> Result<(), DeliveryError> {
    let channels: Vec<(i64,)> = sqlx::query_as(
        "WITH others AS (
             SELECT id, owner_id IS NOT DISTINCT FROM $3 AS is_owners FROM alerts.channels
              WHERE org_id = $1 AND id <> $2 AND kind = 'email' AND state = 'active' AND deleted_at IS NULL
         )
         SELECT id FROM others WHERE is_owners OR NOT EXISTS (SELECT 1 FROM others WHERE is_owners) ORDER BY id",
    )
    .bind(disabled.org_id)
    .bind(disabled.id)
    .bind(disabled.owner_id)
    .fetch_all(&mut *conn)
    .await?;
    let content = NoticeContent::ChannelDisabled {
        channel: disabled.name.clone(),
        channel_kind: disabled.kind.clone(),
        reason: disabled.disabled_reason.clone(),
    };
    for (channel,) in channels {
        let id = DeliveryId(Uuid::new_v4());
        let content = serde_json::to_value(&content).map_err(|source| DeliveryError::BadContent { id, source })?;
        sqlx::query(
            "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content) VALUES ($1, $2, $3, 'notice', $4)",
        )
        .bind(id.0)
        .bind(disabled.org_id)
        .bind(channel)
        .bind(content)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}
