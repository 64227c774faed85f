//! Whether a person may have a disputed reorg replaced. Pure.

use alloy::primitives::B256;
use isotherm_types::{BlockNumber, BlockRange, BlockRef};

use super::{Dispute, DisputedReorg};
use crate::cursor::Cursor;

/// Why a reorg cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The chain follows: there is nothing to decide.
    #[error("the chain is not halted")]
    NotHalted,
    /// The chain is halted for something else, or for a reorg of a tip that is not the stored one.
    #[error("the chain is halted ({code}), but not for a reorg of its stored tip")]
    NoReorg {
        /// What it is halted for.
        code: String,
    },
    /// The person means another branch than the follower saw.
    #[error("the follower saw {found}, not a block with hash {given}")]
    OtherBranch {
        /// What it saw.
        found: BlockRef,
        /// What the person gave.
        given: B256,
    },
    /// It is not known which blocks would be taken back.
    #[error("it is not known where the branches part")]
    NoAncestor,
    /// Blocks in cold storage would be contradicted.
    #[error("blocks {taken_back} would be taken back, but blocks up to {watermark} are in cold storage")]
    Cold {
        /// What would be taken back.
        taken_back: BlockRange,
        /// Last block in cold storage.
        watermark: BlockNumber,
    },
}

impl Refusal {
    /// Stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotHalted => "not_halted",
            Self::NoReorg { .. } => "no_reorg",
            Self::OtherBranch { .. } => "other_branch",
            Self::NoAncestor => "no_ancestor",
            Self::Cold { .. } => "cold",
        }
    }
}

impl Dispute {
    /// Whether it is what the chain of `cursor` is halted for. One of before may be left over when a chain is halted
    /// for something else.
    pub fn is_of(&self, cursor: &Cursor) -> bool {
        let is_of_a_reorg = cursor.halted.as_ref().is_some_and(|halt| halt.code.starts_with("chain.reorg_"));
        is_of_a_reorg && Some(self.reorg.tip) == cursor.tip && self.permission.is_none()
    }
}

/// The reorg that may be accepted.
///
/// `branch_hash` is the hash that the person expects where the follower had to stop, if one was given; `watermark` the
/// last block in cold storage.
///
/// # Errors
/// [`Refusal`].
pub fn judge(
    cursor: &Cursor,
    dispute: Option<&Dispute>,
    watermark: Option<BlockNumber>,
    branch_hash: Option<B256>,
) -> Result<DisputedReorg, Refusal> {
    let halt = cursor.halted.as_ref().ok_or(Refusal::NotHalted)?;
    let Some(Dispute { reorg, .. }) = dispute.filter(|dispute| dispute.is_of(cursor)) else {
        return Err(Refusal::NoReorg { code: halt.code.clone() });
    };
    if let Some(given) = branch_hash.filter(|given| *given != reorg.found.hash) {
        return Err(Refusal::OtherBranch { found: reorg.found, given });
    }
    let taken_back = reorg.taken_back().ok_or(Refusal::NoAncestor)?;
    if let Some(watermark) = watermark.filter(|watermark| taken_back.start() <= *watermark) {
        return Err(Refusal::Cold { taken_back, watermark });
    }
    Ok(*reorg)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use isotherm_types::ChainId;

    use super::*;
    use crate::cursor::Halt;
    use crate::disputed_reorg::{Parting, Permission};

    fn block(number: u64, branch: u8) -> BlockRef {
        let mut hash = B256::with_last_byte(branch);
        hash[..8].copy_from_slice(&number.to_be_bytes());
        BlockRef { number: BlockNumber(number), hash }
    }

    fn instant() -> DateTime<Utc> {
        "2026-11-26T10:00:00Z".parse().unwrap()
    }

    /// A chain halted at block 20, final up to 16, whose branches part above 13.
    fn halted() -> (Cursor, Dispute) {
        let cursor = Cursor {
            chain_id: ChainId(1),
            chain: "demo".to_owned(),
            partition_blocks: 10,
            first_block: Some(BlockNumber(0)),
            first_traced_block: None,
            tip: Some(block(20, 0)),
            finalized: Some(block(16, 0)),
            halted: Some(Halt { code: "chain.reorg_below_finalized".to_owned(), message: "…".to_owned() }),
            updated_at: instant(),
        };
        let reorg = DisputedReorg {
            tip: block(20, 0),
            head: block(22, 1),
            found: block(16, 1),
            stored_hash: Some(block(16, 0).hash),
            parting: Some(Parting { ancestor: block(13, 0), first_hash: block(14, 1).hash }),
        };
        (cursor, Dispute { reorg, seen_at: instant(), permission: None })
    }

    #[test]
    fn a_reorg_above_cold_storage_may_be_accepted() {
        let (cursor, dispute) = halted();
        for watermark in [None, Some(BlockNumber(0)), Some(BlockNumber(13))] {
            for branch_hash in [None, Some(block(16, 1).hash)] {
                assert_eq!(judge(&cursor, Some(&dispute), watermark, branch_hash), Ok(dispute.reorg));
            }
        }
        assert_eq!(dispute.reorg.taken_back(), BlockRange::new(BlockNumber(14), BlockNumber(21)).ok());
    }

    #[test]
    fn cold_blocks_are_never_given_up() {
        let (cursor, dispute) = halted();
        for watermark in [14, 16, 20] {
            let refused = judge(&cursor, Some(&dispute), Some(BlockNumber(watermark)), None).unwrap_err();
            assert_eq!(refused.as_str(), "cold", "{watermark}");
            assert!(refused.to_string().contains("14..21"), "{refused}");
        }
    }

    #[test]
    fn what_the_follower_did_not_see_is_not_accepted() {
        let (cursor, dispute) = halted();
        let refused = |cursor: &Cursor, dispute: Option<&Dispute>, branch_hash| {
            judge(cursor, dispute, None, branch_hash).unwrap_err().as_str()
        };
        assert_eq!(refused(&cursor, Some(&dispute), Some(block(16, 2).hash)), "other_branch");
        assert_eq!(refused(&cursor, None, None), "no_reorg");
        let unknown = Dispute { reorg: DisputedReorg { parting: None, ..dispute.reorg }, ..dispute.clone() };
        assert_eq!(refused(&cursor, Some(&unknown), None), "no_ancestor");
        let moved_on = Cursor { tip: Some(block(21, 0)), ..cursor.clone() };
        assert_eq!(refused(&moved_on, Some(&dispute), None), "no_reorg");
        let other_reason = Halt { code: "follower.gap_not_served".to_owned(), message: "…".to_owned() };
        let other_halt = Cursor { halted: Some(other_reason), ..cursor.clone() };
        assert!(dispute.is_of(&cursor) && !dispute.is_of(&other_halt) && !dispute.is_of(&moved_on));
        assert_eq!(refused(&other_halt, Some(&dispute), None), "no_reorg");
        let following = Cursor { halted: None, ..cursor.clone() };
        assert_eq!(refused(&following, Some(&dispute), None), "not_halted");
        let permission = Permission {
            accepted_by: "cli:ann".to_owned(),
            accepted_at: instant(),
            reason: "checked by hand".to_owned(),
        };
        let decided = Dispute { permission: Some(permission), ..dispute };
        assert_eq!(refused(&cursor, Some(&decided), None), "no_reorg", "an old permission and a new halt");
    }
}
