//! What the follower does when the chain's newest block does not simply continue the stored tip.
//!
//! Fetches a new branch whole before anything is changed, and never goes on where `fork::decide` says halt.

use std::sync::Arc;
use std::time::Duration;

use isotherm_chain::fork::{AcceptedReorg, HaltReason, Step, Stored, decide};
use isotherm_chain::{Answer, ChainError, HeaderRef, Heads, VerifiedBlock};
use isotherm_hot_store::cursor::Halt;
use isotherm_hot_store::disputed_reorg::{DisputedReorg, Parting};
use isotherm_platform::Fault;
use isotherm_types::{BlockNumber, BlockRef, Classified as _};

use super::{Follower, Round, RoundError};
use crate::error::FollowerError;

/// How far and how long a branch that may not replace the stored one is followed down, for a person to be told where
/// they part.
const TRACED_BLOCKS: u32 = 1_000;
const TRACING_TIME: Duration = Duration::from_secs(10);

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
        let accepted = self.store.accepted().await?;
        let mut branch = vec![header.reference];
        loop {
            let hashes = self.store.hashes_at(header.reference.number).await?;
            let stored_hash = |number: BlockNumber| hashes.get(&number).copied();
            match decide(&stored, &header, self.config.max_reorg_depth, accepted.as_ref(), stored_hash) {
                // The head went down, or the chain came back to the stored branch meanwhile.
                Step::Wait | Step::Extend => return Ok(Round::Idle),
                Step::Halt { reason } => return Err(self.halt(&stored, header, reason, heads).await?.into()),
                Step::Replace { ancestor } => {
                    branch.reverse();
                    return self.replace(stored, ancestor, &branch, None, heads).await;
                }
                Step::ReplaceAsAccepted { ancestor } => {
                    branch.reverse();
                    // The permission takes the finalized block back as well.
                    let lowered = |known: BlockRef| if known.number > ancestor.number { ancestor } else { known };
                    let stored = Stored { finalized: stored.finalized.map(lowered), ..stored };
                    return self.replace(stored, ancestor, &branch, accepted, heads).await;
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

    /// Replaces the stored blocks above `ancestor` by `branch`, which is fetched whole before anything is changed; by
    /// the permission for `accepted`, if there is one.
    async fn replace(
        &mut self,
        stored: Stored,
        ancestor: BlockRef,
        branch: &[BlockRef],
        accepted: Option<AcceptedReorg>,
        heads: &Heads,
    ) -> Result<Round, RoundError> {
        let blocks: Arc<[VerifiedBlock]> = match self.unless_stopped(self.fetch_by_hash(branch)).await {
            None => return Ok(Round::Stopped),
            Some(Answer::Present(blocks)) => blocks.into(),
            Some(Answer::Absent) => return Ok(Round::Idle),
            Some(Answer::Failed(error)) => return Err(error.into()),
            Some(Answer::Lying(lie)) => return Err(ChainError::from(lie).into()),
        };
        let tip = blocks[blocks.len() - 1].block().reference;
        let depth = stored.tip.number.0 - ancestor.number.0;
        let block_count = blocks.len() as u64;
        let finalized = self.store.replace(ancestor, blocks, accepted, stored, heads).await?;
        self.status.stored(block_count);
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

    /// Halts the chain at `header`, the lowest known one of the branch that may not replace the stored one.
    async fn halt(
        &self,
        stored: &Stored,
        header: HeaderRef,
        reason: HaltReason,
        heads: &Heads,
    ) -> Result<Fault, RoundError> {
        let found = reason.found();
        let stored_hash = self.store.hashes_at(found.number).await?.get(&found.number).copied();
        let parting = tokio::time::timeout(TRACING_TIME, self.parting(header)).await.ok().flatten();
        let reorg = DisputedReorg { tip: stored.tip, head: heads.latest.reference, found, stored_hash, parting };
        let halt = Halt { code: reason.code().to_owned(), message: reason.to_string() };
        self.store.halt(&halt, Some(&reorg)).await?;
        Ok(FollowerError::Halted { chain_id: self.config.chain_id, reason }.into())
    }

    /// Where the branch of `header` leaves the stored one; `None` if that is not in hot storage, too far down, or not
    /// served.
    async fn parting(&self, mut header: HeaderRef) -> Option<Parting> {
        for _ in 0..TRACED_BLOCKS {
            let number = header.reference.number.previous()?;
            let parent = BlockRef { number, hash: header.parent_hash };
            let hashes = self.store.hashes_at(number).await.ok()?;
            if *hashes.get(&number)? == parent.hash {
                return Some(Parting { ancestor: parent, first_hash: header.reference.hash });
            }
            match self.unless_stopped(self.client.header(parent)).await? {
                Answer::Present(found) => header = found,
                Answer::Absent | Answer::Failed(_) | Answer::Lying(_) => return None,
            }
        }
        None
    }
}
