//! Messages that are not sent: each ends under the code of its reason, for nothing is dropped silently.

use std::collections::BTreeSet;

use isotherm_types::Classified;
use sqlx::PgConnection;

use super::{DueLane, MootAndWaiting};
use crate::deliveries::{DeliveryError, DeliveryFault, DeliveryId};

/// Messages that one claim cancels at most; the others are cancelled by the next. A channel may leave hundreds of thousands behind, and
/// nobody's messages may wait for that.
const MOST_CANCELLED: u64 = 10_000;

/// What was cancelled for the sake of channels.
#[derive(Default)]
pub(super) struct CutOff {
    /// Messages.
    pub(super) cancelled: u64,
    /// Channel and lane of which there may be more to cancel: nothing else of them is looked at.
    pub(super) unfinished: BTreeSet<(i64, bool)>,
}

/// Cancels what waits for channels that are disabled or deleted, and all but the code for those that are not confirmed. What somebody
/// else is looking at is left to the next claim.
pub(super) async fn channels(conn: &mut PgConnection, due: &[DueLane]) -> Result<CutOff, DeliveryError> {
    let mut cut_off = CutOff::default();
    for lane in due {
        let fault = match (lane.is_deleted, lane.is_active, lane.is_unconfirmed) {
            (true, _, _) => DeliveryFault::ChannelDeleted,
            (false, false, _) => DeliveryFault::ChannelDisabled,
            (false, true, true) => DeliveryFault::ChannelUnconfirmed,
            (false, true, false) => continue,
        };
        let spares_codes = fault == DeliveryFault::ChannelUnconfirmed;
        let room = MOST_CANCELLED - cut_off.cancelled;
        let update = sqlx::query(include_str!("../../../queries/deliveries/cut_off.sql"));
        let update = update.bind(lane.channel_id).bind(lane.again).bind(fault.code()).bind(spares_codes);
        let update = update.bind(i64::try_from(room).unwrap_or(i64::MAX)).execute(&mut *conn).await?;
        cut_off.cancelled += update.rows_affected();
        if cut_off.cancelled >= MOST_CANCELLED {
            cut_off.unfinished.insert((lane.channel_id, lane.again));
        }
    }
    Ok(cut_off)
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
