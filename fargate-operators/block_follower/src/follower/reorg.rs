//! What the follower does when the chain's newest block does not simply continue the stored tip.
//!
//! Fetches a new branch whole before anything is changed, and never goes on where `fork::decide` says halt.

use std::sync::Arc;
use std::time::Duration;

use isotherm_chain::fork::{AcceptedReorg, HaltReason, Shown, Step, Stored, decide};
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
        let mut shown = Shown::First;
        loop {
            let hashes = self.store.hashes_at(header.reference.number).await?;
            let known_hash = |number: BlockNumber| hashes.get(&number).copied();
            match decide(&stored, &header, shown, self.config.max_reorg_depth, accepted.as_ref(), known_hash) {
                // The head went down, or the chain came back to the stored branch meanwhile.
                Step::Wait | Step::Extend => return Ok(Round::Idle),
                Step::Halt { reason } => {
                    if let Some(round) = self.unless_disputed(reason.found()).await? {
                        return Ok(round);
                    }
                    return Err(self.halt(&stored, header, reason, heads).await?.into());
                }
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
                        shown = Shown::WalkedTo;
                    }
                    // That branch is gone, or nobody but the endpoint that showed it knows of it; look again.
                    Some(Answer::Absent) => {
                        return Ok(self.unless_disputed(header.reference).await?.unwrap_or(Round::Idle));
                    }
                    Some(Answer::Failed(error)) => return Err(error.into()),
                    Some(Answer::Lying(lie)) => return Err(ChainError::from(lie).into()),
                },
            }
        }
    }

    /// Asks the other endpoints about a block that one has shown: nothing is decided on the word of one that is
    /// contradicted. `None` if it may be decided.
    async fn unless_disputed(&self, shown: BlockRef) -> Result<Option<Round>, RoundError> {
        match self.unless_stopped(self.client.is_disputed(shown)).await {
            None => Ok(Some(Round::Stopped)),
            Some(true) => Err(RoundError::NotNow(FollowerError::Disputed { shown })),
            Some(false) => Ok(None),
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
        self.gaps.branch_changed();
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
        if let Some(finalized) = self.store.finalize(stored, heads).await? {
            self.stored = Some(Stored { finalized: Some(finalized), ..stored });
            return Ok(Round::Idle);
        }
        // Where its row is missing, the gap is closed first.
        let hashes = self.store.hashes_at(claimed.number).await?;
        let is_contradicted = hashes.get(&claimed.number).is_some_and(|known| *known != claimed.hash);
        if claimed.number > stored.tip.number || is_contradicted {
            return Err(RoundError::NotNow(FollowerError::FinalizedConflict { claimed }));
        }
        Ok(Round::Idle)
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
        let parting = tokio::time::timeout(TRACING_TIME, self.parting(stored, header)).await.ok().flatten();
        let reorg = DisputedReorg { tip: stored.tip, head: heads.latest.reference, found, stored_hash, parting };
        let halt = Halt { code: reason.code().to_owned(), message: reason.to_string() };
        self.store.halt(&halt, Some(&reorg)).await?;
        Ok(FollowerError::Halted { chain_id: self.config.chain_id, reason }.into())
    }

    /// Where the branch of `header` leaves the stored one; `None` if that is not in hot storage, too far down, or not
    /// served.
    async fn parting(&self, stored: &Stored, mut header: HeaderRef) -> Option<Parting> {
        let is_hot = |number: BlockNumber| number >= stored.first_block && Some(number) > stored.cold_watermark;
        for _ in 0..TRACED_BLOCKS {
            let number = header.reference.number.previous()?;
            let parent = BlockRef { number, hash: header.parent_hash };
            let hashes = self.store.hashes_at(number).await.ok()?;
            match hashes.get(&number) {
                Some(known) if *known == parent.hash => {
                    return Some(Parting { ancestor: parent, first_hash: header.reference.hash });
                }
                None if !is_hot(number) => return None,
                // Another block belongs there, or there is a gap.
                Some(_) | None => {}
            }
            match self.unless_stopped(self.client.header(parent)).await? {
                Answer::Present(found) => header = found,
                Answer::Absent | Answer::Failed(_) | Answer::Lying(_) => return None,
            }
        }
        None
    }
}
