//! What can go wrong between this program and a chain.
//!
//! Endpoints are named by scheme, host and port only. What one says is kept without the keys of its address and cut to
//! a few hundred characters, by whatever way it got into an error: it may repeat its address, and be of any length.

use std::time::Duration;

use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{BlockNumber, BlockRef, ChainId};

use crate::columns::ColumnError;
use crate::rpc_url::RpcUrl;
use crate::verify::BadBlock;

mod illegible;

pub use illegible::Illegible;

/// Characters of an endpoint's own words that an error keeps.
pub(crate) const MESSAGE_CHARS: usize = 300;

/// A failure of the chain side.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// An address cannot be used. The text is not repeated: it may hold a key.
    #[error("an RPC address is not usable: {problem}")]
    InvalidRpcUrl {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No address was given, or only such over WebSocket.
    #[error("no RPC address over HTTP is configured")]
    NoEndpoint,
    /// The endpoint serves another chain.
    #[error("{endpoint} serves chain {found}, not chain {expected}")]
    WrongChainId {
        /// The endpoint.
        endpoint: String,
        /// The configured chain.
        expected: ChainId,
        /// The chain it serves.
        found: ChainId,
    },
    /// No connection, or no answer in time.
    #[error("cannot reach {endpoint}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client could not be built.
    #[error("cannot set up the HTTP client")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An HTTP status that is not a success, without a JSON-RPC error in the body; 401 and 403 whatever the body says.
    #[error("{endpoint} answered with HTTP status {status}")]
    HttpStatus {
        /// The endpoint.
        endpoint: String,
        /// The status.
        status: u16,
    },
    /// Too many requests.
    #[error("{endpoint} limits the rate of requests")]
    RateLimited {
        /// The endpoint.
        endpoint: String,
        /// How long it asked to wait, if it said so.
        wait: Option<Duration>,
    },
    /// A JSON-RPC error.
    #[error("{endpoint} answered {method} with error {code}: {message}")]
    Rpc {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// Its words, without keys and cut to a sensible length.
        message: String,
    },
    /// The endpoint does not have the method.
    #[error("{endpoint} has no method {method}")]
    Unsupported {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: &'static str,
    },
    /// The batch as a whole was refused.
    #[error("{endpoint} refused a batch of {calls} calls: {message}")]
    BatchRefused {
        /// The endpoint.
        endpoint: String,
        /// Calls in the batch.
        calls: usize,
        /// Its words, without keys and cut to a sensible length.
        message: String,
    },
    /// The answer is larger than is read.
    #[error("the answer of {endpoint} is longer than {limit_bytes} bytes")]
    AnswerTooLarge {
        /// The endpoint.
        endpoint: String,
        /// The bound.
        limit_bytes: usize,
    },
    /// The answer is encoded in a way that was not asked for, or is not what its encoding says.
    #[error("the answer of {endpoint} cannot be decoded: {problem}")]
    Undecodable {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The answer is not what the method returns.
    #[error("the answer of {endpoint} to {method} cannot be read")]
    Malformed {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: &'static str,
        /// Where and why.
        #[source]
        source: Illegible,
    },
    /// A call of a batch was left unanswered.
    #[error("{endpoint} did not answer {method} in a batch")]
    MissingAnswer {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: &'static str,
    },
    /// Block and receipts came from two branches; asking again helps.
    #[error("block {number} was replaced while it was being fetched")]
    ReplacedWhileFetching {
        /// Its number.
        number: BlockNumber,
    },
    /// The chain has a block, but nobody has its traces.
    #[error("{block} is served, but its traces are not")]
    TracesWithheld {
        /// The first block of which they were asked for.
        block: BlockRef,
    },
    /// A block that cannot be true.
    #[error(transparent)]
    BadBlock(Box<BadBlock>),
    /// A value has no place in the columns.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// A background thread ended early.
    #[error("the decoding of a block stopped early")]
    Interrupted,
}

impl ChainError {
    /// The answer of the endpoint at `url` to `method` is not what the method returns.
    pub(crate) fn malformed(url: &RpcUrl, method: &'static str, error: &serde_json::Error) -> Self {
        Self::Malformed { endpoint: url.to_string(), method, source: Illegible::of(url, error) }
    }
}

impl Classified for ChainError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::InvalidRpcUrl { .. }
            | Self::NoEndpoint
            | Self::WrongChainId { .. }
            | Self::Client { .. }
            | Self::Unsupported { .. }
            | Self::Column(_) => Disposition::GiveUp,
            Self::RateLimited { wait: Some(wait), .. } => Disposition::RetryAfter(*wait),
            Self::Unreachable { .. }
            | Self::HttpStatus { .. }
            | Self::RateLimited { wait: None, .. }
            | Self::Rpc { .. }
            | Self::BatchRefused { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Undecodable { .. }
            | Self::Malformed { .. }
            | Self::MissingAnswer { .. }
            | Self::ReplacedWhileFetching { .. }
            | Self::TracesWithheld { .. }
            | Self::BadBlock(_)
            | Self::Interrupted => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidRpcUrl { .. } => "chain.invalid_rpc_url",
            Self::NoEndpoint => "chain.no_endpoint",
            Self::WrongChainId { .. } => "chain.wrong_chain_id",
            Self::Unreachable { .. } => "chain.unreachable",
            Self::Client { .. } => "chain.http_client",
            Self::HttpStatus { .. } => "chain.http_status",
            Self::RateLimited { .. } => "chain.rate_limited",
            Self::Rpc { .. } => "chain.rpc_error",
            Self::Unsupported { .. } => "chain.unsupported_method",
            Self::BatchRefused { .. } => "chain.batch_refused",
            Self::AnswerTooLarge { .. } => "chain.answer_too_large",
            Self::Undecodable { .. } => "chain.undecodable",
            Self::Malformed { .. } => "chain.malformed",
            Self::MissingAnswer { .. } => "chain.missing_answer",
            Self::ReplacedWhileFetching { .. } => "chain.replaced_while_fetching",
            Self::TracesWithheld { .. } => "chain.traces_withheld",
            Self::BadBlock(bad) => bad.code(),
            Self::Column(error) => error.code(),
            Self::Interrupted => "chain.interrupted",
        }
    }
}
