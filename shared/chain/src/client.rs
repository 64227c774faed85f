//! Asks a chain's endpoints: batches, retries by class of error, fails over, and checks the chain id before it
//! believes an endpoint.
//!
//! Blocks leave here verified. One endpoint's word that it does not have a block is never taken for the chain's before
//! each other one that may have it was asked; one that does not answer then changes nothing, and may have it all the
//! same. Never asks for more than it is told to, so that the caller bounds memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRef, ChainId, Clock};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::block::HeaderRef;
use crate::endpoint::{Endpoint, RawAnswer};
use crate::error::ChainError;
use crate::heads::{Finality, Heads};
use crate::json_rpc::Call;
use crate::pool::{EndpointHealth, EndpointRequests, Evidence, Member, Pool, RateShare};
use crate::rpc_url::{CallRate, RpcUrl};
use crate::verify::Checks;

use ask::{Failure, Question};
pub use traces::Traced;

mod ask;
mod blocks;
mod dispute;
pub(crate) mod read;
mod traces;

/// What one client keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Attempts at one question, over all endpoints.
    pub attempts: u32,
    /// Calls in one batch; lowered for a while for an endpoint that refuses as many.
    pub batch_calls: usize,
    /// Longest answer that is read, in bytes. A question is ended when it holds as many for each full batch of its
    /// calls.
    pub answer_bytes: usize,
    /// Longest wait for an answer without blocks while another endpoint could be asked; as long again for each block.
    pub failover_timeout: Duration,
    /// An endpoint whose newest block is further behind that of the best one is passed over.
    pub max_lag_blocks: u64,
    /// Time from one block to the next. After half as much again without a new one, the other endpoints are looked at.
    pub block_time: Duration,
    /// How long an endpoint is not asked after it has said something untrue, while there is another one.
    pub quarantine: Duration,
    /// What an endpoint permits whose address does not say so; learnt from its refusals if neither does.
    pub call_rate: Option<CallRate>,
    /// What is checked of a block.
    pub checks: Checks,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            attempts: 6,
            batch_calls: 100,
            answer_bytes: 256 << 20,
            failover_timeout: Duration::from_secs(1),
            max_lag_blocks: 1,
            block_time: Duration::from_secs(1),
            quarantine: Duration::from_secs(600),
            call_rate: None,
            checks: Checks::ALL,
        }
    }
}

/// A chain, reached through one or more endpoints.
pub struct ChainClient {
    pool: Arc<Pool>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// Looks at endpoints that are passed over; they end with the client.
    looks: Mutex<JoinSet<()>>,
    /// Place of the endpoint that was last heard about a block or a head.
    last_shown_by: AtomicUsize,
}

impl ChainClient {
    /// Connects to those of `urls` that serve chain `expected`. The first is asked as long as it does well, the
    /// others are for when it does not.
    ///
    /// # Errors
    /// [`ChainError::WrongChainId`] if any endpoint serves another chain; if none can be asked, why the first could
    /// not; [`ChainError::NoEndpoint`] for an empty list.
    pub async fn connect(
        urls: Vec<RpcUrl>,
        expected: ChainId,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ChainError> {
        let pool = Pool::new(urls, expected, &limits, Arc::clone(&clock))?;
        let mut is_usable = false;
        let mut first_error = None;
        for (place, member) in pool.members().iter().enumerate() {
            match pool.check_chain_id(member, None).await {
                Ok(()) => is_usable = true,
                Err(error @ ChainError::WrongChainId { .. }) => return Err(error),
                Err(error) => {
                    pool.failed(place, &error, None, false);
                    first_error = first_error.or(Some(error));
                }
            }
        }
        if !is_usable {
            return Err(first_error.unwrap_or(ChainError::NoEndpoint));
        }
        let (pool, looks) = (Arc::new(pool), Mutex::new(JoinSet::new()));
        Ok(Self { pool, limits, clock, looks, last_shown_by: AtomicUsize::new(0) })
    }

    /// The chain id that the first of `urls` to answer serves, for whoever does not know it yet.
    ///
    /// # Errors
    /// If none answers, why the first did not; [`ChainError::NoEndpoint`] for an empty list.
    pub async fn ask_chain_id(urls: &[RpcUrl], limits: &Limits) -> Result<ChainId, ChainError> {
        let mut first_error = None;
        for url in urls {
            let endpoint = Endpoint::new(url.clone(), limits)?;
            let answers = endpoint.call(&[Call::new("eth_chainId", [(); 0])], None).await;
            match answers.and_then(|answers| read::chain_id(endpoint.url(), &answers)) {
                Ok(chain_id) => return Ok(chain_id),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(ChainError::NoEndpoint))
    }

    /// The chain.
    pub fn chain_id(&self) -> ChainId {
        self.pool.chain_id()
    }

    /// How the endpoints do, in order of preference.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.pool.health()
    }

    /// What sets the part of every endpoint's rate that this client may take, for as long as the client lives.
    pub fn share_setter(&self) -> impl Fn(RateShare) + Send + Sync + use<> {
        let pool = Arc::downgrade(&self.pool);
        move |share| {
            if let Some(pool) = pool.upgrade() {
                pool.members().iter().for_each(|member| member.set_share(share));
            }
        }
    }

    /// What says how many requests were sent to each endpoint so far, also when the client is gone.
    pub fn request_counter(&self) -> impl Fn() -> Vec<EndpointRequests> + Send + Sync + use<> {
        let pool = Arc::clone(&self.pool);
        move || pool.requests()
    }

    /// What was kept of untrue answers since this was last called, the oldest first. At most 64; of more, the oldest
    /// are in the log only.
    pub fn take_evidence(&self) -> Vec<Evidence> {
        self.pool.take_evidence()
    }

    /// The ends of the chain, in one batch; with finality by depth, in two questions.
    ///
    /// # Errors
    /// As the endpoints answer.
    pub async fn heads(&self, finality: Finality) -> Result<Heads, ChainError> {
        let tags: &[&str] = match finality {
            Finality::Tags {} => &["latest", "safe", "finalized"],
            Finality::Depth { .. } => &["latest"],
        };
        let calls: Vec<Call> = tags.iter().map(|tag| header_call(tag)).collect();
        let mut heads = self.ask_for_heads(&calls).await.map_err(|failure| failure.error)?;
        if let Finality::Depth { blocks } = finality
            && let Some(number) = Finality::final_by_depth(heads.latest.reference.number, blocks)
        {
            heads.finalized = self.final_block(number, finality).await?;
            heads.safe = heads.finalized;
        }
        Ok(heads)
    }

    /// The block at `number`, if the endpoint that has it calls it final in the same answer.
    ///
    /// # Errors
    /// As the endpoints answer.
    pub async fn final_block(&self, number: BlockNumber, finality: Finality) -> Result<Option<BlockRef>, ChainError> {
        let tag = match finality {
            Finality::Tags {} => "finalized",
            Finality::Depth { .. } => "latest",
        };
        let calls = [header_call(tag), header_call(&quantity(number))];
        let checks = self.limits.checks;
        let found = self
            .ask(&calls, move |endpoint, answers, _| read::final_block(endpoint, answers, &checks, number, finality));
        found.await.map_err(|failure| failure.error)
    }

    /// The header of exactly this block. Absent: no endpoint that answers has it.
    pub async fn header(&self, block: BlockRef) -> Answer<HeaderRef> {
        let calls = [Call::new("eth_getBlockByHash", (block.hash, false))];
        let checks = self.limits.checks;
        let header = self.ask_around(&calls, block.number, move |endpoint, answers, _| {
            read::header(endpoint, answers, &checks, Some(block))
        });
        present_or_absent(header.await)
    }

    async fn ask_for_heads(&self, calls: &[Call]) -> Result<Heads, Failure> {
        let patience = Some(self.limits.failover_timeout);
        let question = Question { calls, enough: calls.len(), patience };
        let checks = self.limits.checks;
        let read = move |endpoint: &RpcUrl, answers: &[RawAnswer], served_at: DateTime<Utc>| {
            read::heads(endpoint, answers, &checks, served_at)
        };
        let mut inquiry = self.pool.inquiry(calls.len(), None);
        let (heads, place) = self.ask_pool(&question, &mut inquiry, &Arc::new(read)).await?;
        self.last_shown_by.store(place, Ordering::Relaxed);
        self.pool.members()[place].saw_head(heads.latest.reference.number);
        Ok(heads)
    }
}

fn present_or_absent<T>(found: Result<Option<T>, Failure>) -> Answer<T> {
    match found {
        Ok(Some(value)) => Answer::Present(value),
        Ok(None) => Answer::Absent,
        Err(failure) => failure.into_answer(),
    }
}

pub(crate) fn header_call(block: &str) -> Call {
    Call::new("eth_getBlockByNumber", (block, false))
}

/// The number as the Execution API writes it.
pub(crate) fn quantity(number: BlockNumber) -> String {
    format!("{:#x}", number.0)
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints: Vec<String> = self.pool.members().iter().map(Member::name).collect();
        f.debug_struct("ChainClient").field("chain_id", &self.chain_id()).field("endpoints", &endpoints).finish()
    }
}
