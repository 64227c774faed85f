//! What the follower does when the chain's newest block does not simply continue the stored tip.
//!
//! Fetches a new branch whole before anything is changed, and never goes on where `fork::decide` says halt.

use std::sync::Arc;

use isotherm_chain::fork::{HaltReason, Step, Stored, decide};
use isotherm_chain::{Answer, ChainError, HeaderRef, Heads, VerifiedBlock};
use isotherm_platform::Fault;
use isotherm_types::BlockRef;

use super::{Follower, Round, RoundError};
use crate::error::FollowerError;

impl Follower {
    /// Walks back from `header` by hash until it is clear what it means, and does that.
    pub(super) async fn look_back(
        &mut self,
        stored: Stored,
        mut header: HeaderRef,
        heads: &Heads,
    ) -> Result<Round, RoundError> {
        if header.reference == stored.tip {
            return self.finalize(stored, heads).await;
        }
        // The watermark moves without the follower's doing.
        let stored = self.store.stored().await?.unwrap_or(stored);
        let mut branch = vec![header.reference];
        loop {
            let hashes = self.store.hashes_at(header.reference.number).await?;
            match decide(&stored, &header, self.config.max_reorg_depth, |number| hashes.get(&number).copied()) {
                // The head went down, or the chain came back to the stored branch meanwhile.
                Step::Wait | Step::Extend => return Ok(Round::Idle),
                Step::Halt { reason } => return Err(self.halt(reason).await?.into()),
                Step::Replace { ancestor } => {
                    branch.reverse();
                    return self.replace(stored, ancestor, &branch, heads).await;
                }
                Step::WalkBack { to } => match self.unless_stopped(self.client.header(to)).await {
                    None => return Ok(Round::Stopped),
                    Some(Answer::Present(parent)) => {
                        branch.push(parent.reference);
                        header = parent;
                    }
                    // That branch is gone; look again.
                    Some(Answer::Absent) => return Ok(Round::Idle),
                    Some(Answer::Failed(error)) => return Err(error.into()),
                    Some(Answer::Lying(lie)) => return Err(ChainError::from(lie).into()),
                },
            }
        }
    }

    /// Replaces the stored blocks above `ancestor` by `branch`, which is fetched whole before anything is changed.
    async fn replace(
        &mut self,
        stored: Stored,
        ancestor: BlockRef,
        branch: &[BlockRef],
        heads: &Heads,
    ) -> Result<Round, RoundError> {
        let blocks: Arc<[VerifiedBlock]> = match self.unless_stopped(self.client.fetch_by_hash(branch)).await {
            None => return Ok(Round::Stopped),
            Some(Answer::Present(blocks)) => blocks.into(),
            Some(Answer::Absent) => return Ok(Round::Idle),
            Some(Answer::Failed(error)) => return Err(error.into()),
            Some(Answer::Lying(lie)) => return Err(ChainError::from(lie).into()),
        };
        let tip = blocks[blocks.len() - 1].block().reference;
        let depth = stored.tip.number.0 - ancestor.number.0;
        let finalized = self.store.replace(ancestor, blocks, stored, heads).await?;
        self.stored = Some(Stored { tip, finalized: finalized.or(stored.finalized), ..stored });
        self.progress.report(
            tip.number.0,
            Some(heads.latest.reference.number.0),
            format!("block {} after a reorg of {depth} blocks", tip.number),
        );
        tracing::info!(
            chain.id = self.config.chain_id.0,
            reorg.depth = depth,
            reorg.common_ancestor = ancestor.number.0,
            block.number = tip.number.0,
            "a reorg was replaced"
        );
        Ok(Round::Advanced)
    }

    /// Takes over a finalized block that moved without a new block.
    async fn finalize(&mut self, stored: Stored, heads: &Heads) -> Result<Round, RoundError> {
        let Some(claimed) = heads.finalized else { return Ok(Round::Idle) };
        let is_known = stored.finalized.is_some_and(|known| claimed.number <= known.number);
        if is_known || claimed.number < stored.first_block {
            return Ok(Round::Idle);
        }
        match self.store.finalize(stored, heads).await? {
            Some(finalized) => {
                self.stored = Some(Stored { finalized: Some(finalized), ..stored });
                Ok(Round::Idle)
            }
            None => Err(RoundError::NotNow(FollowerError::FinalizedConflict { claimed })),
        }
    }

    async fn halt(&self, reason: HaltReason) -> Result<Fault, RoundError> {
        self.store.halt(reason).await?;
        Ok(FollowerError::Halted { chain_id: self.config.chain_id, reason }.into())
    }
}
