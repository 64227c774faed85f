//! Whether whoever has a mailbox or a telephone wants what is sent there. Table `alerts.channel_codes`.
//!
//! A new address is sent a code and nothing else until the code comes back. Whoever sends makes it ([`issue`]), in the transaction that
//! begins the attempt, so that it is in no row: kept are a salt and a hash, for an hour and a few tries. A repetition of the message has
//! a code of its own, and the one sent last counts. It must never put a code into a row, an error or a log.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use isotherm_types::{ChannelId, OrgId};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Channel, ChannelError, get, locked, note, one_at_a_time};
use crate::deliveries::DeliveryId;
use crate::message::NoticeContent;
use crate::seal::{self, SealError};

/// What codes are written with: no letter looks like another one. **Source**: Douglas Crockford, "Base 32".
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters of a code: 50 bits, which nobody guesses in a few tries, nor finds from a salted hash within the hour for less than the
/// address is worth.
const LENGTH: usize = 10;
/// Where it is parted for reading.
const HALF: usize = 5;
const SALT_BYTES: usize = 16;
/// How long a code counts from when it is sent.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How often one may be tried.
const TRIES: i32 = 5;
/// Codes that a channel is sent in a day.
const MOST_OF_CHANNEL: i64 = 5;
/// The same of all channels of an organisation: nobody is to be pestered by channels that are deleted and made again.
const MOST_OF_ORG: i64 = 200;
/// Between one code that is asked for and the next.
const SHORTEST_WAIT: Duration = Duration::from_secs(60);

/// A code: ten letters and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmationCode(String);

/// A text that is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code is ten letters and digits, such as 4TK9Q-Z0M2A")]
pub struct NoCode;

impl ConfirmationCode {
    /// Reads a code as people write it: in small letters, without its hyphen, with O for 0 and I or L for 1.
    ///
    /// # Errors
    /// [`NoCode`].
    pub fn parse(text: &str) -> Result<Self, NoCode> {
        let letters = text.chars().filter(|letter| !matches!(*letter, '-' | ' ')).map(|letter| {
            match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            }
        });
        let letters: String = letters.take(LENGTH + 1).collect();
        let is_code = letters.chars().count() == LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
        if is_code { Ok(Self(letters)) } else { Err(NoCode) }
    }

    fn made() -> Result<Self, SealError> {
        // 256 is a multiple of the number of letters, so that each is as likely as the others.
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        Ok(Self(seal::chance::<LENGTH>()?.into_iter().map(letter).collect()))
    }

    /// As it is sent, parted in the middle.
    pub fn expose(&self) -> String {
        let (first, second) = self.0.split_at(HALF);
        format!("{first}-{second}")
    }

    fn hash(&self, salt: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(self.0.as_bytes()).finalize().into()
    }
}

/// Says nothing of it.
impl std::fmt::Debug for ConfirmationCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfirmationCode(hidden)")
    }
}

/// Has a code sent to a channel that is not confirmed, in the place of an earlier one.
///
/// # Errors
/// [`ChannelError::NothingToConfirm`], [`ChannelError::TooManyCodes`], [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn request_code(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    actor: &str,
) -> Result<DeliveryId, ChannelError> {
    let mut db_tx = conn.begin().await?;
    one_at_a_time(&mut db_tx, org).await?;
    let found = locked(&mut db_tx, org, channel).await?;
    if found.confirmed_at.is_some() {
        return Err(ChannelError::NothingToConfirm { name: found.name });
    }
    let (is_too_soon,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM alerts.channel_codes
                         WHERE channel_id = $1 AND requested_at > now() - make_interval(secs => $2))",
    )
    .bind(channel.0)
    .bind(SHORTEST_WAIT.as_secs_f64())
    .fetch_one(&mut *db_tx)
    .await?;
    if is_too_soon {
        return Err(ChannelError::TooManyCodes { limit: "one a minute" });
    }
    let delivery = send_code(&mut db_tx, org, channel, &found.name).await?;
    note(&mut db_tx, org, channel, actor, ("code_requested", None)).await?;
    db_tx.commit().await?;
    Ok(delivery)
}

/// Queues the message that will carry a code, in the caller's transaction, under the lock of the organisation's channels.
pub(super) async fn send_code(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    name: &str,
) -> Result<DeliveryId, ChannelError> {
    let (of_channel, of_org): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE channel_id = $2), count(*)
           FROM alerts.channel_codes WHERE org_id = $1 AND requested_at > now() - interval '1 day'",
    )
    .bind(org.0)
    .bind(channel.0)
    .fetch_one(&mut *conn)
    .await?;
    if of_channel >= MOST_OF_CHANNEL {
        return Err(ChannelError::TooManyCodes { limit: "five a day to one channel" });
    }
    if of_org >= MOST_OF_ORG {
        return Err(ChannelError::TooManyCodes { limit: "200 a day to all channels of an organisation" });
    }
    void(conn, channel).await?;
    let delivery = DeliveryId(Uuid::new_v4());
    let content = NoticeContent::ChannelCode { channel: name.to_owned(), code: None };
    let content = serde_json::to_value(content).expect("texts have a form in JSON");
    sqlx::query(
        "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content) VALUES ($1, $2, $3, 'notice', $4)",
    )
    .bind(delivery.0)
    .bind(org.0)
    .bind(channel.0)
    .bind(content)
    .execute(&mut *conn)
    .await?;
    sqlx::query("INSERT INTO alerts.channel_codes (org_id, channel_id, delivery_id) VALUES ($1, $2, $3)")
        .bind(org.0)
        .bind(channel.0)
        .bind(delivery.0)
        .execute(conn)
        .await?;
    Ok(delivery)
}

/// No code of the channel counts any more.
pub(super) async fn void(conn: &mut PgConnection, channel: ChannelId) -> Result<(), ChannelError> {
    sqlx::query("UPDATE alerts.channel_codes SET void_at = now() WHERE channel_id = $1 AND void_at IS NULL")
        .bind(channel.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the code that the message `delivery` carries, for the sender: in the transaction that begins the attempt. `None` if it would
/// not count.
///
/// # Errors
/// That the system gives no chance; what Postgres reports.
pub(crate) async fn issue(
    conn: &mut PgConnection,
    delivery: DeliveryId,
) -> Result<Option<ConfirmationCode>, ChannelError> {
    let (code, salt) = (ConfirmationCode::made()?, seal::chance::<SALT_BYTES>()?);
    let kept = sqlx::query(
        "UPDATE alerts.channel_codes
            SET salt = $2, code_hash = $3, tries_left = $4, expires_at = now() + make_interval(secs => $5)
          WHERE delivery_id = $1 AND void_at IS NULL",
    )
    .bind(delivery.0)
    .bind(salt.to_vec())
    .bind(code.hash(&salt).to_vec())
    .bind(TRIES)
    .bind(LIFETIME.as_secs_f64())
    .execute(conn)
    .await?
    .rows_affected();
    Ok((kept == 1).then_some(code))
}

/// Confirms a channel of `org` by the code that it was sent; one that is confirmed stays so. A wrong code costs a try, also if the
/// caller does nothing else.
///
/// # Errors
/// [`ChannelError::WrongCode`], [`ChannelError::NoCodeCounts`], [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn confirm(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    code: &ConfirmationCode,
    actor: &str,
) -> Result<Channel, ChannelError> {
    let mut db_tx = conn.begin().await?;
    let found = locked(&mut db_tx, org, channel).await?;
    if found.confirmed_at.is_some() {
        return Ok(found);
    }
    let sent: Option<(i64, Vec<u8>, Vec<u8>, i32)> = sqlx::query_as(
        "SELECT id, salt, code_hash, tries_left FROM alerts.channel_codes
          WHERE channel_id = $1 AND void_at IS NULL AND code_hash IS NOT NULL AND expires_at > now() AND tries_left > 0
          ORDER BY id DESC LIMIT 1 FOR UPDATE",
    )
    .bind(channel.0)
    .fetch_optional(&mut *db_tx)
    .await?;
    let (id, salt, hash, tries_left) = sent.ok_or(ChannelError::NoCodeCounts { name: found.name })?;
    if verify_slices_are_equal(&code.hash(&salt), &hash).is_err() {
        sqlx::query("UPDATE alerts.channel_codes SET tries_left = tries_left - 1 WHERE id = $1")
            .bind(id)
            .execute(&mut *db_tx)
            .await?;
        note(&mut db_tx, org, channel, actor, ("wrong_code", None)).await?;
        db_tx.commit().await?;
        return Err(ChannelError::WrongCode { tries_left: tries_left - 1 });
    }
    sqlx::query("UPDATE alerts.channels SET confirmed_at = now(), updated_at = now() WHERE org_id = $1 AND id = $2")
        .bind(org.0)
        .bind(channel.0)
        .execute(&mut *db_tx)
        .await?;
    void(&mut db_tx, channel).await?;
    note(&mut db_tx, org, channel, actor, ("confirmed", None)).await?;
    let confirmed = get(&mut db_tx, org, channel).await?;
    db_tx.commit().await?;
    Ok(confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it_and_never_printed() {
        let code = ConfirmationCode::made().unwrap();
        let sent = code.expose();
        assert_eq!((sent.len(), sent.find('-')), (LENGTH + 1, Some(HALF)));
        assert_eq!(ConfirmationCode::parse(&sent), Ok(code.clone()));
        assert_eq!(ConfirmationCode::parse(&sent.to_lowercase().replace('-', " ")), Ok(code.clone()));
        assert_eq!(ConfirmationCode::parse("oOiIl-LZZZZ"), ConfirmationCode::parse("00111-1ZZZZ"));
        assert!(!format!("{code:?}").contains(&sent[..HALF]), "{code:?}");
        assert_ne!(ConfirmationCode::made().unwrap(), code);
        for bad in ["", "4TK9Q-Z0M2", "4TK9Q-Z0M2AA", "4TK9Q-Z0M2U", "4TK9Q-Z0M2\u{e9}", "4TK9Q_Z0M2A"] {
            assert_eq!(ConfirmationCode::parse(bad), Err(NoCode), "{bad}");
        }
    }
}
