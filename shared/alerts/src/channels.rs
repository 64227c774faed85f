//! Channels of organisations. Table `alerts.channels`.
//!
//! What a channel leads to is sealed there and leaves by two doors only: [`open_address`], for its owner and admins, each reading of
//! which is in the audit trail, and [`for_sending`], for the function that sends. Deleting a channel deletes its address for good.
//! Mailboxes and telephones get nothing but a code until that has come back ([`confirm`]).
//!
//! Every function takes the organisation, so that nobody reaches another one's, but those that senders call.

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId};
use sqlx::{Connection as _, PgConnection};

use crate::audit::{self, Entry};
use crate::channel::{Address, ChannelKind};
use crate::rules;
use crate::seal::{Keyring, Place};

mod confirmation;
mod error;
mod health;
mod reading;
mod reseal;

pub(crate) use confirmation::issue;
pub use confirmation::{ConfirmationCode, NoCode, confirm, request_code};
pub use error::ChannelError;
pub use health::{Failing, disable, enable, note_failure, note_success};
pub use reading::{Asker, ForSending, for_sending, open_address};
pub use reseal::{Resealed, reseal};

/// Channels that an organisation may have.
pub const MOST_CHANNELS: i64 = 100;
/// Longest name.
const MAX_NAME_BYTES: usize = 63;
/// Rules that an error names.
const MOST_NAMED: usize = 5;
/// Most messages a minute that a channel may be set to.
const MOST_PER_MINUTE: i32 = 6000;

/// A channel, without where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its row.
    pub id: ChannelId,
    /// What rules call it.
    pub name: String,
    /// How it reaches people.
    pub kind: ChannelKind,
    /// Messages a minute, corrections and retries apart.
    pub per_minute: i32,
    /// Why nothing is sent to it; `None` if it is active.
    pub disabled_reason: Option<String>,
    /// The first failure since the last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// When whoever has the address said that messages may come; `None`: nobody has yet. Of kinds that need it not, when it was made.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Row of `access.users` of whoever made it; `None` for an AWS principal that invoked the function directly.
    pub owner_id: Option<i64>,
    /// Who made it, as the audit trail names them.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A channel to be made.
#[derive(Clone, Debug)]
pub struct NewChannel {
    /// What rules are to call it.
    pub name: String,
    /// Where it leads. A webhook without keys gets one.
    pub address: Address,
    /// Messages a minute.
    pub per_minute: i32,
    /// Row of `access.users` of whoever makes it, if they have one.
    pub owner_id: Option<i64>,
}

/// What of a channel is to change.
#[derive(Clone, Debug, Default)]
pub struct ChannelChange {
    /// Another name.
    pub name: Option<String>,
    /// Another address of the same kind. A webhook without keys keeps those that it has.
    pub address: Option<Address>,
    /// Another rate.
    pub per_minute: Option<i32>,
}

impl Channel {
    /// The word for where it stands.
    pub fn state(&self) -> &'static str {
        match (&self.disabled_reason, self.confirmed_at) {
            (Some(_), _) => "disabled",
            (None, None) => "unconfirmed",
            (None, Some(_)) => "active",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    name: String,
    kind: String,
    per_minute: i32,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    owner_id: Option<i64>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Channel {
    type Error = ChannelError;

    fn try_from(row: Row) -> Result<Self, ChannelError> {
        Ok(Self {
            id: ChannelId(row.id),
            name: row.name,
            kind: row.kind.parse()?,
            per_minute: row.per_minute,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since,
            confirmed_at: row.confirmed_at,
            owner_id: row.owner_id,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The channels of `org` by name.
///
/// # Errors
/// What Postgres reports.
pub async fn list(conn: &mut PgConnection, org: OrgId) -> Result<Vec<Channel>, ChannelError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, kind, per_minute, disabled_reason, failing_since, confirmed_at, owner_id, created_by, created_at, updated_at
           FROM alerts.channels WHERE org_id = $1 AND deleted_at IS NULL ORDER BY name",
    )
    .bind(org.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Channel::try_from).collect()
}

/// One of them; `None` if there is none of this name.
///
/// # Errors
/// What Postgres reports.
pub async fn named(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<Channel>, ChannelError> {
    if name.contains('\0') {
        return Ok(None);
    }
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, name, kind, per_minute, disabled_reason, failing_since, confirmed_at, owner_id, created_by, created_at, updated_at
           FROM alerts.channels WHERE org_id = $1 AND name = $2 AND deleted_at IS NULL",
    )
    .bind(org.0)
    .bind(name)
    .fetch_optional(conn)
    .await?;
    row.map(Channel::try_from).transpose()
}

/// One of them.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn get(conn: &mut PgConnection, org: OrgId, channel: ChannelId) -> Result<Channel, ChannelError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, name, kind, per_minute, disabled_reason, failing_since, confirmed_at, owner_id, created_by, created_at, updated_at
           FROM alerts.channels WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL",
    )
    .bind(org.0)
    .bind(channel.0)
    .fetch_optional(conn)
    .await?;
    Channel::try_from(row.ok_or(ChannelError::NoSuchChannel { channel })?)
}

/// Makes a channel of `org`, active from now on, or sent a code if it has to be confirmed. Where a URL leads is the caller's to check, by
/// `isotherm-outbound`.
///
/// # Errors
/// [`ChannelError::BadField`], [`ChannelError::ChannelExists`], [`ChannelError::TooManyChannels`], [`ChannelError::TooManyCodes`]; that
/// the address cannot be sealed; what Postgres reports.
pub async fn create(
    conn: &mut PgConnection,
    org: OrgId,
    new: NewChannel,
    ring: &Keyring,
    actor: &str,
) -> Result<Channel, ChannelError> {
    check(&new.name, new.per_minute)?;
    new.address.check()?;
    let (kind, address) = (new.address.kind(), new.address.with_key()?);
    let mut db_tx = conn.begin().await?;
    one_at_a_time(&mut db_tx, org).await?;
    let (count, is_there): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(bool_or(name = $2), false)
           FROM alerts.channels WHERE org_id = $1 AND deleted_at IS NULL",
    )
    .bind(org.0)
    .bind(&new.name)
    .fetch_one(&mut *db_tx)
    .await?;
    if is_there {
        return Err(ChannelError::ChannelExists { name: new.name });
    }
    if count >= MOST_CHANNELS {
        return Err(ChannelError::TooManyChannels { most: MOST_CHANNELS });
    }
    // What is sealed is bound to the row, so the row's number comes first.
    let (id,): (i64,) = sqlx::query_as("SELECT nextval(pg_get_serial_sequence('alerts.channels', 'id'))")
        .fetch_one(&mut *db_tx)
        .await?;
    let channel = ChannelId(id);
    let sealed = seal(&address, ring, Place { org, channel, kind })?;
    sqlx::query(
        "INSERT INTO alerts.channels (id, org_id, name, kind, sealed_address, per_minute, owner_id, created_by, confirmed_at)
         OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN NOT $9 THEN now() END)",
    )
    .bind(id)
    .bind(org.0)
    .bind(&new.name)
    .bind(kind.as_str())
    .bind(sealed)
    .bind(new.per_minute)
    .bind(new.owner_id)
    .bind(actor)
    .bind(kind.needs_confirmation())
    .execute(&mut *db_tx)
    .await?;
    note(&mut db_tx, org, channel, actor, ("created", Some(new.name.as_str()))).await?;
    if kind.needs_confirmation() {
        confirmation::send_code(&mut db_tx, org, channel, &new.name).await?;
    }
    let made = get(&mut db_tx, org, channel).await?;
    db_tx.commit().await?;
    Ok(made)
}

/// Changes a channel of `org`. Its kind stays: messages that wait for it are of that kind. Another mailbox or number has to be confirmed
/// anew.
///
/// # Errors
/// As [`create`], and [`ChannelError::NoSuchChannel`].
pub async fn update(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    change: ChannelChange,
    ring: &Keyring,
    actor: &str,
) -> Result<Channel, ChannelError> {
    let mut db_tx = conn.begin().await?;
    one_at_a_time(&mut db_tx, org).await?;
    let before = locked(&mut db_tx, org, channel).await?;
    let name = change.name.unwrap_or_else(|| before.name.clone());
    let per_minute = change.per_minute.unwrap_or(before.per_minute);
    check(&name, per_minute)?;
    if name != before.name && named(&mut db_tx, org, &name).await?.is_some() {
        return Err(ChannelError::ChannelExists { name });
    }
    if let Some(address) = change.address {
        let kind = address.kind();
        if kind != before.kind {
            return Err(ChannelError::BadField { field: "address.kind", expected: "the same as before" });
        }
        address.check()?;
        let place = Place { org, channel, kind };
        let address = with_keys_of_before(&mut db_tx, address, ring, place).await?;
        // One that does not open is taken for another one.
        let is_another = kind.needs_confirmation()
            && reading::sealed_address(&mut db_tx, ring, place).await.ok().as_ref() != Some(&address);
        sqlx::query(
            "UPDATE alerts.channels SET sealed_address = $3, confirmed_at = CASE WHEN NOT $4 THEN confirmed_at END
              WHERE org_id = $1 AND id = $2",
        )
        .bind(org.0)
        .bind(channel.0)
        .bind(seal(&address, ring, place)?)
        .bind(is_another)
        .execute(&mut *db_tx)
        .await?;
        note(&mut db_tx, org, channel, actor, ("address_changed", None)).await?;
        if is_another {
            confirmation::send_code(&mut db_tx, org, channel, &name).await?;
        }
    }
    sqlx::query(
        "UPDATE alerts.channels SET name = $3, per_minute = $4, updated_at = now() WHERE org_id = $1 AND id = $2",
    )
    .bind(org.0)
    .bind(channel.0)
    .bind(&name)
    .bind(per_minute)
    .execute(&mut *db_tx)
    .await?;
    if (&name, per_minute) != (&before.name, before.per_minute) {
        note(&mut db_tx, org, channel, actor, ("changed", Some(name.as_str()))).await?;
    }
    let after = get(&mut db_tx, org, channel).await?;
    db_tx.commit().await?;
    Ok(after)
}

/// Deletes a channel of `org`: its address is gone for good, and no rule names it any more. Its row stays, for the messages that
/// were sent to it.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; [`ChannelError::LastOfRules`] if a rule would be left with nobody to tell; what Postgres reports.
pub async fn delete(conn: &mut PgConnection, org: OrgId, channel: ChannelId, actor: &str) -> Result<(), ChannelError> {
    let mut db_tx = conn.begin().await?;
    // Nobody gives a rule this channel, or takes another one from it, meanwhile.
    rules::wait_alone(&mut db_tx, org).await?;
    let before = locked(&mut db_tx, org, channel).await?;
    let left_alone: Vec<String> = sqlx::query_scalar(include_str!("../queries/channels/left_alone.sql"))
        .bind(org.0)
        .bind(channel.0)
        .fetch_all(&mut *db_tx)
        .await?;
    if !left_alone.is_empty() {
        return Err(ChannelError::LastOfRules { name: before.name, rules: named_rules(&left_alone) });
    }
    sqlx::query(
        "UPDATE alerts.channels SET sealed_address = NULL, deleted_at = now(), updated_at = now()
          WHERE org_id = $1 AND id = $2",
    )
    .bind(org.0)
    .bind(channel.0)
    .execute(&mut *db_tx)
    .await?;
    sqlx::query("DELETE FROM alerts.rule_channels WHERE org_id = $1 AND channel_id = $2")
        .bind(org.0)
        .bind(channel.0)
        .execute(&mut *db_tx)
        .await?;
    confirmation::void(&mut db_tx, channel).await?;
    note(&mut db_tx, org, channel, actor, ("deleted", Some(before.name.as_str()))).await?;
    db_tx.commit().await?;
    Ok(())
}

/// The first few of `rules` by their names, and how many there are besides.
fn named_rules(rules: &[String]) -> String {
    let (named, others) = rules.split_at(rules.len().min(MOST_NAMED));
    match others.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Whether `name` is a name: a to z, 0 to 9, `_` and `-`, neither of these two first.
pub fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().next().is_some_and(is_word)
        && name.bytes().all(|byte| is_word(byte) || byte == b'_' || byte == b'-')
}

fn check(name: &str, per_minute: i32) -> Result<(), ChannelError> {
    if !is_name(name) {
        let expected = "1 to 63 of a-z, 0-9, _ and -, and a letter or digit first";
        return Err(ChannelError::BadField { field: "name", expected });
    }
    if !(1..=MOST_PER_MINUTE).contains(&per_minute) {
        return Err(ChannelError::BadField { field: "per_minute", expected: "a number from 1 to 6000" });
    }
    Ok(())
}

/// Waits for whoever makes or names a channel of `org`: two could each be the last that may be, or take the same name.
async fn one_at_a_time(conn: &mut PgConnection, org: OrgId) -> Result<(), ChannelError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('alerts.channels', $1))")
        .bind(org.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// The channel, which nobody else changes until the transaction ends.
async fn locked(conn: &mut PgConnection, org: OrgId, channel: ChannelId) -> Result<Channel, ChannelError> {
    sqlx::query("SELECT 1 FROM alerts.channels WHERE org_id = $1 AND id = $2 FOR UPDATE")
        .bind(org.0)
        .bind(channel.0)
        .execute(&mut *conn)
        .await?;
    get(conn, org, channel).await
}

/// `address`, with the keys of the sealed one if it is a webhook that brings none.
async fn with_keys_of_before(
    conn: &mut PgConnection,
    address: Address,
    ring: &Keyring,
    place: Place,
) -> Result<Address, ChannelError> {
    match address {
        Address::Webhook { url, keys } if keys.is_empty() => match reading::sealed_address(conn, ring, place).await? {
            Address::Webhook { keys, .. } => Ok(Address::Webhook { url, keys }),
            Address::Email { .. } | Address::Sms { .. } | Address::Slack { .. } => {
                Ok(Address::Webhook { url, keys }.with_key()?)
            }
        },
        other => Ok(other),
    }
}

fn seal(address: &Address, ring: &Keyring, place: Place) -> Result<Vec<u8>, ChannelError> {
    let plain = serde_json::to_vec(address).expect("texts have a form in JSON");
    Ok(ring.seal(&plain, place)?)
}

async fn note(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    actor: &str,
    (action, reason): (&str, Option<&str>),
) -> Result<(), ChannelError> {
    let entry =
        Entry { org: Some(org), actor, action, subject: "channel", subject_id: channel.0, reason, ..Entry::default() };
    Ok(audit::record(conn, &entry).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_as_far_as_a_sentence_bears_it() {
        let rules: Vec<String> = (1..=7).map(|number| format!("r{number}")).collect();
        assert_eq!(named_rules(&rules[..2]), "r1, r2");
        assert_eq!(named_rules(&rules[..5]), "r1, r2, r3, r4, r5");
        assert_eq!(named_rules(&rules), "r1, r2, r3, r4, r5 and 2 more");
    }
}
