//! Asks a chain's endpoints: batches, retries by class of error, fails over, and checks the chain id before it
//! believes an endpoint.
//!
//! Blocks leave here verified. Numbers are asked for in one batch with their receipts; where a reorg came in between,
//! the answer is cut before it, never mixed. Never asks for more than it is told to, so that the caller bounds memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Clock};

use crate::answer::Answer;
use crate::block::HeaderRef;
use crate::endpoint::{Endpoint, RawAnswer};
use crate::error::ChainError;
use crate::heads::{Finality, Heads};
use crate::json_rpc::Call;
use crate::retry::{Next, after};
use crate::rpc_url::RpcUrl;
use crate::verify::VerifiedBlock;

mod read;

/// Bounds of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Attempts at one question, over all endpoints.
    pub attempts: u32,
    /// Calls in one batch; lowered for an endpoint that refuses as many.
    pub batch_calls: usize,
    /// Longest answer that is read, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            attempts: 6,
            batch_calls: 100,
            answer_bytes: 256 << 20,
        }
    }
}

/// A chain, reached through one or more endpoints.
pub struct ChainClient {
    chain_id: ChainId,
    endpoints: Vec<Endpoint>,
    /// Index of the endpoint that is asked first.
    active: AtomicUsize,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

/// A question that was not answered, and the endpoint that was asked last.
struct Failure {
    error: ChainError,
    endpoint: String,
}

impl Failure {
    fn into_answer<T>(self) -> Answer<T> {
        Answer::from_error(self.error, self.endpoint)
    }
}

impl ChainClient {
    /// Connects to the first of `urls` that serves chain `expected`; the others are for when it fails.
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
        let endpoints = urls.into_iter().map(|url| Endpoint::new(url, &limits)).collect::<Result<Vec<_>, _>>()?;
        let client = Self { chain_id: expected, endpoints, active: AtomicUsize::new(0), limits, clock };
        let mut usable = None;
        let mut first_error = None;
        for (index, endpoint) in client.endpoints.iter().enumerate() {
            match client.check_chain_id(endpoint).await {
                Ok(()) => usable = usable.or(Some(index)),
                Err(error @ ChainError::WrongChainId { .. }) => return Err(error),
                Err(error) => {
                    let endpoint = endpoint.name();
                    tracing::warn!(
                        rpc.endpoint = endpoint,
                        error.code = error.code(),
                        "an endpoint cannot be used now"
                    );
                    first_error = first_error.or(Some(error));
                }
            }
        }
        match (usable, first_error) {
            (Some(index), _) => {
                client.active.store(index, Ordering::Relaxed);
                Ok(client)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(ChainError::NoEndpoint),
        }
    }

    /// The chain id that the first of `urls` to answer serves, for whoever does not know it yet.
    ///
    /// # Errors
    /// If none answers, why the first did not; [`ChainError::NoEndpoint`] for an empty list.
    pub async fn ask_chain_id(urls: &[RpcUrl], limits: &Limits) -> Result<ChainId, ChainError> {
        let mut first_error = None;
        for url in urls {
            let endpoint = Endpoint::new(url.clone(), limits)?;
            let answers = endpoint.call_all(&[Call::new("eth_chainId", [(); 0])]).await;
            match answers.and_then(|answers| read::chain_id(&endpoint.name(), &answers)) {
                Ok(chain_id) => return Ok(chain_id),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(ChainError::NoEndpoint))
    }

    /// The chain.
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
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
        let heads = self.ask(&calls, |endpoint, answers, served_at| read::heads(endpoint, &answers, served_at));
        let mut heads = heads.await.map_err(|failure| failure.error)?;
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
        let found =
            self.ask(&calls, move |endpoint, answers, _| read::final_block(endpoint, &answers, number, finality));
        found.await.map_err(|failure| failure.error)
    }

    /// The header of exactly this block.
    pub async fn header(&self, block: BlockRef) -> Answer<HeaderRef> {
        let calls = [Call::new("eth_getBlockByHash", (block.hash, false))];
        let header = self.ask(&calls, move |endpoint, answers, _| read::header(endpoint, &answers, Some(block)));
        present_or_absent(header.await)
    }

    /// Blocks of `numbers` with transactions and receipts, verified.
    ///
    /// Present is never empty and starts at the first number; it ends early where the chain ends, or where a reorg
    /// came between two answers. Absent: the chain has no block at the first number (yet).
    pub async fn fetch(&self, numbers: BlockRange) -> Answer<Vec<VerifiedBlock>> {
        let wanted: Vec<_> = (numbers.start().0..numbers.end().0).map(BlockNumber).collect();
        let calls: Vec<Call> = wanted
            .iter()
            .flat_map(|number| {
                let number = quantity(*number);
                [Call::new("eth_getBlockByNumber", (&number, true)), Call::new("eth_getBlockReceipts", [&number])]
            })
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|number| (number, None)).collect();
        let blocks =
            self.ask(&calls, move |endpoint, answers, served_at| read::blocks(endpoint, &wanted, answers, served_at));
        present_or_absent(blocks.await.map(|blocks| Some(blocks).filter(|blocks| !blocks.is_empty())))
    }

    /// Exactly these blocks, which must be a run in ascending order, verified. Absent: at least one of them is not
    /// there.
    pub async fn fetch_by_hash(&self, run: &[BlockRef]) -> Answer<Vec<VerifiedBlock>> {
        let calls: Vec<Call> = run
            .iter()
            .flat_map(|block| {
                [Call::new("eth_getBlockByHash", (block.hash, true)), Call::new("eth_getBlockReceipts", [block.hash])]
            })
            .collect();
        let wanted: Vec<_> = run.iter().map(|block| (block.number, Some(block.hash))).collect();
        let blocks =
            self.ask(&calls, move |endpoint, answers, served_at| read::blocks(endpoint, &wanted, answers, served_at));
        present_or_absent(blocks.await.map(|blocks| Some(blocks).filter(|blocks| blocks.len() == run.len())))
    }

    /// Makes `calls` until an endpoint's answers can be read. Reading is work, and done on a thread of its own.
    async fn ask<T, Read>(&self, calls: &[Call], read: Read) -> Result<T, Failure>
    where
        Read: Fn(&str, Vec<RawAnswer>, DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let read = Arc::new(read);
        let mut attempt = 0;
        loop {
            let index = self.active.load(Ordering::Relaxed) % self.endpoints.len();
            let endpoint = &self.endpoints[index];
            let error = match self.attempt(endpoint, calls, &read).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            attempt += 1;
            let next = after(&error, attempt, self.limits.attempts, self.endpoints.len(), rand::random());
            tracing::debug!(
                rpc.endpoint = endpoint.name(),
                rpc.attempt = attempt,
                error.code = error.code(),
                "a question to the chain failed"
            );
            match next {
                Next::AskAgain => {}
                Next::NextEndpoint(wait) => {
                    // It may be another node when it answers again.
                    endpoint.is_checked.store(false, Ordering::Relaxed);
                    self.active.store((index + 1) % self.endpoints.len(), Ordering::Relaxed);
                    tokio::time::sleep(wait).await;
                }
                Next::Stop => return Err(Failure { error, endpoint: endpoint.name() }),
            }
        }
    }

    async fn attempt<T, Read>(&self, endpoint: &Endpoint, calls: &[Call], read: &Arc<Read>) -> Result<T, ChainError>
    where
        Read: Fn(&str, Vec<RawAnswer>, DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        if !endpoint.is_checked.load(Ordering::Relaxed) {
            self.check_chain_id(endpoint).await?;
        }
        let answers = endpoint.call_all(calls).await?;
        let (read, name, served_at) = (Arc::clone(read), endpoint.name(), self.clock.now());
        let reading = tokio::task::spawn_blocking(move || read(&name, answers, served_at));
        reading.await.map_err(|_| ChainError::Interrupted)?
    }

    async fn check_chain_id(&self, endpoint: &Endpoint) -> Result<(), ChainError> {
        let answers = endpoint.call_all(&[Call::new("eth_chainId", [(); 0])]).await?;
        let found = read::chain_id(&endpoint.name(), &answers)?;
        if found != self.chain_id {
            return Err(ChainError::WrongChainId { endpoint: endpoint.name(), expected: self.chain_id, found });
        }
        endpoint.is_checked.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn present_or_absent<T>(found: Result<Option<T>, Failure>) -> Answer<T> {
    match found {
        Ok(Some(value)) => Answer::Present(value),
        Ok(None) => Answer::Absent,
        Err(failure) => failure.into_answer(),
    }
}

fn header_call(block: &str) -> Call {
    Call::new("eth_getBlockByNumber", (block, false))
}

/// The number as the Execution API writes it.
fn quantity(number: BlockNumber) -> String {
    format!("{:#x}", number.0)
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::name).collect();
        f.debug_struct("ChainClient").field("chain_id", &self.chain_id).field("endpoints", &endpoints).finish()
    }
}
