//! Messages that are not sent: each ends under the code of its reason, for nothing is dropped silently.

use isotherm_types::Classified;
use sqlx::PgConnection;

use super::{DueLane, MootAndWaiting};
use crate::deliveries::{DeliveryError, DeliveryFault, DeliveryId};

/// Cancels what waits for channels that are disabled or deleted, and all but the code for those that are not confirmed; returns how many
/// messages that were.
pub(super) async fn channels(conn: &mut PgConnection, due: &[DueLane]) -> Result<u64, DeliveryError> {
    let mut cancelled = 0;
    for lane in due {
        let fault = match (lane.is_deleted, lane.is_active, lane.is_unconfirmed) {
            (true, _, _) => DeliveryFault::ChannelDeleted,
            (false, false, _) => DeliveryFault::ChannelDisabled,
            (false, true, true) => DeliveryFault::ChannelUnconfirmed,
            (false, true, false) => continue,
        };
        let spares_codes = fault == DeliveryFault::ChannelUnconfirmed;
        let update = sqlx::query(
            "UPDATE alerts.deliveries SET state = 'cancelled', finished_at = now(), last_error_code = $3
              WHERE channel_id = $1 AND again = $2 AND state = 'queued'
                AND NOT ($4 AND kind = 'notice' AND content ->> 'type' = 'channel.code')",
        );
        let update = update.bind(lane.channel_id).bind(lane.again).bind(fault.code()).bind(spares_codes);
        let update = update.execute(&mut *conn).await?;
        cancelled += update.rows_affected();
    }
    Ok(cancelled)
}

/// Cancels corrections of what never got there.
pub(super) async fn moot(conn: &mut PgConnection, waiting: &mut MootAndWaiting) -> Result<u64, DeliveryError> {
    let moot = std::mem::take(&mut waiting.moot);
    if moot.is_empty() {
        return Ok(0);
    }
    let update = sqlx::query(
        "UPDATE alerts.deliveries SET state = 'cancelled', finished_at = now(), last_error_code = $2
          WHERE id = ANY ($1) AND state = 'queued'",
    );
    let ids: Vec<_> = moot.iter().map(|id| id.0).collect();
    let update = update.bind(ids).bind(DeliveryFault::NothingToCorrect.code()).execute(conn).await?;
    Ok(update.rows_affected())
}

/// Cancels a message whose attempt was begun in this transaction.
pub(super) async fn begun(conn: &mut PgConnection, id: DeliveryId, fault: DeliveryFault) -> Result<u64, DeliveryError> {
    end(conn, id, "cancelled", fault.code()).await
}

/// Ends a message whose row cannot be read.
pub(super) async fn unreadable(
    conn: &mut PgConnection,
    id: DeliveryId,
    error: &DeliveryError,
) -> Result<u64, DeliveryError> {
    end(conn, id, "failed", error.code()).await
}

async fn end(conn: &mut PgConnection, id: DeliveryId, state: &str, code: &str) -> Result<u64, DeliveryError> {
    let update = sqlx::query(
        "UPDATE alerts.deliveries SET state = $2, finished_at = now(), lease_expires_at = NULL, last_error_code = $3
          WHERE id = $1 AND state = 'sending'",
    );
    Ok(update.bind(id.0).bind(state).bind(code).execute(conn).await?.rows_affected())
}
