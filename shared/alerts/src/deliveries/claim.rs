//! Taking messages that are due and permitted.
//!
//! One transaction: which channels have something, their tokens (whose rows then stay locked, so that claims of one channel come one
//! after the other), the oldest messages, what is folded, and the attempts begun. How it is shared is decided by [`crate::budgets`] and
//! [`crate::digest`], which are pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId, TraceId};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::fault::DeliveryFault;
use super::{DeliveryError, DeliveryId, Kind};
use crate::budgets::{self, Bucket, Lane, ORG_PER_MINUTE, Rate, Scope, Supply, Want, split};
use crate::channels;
use crate::digest::{self, DigestContent, DigestOf, Fold, PATIENT, Plan, Waiting, plan};
use crate::message::{Message, NoticeContent};

mod content;
mod cut_off;

use content::ContentRow;

/// Messages that one claim folds at most; the others are folded by the next.
const MOST_FOLDED: i64 = 50_000;

/// What a sender has room for.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Messages that it can begin now.
    pub room: u32,
    /// Messages to one channel that it has on their way at once, once that channel has accepted something.
    pub per_channel: u32,
    /// The same until it has, and after a failure: what hangs must not take the places of the others, also before anybody knows that
    /// it hangs.
    pub per_doubtful_channel: u32,
    /// Messages of one organisation that it has on their way at once.
    pub per_org: u32,
    /// Channels that have accepted something, and failed at nothing since, as far as this sender has seen.
    pub proven: BTreeSet<ChannelId>,
    /// What is on its way already.
    pub on_the_way: BTreeMap<ChannelId, u32>,
    /// The same by organisation.
    pub on_the_way_of: BTreeMap<OrgId, u32>,
    /// How long it may take: longer than any attempt, and the writing down.
    pub lease: Duration,
    /// Rises with each claim, so that no channel is always the first.
    pub turn: usize,
}

/// A message under a lease.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The delivery.
    pub id: DeliveryId,
    /// Whose it is.
    pub org: OrgId,
    /// Where it goes.
    pub channel: ChannelId,
    /// Whether the channel has failed since it last accepted anything.
    pub is_failing: bool,
    /// What it is about.
    pub kind: Kind,
    /// 1 for the first; the fence.
    pub attempt: u32,
    /// When it was made: what the message gives as its time, for every attempt the same.
    pub created_at: DateTime<Utc>,
    /// When the block was made that it is about.
    pub block_time: Option<DateTime<Utc>>,
    /// What the provider calls the message that this one corrects.
    pub thread: Option<String>,
    /// What it says.
    pub message: Message,
    /// The cause that it follows from: the block in which its alert was found first.
    pub trace_id: Option<TraceId>,
}

/// What a claim came to.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// To be sent.
    pub messages: Vec<Claimed>,
    /// Rows that cannot be read; they have failed for good.
    pub unreadable: Vec<(DeliveryId, String)>,
    /// Messages that went into a digest.
    pub folded: u64,
    /// Messages that were cancelled: their channel is not active, or there is nothing to correct.
    pub cancelled: u64,
}

#[derive(sqlx::FromRow)]
struct DueLane {
    channel_id: i64,
    again: bool,
    org_id: i64,
    per_minute: i32,
    is_failing: bool,
    is_active: bool,
    is_deleted: bool,
    is_unconfirmed: bool,
}

impl DueLane {
    fn want(&self) -> Want {
        Want { org: OrgId(self.org_id), channel: ChannelId(self.channel_id), lane: Lane::of(self.again), messages: 0 }
    }
}

#[derive(sqlx::FromRow)]
struct WaitingRow {
    id: Uuid,
    channel_id: i64,
    again: bool,
    kind: String,
    is_untried: bool,
    is_moot: bool,
}

/// Takes what is due, as far as tokens and `capacity` permit.
///
/// # Errors
/// What Postgres reports; then nothing was taken.
pub async fn claim(conn: &mut PgConnection, capacity: &Capacity) -> Result<Claim, DeliveryError> {
    let mut claim = Claim::default();
    if capacity.room == 0 {
        return Ok(claim);
    }
    let mut db_tx = conn.begin().await?;
    let asked = sqlx::query_as(include_str!("../../queries/deliveries/due.sql"));
    let due: Vec<DueLane> =
        asked.bind(capacity.full_channels()).bind(capacity.full_orgs()).fetch_all(&mut *db_tx).await?;
    let cut_off = cut_off::channels(&mut db_tx, &due).await?;
    claim.cancelled += cut_off.cancelled;
    let is_open = |lane: &DueLane| {
        lane.is_active && !lane.is_deleted && !cut_off.unfinished.contains(&(lane.channel_id, lane.again))
    };
    let mut lanes: Vec<DueLane> = due.into_iter().filter(is_open).collect();
    // Nothing more can go there now, so nothing is looked up for them.
    lanes.retain(|lane| capacity.places(lane) > 0 && capacity.places_of(OrgId(lane.org_id)) > 0);
    if lanes.is_empty() {
        db_tx.commit().await?;
        return Ok(claim);
    }
    let supply = Supply {
        tokens: budgets::refill(&mut db_tx, &rates(&lanes)).await?,
        places: lanes.iter().map(|lane| (ChannelId(lane.channel_id), capacity.places(lane))).collect(),
        org_places: lanes.iter().map(|lane| (OrgId(lane.org_id), capacity.places_of(OrgId(lane.org_id)))).collect(),
        room: capacity.room,
    };
    let mut waiting = waiting(&mut db_tx, &lanes, &supply).await?;
    claim.cancelled += cut_off::moot(&mut db_tx, &mut waiting).await?;
    let wants: Vec<Want> = lanes.iter().map(|lane| with_count(lane, &waiting.by_lane)).collect();
    let granted = split(&wants, supply.clone(), capacity.turn);
    let (mut send, mut spent) = (Vec::new(), BTreeMap::<Bucket, u32>::new());
    for (want, granted) in wants.iter().zip(granted) {
        let of_lane = waiting.by_lane.get(&(want.channel, want.lane)).map_or(&[][..], Vec::as_slice);
        let tokens = supply.tokens_for(want);
        let plan = plan(of_lane, count(granted), count(tokens));
        claim.folded += fold(&mut db_tx, want, &plan, of_lane, count(tokens)).await?;
        for scope in [Scope::Org(want.org), Scope::Channel(want.channel)] {
            *spent.entry((scope, want.lane)).or_default() += granted;
        }
        send.extend(plan.send);
    }
    begin(&mut db_tx, &send, capacity.lease, &mut claim).await?;
    spent.retain(|_, tokens| *tokens > 0);
    if !spent.is_empty() {
        budgets::spend(&mut db_tx, &spent).await?;
    }
    db_tx.commit().await?;
    let failing: BTreeSet<i64> = lanes.iter().filter(|lane| lane.is_failing).map(|lane| lane.channel_id).collect();
    for message in &mut claim.messages {
        message.is_failing = failing.contains(&message.channel.0);
    }
    Ok(claim)
}

impl Capacity {
    /// Messages that may be on their way to `channel` at once.
    fn most_to(&self, channel: ChannelId, is_failing: bool) -> u32 {
        let is_doubtful = is_failing || !self.proven.contains(&channel);
        if is_doubtful { self.per_doubtful_channel } else { self.per_channel }
    }

    fn places(&self, lane: &DueLane) -> u32 {
        let channel = ChannelId(lane.channel_id);
        let most = self.most_to(channel, lane.is_failing);
        most.saturating_sub(self.on_the_way.get(&channel).copied().unwrap_or(0))
    }

    /// Channels without a place, as far as is known without looking at them: dozens may hang for as long as an attempt may take, and
    /// meanwhile each claim would ask for their messages in vain.
    fn full_channels(&self) -> Vec<i64> {
        let is_full = |(channel, count): &(&ChannelId, &u32)| **count >= self.most_to(**channel, false);
        self.on_the_way.iter().filter(is_full).map(|(channel, _)| channel.0).collect()
    }

    /// Organisations without a place.
    fn full_orgs(&self) -> Vec<i64> {
        self.on_the_way_of.iter().filter(|(_, count)| **count >= self.per_org).map(|(org, _)| org.0).collect()
    }

    fn places_of(&self, org: OrgId) -> u32 {
        self.per_org.saturating_sub(self.on_the_way_of.get(&org).copied().unwrap_or(0))
    }
}

/// The buckets of all lanes, and of their organisations.
fn rates(lanes: &[DueLane]) -> BTreeMap<Bucket, Rate> {
    let mut rates = BTreeMap::new();
    for due in lanes {
        let want = due.want();
        // A column check keeps it at one or more.
        let limit = u32::try_from(due.per_minute).unwrap_or(1);
        rates.insert((Scope::Channel(want.channel), want.lane), Rate::in_lane(limit, want.lane));
        rates.insert((Scope::Org(want.org), want.lane), Rate::in_lane(ORG_PER_MINUTE, want.lane));
    }
    rates
}

type ByLane = BTreeMap<(ChannelId, Lane), Vec<Waiting>>;

/// The oldest messages of each lane: as many as may go; where tokens are short, enough to see whether the others are to be folded.
async fn waiting(conn: &mut PgConnection, lanes: &[DueLane], supply: &Supply) -> Result<MootAndWaiting, DeliveryError> {
    let most = |due: &DueLane| {
        let want = due.want();
        let (tokens, places) =
            (supply.tokens_for(&want), supply.places.get(&want.channel).copied().unwrap_or(0).min(supply.room));
        if tokens < places { i64::from(tokens) + i64::try_from(PATIENT).unwrap_or(0) + 1 } else { i64::from(places) }
    };
    let rows: Vec<WaitingRow> = sqlx::query_as(include_str!("../../queries/deliveries/waiting.sql"))
        .bind(lanes.iter().map(|due| due.channel_id).collect::<Vec<_>>())
        .bind(lanes.iter().map(|due| due.again).collect::<Vec<_>>())
        .bind(lanes.iter().map(most).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let mut found = MootAndWaiting::default();
    for row in rows {
        let id = DeliveryId(row.id);
        if row.is_moot {
            found.moot.push(id);
            continue;
        }
        let kind = Kind::of_word(id, &row.kind)?;
        found.by_lane.entry((ChannelId(row.channel_id), Lane::of(row.again))).or_default().push(Waiting {
            id,
            is_foldable: row.is_untried && kind.is_foldable(),
            is_open_digest: row.is_untried && kind == Kind::Digest,
        });
    }
    Ok(found)
}

/// What was read of the lanes.
#[derive(Default)]
struct MootAndWaiting {
    by_lane: ByLane,
    /// Corrections of what never got there.
    moot: Vec<DeliveryId>,
}

fn with_count(due: &DueLane, waiting: &ByLane) -> Want {
    let want = due.want();
    let messages = waiting.get(&(want.channel, want.lane)).map_or(0, Vec::len);
    Want { messages: u32::try_from(messages).unwrap_or(u32::MAX), ..want }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Folds what the plan folds; returns how many messages that were.
async fn fold(
    conn: &mut PgConnection,
    want: &Want,
    plan: &Plan,
    of_lane: &[Waiting],
    tokens: usize,
) -> Result<u64, DeliveryError> {
    let digest = match plan.fold {
        None => return Ok(0),
        Some(Fold::Into(digest)) => digest,
        Some(Fold::New) => open_digest(conn, want).await?,
    };
    let mut spared: Vec<Uuid> = plan.send.iter().map(|id| id.0).collect();
    spared.extend(of_lane.iter().take(tokens).map(|waiting| waiting.id.0));
    let folded = sqlx::query(include_str!("../../queries/deliveries/fold.sql"))
        .bind(digest.0)
        .bind(want.channel.0)
        .bind(want.lane.is_again())
        .bind(spared)
        .bind(MOST_FOLDED)
        .execute(conn)
        .await?;
    Ok(folded.rows_affected())
}

/// The digest of a lane that takes in more; a new one if there is none.
async fn open_digest(conn: &mut PgConnection, want: &Want) -> Result<DeliveryId, DeliveryError> {
    let open: Option<(Uuid,)> = sqlx::query_as(
        "SELECT id FROM alerts.deliveries
          WHERE channel_id = $1 AND again = $2 AND state = 'queued' AND kind = 'digest' AND attempts = 0
          ORDER BY not_before LIMIT 1 FOR UPDATE",
    )
    .bind(want.channel.0)
    .bind(want.lane.is_again())
    .fetch_optional(&mut *conn)
    .await?;
    if let Some((open,)) = open {
        return Ok(DeliveryId(open));
    }
    let id = DeliveryId(Uuid::new_v4());
    let content = DigestContent { of: DigestOf::in_lane(want.lane), count: None, groups: Vec::new() };
    let content = serde_json::to_value(content).map_err(|source| DeliveryError::BadContent { id, source })?;
    sqlx::query(
        "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content) VALUES ($1, $2, $3, 'digest', $4)",
    )
    .bind(id.0)
    .bind(want.org.0)
    .bind(want.channel.0)
    .bind(content)
    .execute(conn)
    .await?;
    Ok(id)
}

/// Begins an attempt at each of `send`, and reads what it says.
async fn begin(
    conn: &mut PgConnection,
    send: &[DeliveryId],
    lease: Duration,
    claim: &mut Claim,
) -> Result<(), DeliveryError> {
    if send.is_empty() {
        return Ok(());
    }
    let rows: Vec<ContentRow> = sqlx::query_as(include_str!("../../queries/deliveries/claim.sql"))
        .bind(send.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(lease.as_secs_f64())
        .fetch_all(&mut *conn)
        .await?;
    for row in rows {
        let id = row.id();
        match row.into_claimed() {
            Ok(mut claimed) => match complete(conn, &mut claimed).await? {
                Some(fault) => claim.cancelled += cut_off::begun(conn, id, fault).await?,
                None => claim.messages.push(claimed),
            },
            // One bad row must not keep the others back.
            Err(error) => {
                cut_off::unreadable(conn, id, &error).await?;
                claim.unreadable.push((id, isotherm_types::disposition::error_chain(&error)));
            }
        }
    }
    Ok(())
}

/// Puts into a message what no row has: what a digest stands for, and a code. Returns why it is not sent, if it has nothing to say.
async fn complete(conn: &mut PgConnection, claimed: &mut Claimed) -> Result<Option<DeliveryFault>, DeliveryError> {
    let (id, attempt) = (claimed.id, claimed.attempt);
    match &mut claimed.message {
        Message::Digest { content, .. } => {
            *content = close(conn, id, content.of, attempt).await?;
            Ok((content.count == Some(0)).then_some(DeliveryFault::NothingToCorrect))
        }
        Message::Notice(NoticeContent::ChannelCode { code, .. }) => {
            *code = channels::issue(conn, id).await?;
            Ok(code.is_none().then_some(DeliveryFault::CodeVoid))
        }
        Message::Alert(_)
        | Message::Test(_)
        | Message::Notice(NoticeContent::ChannelDisabled { .. } | NoticeContent::RuleQuarantined { .. }) => Ok(None),
    }
}

/// What a digest says from now on: nothing is folded into one that was tried.
async fn close(
    conn: &mut PgConnection,
    id: DeliveryId,
    of: DigestOf,
    attempt: u32,
) -> Result<DigestContent, DeliveryError> {
    let content = digest::read(conn, id, of).await?;
    if attempt == 1 {
        let stored = serde_json::to_value(&content).map_err(|source| DeliveryError::BadContent { id, source })?;
        let update = sqlx::query("UPDATE alerts.deliveries SET content = $2 WHERE id = $1").bind(id.0).bind(stored);
        update.execute(conn).await?;
    }
    Ok(content)
}
