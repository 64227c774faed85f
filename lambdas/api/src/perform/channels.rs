//! Channels: made, confirmed, looked at, changed, tested, deleted. A user may do it with their own, an admin with all.

use isotherm_access::{Caller, Permission, authorise};
use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, Asker, Channel, ChannelChange, ChannelError, ConfirmationCode, NewChannel};
use isotherm_alerts::definition::FieldError;
use isotherm_alerts::deliveries::{DeliveryError, replay};
use isotherm_alerts::message::TestContent;
use isotherm_control::events;
use isotherm_outbound::{CheckedUrl, Client, OutboundError};
use isotherm_platform::Fault;
use isotherm_types::{Classified as _, EventBody};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{Done, Tools, maybe_channel, named_channel, tenant};
use crate::error::ApiError;
use crate::request::{ChannelRequest, WantedChannel, bad_channel};
use crate::route::Route;

/// Messages a minute, if nobody says.
const PER_MINUTE: i32 = 60;

pub(super) async fn perform(
    conn: &mut PgConnection,
    caller: &Caller,
    request: &ChannelRequest,
    tools: &Tools<'_>,
) -> Result<Done, ApiError> {
    let route = request.route();
    match request {
        ChannelRequest::List => {
            let mut db_tx = tenant(conn, caller.org).await?;
            let found = channels::list(&mut db_tx, caller.org).await?;
            db_tx.rollback().await.map_err(ChannelError::from)?;
            let channels: Vec<_> = found.iter().map(channel_json).collect();
            Ok(Done::Answered(200, json!({ "channels": channels })))
        }
        ChannelRequest::Create { name, wanted } => create(conn, caller, (name, wanted), tools).await,
        ChannelRequest::Show { name } => {
            let channel = named_channel(conn, caller.org, name).await?;
            Ok(Done::Answered(200, with_address(conn, caller, &channel, tools).await?))
        }
        ChannelRequest::Save { name, wanted } => match maybe_channel(conn, caller.org, name).await? {
            None => create(conn, caller, (name, wanted), tools).await,
            Some(channel) => {
                own(conn, caller, &channel, route).await?;
                if let Some(address) = &wanted.address {
                    check_address(tools.outbound, address).await?;
                }
                let WantedChannel { address, per_minute } = wanted.clone();
                let change = ChannelChange { name: None, address, per_minute };
                let changed =
                    channels::update(conn, caller.org, channel.id, change, tools.ring(), &caller.name).await?;
                saved(conn, caller, 200, &changed, tools).await
            }
        },
        ChannelRequest::Delete { name } => {
            let channel = own_named(conn, caller, name, route).await?;
            channels::delete(conn, caller.org, channel.id, &caller.name).await?;
            Ok(Done::Answered(200, channel_json(&channel)))
        }
        ChannelRequest::Test { name } => {
            let channel = own_named(conn, caller, name, route).await?;
            test(conn, caller, &channel).await
        }
        ChannelRequest::Confirm { name, code } => {
            let channel = own_named(conn, caller, name, route).await?;
            confirm(conn, caller, &channel, code.as_ref()).await
        }
        ChannelRequest::Enable { name } => {
            let channel = own_named(conn, caller, name, route).await?;
            let changed = channels::enable(conn, caller.org, channel.id, &caller.name).await?;
            if changed {
                // What was queued meanwhile is to go now.
                events::record(conn, &EventBody::AlertsRecorded { org_id: caller.org, chain_id: None }).await?;
            }
            let channel = named_channel(conn, caller.org, name).await?;
            Ok(Done::Recorded(200, channel_json(&channel)))
        }
    }
}

async fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    (name, wanted): (&str, &WantedChannel),
    tools: &Tools<'_>,
) -> Result<Done, ApiError> {
    let missing = || bad_channel("address", "it is missing: where the channel leads");
    let address = wanted.address.clone().ok_or_else(missing)?;
    check_address(tools.outbound, &address).await?;
    let new = NewChannel {
        name: name.to_owned(),
        address,
        per_minute: wanted.per_minute.unwrap_or(PER_MINUTE),
        owner_id: caller.user.map(|user| user.0),
    };
    let made = channels::create(conn, caller.org, new, tools.ring(), &caller.name).await?;
    tracing::info!(channel.id = made.id.0, caller.name = caller.name.as_str(), "a channel was made");
    saved(conn, caller, 201, &made, tools).await
}

/// The channel as it was saved; the sender is told if it waits for a code.
async fn saved(
    conn: &mut PgConnection,
    caller: &Caller,
    status: u16,
    channel: &Channel,
    tools: &Tools<'_>,
) -> Result<Done, ApiError> {
    if channel.confirmed_at.is_none() {
        events::record(conn, &EventBody::AlertsRecorded { org_id: caller.org, chain_id: None }).await?;
    }
    Ok(Done::Recorded(status, with_address(conn, caller, channel, tools).await?))
}

/// Confirms the channel by the code that it was sent, or has another one sent.
async fn confirm(
    conn: &mut PgConnection,
    caller: &Caller,
    channel: &Channel,
    code: Option<&ConfirmationCode>,
) -> Result<Done, ApiError> {
    let Some(code) = code else {
        let mut db_tx = conn.begin().await.map_err(DeliveryError::from)?;
        let delivery = channels::request_code(&mut db_tx, caller.org, channel.id, &caller.name).await?;
        events::record(&mut db_tx, &EventBody::AlertsRecorded { org_id: caller.org, chain_id: None }).await?;
        db_tx.commit().await.map_err(DeliveryError::from)?;
        return Ok(Done::Recorded(202, json!({ "delivery_id": delivery.0 })));
    };
    let confirmed = channels::confirm(conn, caller.org, channel.id, code, &caller.name).await?;
    Ok(Done::Answered(200, channel_json(&confirmed)))
}

/// Queues a message that says no more than that the channel works.
async fn test(conn: &mut PgConnection, caller: &Caller, channel: &Channel) -> Result<Done, ApiError> {
    if channel.disabled_reason.is_some() {
        return Err(ApiError::ChannelDisabled { name: channel.name.clone() });
    }
    if channel.confirmed_at.is_none() {
        return Err(ApiError::ChannelUnconfirmed { name: channel.name.clone() });
    }
    let content = TestContent { channel: channel.name.clone(), asked_by: caller.plain_name().to_owned() };
    let mut db_tx = conn.begin().await.map_err(DeliveryError::from)?;
    let delivery = replay::test(&mut db_tx, caller.org, channel.id, &content).await?;
    events::record(&mut db_tx, &EventBody::AlertsRecorded { org_id: caller.org, chain_id: None }).await?;
    db_tx.commit().await.map_err(DeliveryError::from)?;
    Ok(Done::Recorded(202, json!({ "delivery_id": delivery.0 })))
}

/// Looks where the URL of a webhook leads. Addresses of other kinds lead to nobody's network.
///
/// # Errors
/// [`ApiError::NotRight`] if nothing is sent there; the platform's own failure to find out.
pub async fn check_address(client: &Client, address: &Address) -> Result<(), ApiError> {
    let Address::Webhook { url, .. } = address else { return Ok(()) };
    let not_right =
        |error: &OutboundError| ApiError::bad_channel(error.code(), FieldError::new("address.url", error.to_string()));
    // The text is the caller's own, so all of it may be said.
    let url = CheckedUrl::parse(url, &client.policy()).map_err(|error| not_right(&error))?;
    match client.check(&url).await {
        Ok(()) => Ok(()),
        Err(
            error @ (OutboundError::BadUrl { .. }
            | OutboundError::NotPublic { .. }
            | OutboundError::Unresolved
            | OutboundError::LeadsNowhere),
        ) => {
            tracing::info!(error.code = error.code(), error.message = %error, "nothing is sent to where a URL leads");
            Err(not_right(&error.told()))
        }
        Err(error) => Err(Fault::from(error).into()),
    }
}

fn is_own(caller: &Caller, channel: &Channel) -> bool {
    caller.user.is_some_and(|user| channel.owner_id == Some(user.0))
}

/// Lets the channel's owner through, and whoever may deal with channels of others.
async fn own(conn: &mut PgConnection, caller: &Caller, channel: &Channel, route: Route) -> Result<(), ApiError> {
    if !is_own(caller, channel) {
        authorise(conn, caller, Permission::ManageOthersChannels, route.key()).await?;
    }
    Ok(())
}

async fn own_named(conn: &mut PgConnection, caller: &Caller, name: &str, route: Route) -> Result<Channel, ApiError> {
    let channel = named_channel(conn, caller.org, name).await?;
    own(conn, caller, &channel, route).await?;
    Ok(channel)
}

/// The channel; with its address, which is written down, for those who may see it.
async fn with_address(
    conn: &mut PgConnection,
    caller: &Caller,
    channel: &Channel,
    tools: &Tools<'_>,
) -> Result<Value, ApiError> {
    let is_admin = caller.role.may(Permission::ManageOthersChannels);
    let mut shown = channel_json(channel);
    shown["address"] = if is_admin || is_own(caller, channel) {
        let asker = Asker { name: &caller.name, user_id: caller.user.map(|user| user.0), is_admin };
        json!(channels::open_address(conn, caller.org, channel.id, tools.ring(), &asker).await?)
    } else {
        Value::Null
    };
    Ok(shown)
}

fn channel_json(channel: &Channel) -> Value {
    json!({
        "name": channel.name,
        "kind": channel.kind,
        "state": channel.state(),
        "disabled_reason": channel.disabled_reason,
        "failing_since": channel.failing_since,
        "confirmed_at": channel.confirmed_at,
        "per_minute": channel.per_minute,
        "owner_id": channel.owner_id,
        "created_by": channel.created_by,
        "created_at": channel.created_at,
        "updated_at": channel.updated_at,
    })
}
