//! Whether a channel works.
//!
//! Rows are locked here against others who write down the same, and never against evaluators, who keep channels from being deleted while
//! they write messages to them: a sender that waited for one, with messages locked that this one wants, would wait in a circle.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId};
use sqlx::{Connection as _, PgConnection};

use super::{ChannelError, get, note};

/// Longest span between two failures in which a channel is taken to have failed: the longest wait of [`crate::schedule`] with its
/// chance, and some time to be sent in. In a longer one nothing was tried, and nobody knows.
const LONGEST_GAP: Duration = Duration::from_secs(28 * 3600);

/// How long a channel has failed without accepting anything, as far as attempts show. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failing {
    /// The last failure.
    pub last: Option<DateTime<Utc>>,
    /// The spans between failures that lie close enough.
    pub counted: Duration,
}

impl Failing {
    /// After one more failure, at `at`. A gap without attempts counts for nothing, and neither does a failure that is told late.
    pub fn once_more(self, at: DateTime<Utc>) -> Self {
        let Some(last) = self.last else { return Self { last: Some(at), ..self } };
        let span = (at - last).to_std().unwrap_or(Duration::ZERO);
        let counted = if span <= LONGEST_GAP { self.counted.saturating_add(span) } else { self.counted };
        Self { last: Some(last.max(at)), counted }
    }
}

/// Sends nothing to a channel any more; `reason` is a stable code, such as `by_person`, `gone` or `failing`. `false` if it is disabled
/// already.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn disable(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    reason: &str,
    actor: &str,
) -> Result<bool, ChannelError> {
    let mut db_tx = conn.begin().await?;
    let changed = sqlx::query(
        "UPDATE alerts.channels SET state = 'disabled', disabled_reason = $3, updated_at = now()
          WHERE org_id = $1 AND id = $2 AND state = 'active' AND deleted_at IS NULL",
    )
    .bind(org.0)
    .bind(channel.0)
    .bind(reason)
    .execute(&mut *db_tx)
    .await?
    .rows_affected();
    if changed == 0 {
        get(&mut db_tx, org, channel).await?;
        return Ok(false);
    }
    note(&mut db_tx, org, channel, actor, ("disabled", Some(reason))).await?;
    db_tx.commit().await?;
    Ok(true)
}

/// Sends to a channel again, with its failures forgotten. `false` if it is active already.
///
/// # Errors
/// [`ChannelError::NoSuchChannel`]; what Postgres reports.
pub async fn enable(
    conn: &mut PgConnection,
    org: OrgId,
    channel: ChannelId,
    actor: &str,
) -> Result<bool, ChannelError> {
    let mut db_tx = conn.begin().await?;
    let before: Option<(Option<String>,)> = sqlx::query_as(include_str!("../../queries/channels/enable.sql"))
        .bind(org.0)
        .bind(channel.0)
        .fetch_optional(&mut *db_tx)
        .await?;
    let Some((reason,)) = before else {
        get(&mut db_tx, org, channel).await?;
        return Ok(false);
    };
    note(&mut db_tx, org, channel, actor, ("enabled", reason.as_deref())).await?;
    db_tx.commit().await?;
    Ok(true)
}

/// Something was accepted by each of `channels`: all of their failures are forgotten.
///
/// # Errors
/// What Postgres reports.
pub async fn note_success(conn: &mut PgConnection, channels: &[ChannelId]) -> Result<(), ChannelError> {
    // Rows are locked in one order, so that two senders do not wait for each other, and not against evaluators, who keep channels from
    // being deleted while they write messages to them.
    sqlx::query(
        "UPDATE alerts.channels SET failing_since = NULL, last_failed_at = NULL, failed_for_ms = 0
          WHERE id IN (SELECT id FROM alerts.channels
                        WHERE id = ANY($1) AND failing_since IS NOT NULL ORDER BY id FOR NO KEY UPDATE)",
    )
    .bind(ids(channels))
    .execute(conn)
    .await?;
    Ok(())
}

/// Something was not accepted by each of `channels`, for which they are to blame; returns how long each has failed by now, by the
/// database's clock.
///
/// # Errors
/// What Postgres reports.
pub async fn note_failure(
    conn: &mut PgConnection,
    channels: &[ChannelId],
) -> Result<BTreeMap<ChannelId, Duration>, ChannelError> {
    type Before = (i64, Option<DateTime<Utc>>, i64, DateTime<Utc>);
    let before: Vec<Before> = sqlx::query_as(
        "SELECT id, last_failed_at, failed_for_ms, now() FROM alerts.channels
          WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(ids(channels))
    .fetch_all(&mut *conn)
    .await?;
    let after: Vec<(i64, Failing)> = before
        .into_iter()
        .map(|(id, last, counted_ms, now)| {
            let before = Failing { last, counted: Duration::from_millis(counted_ms.unsigned_abs()) };
            (id, before.once_more(now))
        })
        .collect();
    let milliseconds = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    sqlx::query(
        "UPDATE alerts.channels c
            SET failing_since = coalesce(c.failing_since, now()), last_failed_at = n.last, failed_for_ms = n.counted_ms
           FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS n (id, last, counted_ms)
          WHERE c.id = n.id",
    )
    .bind(after.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(after.iter().map(|(_, failing)| failing.last).collect::<Vec<_>>())
    .bind(after.iter().map(|(_, failing)| milliseconds(failing.counted)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(after.into_iter().map(|(id, failing)| (ChannelId(id), failing.counted)).collect())
}

fn ids(channels: &[ChannelId]) -> Vec<i64> {
    channels.iter().map(|channel| channel.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn only_time_with_attempts_in_it_counts_as_failing() {
        // Seconds between one failure and the next, and what they come to.
        let table: [(&str, &[i64], u64); 9] = [
            ("the first failure", &[], 0),
            ("a second one shortly after", &[60], 60),
            ("every day for five days", &[86_400; 5], 5 * DAY),
            ("one long ago and one now", &[30 * 86_400], 0),
            ("as far apart as the schedule's last attempts may be", &[95_040], 95_040),
            ("a little more than may be", &[28 * 3600 + 1], 0),
            ("two days, a month without messages, and another day", &[86_400, 86_400, 30 * 86_400, 86_400], 3 * DAY),
            ("told in the wrong order", &[600, -300, 600], 900),
            ("twice at once", &[0], 0),
        ];
        for (what, gaps, expected) in table {
            let mut at = DateTime::<Utc>::UNIX_EPOCH;
            let mut failing = Failing::default().once_more(at);
            for gap in gaps {
                at += chrono::TimeDelta::seconds(*gap);
                failing = failing.once_more(at);
            }
            assert_eq!(failing.counted, Duration::from_secs(expected), "{what}");
        }
    }

    #[test]
    fn the_longest_wait_between_two_attempts_counts() {
        let longest = crate::schedule::DELAYS.into_iter().max().unwrap();
        assert!(longest.mul_f64(1.0 + crate::schedule::JITTER) < LONGEST_GAP);
        assert!(crate::schedule::LONGEST_ASKED < LONGEST_GAP);
    }
}
