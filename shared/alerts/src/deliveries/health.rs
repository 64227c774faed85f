//! How channels do: since when one only fails, and when it is disabled for that.
//!
//! What a batch of attempts says of each channel is decided by [`super::finish::healths`], which is pure. A channel is disabled at once
//! if its receiver is gone for good, and otherwise after days in which attempts were made and it accepted none; its owner is told by
//! email. What is no receiver's fault counts for nothing ([`super::fault::Blame`]).

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::{ChannelId, OrgId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::DeliveryError;
use super::DeliveryId;
use super::finish::Health;
use crate::channels;
use crate::message::NoticeContent;

/// A channel that has only failed for so long, as far as attempts show, is disabled.
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

/// Whoever the audit trail names for it.
const ACTOR: &str = "alert_deliver";

#[derive(sqlx::FromRow)]
struct Suspect {
    id: i64,
    org_id: i64,
    name: String,
    kind: String,
    owner_id: Option<i64>,
}

/// Writes down how channels do, and queues a notice for each that is disabled for that. Returns the disabled ones.
///
/// # Errors
/// Only what Postgres reports.
pub async fn note(
    conn: &mut PgConnection,
    healths: &BTreeMap<ChannelId, Health>,
) -> Result<Vec<ChannelId>, DeliveryError> {
    let of = |wanted: fn(&Health) -> bool| -> Vec<ChannelId> {
        healths.iter().filter(|(_, health)| wanted(health)).map(|(channel, _)| *channel).collect()
    };
    let mended = of(|health| matches!(health, Health::Mended));
    let failed = of(|health| matches!(health, Health::Failing { .. } | Health::Gone { .. }));
    if !mended.is_empty() {
        channels::note_success(conn, &mended).await?;
    }
    if failed.is_empty() {
        return Ok(Vec::new());
    }
    let failed_for = channels::note_failure(conn, &failed).await?;
    let suspects: Vec<Suspect> = sqlx::query_as(
        "SELECT id, org_id, name, kind, owner_id
           FROM alerts.channels WHERE id = ANY ($1) AND state = 'active' AND deleted_at IS NULL ORDER BY id",
    )
    .bind(failed.iter().map(|channel| channel.0).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let mut disabled = Vec::new();
    for suspect in suspects {
        let channel = ChannelId(suspect.id);
        let because = match healths.get(&channel) {
            Some(Health::Gone { code }) => DisabledBecause::Gone(code),
            _ if failed_for.get(&channel).is_some_and(|span| *span >= FAILING_FOR) => DisabledBecause::FailedForDays,
            _ => continue,
        };
        if channels::disable(conn, OrgId(suspect.org_id), channel, because.code(), ACTOR).await? {
            tell(conn, &suspect, because).await?;
            disabled.push(channel);
        }
    }
    Ok(disabled)
}

/// Queues the notice for the owner's other email channels; for all of the organisation if the owner has none.
async fn tell(conn: &mut PgConnection, disabled: &Suspect, because: DisabledBecause) -> Result<(), DeliveryError> {
    let channels: Vec<(i64,)> = sqlx::query_as(
        "WITH others AS (
             SELECT id, owner_id IS NOT DISTINCT FROM $3 AS is_owners FROM alerts.channels
              WHERE org_id = $1 AND id <> $2 AND kind = 'email' AND state = 'active' AND deleted_at IS NULL
                AND confirmed_at IS NOT NULL
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
        code: because.code().to_owned(),
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
