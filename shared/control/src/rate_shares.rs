//! Who asks a chain's endpoints at the same time, and which part of their rate each may use. Table `control.rate_shares`.
//!
//! The followers of a chain and its backfills are processes of their own, each with its own count of what an endpoint
//! permits. So each says by a row that it is there, by the database's clock, and takes its part: while a backfill runs,
//! one half is the tip's and the backfills divide the other. The rows are hints: a process that cannot reach the database
//! keeps the part that it had.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::ChainId;
use sqlx::PgConnection;

use crate::error::ControlError;

/// How often a process says that it is there.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A row that was not renewed for as long counts for nothing.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(10);

/// The whole of what an endpoint permits, in thousandths.
pub const WHOLE: u16 = 1000;
/// The tip's part while a backfill runs, in thousandths: a follower that catches up needs it, one at the tip far less.
const TIPS_PART: u16 = 500;

/// What a process asks the endpoints for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The newest blocks.
    Tip,
    /// History.
    Backfill,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Tip => "tip",
            Self::Backfill => "backfill",
        }
    }
}

/// Who else asks the endpoints of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// Followers.
    pub tips: u32,
    /// Tasks that backfill.
    pub backfills: u32,
    /// When the one of them that was silent the longest last renewed its row; `None` if there is nobody.
    pub oldest_seen_at: Option<DateTime<Utc>>,
    /// The database's time when this was asked.
    pub asked_at: DateTime<Utc>,
}

impl Others {
    /// The part of an endpoint's rate, in thousandths and at least one, for a process that is there for `purpose`.
    pub fn share(&self, purpose: Purpose) -> u16 {
        let part = match purpose {
            Purpose::Tip if self.backfills == 0 => WHOLE,
            Purpose::Tip => TIPS_PART,
            Purpose::Backfill => {
                let left = if self.tips == 0 { WHOLE } else { WHOLE - TIPS_PART };
                u16::try_from(u32::from(left) / self.backfills.saturating_add(1)).unwrap_or(WHOLE)
            }
        };
        part.max(1)
    }

    /// Whether everybody else has looked at the rows since `time`, and so knows of who was there then.
    pub fn have_all_looked_since(&self, time: DateTime<Utc>) -> bool {
        self.oldest_seen_at.is_none_or(|seen_at| seen_at >= time)
    }
}

/// Says that `holder` is there, and asks who else is. Rows that have expired go.
///
/// # Errors
/// Only what Postgres reports.
pub async fn renew(
    conn: &mut PgConnection,
    chain_id: ChainId,
    holder: &str,
    purpose: Purpose,
) -> Result<Others, ControlError> {
    // A row that is locked is being renewed this moment; waiting for it here could be a deadlock.
    let (tips, backfills, oldest_seen_at, asked_at): (i64, i64, Option<DateTime<Utc>>, DateTime<Utc>) = sqlx::query_as(
        "WITH renewed AS (
             INSERT INTO control.rate_shares (chain_id, holder, purpose)
             VALUES ($1, $2, $3)
             ON CONFLICT (chain_id, holder) DO UPDATE SET purpose = EXCLUDED.purpose, seen_at = now()),
         expired AS (
             DELETE FROM control.rate_shares
              WHERE (chain_id, holder) IN (
                  SELECT chain_id, holder
                    FROM control.rate_shares
                   WHERE chain_id = $1 AND holder <> $2 AND seen_at <= now() - make_interval(secs => $4)
                     FOR UPDATE SKIP LOCKED))
         SELECT count(*) FILTER (WHERE purpose = 'tip'),
                count(*) FILTER (WHERE purpose = 'backfill'),
                min(seen_at),
                now()
           FROM control.rate_shares
          WHERE chain_id = $1 AND holder <> $2 AND seen_at > now() - make_interval(secs => $4)",
    )
    .bind(chain_id.0.cast_signed())
    .bind(holder)
    .bind(purpose.name())
    .bind(EXPIRES_AFTER.as_secs_f64())
    .fetch_one(conn)
    .await?;
    let count = |found: i64| u32::try_from(found).unwrap_or(u32::MAX);
    Ok(Others { tips: count(tips), backfills: count(backfills), oldest_seen_at, asked_at })
}

/// Takes the row of `holder` away, at its end.
///
/// # Errors
/// Only what Postgres reports.
pub async fn leave(conn: &mut PgConnection, chain_id: ChainId, holder: &str) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM control.rate_shares WHERE chain_id = $1 AND holder = $2")
        .bind(chain_id.0.cast_signed())
        .bind(holder)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_nobody_uses_more_than_the_whole_and_the_tip_has_half_beside_any_number_of_backfills() {
        let others =
            |tips, backfills| Others { tips, backfills, oldest_seen_at: None, asked_at: DateTime::<Utc>::UNIX_EPOCH };
        assert_eq!(others(0, 0).share(Purpose::Tip), WHOLE);
        assert_eq!(others(0, 0).share(Purpose::Backfill), WHOLE);
        for backfills in 1..=WHOLE {
            let count = u32::from(backfills);
            assert_eq!(others(0, count).share(Purpose::Tip), TIPS_PART);
            let beside_a_tip = others(1, count - 1).share(Purpose::Backfill);
            assert!(backfills > 500 || beside_a_tip * backfills <= WHOLE - TIPS_PART, "{backfills}");
            assert!(others(0, count - 1).share(Purpose::Backfill) * backfills <= WHOLE, "{backfills}");
        }
        assert_eq!(others(1, u32::MAX).share(Purpose::Backfill), 1);
    }
}
