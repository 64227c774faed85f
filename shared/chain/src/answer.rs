//! What an endpoint's answer means. "There", "not there", "did not answer" and "answered something untrue" are
//! different things, and a caller has to say what it does about each.
//!
//! An empty list is never taken for "not there": the header commits to the transactions and receipts of its block, so
//! an empty list of transactions is either proved by the header's roots, or a lie. One of receipts, or of traces, beside
//! transactions is what a node says of a block that its chain has no more: no lie, and no answer.

use crate::error::ChainError;
use crate::pool::Evidence;
use crate::verify::BadBlock;

/// An answer to a question about a place on the chain.
#[derive(Debug)]
pub enum Answer<T> {
    /// It is there.
    Present(T),
    /// The chain does not have it (yet).
    Absent,
    /// No endpoint could say.
    Failed(ChainError),
    /// Every endpoint that answered contradicted itself.
    Lying(Lie),
}

impl<T> Answer<T> {
    /// Sorts an error into [`Answer::Lying`], for which there is evidence, or [`Answer::Failed`]. `endpoint` is whom the
    /// lie is laid to.
    pub(crate) fn from_error(error: ChainError, endpoint: String, evidence: Option<Box<Evidence>>) -> Self {
        match (error, evidence) {
            (ChainError::BadBlock(problem), Some(evidence)) => Self::Lying(Lie { endpoint, problem, evidence }),
            (error, _) => Self::Failed(error),
        }
    }
}

/// An untrue answer.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint} served a block that cannot be true")]
pub struct Lie {
    /// Who said it.
    pub endpoint: String,
    /// What is untrue.
    #[source]
    pub problem: Box<BadBlock>,
    /// What is kept of the answer.
    pub evidence: Box<Evidence>,
}

impl Lie {
    /// Stable name of what is untrue.
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl From<Lie> for ChainError {
    fn from(lie: Lie) -> Self {
        Self::BadBlock(lie.problem)
    }
}
