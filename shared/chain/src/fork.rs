//! Fork choice as a pure function: what one header means for what is stored.
//!
//! The caller shows the lowest header that it knows of the chain's present branch: first the newest block, or the one
//! right above the stored tip if the chain is further; then, as long as the answer is [`Step::WalkBack`], that header's
//! parent, fetched by hash. Nothing here guesses: where a branch leaves the stored one below what is
//! stored, or where blocks may not be replaced, the answer is [`Step::Halt`]. What a person has accepted since then is
//! replaced as it was accepted or not at all, and never in cold storage. Stored blocks may be missing: a walk goes
//! through a gap as it goes through blocks that differ.

use alloy::primitives::B256;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{BlockNumber, BlockRef};

use crate::block::HeaderRef;

/// What hot storage holds of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// First stored block.
    pub first_block: BlockNumber,
    /// Last stored block.
    pub tip: BlockRef,
    /// Last stored block that the chain called finalized.
    pub finalized: Option<BlockRef>,
    /// Last block in cold storage; never replaced.
    pub cold_watermark: Option<BlockNumber>,
}

/// A reorg that a person has accepted though it may not be replaced otherwise. Good for this one, of this stored tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedReorg {
    /// The stored tip that it takes back.
    pub tip: BlockRef,
    /// The highest block that both branches share.
    pub ancestor: BlockRef,
    /// The block above it on the accepted branch.
    pub first: BlockRef,
    /// The block of the accepted branch that the person was shown.
    pub shown: BlockRef,
}

impl AcceptedReorg {
    /// Whether the stored block at `number` is one that goes, and a branch with `found` there can be the accepted one.
    /// Whether it is that shows at its first block.
    fn covers(&self, stored: &Stored, number: BlockNumber, found: B256) -> bool {
        let fits = |accepted: BlockRef| accepted.number != number || accepted.hash == found;
        stored.tip == self.tip
            && number > self.ancestor.number
            && stored.cold_watermark.is_none_or(|watermark| number > watermark)
            && fits(self.first)
            && fits(self.shown)
    }
}

/// How the caller came to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is the lowest that the chain has shown by itself.
    First,
    /// By a [`Step::WalkBack`]: a block above it is on another branch than the stored one.
    WalkedTo,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The chain goes on from the stored tip: fetch and append what follows it.
    Extend,
    /// Fetch this block's header, the parent of the one shown, and decide again.
    WalkBack {
        /// The header to fetch.
        to: BlockRef,
    },
    /// Take back every stored block above `ancestor` and append the new branch.
    Replace {
        /// The highest block that both branches share.
        ancestor: BlockRef,
    },
    /// The same, by the permission of a person, which is used up by it.
    ReplaceAsAccepted {
        /// The highest block that both branches share.
        ancestor: BlockRef,
    },
    /// The chain's newest block is stored already, or lies below what hot storage holds: nothing is new, or the head
    /// went down.
    Wait,
    /// Stop until a person has decided.
    Halt {
        /// Why.
        reason: HaltReason,
    },
}

/// Why the follower may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// The new branch lacks a block that the chain had called finalized.
    #[error(
        "the chain replaced {finalized}, which it had called finalized, by a block with hash {found} at number \
         {number}; nothing was changed: find out which branch is right; if it is the chain's, `isotherm follower \
         resume --chain NAME --accept-reorg`; if it is the stored one, use another endpoint, then `isotherm follower \
         resume --chain NAME --look-again`"
    )]
    BelowFinalized {
        /// The stored finalized block.
        finalized: BlockRef,
        /// Number at which the branches were seen to differ.
        number: BlockNumber,
        /// Hash of the new branch there.
        found: B256,
    },
    /// The new branch leaves the stored one too far down.
    #[error(
        "the chain replaced more than {max_depth} blocks below the stored {tip}: at number {number} it has {found}; \
         nothing was changed: find out which branch is right; if it is the chain's, `isotherm follower resume --chain \
         NAME --accept-reorg`; if it is the stored one, use another endpoint, then `isotherm follower resume --chain \
         NAME --look-again`"
    )]
    TooDeep {
        /// The stored tip.
        tip: BlockRef,
        /// The configured limit, in blocks taken back.
        max_depth: u64,
        /// Number at which the branches were seen to differ.
        number: BlockNumber,
        /// Hash of the new branch there.
        found: B256,
    },
    /// The new branch leaves the stored one below the first stored block.
    #[error(
        "the chain replaced block {first_block}, the first stored one: it has {found} there now; nothing was changed: \
         if the endpoint is wrong, use another one, then `isotherm follower resume --chain NAME --look-again`; if the \
         chain is right, wipe this chain's data and start again"
    )]
    BelowFirstBlock {
        /// The first stored block's number.
        first_block: BlockNumber,
        /// Hash of the new branch there.
        found: B256,
    },
    /// The new branch lacks a block that is in cold storage.
    #[error(
        "the chain replaced block {number}, which is in cold storage up to block {watermark}, by {found}; nothing was \
         changed: cold files are never rewritten; if the endpoint is wrong, use another one, then `isotherm follower \
         resume --chain NAME --look-again`; if the chain is right, wipe this chain's data, hot and cold, and start again"
    )]
    BelowWatermark {
        /// Last block in cold storage.
        watermark: BlockNumber,
        /// Number at which the branches were seen to differ.
        number: BlockNumber,
        /// Hash of the new branch there.
        found: B256,
    },
}

impl HaltReason {
    /// Where the branches were seen to differ: the block that the new branch has there.
    pub fn found(&self) -> BlockRef {
        match *self {
            Self::BelowFinalized { number, found, .. }
            | Self::TooDeep { number, found, .. }
            | Self::BelowFirstBlock { first_block: number, found }
            | Self::BelowWatermark { number, found, .. } => BlockRef { number, hash: found },
        }
    }
}

impl Classified for HaltReason {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BelowFinalized { .. } => "chain.reorg_below_finalized",
            Self::TooDeep { .. } => "chain.reorg_too_deep",
            Self::BelowFirstBlock { .. } => "chain.reorg_below_first_block",
            Self::BelowWatermark { .. } => "chain.reorg_below_watermark",
        }
    }
}

/// Decides what `header`, the lowest known one of the chain's present branch, means.
///
/// `known_hash` gives the hash of a stored block, or of the one that belongs there if its row is missing; `None` if
/// nothing says which one does, and outside of hot storage. It is asked for `header`'s number and the one before. At
/// most `max_reorg_depth` stored blocks may be taken back, none at or below the finalized block, none in cold storage;
/// `accepted` lifts the first two of these bounds for one reorg.
pub fn decide(
    stored: &Stored,
    header: &HeaderRef,
    shown: Shown,
    max_reorg_depth: u64,
    accepted: Option<&AcceptedReorg>,
    known_hash: impl Fn(BlockNumber) -> Option<B256>,
) -> Step {
    let BlockRef { number, hash } = header.reference;
    if number > stored.tip.number.next() {
        return Step::Extend;
    }
    // The newest block, as a lower node has it, contradicts nothing where nothing says which block belongs there.
    let is_stored = || known_hash(number).map_or(shown == Shown::First, |known| known == hash);
    if number <= stored.tip.number && is_stored() {
        return Step::Wait;
    }
    // With a permission the walk goes on where it would end; whether this is the accepted reorg shows at its ancestor.
    let stops_at = |number, found| {
        let covered = accepted.is_some_and(|accepted| accepted.covers(stored, number, found));
        forbidden(stored, number, found, max_reorg_depth).filter(|_| !covered)
    };
    // From here on the branch differs from the stored one at `number` or above it, or starts right above the tip.
    if number <= stored.tip.number
        && let Some(reason) = stops_at(number, hash)
    {
        return Step::Halt { reason };
    }
    let Some(parent_number) = number.previous() else {
        // Another genesis block: nothing is shared.
        return Step::Halt { reason: HaltReason::BelowFirstBlock { first_block: number, found: hash } };
    };
    let parent = BlockRef { number: parent_number, hash: header.parent_hash };
    match known_hash(parent_number) {
        Some(known) if known == parent.hash && parent_number == stored.tip.number => Step::Extend,
        Some(known) if known == parent.hash => match forbidden(stored, number, hash, max_reorg_depth) {
            None => Step::Replace { ancestor: parent },
            Some(_) if accepted.is_some_and(|accepted| accepted.ancestor == parent) => {
                Step::ReplaceAsAccepted { ancestor: parent }
            }
            Some(reason) => Step::Halt { reason },
        },
        // Another block belongs there, or it is not known which one does: in a gap, or where nothing is in hot storage.
        Some(_) | None => match stops_at(parent_number, parent.hash) {
            Some(reason) => Step::Halt { reason },
            None if parent_number < stored.first_block => {
                Step::Halt { reason: HaltReason::BelowFirstBlock { first_block: stored.first_block, found: hash } }
            }
            None => Step::WalkBack { to: parent },
        },
    }
}

/// Why the stored block at `number` may not be replaced, if it may not.
fn forbidden(stored: &Stored, number: BlockNumber, found: B256, max_depth: u64) -> Option<HaltReason> {
    if let Some(finalized) = stored.finalized.filter(|finalized| number <= finalized.number) {
        return Some(HaltReason::BelowFinalized { finalized, number, found });
    }
    if let Some(watermark) = stored.cold_watermark.filter(|watermark| number <= *watermark) {
        return Some(HaltReason::BelowWatermark { watermark, number, found });
    }
    let taken_back = stored.tip.number.0 - number.0 + 1;
    (taken_back > max_depth).then_some(HaltReason::TooDeep { tip: stored.tip, max_depth, number, found })
}

#[cfg(test)]
mod tests;
