//! Messages whose sender is lost.

use std::time::Duration;

use isotherm_types::Classified;
use sqlx::PgConnection;

use super::{DeliveryError, DeliveryFault};
use crate::schedule::MOST_ATTEMPTS;

/// Messages that one call takes back at most.
const MOST: i64 = 10_000;

/// Gives back what is still being sent when its lease, of this length, is over; returns how many messages that were.
///
/// # Errors
/// Only what Postgres reports.
pub async fn take_back(conn: &mut PgConnection, lease: Duration) -> Result<u64, DeliveryError> {
    let (taken,): (i64,) = sqlx::query_as(include_str!("../../queries/deliveries/take_back.sql"))
        .bind(i32::try_from(MOST_ATTEMPTS).unwrap_or(i32::MAX))
        .bind(lease.as_secs_f64())
        .bind(DeliveryFault::SenderLost.code())
        .bind(MOST)
        .fetch_one(conn)
        .await?;
    Ok(taken.unsigned_abs())
}

/// Whether a message is due now or will be within so long, whatever its channel's limit says.
///
/// # Errors
/// Only what Postgres reports.
pub async fn is_due_within(conn: &mut PgConnection, span: Duration) -> Result<bool, DeliveryError> {
    let (is_due,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM alerts.deliveries
                         WHERE state = 'queued' AND not_before <= now() + make_interval(secs => $1))",
    )
    .bind(span.as_secs_f64())
    .fetch_one(conn)
    .await?;
    Ok(is_due)
}
