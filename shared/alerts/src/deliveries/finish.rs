//! Writing down how attempts ended, many in one statement.
//!
//! An attempt is written down only under its fence: a sender that was taken for lost, and whose message was given to another, changes
//! nothing. What follows from an attempt is decided by [`Ended::next`], which is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, Classified, Disposition, OrgId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::fault::{Blame, DeliveryFault, Verdict};
use super::{Claimed, DeliveryError, DeliveryId};
use crate::schedule::wait_after;

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The delivery.
    pub id: DeliveryId,
    /// Whose it is.
    pub org: OrgId,
    /// Where it went.
    pub channel: ChannelId,
    /// Whether the channel was failing when the attempt was begun.
    pub was_failing: bool,
    /// The attempt: its fence.
    pub attempt: u32,
    /// How it went.
    pub verdict: Verdict,
    /// When it was begun, by the sender's clock.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It got there.
    Delivered,
    /// It is tried again, not before so long.
    Again(Duration),
    /// It is not tried again.
    Failed,
}

impl Ended {
    /// The end of an attempt at `claimed`.
    pub fn new(claimed: &Claimed, verdict: Verdict, started_at: DateTime<Utc>, duration: Duration) -> Self {
        Self {
            id: claimed.id,
            org: claimed.org,
            channel: claimed.channel,
            was_failing: claimed.is_failing,
            attempt: claimed.attempt,
            verdict,
            started_at,
            duration,
        }
    }

    /// What follows.
    pub fn next(&self) -> Next {
        match &self.verdict {
            Verdict::Accepted { .. } => Next::Delivered,
            Verdict::Failed(fault) => match fault.disposition() {
                Disposition::GiveUp => Next::Failed,
                Disposition::Retry | Disposition::RetryAfter(_) => {
                    wait_after(self.id, self.attempt, fault.asked()).map_or(Next::Failed, Next::Again)
                }
            },
        }
    }

    fn state(&self) -> &'static str {
        match self.next() {
            Next::Delivered => "delivered",
            Next::Again(_) => "queued",
            Next::Failed => "failed",
        }
    }

    fn wait_seconds(&self) -> f64 {
        match self.next() {
            Next::Again(wait) => wait.as_secs_f64(),
            Next::Delivered | Next::Failed => 0.0,
        }
    }

    fn message_id(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Accepted { message_id, .. } => message_id.clone(),
            Verdict::Failed(_) => None,
        }
    }

    fn status(&self) -> Option<i32> {
        match &self.verdict {
            Verdict::Accepted { status, .. } => *status,
            Verdict::Failed(fault) => fault.status(),
        }
        .map(i32::from)
    }

    fn error_code(&self) -> Option<&'static str> {
        match &self.verdict {
            Verdict::Accepted { .. } => None,
            Verdict::Failed(fault) => Some(fault.code()),
        }
    }

    fn may_have_arrived(&self) -> bool {
        matches!(&self.verdict, Verdict::Failed(fault) if fault.may_have_arrived())
    }
}

/// What a batch of attempts says of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It accepted something, and had failed before.
    Mended,
    /// It accepted nothing, and failed.
    Failing {
        /// Code of the last failure.
        code: &'static str,
    },
    /// It is gone for good: disabled at once.
    Gone {
        /// Code of the reason.
        code: &'static str,
    },
}

/// What `ended` says of the channels that it is about; a channel of which there is nothing to write down is left out. Where receiver
/// or our own network may be to blame, it counts if somebody out there was reached: in `ended`, or, as `was_reached` says, shortly
/// before. Pure.
pub fn healths<'a>(ended: impl IntoIterator<Item = &'a Ended>, was_reached: bool) -> BTreeMap<ChannelId, Health> {
    let ended: Vec<&Ended> = ended.into_iter().collect();
    let was_reached = was_reached || ended.iter().any(|ended| ended.verdict.shows_network());
    let counts = |fault: DeliveryFault| match fault.blame() {
        Blame::Receiver => true,
        Blame::Unclear => was_reached,
        Blame::Platform | Blame::Nobody => false,
    };
    let mut accepted = BTreeMap::<ChannelId, bool>::new();
    let mut healths = BTreeMap::new();
    for ended in ended {
        match &ended.verdict {
            Verdict::Accepted { .. } => *accepted.entry(ended.channel).or_default() |= ended.was_failing,
            Verdict::Failed(fault) if fault.disables_channel() => {
                healths.insert(ended.channel, Health::Gone { code: fault.code() });
            }
            Verdict::Failed(fault) if counts(*fault) => {
                let health = healths.entry(ended.channel).or_insert(Health::Failing { code: fault.code() });
                if let Health::Failing { code } = health {
                    *code = fault.code();
                }
            }
            Verdict::Failed(_) => {}
        }
    }
    for (channel, was_failing) in accepted {
        match healths.get(&channel) {
            Some(Health::Gone { .. }) => {}
            // It works for some messages: that is no channel that only fails.
            Some(Health::Failing { .. } | Health::Mended) => {
                healths.insert(channel, Health::Mended);
            }
            None if was_failing => {
                healths.insert(channel, Health::Mended);
            }
            None => {}
        }
    }
    healths
}

/// Writes down attempts; returns the deliveries whose attempt was still the present one. The others are stale, and nothing was changed.
///
/// # Errors
/// Only what Postgres reports; then none was written down.
pub async fn finish(conn: &mut PgConnection, ended: &[Ended]) -> Result<BTreeSet<DeliveryId>, DeliveryError> {
    let milliseconds = |ended: &Ended| i64::try_from(ended.duration.as_millis()).unwrap_or(i64::MAX);
    let attempt = |ended: &Ended| i32::try_from(ended.attempt).unwrap_or(i32::MAX);
    let written: Vec<(Uuid,)> = sqlx::query_as(include_str!("../../queries/deliveries/finish.sql"))
        .bind(ended.iter().map(|ended| ended.id.0).collect::<Vec<_>>())
        .bind(ended.iter().map(attempt).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::state).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::wait_seconds).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::message_id).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::status).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::error_code).collect::<Vec<_>>())
        .bind(ended.iter().map(Ended::may_have_arrived).collect::<Vec<_>>())
        .bind(ended.iter().map(|ended| ended.started_at).collect::<Vec<_>>())
        .bind(ended.iter().map(milliseconds).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    Ok(written.into_iter().map(|(id,)| DeliveryId(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(channel: i64, was_failing: bool, verdict: Verdict) -> Ended {
        Ended {
            id: DeliveryId(Uuid::from_u128(1)),
            org: OrgId(1),
            channel: ChannelId(channel),
            was_failing,
            attempt: 1,
            verdict,
            started_at: DateTime::UNIX_EPOCH,
            duration: Duration::ZERO,
        }
    }

    fn accepted() -> Verdict {
        Verdict::Accepted { status: Some(200), message_id: None }
    }

    fn refused() -> Verdict {
        Verdict::Failed(DeliveryFault::Refused { status: 500, asked: None })
    }

    #[test]
    fn an_attempt_leads_to_the_next_until_there_is_none() {
        let at = |attempt| Ended { attempt, ..ended(1, false, refused()) };
        assert_eq!(ended(1, false, accepted()).next(), Next::Delivered);
        assert!(matches!(at(1).next(), Next::Again(wait) if wait >= Duration::from_secs(5)));
        assert!(matches!(at(9).next(), Next::Again(wait) if wait >= Duration::from_secs(86_400)));
        assert_eq!(at(10).next(), Next::Failed);
        let gone = Verdict::Failed(DeliveryFault::Gone { status: 410 });
        assert_eq!(ended(1, false, gone).next(), Next::Failed);
    }

    #[test]
    fn a_channel_is_judged_by_all_that_is_written_down_at_once() {
        let gone = Verdict::Failed(DeliveryFault::Gone { status: 410 });
        let throttled = Verdict::Failed(DeliveryFault::Throttled { status: Some(429), asked: None });
        let failing = Health::Failing { code: "alerts.receiver_refused" };
        for (verdicts, was_failing, expected) in [
            (vec![accepted()], false, None),
            (vec![accepted()], true, Some(Health::Mended)),
            (vec![refused()], false, Some(failing)),
            (vec![refused(), refused()], true, Some(failing)),
            (vec![refused(), accepted()], false, Some(Health::Mended)),
            (vec![gone.clone(), accepted(), refused()], true, Some(Health::Gone { code: "alerts.receiver_gone" })),
            (vec![throttled], false, None),
        ] {
            let ended: Vec<_> = verdicts.iter().map(|verdict| ended(7, was_failing, verdict.clone())).collect();
            assert_eq!(healths(&ended, false).get(&ChannelId(7)), expected.as_ref(), "{verdicts:?}");
        }
    }

    #[test]
    fn only_what_a_receiver_is_to_blame_for_counts_against_its_channel() {
        let not_sent = |blame| DeliveryFault::NotSent { code: "outbound.x", blame };
        // Whether it counts, and whether it does if somebody else was reached.
        let table = [
            (DeliveryFault::Refused { status: 500, asked: None }, true, true),
            (DeliveryFault::NoAnswer, true, true),
            (DeliveryFault::AccessRefused { status: Some(200) }, true, true),
            (not_sent(Blame::Receiver), true, true),
            (not_sent(Blame::Unclear), false, true),
            (not_sent(Blame::Platform), false, false),
            (not_sent(Blame::Nobody), false, false),
            (DeliveryFault::NotPermitted { status: Some(403) }, false, false),
            (DeliveryFault::ServiceSilent, false, false),
            (DeliveryFault::ServiceFailed { status: None }, false, false),
            (DeliveryFault::Throttled { status: None, asked: None }, false, false),
            (DeliveryFault::Rejected { status: None }, false, false),
            (DeliveryFault::SenderBroke, false, false),
            (DeliveryFault::SenderLost, false, false),
        ];
        for (fault, alone, beside) in table {
            let failed = ended(7, false, Verdict::Failed(fault));
            let counts = |ended: &[Ended], was_reached| healths(ended, was_reached).contains_key(&ChannelId(7));
            assert_eq!(counts(std::slice::from_ref(&failed), false), alone, "{fault:?}");
            assert_eq!(counts(std::slice::from_ref(&failed), true), beside, "{fault:?}");
            assert_eq!(counts(&[failed, ended(8, false, accepted())], false), beside, "{fault:?}");
        }
        let of_aws = Verdict::Accepted { status: None, message_id: None };
        assert!(!of_aws.shows_network(), "a service is reached by another way than a receiver");
    }
}
