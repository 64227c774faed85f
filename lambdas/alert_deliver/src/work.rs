//! Claiming, sending and writing down, until nothing is due or the time is over.
//!
//! Messages are sent by tasks of their own, so that a statement of the database holds none of them up, and written down in batches. What
//! is on its way when the time is over is waited for; what is lost with the process goes back when its lease is over.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use isotherm_alerts::deliveries::finish::healths;
use isotherm_alerts::deliveries::{
    self, Blame, Capacity, Claim, Claimed, DeliveryError, DeliveryFault, DeliveryId, Ended, Kind, Verdict, health,
};
use isotherm_alerts::seal::Keyring;
use isotherm_platform::database::{self, ask};
use isotherm_platform::{Fault, metrics};
use isotherm_types::{ChannelId, Classified, CrashPoint, OrgId, TraceId};
use serde::Serialize;
use sqlx::Connection;
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use crate::addresses::Opened;
use crate::senders::now;
use crate::{Deliverer, report};

/// How long it is waited before the database is asked again, while something else is on its way or about to be due.
const NAP: Duration = Duration::from_millis(250);
/// How long ends of attempts are gathered before they are written down.
const GATHER: Duration = Duration::from_millis(10);
/// How often ends of attempts are tried to be written down.
const WRITES: u32 = 3;

/// What an invocation has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Worked {
    /// Attempts.
    pub attempts: u64,
    /// Messages that were accepted.
    pub delivered: u64,
    /// Messages that will not be tried again.
    pub failed: u64,
    /// Messages that went into a digest.
    pub folded: u64,
    /// Messages that were cancelled.
    pub cancelled: u64,
    /// Messages whose sender was lost.
    pub taken_back: u64,
    /// Attempts that were not the present ones any more when they were written down.
    pub stale: u64,
}

/// One invocation.
struct Work<'a> {
    deliverer: &'a Deliverer,
    ring: Keyring,
    sending: JoinSet<Ended>,
    on_the_way: BTreeMap<ChannelId, u32>,
    on_the_way_of: BTreeMap<OrgId, u32>,
    /// Channels that have accepted something, and failed at nothing since.
    proven: BTreeSet<ChannelId>,
    /// When the blocks were made that first messages are about.
    block_times: BTreeMap<DeliveryId, chrono::DateTime<chrono::Utc>>,
    /// Whether somebody outside has answered in this invocation: our network leads there.
    was_reached: bool,
    /// What messages that are on their way follow from.
    traces: BTreeMap<DeliveryId, TraceId>,
    turn: usize,
    worked: Worked,
}

impl Deliverer {
    /// Sends what is due, as far as limits and time permit.
    ///
    /// # Errors
    /// What the database or the secret reports; what was on its way is written down all the same, as far as it can be.
    pub async fn work(&self) -> Result<Worked, Fault> {
        let began = Instant::now();
        let mut work = Work {
            deliverer: self,
            // Before anything is claimed: without it nothing could be sent.
            ring: self.keyring().await?,
            sending: JoinSet::new(),
            on_the_way: BTreeMap::new(),
            on_the_way_of: BTreeMap::new(),
            proven: BTreeSet::new(),
            block_times: BTreeMap::new(),
            was_reached: false,
            traces: BTreeMap::new(),
            turn: 0,
            worked: Worked::default(),
        };
        let mut fault = work.take_back().await.err();
        let mut idle_since = Instant::now();
        loop {
            let has_time = fault.is_none() && began.elapsed() < self.limits.working;
            if has_time {
                match work.begin().await {
                    Ok(0) => {}
                    Ok(_begun) => idle_since = Instant::now(),
                    Err(error) => fault = Some(error),
                }
            }
            if work.sending.is_empty() {
                let lingers = has_time && fault.is_none() && idle_since.elapsed() < self.limits.linger;
                if !lingers || !work.is_more_due().await? {
                    break;
                }
                tokio::time::sleep(NAP).await;
                continue;
            }
            let ended = work.gather().await;
            if let Err(error) = work.write_down(ended).await {
                fault.get_or_insert(error);
            }
        }
        let worked = work.worked;
        tracing::info!(
            attempt.count = worked.attempts,
            delivery.delivered = worked.delivered,
            delivery.failed = worked.failed,
            delivery.folded = worked.folded,
            delivery.cancelled = worked.cancelled,
            delivery.taken_back = worked.taken_back,
            duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "messages were sent"
        );
        fault.map_or(Ok(worked), Err)
    }
}

impl Work<'_> {
    async fn take_back(&mut self) -> Result<(), Fault> {
        let lease = self.deliverer.limits.lease;
        let asked = ask(&self.deliverer.pool, async |conn| deliveries::take_back(conn, lease).await).await;
        self.worked.taken_back = asked.map_err(DeliveryError::from)??;
        if self.worked.taken_back > 0 {
            tracing::warn!(delivery.count = self.worked.taken_back, "senders were lost; their messages are sent again");
        }
        Ok(())
    }

    async fn is_more_due(&self) -> Result<bool, Fault> {
        let linger = self.deliverer.limits.linger;
        let asked = ask(&self.deliverer.pool, async |conn| deliveries::is_due_within(conn, linger).await).await;
        Ok(asked.map_err(DeliveryError::from)??)
    }

    /// Begins as much as there is room for; returns how many messages that were.
    async fn begin(&mut self) -> Result<usize, Fault> {
        let limits = self.deliverer.limits;
        let on_the_way = u32::try_from(self.sending.len()).unwrap_or(u32::MAX);
        let capacity = Capacity {
            room: limits.concurrent.saturating_sub(on_the_way),
            per_channel: limits.per_channel,
            per_doubtful_channel: limits.per_doubtful_channel,
            per_org: limits.per_org,
            proven: self.proven.clone(),
            on_the_way: self.on_the_way.clone(),
            on_the_way_of: self.on_the_way_of.clone(),
            lease: limits.lease,
            turn: self.turn,
        };
        if capacity.room == 0 {
            return Ok(0);
        }
        self.turn = self.turn.wrapping_add(1);
        let asked = ask(&self.deliverer.pool, async |conn| deliveries::claim(conn, &capacity).await).await;
        let claim = asked.map_err(DeliveryError::from)??;
        self.worked.folded += claim.folded;
        self.worked.cancelled += claim.cancelled;
        for (id, problem) in &claim.unreadable {
            tracing::error!(delivery.id = %id.0, error.message = problem.as_str(), "a message cannot be read and will not be sent");
        }
        if !claim.messages.is_empty() {
            CrashPoint::DeliverClaimed.pass();
        }
        self.send(claim).await
    }

    async fn send(&mut self, claim: Claim) -> Result<usize, Fault> {
        let channels: BTreeSet<ChannelId> = claim.messages.iter().map(|claimed| claimed.channel).collect();
        if channels.is_empty() {
            return Ok(0);
        }
        let addresses = self.deliverer.addresses(&self.ring, channels).await?;
        let begun = claim.messages.len();
        for claimed in claim.messages {
            *self.on_the_way.entry(claimed.channel).or_default() += 1;
            *self.on_the_way_of.entry(claimed.org).or_default() += 1;
            if let (Kind::Fired, 1, Some(at)) = (claimed.kind, claimed.attempt, claimed.block_time) {
                self.block_times.insert(claimed.id, at);
            }
            if let Some(trace_id) = claimed.trace_id {
                self.traces.insert(claimed.id, trace_id);
            }
            let address = addresses.get(&claimed.channel).cloned().unwrap_or(Opened::Absent);
            self.sending.spawn(attempt(Arc::clone(&self.deliverer.senders), claimed, address));
        }
        Ok(begun)
    }

    /// Waits for an attempt to end, and for those that end with it; returns early if none does.
    async fn gather(&mut self) -> Vec<Ended> {
        let Ok(Some(first)) = timeout(NAP, self.sending.join_next()).await else { return Vec::new() };
        // An attempt catches its own panics, and nobody aborts it.
        let mut ended: Vec<Ended> = first.into_iter().collect();
        let deadline = tokio::time::Instant::now() + GATHER;
        while let Ok(Some(joined)) = timeout_at(deadline, self.sending.join_next()).await {
            ended.extend(joined);
        }
        for attempt in &ended {
            self.was_reached |= attempt.verdict.shows_network();
            if let Some(count) = self.on_the_way.get_mut(&attempt.channel) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = self.on_the_way_of.get_mut(&attempt.org) {
                *count = count.saturating_sub(1);
            }
            match &attempt.verdict {
                Verdict::Accepted { .. } => self.proven.insert(attempt.channel),
                Verdict::Failed(_) => self.proven.remove(&attempt.channel),
            };
        }
        ended
    }

    async fn write_down(&mut self, ended: Vec<Ended>) -> Result<(), Fault> {
        if ended.is_empty() {
            return Ok(());
        }
        CrashPoint::DeliverSent.pass();
        let mut tries = 0;
        let written = loop {
            tries += 1;
            match self.try_to_write_down(&ended).await {
                Ok(written) => break written,
                Err(fault) if tries < WRITES => {
                    report(&fault, "attempts could not be written down; it is tried again");
                    tokio::time::sleep(NAP).await;
                }
                Err(fault) => return Err(fault),
            }
        };
        CrashPoint::DeliverWritten.pass();
        self.count(&ended, &written);
        Ok(())
    }

    /// Writes attempts down, and how their channels do, in one transaction.
    async fn try_to_write_down(&self, ended: &[Ended]) -> Result<BTreeSet<DeliveryId>, Fault> {
        let writing = async {
            let mut conn = database::borrow(&self.deliverer.pool).await?;
            let mut db_tx = conn.begin().await?;
            let written = deliveries::finish(&mut db_tx, ended).await?;
            let told = ended.iter().filter(|ended| written.contains(&ended.id));
            let disabled = health::note(&mut db_tx, &healths(told, self.was_reached)).await?;
            db_tx.commit().await?;
            conn.give_back();
            Ok::<_, DeliveryError>((written, disabled))
        };
        let (written, disabled) = database::answered_within(database::PATIENCE, writing).await?;
        for channel in disabled {
            tracing::warn!(channel.id = channel.0, "a channel was disabled, because it only fails or is gone");
        }
        Ok(written)
    }

    fn count(&mut self, ended: &[Ended], written: &BTreeSet<DeliveryId>) {
        let mut lag: Option<f64> = None;
        for attempt in ended {
            let block_time = self.block_times.remove(&attempt.id);
            let trace_id = self.traces.remove(&attempt.id).map(String::from);
            let trace_id = trace_id.as_deref();
            self.worked.attempts += 1;
            if !written.contains(&attempt.id) {
                self.worked.stale += 1;
                continue;
            }
            match attempt.next() {
                deliveries::finish::Next::Delivered => {
                    self.worked.delivered += 1;
                    tracing::info!(
                        delivery.id = %attempt.id.0,
                        channel.id = attempt.channel.0,
                        attempt.number = attempt.attempt,
                        trace.id = trace_id,
                        "a message was delivered"
                    );
                    let age = block_time.and_then(|at| (now() - at).to_std().ok()).map(|age| age.as_secs_f64());
                    lag = lag.into_iter().chain(age).reduce(f64::max);
                }
                deliveries::finish::Next::Failed => self.worked.failed += 1,
                deliveries::finish::Next::Again(_) => {}
            }
            match &attempt.verdict {
                Verdict::Failed(fault) if fault.blame() == Blame::Platform => tracing::error!(
                    delivery.id = %attempt.id.0,
                    channel.id = attempt.channel.0,
                    attempt.number = attempt.attempt,
                    error.code = fault.code(),
                    "a message could not be sent, and its receiver is not to blame"
                ),
                Verdict::Failed(fault) => tracing::warn!(
                    delivery.id = %attempt.id.0,
                    channel.id = attempt.channel.0,
                    attempt.number = attempt.attempt,
                    trace.id = trace_id,
                    error.code = fault.code(),
                    "a message was not accepted"
                ),
                Verdict::Accepted { .. } => {}
            }
        }
        // The slowest of a batch stands for it: there may be thousands a second.
        if let Some(lag) = lag {
            metrics::emit(metrics::ALERT_DELIVERY_LAG_SECONDS, lag, &[]);
        }
    }
}

/// One attempt. A panic is its own failure: the others of the invocation go on.
async fn attempt(senders: Arc<crate::Senders>, claimed: Claimed, address: Opened) -> Ended {
    let (started_at, began) = (now(), Instant::now());
    let sending = async {
        match &address {
            Opened::Address(address) => senders.send(&claimed, address).await,
            Opened::Unconfirmed(address) if claimed.message.is_code() => senders.send(&claimed, address).await,
            // It got another address a moment ago.
            Opened::Unconfirmed(_) => Verdict::Failed(DeliveryFault::ChannelUnconfirmed),
            Opened::Sealed(code) => Verdict::Failed(DeliveryFault::NotSent { code, blame: Blame::Platform }),
            Opened::Absent => Verdict::Failed(DeliveryFault::ChannelDeleted),
        }
    };
    let verdict = AssertUnwindSafe(sending).catch_unwind().await;
    let verdict = verdict.unwrap_or(Verdict::Failed(DeliveryFault::SenderBroke));
    Ended::new(&claimed, verdict, started_at, began.elapsed())
}
