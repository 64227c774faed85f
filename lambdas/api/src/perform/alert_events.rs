//! What rules have found, and the messages of it: read under the organisation's role, so that Postgres leaves out all others' rows.

use isotherm_access::Caller;
use isotherm_alerts::deliveries::listing::{self as deliveries, Filter, Listed};
use isotherm_alerts::deliveries::{DeliveryId, replay as deliveries_again};
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::listing::{self as alerts, AlertFilter, Place};
use isotherm_control::events;
use isotherm_types::EventBody;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Done, is_last, named_channel, tenant};
use crate::error::ApiError;
use crate::request::DeliveryPage;

/// Messages of one alert that are shown with it: 20 channels, and a reorg or two.
const MOST_SHOWN: u32 = 100;

pub(super) async fn list(conn: &mut PgConnection, caller: &Caller, filter: &AlertFilter) -> Result<Done, ApiError> {
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = alerts::list(&mut db_tx, caller.org, filter).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    let last = found.last().filter(|_| !is_last(found.len(), filter.limit));
    let next = last.map(alerts::ListedAlert::place);
    Ok(Done::Answered(200, json!({ "alert_events": found, "next": next })))
}

pub(super) async fn show(conn: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Done, ApiError> {
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = alerts::read(&mut db_tx, caller.org, id).await?.ok_or(ApiError::NoSuchAlert { id })?;
    let history = alerts::history(&mut db_tx, caller.org, id).await?;
    let filter = Filter { alert: Some(id), limit: MOST_SHOWN, ..Filter::default() };
    let mut messages = Vec::new();
    for message in deliveries::list(&mut db_tx, caller.org, &filter).await? {
        let attempts = deliveries::attempts(&mut db_tx, caller.org, DeliveryId(message.id)).await?;
        let mut shown = json!(message);
        shown["attempt_log"] = json!(attempts);
        messages.push(shown);
    }
    db_tx.rollback().await.map_err(LedgerError::from)?;
    let mut shown = json!(found);
    shown["history"] = json!(history);
    shown["deliveries"] = Value::Array(messages);
    Ok(Done::Answered(200, shown))
}

pub(super) async fn list_deliveries(
    conn: &mut PgConnection,
    caller: &Caller,
    page: &DeliveryPage,
) -> Result<Done, ApiError> {
    let channel = match &page.channel {
        Some(name) => Some(named_channel(conn, caller.org, name).await?.id),
        None => None,
    };
    let filter = Filter {
        channel,
        alert: page.alert,
        state: page.state.map(str::to_owned),
        before: page.before.map(|place| (place.at, DeliveryId(place.id))),
        limit: page.limit,
    };
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = deliveries::list(&mut db_tx, caller.org, &filter).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    let last = found.last().filter(|_| !is_last(found.len(), page.limit));
    let next = last.map(|last: &Listed| Place { at: last.created_at, id: last.id });
    Ok(Done::Answered(200, json!({ "deliveries": found, "next": next })))
}

pub(super) async fn replay(conn: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Done, ApiError> {
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    deliveries_again::replay(&mut db_tx, caller.org, DeliveryId(id), &caller.name).await?;
    let recorded = EventBody::AlertsRecorded { org_id: caller.org, chain_id: None };
    let (event_id, trace_id) = events::record_traced(&mut db_tx, &recorded).await?;
    db_tx.commit().await.map_err(LedgerError::from)?;
    tracing::info!(
        delivery.id = %id,
        event.id = event_id.0,
        trace.id = trace_id.map(String::from).as_deref(),
        caller.name = caller.name.as_str(),
        "a message is sent again"
    );
    Ok(Done::Recorded(202, json!({ "delivery_id": id })))
}
