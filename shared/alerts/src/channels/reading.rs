//! The two doors by which an address leaves.

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId};
use sqlx::PgConnection;

use super::{ChannelError, get, note};
use crate::channel::{Address, ChannelKind};
use crate::seal::{Keyring, Place, SealError};

/// Whoever wants to see where a channel leads.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// As the audit trail names them.
    pub name: &'a str,
    /// Their row of `access.users`, if they have one.
    pub user_id: Option<i64>,
    /// Whether they are an admin of the organisation.
    pub is_admin: bool,
}

/// A channel that something is sent to.
#[derive(Debug)]
pub struct ForSending {
    /// Its row.
    pub id: ChannelId,
    /// Its organisation.
    pub org: OrgId,
    /// What rules call it.
    pub name: String,
    /// How it reaches people.
    pub kind: ChannelKind,
    /// The first failure since the last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// Whether more than a code may be sent there.
    pub is_confirmed: bool,
    /// Where it leads. One that does not open keeps no other from being sent to.
    pub address: Result<Address, SealError>,
}

/// Where a channel of `org` leads. Every reading, and every refusal, is in the audit trail, so this is not to be called in a transaction
/// that may be rolled back.
///
/// # Errors
/// [`ChannelError::NotOwner`], [`ChannelError::NoSuchChannel`]; that it does not open; what Postgres reports.
pub async fn open_address(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    ring: &Keyring,
    asker: &Asker<'_>,
) -> Result<Address, ChannelError> {
    let found = get(conn, org, channel).await?;
    let is_owner = asker.user_id.is_some() && asker.user_id == found.owner_id;
    if !is_owner && !asker.is_admin {
        note(conn, org, channel, asker.name, ("denied", Some("reading its address"))).await?;
        return Err(ChannelError::NotOwner { channel });
    }
    // First written down, then read: what was seen is in the trail whatever happens.
    note(conn, org, channel, asker.name, ("address_read", None)).await?;
    sealed_address(conn, ring, Place { org, channel, kind: found.kind }).await
}

/// What is sealed in the row of `place`.
pub(super) async fn sealed_address(
    conn: &mut PgConnection,
    ring: &Keyring,
    place: Place,
) -> Result<Address, ChannelError> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as(
        "SELECT sealed_address FROM alerts.channels WHERE org_id = $1 AND id = $2 AND sealed_address IS NOT NULL",
    )
    .bind(place.org.0)
    .bind(place.channel.0)
    .fetch_optional(conn)
    .await?;
    let (sealed,) = row.ok_or(ChannelError::NoSuchChannel { channel: place.channel })?;
    Ok(opened(&sealed, ring, place)?)
}

/// Id, organisation, name, kind, first failure since the last success, whether it is confirmed, sealed address.
type SendingRow = (i64, i64, String, String, Option<DateTime<Utc>>, bool, Vec<u8>);

/// Those of `channels`, of whatever organisations, that are active and not deleted, for the function that sends. What is sent is in
/// `alerts.deliveries`; the audit trail has nothing of it.
///
/// # Errors
/// What Postgres reports.
pub async fn for_sending(
    conn: &mut PgConnection,
    channels: &[ChannelId],
    ring: &Keyring,
) -> Result<Vec<ForSending>, ChannelError> {
    let ids: Vec<i64> = channels.iter().map(|channel| channel.0).collect();
    let rows: Vec<SendingRow> = sqlx::query_as(
        "SELECT id, org_id, name, kind, failing_since, confirmed_at IS NOT NULL, sealed_address
           FROM alerts.channels
          WHERE id = ANY($1) AND state = 'active' AND deleted_at IS NULL
          ORDER BY id",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for (id, org, name, kind, failing_since, is_confirmed, sealed) in rows {
        let (id, org, kind) = (ChannelId(id), OrgId(org), kind.parse::<ChannelKind>()?);
        let address = opened(&sealed, ring, Place { org, channel: id, kind });
        found.push(ForSending { id, org, name, kind, failing_since, is_confirmed, address });
    }
    Ok(found)
}

fn opened(sealed: &[u8], ring: &Keyring, place: Place) -> Result<Address, SealError> {
    let plain = ring.open(sealed, place)?;
    // What serde reports could quote the text.
    serde_json::from_slice(&plain).map_err(|_hidden| SealError::NotOpened)
}
