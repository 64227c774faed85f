//! How many messages may go: token buckets in Postgres that all senders share. Table `alerts.budgets`.
//!
//! A message takes one token of its channel and one of its organisation, from the lane that it is in. Buckets are refilled and spent in
//! one transaction that holds their rows, so what is granted never exceeds them, however many ask at once. How a shortage is shared is
//! decided by [`split`], which is pure.

use std::collections::{BTreeMap, VecDeque};

use isotherm_types::{ChannelId, OrgId};
use sqlx::PgConnection;

/// What an organisation may send in a minute, in each lane, unless its rows say something else.
pub const ORG_PER_MINUTE: u32 = 1_200;

/// Which share of a limit a message takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Messages about new alerts, digests of them, tests and notices.
    First,
    /// Retries, corrections and digests of those.
    Again,
}

impl Lane {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
        }
    }

    /// The lane of a delivery, by its column `again`.
    pub fn of(again: bool) -> Self {
        if again { Self::Again } else { Self::First }
    }

    /// Its value of the column `again`.
    pub fn is_again(self) -> bool {
        self == Self::Again
    }
}

/// Whose bucket it is. Organisations come first, in which order rows are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All channels of an organisation.
    Org(OrgId),
    /// One channel.
    Channel(ChannelId),
}

/// One bucket.
pub type Bucket = (Scope, Lane);

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a minute.
    pub per_minute: f64,
    /// Tokens at most.
    pub burst: f64,
}

impl Rate {
    /// The bucket that lets at most `limit` messages through in **any** 60 s: a quarter of them may go at once, and it refills with the
    /// others, so that burst and refill of a minute are the limit together.
    pub fn of(limit: u32) -> Self {
        let burst = (limit / 4).max(1);
        // Below one a minute for a limit of one: the second message must come later than 60 s after the first.
        let per_minute = f64::from(limit.saturating_sub(burst)).max(0.9);
        Self { per_minute, burst: f64::from(burst) }
    }

    /// The bucket of a lane: retries and corrections have half as much, on top.
    pub fn in_lane(limit: u32, lane: Lane) -> Self {
        match lane {
            Lane::First => Self::of(limit),
            Lane::Again => Self::of((limit / 2).max(1)),
        }
    }
}

/// Messages of one channel and lane that could go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The organisation.
    pub org: OrgId,
    /// The channel.
    pub channel: ChannelId,
    /// The lane.
    pub lane: Lane,
    /// How many there are.
    pub messages: u32,
}

/// What there is to share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// Whole tokens of each bucket; one that is not there has none.
    pub tokens: BTreeMap<Bucket, u32>,
    /// How many more messages to each channel may be on their way at once; a channel that is not there has no room.
    pub places: BTreeMap<ChannelId, u32>,
    /// The same of each organisation, over all its channels.
    pub org_places: BTreeMap<OrgId, u32>,
    /// How many more messages may be on their way in all.
    pub room: u32,
}

impl Supply {
    /// Tokens that messages of `want` may take, of channel and organisation.
    pub fn tokens_for(&self, want: &Want) -> u32 {
        let of = |scope| self.tokens.get(&(scope, want.lane)).copied().unwrap_or(0);
        of(Scope::Channel(want.channel)).min(of(Scope::Org(want.org)))
    }

    fn take_one(&mut self, want: &Want) -> bool {
        let places = self.places.get(&want.channel).copied().unwrap_or(0);
        let org_places = self.org_places.get(&want.org).copied().unwrap_or(0);
        if self.room == 0 || places == 0 || org_places == 0 || self.tokens_for(want) == 0 {
            return false;
        }
        self.room -= 1;
        self.places.insert(want.channel, places - 1);
        self.org_places.insert(want.org, org_places - 1);
        for scope in [Scope::Channel(want.channel), Scope::Org(want.org)] {
            self.tokens.entry((scope, want.lane)).and_modify(|tokens| *tokens -= 1);
        }
        true
    }
}

/// How many messages of each want may go: one of each organisation in turn, from its channels and lanes in turn, beginning with the want
/// at `turn`, until nobody can have another. So an organisation's share does not grow with its channels.
///
/// Invariant: no bucket, channel, organisation or room is overdrawn, and nothing is held back that all of them would let through.
pub fn split(wants: &[Want], mut supply: Supply, turn: usize) -> Vec<u32> {
    let mut granted = vec![0; wants.len()];
    let mut orgs: Vec<(OrgId, VecDeque<usize>)> = Vec::new();
    for i in (0..wants.len()).map(|i| (i + turn) % wants.len()) {
        let org = wants[i].org;
        match orgs.iter_mut().find(|(known, _)| *known == org) {
            Some((_, open)) => open.push_back(i),
            None => orgs.push((org, VecDeque::from([i]))),
        }
    }
    while !orgs.is_empty() {
        orgs.retain_mut(|(_, open)| {
            while let Some(i) = open.pop_front() {
                // What was refused once is refused for good: there is never more to share.
                if granted[i] < wants[i].messages && supply.take_one(&wants[i]) {
                    granted[i] += 1;
                    open.push_back(i);
                    return true;
                }
            }
            false
        });
    }
    granted
}

/// Refills buckets and returns their whole tokens; others who ask for one of them wait until the caller's transaction ends.
///
/// # Errors
/// Only what Postgres reports.
pub async fn refill(conn: &mut PgConnection, rates: &BTreeMap<Bucket, Rate>) -> sqlx::Result<BTreeMap<Bucket, u32>> {
    let (words, ids) = keys(rates.keys());
    let rows: Vec<(String, i64, String, i64)> = sqlx::query_as(include_str!("../queries/budgets/refill.sql"))
        .bind(words)
        .bind(ids)
        .bind(lanes(rates.keys()))
        .bind(rates.values().map(|rate| rate.per_minute).collect::<Vec<_>>())
        .bind(rates.values().map(|rate| rate.burst).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let bucket = |(scope, id, lane, tokens): (String, i64, String, i64)| {
        let scope = if scope == "org" { Scope::Org(OrgId(id)) } else { Scope::Channel(ChannelId(id)) };
        ((scope, Lane::of(lane == "again")), u32::try_from(tokens).unwrap_or(0))
    };
    Ok(rows.into_iter().map(bucket).collect())
}

/// Takes tokens that [`refill`] has found, in the same transaction.
///
/// # Errors
/// What Postgres reports, and that a bucket has fewer tokens: a mistake of the caller.
pub async fn spend(conn: &mut PgConnection, spent: &BTreeMap<Bucket, u32>) -> sqlx::Result<()> {
    let (words, ids) = keys(spent.keys());
    sqlx::query(
        "UPDATE alerts.budgets b SET tokens = b.tokens - s.spent
           FROM unnest($1::text[], $2::bigint[], $3::text[], $4::double precision[]) AS s (scope, scope_id, lane, spent)
          WHERE b.scope = s.scope AND b.scope_id = s.scope_id AND b.lane = s.lane",
    )
    .bind(words)
    .bind(ids)
    .bind(lanes(spent.keys()))
    .bind(spent.values().copied().map(f64::from).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

fn keys<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> (Vec<&'static str>, Vec<i64>) {
    buckets
        .map(|(scope, _)| match scope {
            Scope::Org(org) => ("org", org.0),
            Scope::Channel(channel) => ("channel", channel.0),
        })
        .unzip()
}

fn lanes<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> Vec<&'static str> {
    buckets.map(|(_, lane)| lane.as_str()).collect()
}

#[cfg(test)]
mod tests;
