//! One message in the place of many: what a channel's limit holds back is folded into a digest, which says how many there are.
//!
//! The plan is pure. A digest that nobody has tried to send takes in what comes after it; one that was tried never changes again, as its
//! id stands for what its receiver may have got. Nothing is dropped: what is folded is in the ledger, and leads to its digest.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::budgets::Lane;
use crate::deliveries::DeliveryId;

/// So many messages wait for tokens one by one; if there are more, they are folded.
pub const PATIENT: usize = 5;
/// Groups that a digest names; the others are counted only.
const MOST_GROUPS: usize = 20;

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The delivery.
    pub id: DeliveryId,
    /// Whether it may be folded: about an alert, and never tried.
    pub is_foldable: bool,
    /// Whether it is a digest that takes in more.
    pub is_open_digest: bool,
}

/// What becomes of the messages that wait for one channel in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// These are sent.
    pub send: Vec<DeliveryId>,
    /// Where the others go, but for the first that tokens would let through; `None`: they wait.
    pub fold: Option<Fold>,
}

/// Where messages are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Into a digest that waits already.
    Into(DeliveryId),
    /// Into a new one.
    New,
}

/// Plans for `waiting`, oldest first, of which `granted` are sent now and `tokens` would let that many through. To see that there is
/// more than is waited for one by one, `tokens` and [`PATIENT`] + 1 of them are enough.
///
/// Invariant: what is sent is not folded, and a message that has a token is neither folded.
pub fn plan(waiting: &[Waiting], granted: usize, tokens: usize) -> Plan {
    let (sent, kept) = waiting.split_at(granted.min(waiting.len()));
    let send = sent.iter().map(|waiting| waiting.id).collect();
    let beyond = waiting.iter().skip(tokens.max(granted)).filter(|waiting| waiting.is_foldable).count();
    let open = kept.iter().find(|waiting| waiting.is_open_digest);
    let fold = match open {
        Some(open) if beyond > 0 => Some(Fold::Into(open.id)),
        Some(_) => None,
        None if beyond > PATIENT => Some(Fold::New),
        None => None,
    };
    Plan { send, fold }
}

/// What a digest says, as it is stored with its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestContent {
    /// What it is made of.
    pub of: DigestOf,
    /// Messages that it stands for; absent while it takes in more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The largest groups of them.
    #[serde(default)]
    pub groups: Vec<DigestGroup>,
}

/// What a digest is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestOf {
    /// New alerts.
    Alerts,
    /// Corrections of alerts.
    Corrections,
}

impl DigestOf {
    /// What is folded in a lane.
    pub fn in_lane(lane: Lane) -> Self {
        match lane {
            Lane::First => Self::Alerts,
            Lane::Again => Self::Corrections,
        }
    }
}

/// Messages of one kind about one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct DigestGroup {
    /// Name of the rule.
    pub rule: String,
    /// Name of its chain.
    pub chain: String,
    /// `fired`, `retracted` or `moved`.
    pub kind: String,
    /// The rule's severity.
    pub severity: String,
    /// How many there are.
    pub count: i64,
    /// The lowest block that one of them is about.
    pub first_block: i64,
    /// The highest.
    pub last_block: i64,
}

/// Counts what is folded into `digest`, largest groups first.
///
/// # Errors
/// Only what Postgres reports.
pub async fn read(conn: &mut PgConnection, digest: DeliveryId, of: DigestOf) -> sqlx::Result<DigestContent> {
    let mut groups: Vec<DigestGroup> =
        sqlx::query_as(include_str!("../queries/deliveries/digest.sql")).bind(digest.0).fetch_all(conn).await?;
    let count = groups.iter().map(|group| group.count.unsigned_abs()).sum();
    groups.truncate(MOST_GROUPS);
    Ok(DigestContent { of, count: Some(count), groups })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn alert(id: usize) -> Waiting {
        Waiting { id: number(id), is_foldable: true, is_open_digest: false }
    }

    fn number(id: usize) -> DeliveryId {
        DeliveryId(Uuid::from_u128(u128::try_from(id).unwrap()))
    }

    fn alerts(count: usize) -> Vec<Waiting> {
        (0..count).map(alert).collect()
    }

    const DIGEST: DeliveryId = DeliveryId(Uuid::from_u128(1 << 100));

    #[test]
    fn a_few_wait_and_more_are_folded() {
        assert_eq!(plan(&alerts(7), 2, 2), Plan { send: vec![number(0), number(1)], fold: None });
        assert_eq!(plan(&alerts(8), 2, 2), Plan { send: vec![number(0), number(1)], fold: Some(Fold::New) });
        assert_eq!(plan(&alerts(6), 0, 0).fold, Some(Fold::New));
        assert_eq!(plan(&[], 0, 9), Plan { send: Vec::new(), fold: None });
    }

    #[test]
    fn what_tokens_would_let_through_is_not_folded_for_want_of_places() {
        assert_eq!(plan(&alerts(20), 2, 20).fold, None);
        assert_eq!(plan(&alerts(20), 2, 14).fold, Some(Fold::New), "six are beyond the tokens");
    }

    #[test]
    fn a_digest_that_waits_takes_in_even_one_and_one_that_goes_does_not() {
        let digest = Waiting { id: DIGEST, is_foldable: false, is_open_digest: true };
        let waiting = [&[digest], &alerts(1)[..]].concat();
        assert_eq!(plan(&waiting, 0, 0).fold, Some(Fold::Into(DIGEST)));
        assert_eq!(plan(&waiting, 1, 1), Plan { send: vec![DIGEST], fold: None });
        let many = [&[digest], &alerts(9)[..]].concat();
        assert_eq!(plan(&many, 1, 1), Plan { send: vec![DIGEST], fold: Some(Fold::New) });
        assert_eq!(plan(&[digest], 0, 0).fold, None, "there is nothing to take in");
    }

    proptest! {
        #[test]
        fn as_many_are_sent_as_were_granted_oldest_first(count in 0usize..40, granted in 0usize..40, more in 0usize..40) {
            let waiting = alerts(count);
            let plan = plan(&waiting, granted, granted + more);
            prop_assert_eq!(&plan.send, &waiting.iter().take(granted).map(|waiting| waiting.id).collect::<Vec<_>>());
            prop_assert_eq!(plan.fold.is_some(), count.saturating_sub(granted + more) > PATIENT);
        }
    }
}
