//! The loop: look at the chain's newest block, decide, act; without a pause while something is missing. A block that is
//! announced ends a pause early, and is asked for as any other.
//!
//! What is decided is in `isotherm_chain::fork`, what is written is in [`crate::store`]. The loop never appends beyond
//! the newest block that the chain has shown, and asks by number as well as by hash, so that a branch of equal height
//! is seen.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isotherm_chain::fork::Stored;
use isotherm_chain::{Answer, ChainClient, ChainError, Heads, VerifiedBlock, WakeUp};
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_platform::{Fault, Stop};
use isotherm_types::{BlockNumber, BlockRef, Classified as _, Disposition};

use crate::batch::{FetchSize, split};
use crate::config::{FollowerConfig, Start};
use crate::error::FollowerError;
use crate::gaps::GapCheck;
use crate::lag::LagMetric;
use crate::outage::Outage;
use crate::status::Reporter;
use crate::store::Store;

mod fetching;
mod mending;
mod reorg;

use fetching::Untraced;

/// Pause after a round that an endpoint's failure ended; the client has waited between its own attempts already.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// A follower this close to the newest block stores each block in a transaction of its own.
const NEAR_TIP_BLOCKS: usize = 4;

pub(crate) struct Follower {
    config: FollowerConfig,
    client: ChainClient,
    wake_up: WakeUp,
    store: Store,
    stop: Stop,
    progress: Progress,
    fetch_size: FetchSize,
    untraced: Mutex<Untraced>,
    outage: Outage,
    lag: LagMetric,
    status: Reporter,
    gaps: GapCheck,
    /// As the database has it: every change goes through one committed transaction first.
    stored: Option<Stored>,
    /// False after a transaction whose end is not known, as the database went away meanwhile.
    knows_stored: bool,
}

/// What came of one look at the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Something was stored: look again at once.
    Advanced,
    /// Nothing is new.
    Idle,
    /// Asked to stop.
    Stopped,
}

/// Why a round ended early.
enum RoundError {
    /// The chain or the database is of no use now; a later round may do better.
    NotNow(FollowerError),
    /// The follower cannot go on.
    Fatal(Fault),
}

impl From<Fault> for RoundError {
    fn from(fault: Fault) -> Self {
        if fault.is_database_away() { Self::NotNow(FollowerError::DatabaseAway { fault }) } else { Self::Fatal(fault) }
    }
}

impl From<ChainError> for RoundError {
    fn from(error: ChainError) -> Self {
        match error.disposition() {
            Disposition::GiveUp => Self::Fatal(error.into()),
            Disposition::Retry | Disposition::RetryAfter(_) => Self::NotNow(error.into()),
        }
    }
}

impl Follower {
    pub(crate) fn new(
        config: FollowerConfig,
        client: ChainClient,
        wake_up: WakeUp,
        store: Store,
        stop: Stop,
        progress: Progress,
    ) -> Self {
        Self {
            fetch_size: FetchSize::new(config.batch_bytes),
            untraced: Mutex::default(),
            outage: Outage::default(),
            lag: LagMetric::default(),
            status: Reporter::start(store.clone()),
            gaps: GapCheck::default(),
            stored: None,
            knows_stored: false,
            config,
            client,
            wake_up,
            store,
            stop,
            progress,
        }
    }

    /// Follows until it is told to stop.
    ///
    /// # Errors
    /// [`FollowerError::Halted`], an outage of the chain that lasts, and whatever the database says.
    pub(crate) async fn run(mut self) -> Result<OperatorEnd, Fault> {
        let end = self.follow().await;
        self.status.last_words(&self.client).await;
        end
    }

    async fn follow(&mut self) -> Result<OperatorEnd, Fault> {
        self.stored = self.store.stored().await?;
        self.knows_stored = true;
        match (&self.stored, self.config.start) {
            (None, Start::Stored) => {
                return Err(FollowerError::NothingStored { chain_id: self.config.chain_id }.into());
            }
            (Some(stored), _) => tracing::info!(
                chain.id = self.config.chain_id.0,
                block.number = stored.tip.number.0,
                "following from the stored tip"
            ),
            (None, start) => tracing::info!(chain.id = self.config.chain_id.0, ?start, "following a new chain"),
        }
        loop {
            let paused = match self.round().await {
                Ok(Round::Stopped) => return Ok(OperatorEnd::Released),
                Ok(Round::Advanced) => {
                    self.outage.end();
                    continue;
                }
                Ok(Round::Idle) => {
                    self.outage.end();
                    // The chain was asked and has nothing new: that is no stall.
                    self.progress.waiting();
                    self.unless_stopped(self.idle()).await
                }
                Err(RoundError::Fatal(fault)) => return Err(fault),
                Err(RoundError::NotNow(error)) => {
                    tracing::warn!(
                        chain.id = self.config.chain_id.0,
                        error.code = error.code(),
                        error.message = %error,
                        "no block can be stored now"
                    );
                    self.gaps.was_away();
                    if matches!(error, FollowerError::DatabaseAway { .. }) {
                        self.knows_stored = false;
                    }
                    self.outage.note(Instant::now(), error)?;
                    self.unless_stopped(tokio::time::sleep(OUTAGE_PAUSE)).await
                }
            };
            if paused.is_none() {
                return Ok(OperatorEnd::Released);
            }
        }
    }

    /// The pause while nothing is new.
    async fn idle(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.config.poll_interval()) => {}
            () = self.wake_up.announced() => {}
        }
    }

    async fn round(&mut self) -> Result<Round, RoundError> {
        if !self.knows_stored {
            self.stored = self.store.stored_after_outage().await?;
            self.knows_stored = true;
            self.gaps.want();
        }
        let Some(heads) = self.unless_stopped(self.client.heads(self.config.finality)).await else {
            return Ok(Round::Stopped);
        };
        self.status.looked(&self.client, heads.as_ref().ok());
        let heads = heads?;
        let latest = heads.latest.reference.number;
        let next = match (self.stored, self.config.start) {
            (Some(stored), _) => stored.tip.number.next(),
            (None, Start::At(number)) => number,
            (None, Start::Latest | Start::Stored) => first_near_tip(&heads, self.config.max_reorg_depth),
        };
        if next <= latest {
            return self.catch_up(next, &heads).await;
        }
        self.lag.emit(Instant::now(), &self.config.chain, heads.latest.timestamp);
        match self.stored {
            Some(stored) => match self.look_back(stored, heads.latest, &heads).await? {
                Round::Idle => self.mend(&heads).await,
                round => Ok(round),
            },
            None => Ok(Round::Idle),
        }
    }

    /// Fetches and stores from `next` to the newest block, the fetch of a batch beside the commit of the one before.
    async fn catch_up(&mut self, next: BlockNumber, heads: &Heads) -> Result<Round, RoundError> {
        let latest = heads.latest.reference;
        let Some(mut range) = self.fetch_size.range(next, latest.number) else { return Ok(Round::Idle) };
        let mut answer = self.unless_stopped(self.fetch(range)).await;
        loop {
            let blocks = match answer {
                None => return Ok(Round::Stopped),
                Some(Answer::Present(blocks)) => blocks,
                Some(Answer::Absent) => {
                    let withheld = FollowerError::Withheld { number: range.start(), latest };
                    return Err(RoundError::NotNow(withheld));
                }
                Some(Answer::Failed(error)) => return Err(error.into()),
                Some(Answer::Lying(lie)) => return Err(ChainError::from(lie).into()),
            };
            self.fetch_size.learn(blocks.iter().map(VerifiedBlock::size_bytes));
            let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(Round::Idle) };
            if let Some(stored) = self.stored {
                let header = first.block().header_ref();
                if header.parent_hash != stored.tip.hash {
                    return self.look_back(stored, header, heads).await;
                }
            }
            let upcoming = self.fetch_size.range(last.block().reference.number.next(), latest.number);
            let fetch = async {
                match upcoming {
                    Some(range) => self.unless_stopped(self.fetch(range)).await,
                    None => None,
                }
            };
            let (committed, fetched) = tokio::join!(self.append(blocks, heads), fetch);
            self.stored = Some(committed?);
            self.status.looked(&self.client, None);
            let Some(upcoming) = upcoming else {
                self.lag.emit(Instant::now(), &self.config.chain, heads.latest.timestamp);
                return Ok(Round::Advanced);
            };
            (range, answer) = (upcoming, fetched);
        }
    }

    /// Stores blocks that continue the stored tip; returns what is stored then.
    async fn append(&self, blocks: Vec<VerifiedBlock>, heads: &Heads) -> Result<Stored, RoundError> {
        let last = blocks.last().expect("an answer that is present has at least one block").block().reference;
        let is_near_tip = blocks.len() <= NEAR_TIP_BLOCKS && last == heads.latest.reference;
        let are_final = match heads.finalized {
            Some(claimed) if claimed.number > last.number => self.is_final(last).await?,
            _ => false,
        };
        let ends = if is_near_tip {
            (1..=blocks.len()).collect()
        } else {
            split(blocks.iter().map(VerifiedBlock::size_bytes), self.config.batch_bytes)
        };
        let mut stored = self.stored;
        let mut blocks = blocks.into_iter();
        let mut start = 0;
        for end in ends {
            let run: Arc<[VerifiedBlock]> = blocks.by_ref().take(end - start).collect();
            start = end;
            let heads = if are_final {
                // As far as it is stored.
                Heads { finalized: run.last().map(|tip| tip.block().reference), ..*heads }
            } else {
                *heads
            };
            stored = Some(self.append_run(run, stored, &heads).await?);
        }
        Ok(stored.expect("an answer that is present has at least one block"))
    }

    /// Whether the chain calls `block` final. The heads alone do not tell below the finalized block: they and the
    /// blocks may be the answers of different endpoints, on different branches.
    async fn is_final(&self, block: BlockRef) -> Result<bool, RoundError> {
        match self.unless_stopped(self.client.final_block(block.number, self.config.finality)).await {
            Some(found) => Ok(found? == Some(block)),
            None => Ok(false),
        }
    }

    async fn append_run(
        &self,
        run: Arc<[VerifiedBlock]>,
        stored: Option<Stored>,
        heads: &Heads,
    ) -> Result<Stored, RoundError> {
        let (first, tip) = (run[0].block().reference.number, run[run.len() - 1].block().reference);
        let block_count = run.len() as u64;
        let finalized = self.store.append(run, stored, heads).await?;
        self.status.stored(block_count);
        self.progress.report(tip.number.0, Some(heads.latest.reference.number.0), format!("block {}", tip.number));
        Ok(match stored {
            Some(stored) => Stored { tip, finalized: finalized.or(stored.finalized), ..stored },
            None => Stored { first_block: first, tip, finalized, cold_watermark: None },
        })
    }

    /// The output of `work`; `None` if the follower was told to stop first.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.requested() => None,
            output = work => Some(output),
        }
    }
}

/// Where a new chain begins near its newest block: low enough that no allowed reorg reaches below it.
fn first_near_tip(heads: &Heads, max_reorg_depth: u64) -> BlockNumber {
    let lowest_ancestor = BlockNumber(heads.latest.reference.number.0.saturating_sub(max_reorg_depth));
    heads.finalized.map_or(lowest_ancestor, |finalized| finalized.number.max(lowest_ancestor))
}
