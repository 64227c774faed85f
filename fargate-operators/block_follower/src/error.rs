//! Why the follower stops by itself.

use std::time::Duration;

use isotherm_chain::ChainError;
use isotherm_chain::fork::HaltReason;
use isotherm_platform::Fault;
use isotherm_types::{BlockNumber, BlockRef, ChainId, Classified, Disposition};

use crate::gaps::GapReason;

/// A failure of the follower that no crate below has a name for.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// A person has to decide.
    #[error("chain {chain_id} is halted")]
    Halted {
        /// The chain.
        chain_id: ChainId,
        /// Why, and what to do.
        #[source]
        reason: HaltReason,
    },
    /// What is stored is not whole, and cannot be mended: a person has to decide.
    #[error("chain {chain_id} is halted")]
    NotMended {
        /// The chain.
        chain_id: ChainId,
        /// Why, and what to do.
        #[source]
        reason: GapReason,
    },
    /// A reorg was to be replaced by a person's permission, and that is not there any more.
    #[error("the permission to replace the blocks above {ancestor} is gone")]
    PermissionGone {
        /// The highest block that both branches share.
        ancestor: BlockRef,
    },
    /// Blocks that a person wanted to be replaced have become cold since.
    #[error("the blocks above {ancestor} cannot be replaced: blocks up to {watermark} are in cold storage by now")]
    ColdMeanwhile {
        /// The highest block that both branches share.
        ancestor: BlockRef,
        /// Last block in cold storage.
        watermark: BlockNumber,
    },
    /// The job may only go on from a stored tip, and there is none.
    #[error("nothing of chain {chain_id} is stored, and `start` is \"stored\": set it to \"latest\" or a block number")]
    NothingStored {
        /// The chain.
        chain_id: ChainId,
    },
    /// The chain or the database gave no usable answer for too long.
    #[error("no block could be stored for {} s", elapsed.as_secs())]
    Unavailable {
        /// How long.
        elapsed: Duration,
        /// The last answer.
        #[source]
        last: Box<FollowerError>,
    },
    /// The chain did not answer, or not usefully.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An endpoint says that the chain is longer, but does not have the next block.
    #[error("the chain's newest block is {latest}, but block {number} is not served")]
    Withheld {
        /// The block that is not served.
        number: BlockNumber,
        /// The newest block.
        latest: BlockRef,
    },
    /// The chain's newest block is on the stored branch, and its finalized one is not.
    #[error("the chain calls {claimed} final, but it is not an ancestor of its newest block")]
    FinalizedConflict {
        /// What it calls final.
        claimed: BlockRef,
    },
    /// A block on whose account something was to be decided is contradicted.
    #[error(
        "an endpoint has shown {shown}, and it or another one contradicts that now: nothing is decided until they agree"
    )]
    Disputed {
        /// The block.
        shown: BlockRef,
    },
    /// The database is away for now.
    #[error("{}", fault.message())]
    DatabaseAway {
        /// What could not be done, and what the database or the network said.
        fault: Fault,
    },
    /// The database cannot be reached.
    #[error("the database could not {action}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
}

impl Classified for FollowerError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Halted { .. } | Self::NotMended { .. } | Self::NothingStored { .. } => Disposition::GiveUp,
            Self::Chain(error) => error.disposition(),
            Self::PermissionGone { .. }
            | Self::ColdMeanwhile { .. }
            | Self::Unavailable { .. }
            | Self::Withheld { .. }
            | Self::FinalizedConflict { .. }
            | Self::Disputed { .. }
            | Self::DatabaseAway { .. }
            | Self::Database { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Halted { reason, .. } => reason.code(),
            Self::NotMended { reason, .. } => reason.code(),
            Self::PermissionGone { .. } => "follower.permission_gone",
            Self::ColdMeanwhile { .. } => "follower.cold_meanwhile",
            Self::NothingStored { .. } => "follower.nothing_stored",
            Self::Unavailable { last, .. } => last.code(),
            Self::Chain(error) => error.code(),
            Self::Withheld { .. } => "chain.block_withheld",
            Self::FinalizedConflict { .. } => "chain.finalized_conflict",
            Self::Disputed { .. } => "chain.disputed",
            Self::DatabaseAway { fault } => fault.code(),
            Self::Database { .. } => "follower.database",
        }
    }
}
