//! The delivery log, for people and programs. It never has an address.

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{DeliveryError, DeliveryId};

/// Which deliveries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one channel.
    pub channel: Option<ChannelId>,
    /// About one alert.
    pub alert: Option<Uuid>,
    /// In one state.
    pub state: Option<String>,
    /// Before this one, the last of the page before.
    pub before: Option<(DateTime<Utc>, DeliveryId)>,
    /// How many at most.
    pub limit: u32,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct Listed {
    /// The delivery; `webhook-id` is `msg_` and its digits.
    pub id: Uuid,
    /// Row of the channel.
    pub channel_id: i64,
    /// Name of the channel.
    pub channel: String,
    /// `email`, `sms`, `webhook` or `slack`.
    pub channel_kind: String,
    /// The alert; absent for digests, tests and notices.
    pub alert_id: Option<Uuid>,
    /// What it is about.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// The digest that carries it.
    pub digest_id: Option<Uuid>,
    /// Attempts so far.
    pub attempts: i32,
    /// When it is tried next, tokens permitting.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// HTTP status of the last attempt.
    pub last_status: Option<i32>,
    /// Code of the last failure.
    pub last_error_code: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was tried first.
    pub first_tried_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct ListedAttempt {
    /// 1 for the first.
    pub attempt: i32,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// HTTP status, if there was an answer that has one.
    pub status: Option<i32>,
    /// Code of the failure; absent if it was accepted.
    pub error_code: Option<String>,
}

/// The deliveries of an organisation, newest first.
///
/// # Errors
/// Only what Postgres reports.
pub async fn list(conn: &mut PgConnection, org: OrgId, filter: &Filter) -> Result<Vec<Listed>, DeliveryError> {
    let (before, before_id) = filter.before.map(|(at, id)| (at, id.0)).unzip();
    let rows = sqlx::query_as(include_str!("../../queries/deliveries/list.sql"))
        .bind(org.0)
        .bind(filter.channel.map(|channel| channel.0))
        .bind(filter.alert)
        .bind(filter.state.as_deref())
        .bind(before)
        .bind(before_id)
        .bind(i64::from(filter.limit))
        .fetch_all(conn)
        .await?;
    Ok(rows)
}

/// The attempts of one delivery, in order; none for a delivery that is not the organisation's.
///
/// # Errors
/// Only what Postgres reports.
pub async fn attempts(
    conn: &mut PgConnection,
    org: OrgId,
    id: DeliveryId,
) -> Result<Vec<ListedAttempt>, DeliveryError> {
    let rows = sqlx::query_as(
        "SELECT attempt, started_at, duration_ms, status, error_code FROM alerts.delivery_attempts
          WHERE delivery_id = $1 AND org_id = $2 ORDER BY attempt",
    );
    Ok(rows.bind(id.0).bind(org.0).fetch_all(conn).await?)
}
