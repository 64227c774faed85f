//! Sealing anew, after a new key.

use isotherm_types::{ChannelId, OrgId};
use sqlx::PgConnection;

use super::{ChannelError, note};
use crate::channel::ChannelKind;
use crate::seal::{Keyring, Place};

/// What came of one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// How many channels have the first key now that had another one before.
    pub resealed: usize,
    /// Channels whose address opens with no key of the ring: the key is lost, or the row was changed.
    pub unopened: Vec<ChannelId>,
    /// Where the next round begins; `None` if there is nothing left.
    pub next: Option<ChannelId>,
}

/// Seals the addresses of at most `limit` channels after the channel `after` with the first key of the ring, if another one has sealed
/// them; the trail of each says that `actor` did. Once no round finds anything, the other keys may go. Rounds that were committed need
/// not be done again, wherever one begins anew.
///
/// # Errors
/// That they cannot be sealed; what Postgres reports.
pub async fn reseal(
    conn: &mut PgConnection,
    ring: &Keyring,
    after: Option<ChannelId>,
    limit: u32,
    actor: &str,
) -> Result<Resealed, ChannelError> {
    let rows: Vec<(i64, i64, String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, org_id, kind, sealed_address
           FROM alerts.channels
          WHERE id > $1 AND sealed_address IS NOT NULL
            AND substring(sealed_address FROM 1 FOR octet_length($2::bytea)) <> $2::bytea
          ORDER BY id
          LIMIT $3
            FOR UPDATE",
    )
    .bind(after.map_or(0, |channel| channel.0))
    .bind(ring.beginning())
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let mut round = Resealed { resealed: 0, unopened: Vec::new(), next: rows.last().map(|row| ChannelId(row.0)) };
    for (id, org, kind, sealed) in rows {
        let (channel, org, kind) = (ChannelId(id), OrgId(org), kind.parse::<ChannelKind>()?);
        let place = Place { org, channel, kind };
        let Ok(plain) = ring.open(&sealed, place) else {
            round.unopened.push(channel);
            continue;
        };
        sqlx::query("UPDATE alerts.channels SET sealed_address = $2 WHERE id = $1")
            .bind(id)
            .bind(ring.seal(&plain, place)?)
            .execute(&mut *conn)
            .await?;
        note(conn, org, channel, actor, ("resealed", None)).await?;
        round.resealed += 1;
    }
    Ok(round)
}
