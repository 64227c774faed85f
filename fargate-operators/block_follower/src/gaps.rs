//! Which stored blocks are still to be looked at for gaps, and which to fetch anew: decided here, done in
//! [`crate::follower`].
//!
//! A look goes over all that is stored, one bounded page at a time while the chain has nothing new, from the tip down.

use std::time::Duration;

use isotherm_hot_store::gaps::{Gap, GapKind};
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, Classified, Disposition};

mod check;

pub(crate) use check::{Absence, GapCheck, State};

/// A block that the endpoints answer not to have for this long cannot be mended.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why blocks that are missing or not whole cannot be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GapReason {
    /// The endpoints answer that they do not have the block.
    #[error(
        "block {number} is not whole ({kind}), and the endpoints have answered for {} s that they do not have {block}; \
         nothing was changed: use an endpoint that has it, then `isotherm follower resume --chain NAME --look-again`",
        LONGEST_WAIT.as_secs()
    )]
    NotServed {
        /// The number that is not whole.
        number: BlockNumber,
        /// What is wrong there.
        kind: GapKind,
        /// The block that is not served.
        block: BlockRef,
    },
    /// What the stored blocks say and what was final contradict each other.
    #[error(
        "block {number} is not whole ({kind}); the stored blocks above lead to {found}, but {finalized} is final; \
         nothing was changed: what is stored contradicts itself, so wipe this chain's data and start again; if you \
         have put it right by hand, `isotherm follower resume --chain NAME --look-again`"
    )]
    NotFinal {
        /// The number that is not whole.
        number: BlockNumber,
        /// What is wrong there.
        kind: GapKind,
        /// The block that the blocks above lead to.
        found: BlockRef,
        /// The finalized block.
        finalized: BlockRef,
    },
    /// Writing it anew did not help.
    #[error(
        "block {number} is not whole ({kind}) though it was written anew: find out what else writes to hot storage, \
         then `isotherm follower resume --chain NAME --look-again`; if there is nothing, report this"
    )]
    StaysSo {
        /// Its number.
        number: BlockNumber,
        /// What is wrong with it.
        kind: GapKind,
    },
}

impl Classified for GapReason {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotServed { .. } => "follower.gap_not_served",
            Self::NotFinal { .. } => "follower.gap_not_final",
            Self::StaysSo { .. } => "follower.gap_stays",
        }
    }
}

/// The gaps to be closed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Their numbers.
    pub(crate) numbers: BlockRange,
    /// What is wrong with the highest of them.
    pub(crate) kind: GapKind,
    /// Where to begin: the stored block above, or the tip itself if that is the highest gap.
    pub(crate) from: RunStart,
}

/// What the hashes of a run follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunStart {
    /// The stored block above is right; what it names as its parent was `named` when it was stored.
    Above {
        /// The block.
        block: BlockRef,
        /// The stored parent hash: if the block's header says another, it is to be written anew itself.
        named: Option<B256>,
    },
    /// The highest gap is this block.
    Tip(BlockRef),
}

/// Whether something says which block belongs there.
fn is_named(gap: &Gap) -> bool {
    gap.above_hash.is_some() || gap.named_hash.is_some()
}

/// The highest run of `gaps`, which come highest first, of at most `most_blocks`; `None` if there is none, or if what
/// belongs there is not known.
pub(crate) fn next_run(gaps: &[Gap], most_blocks: u64) -> Option<Run> {
    let highest = gaps.first()?;
    let from = match (highest.above_hash, highest.named_hash) {
        (Some(hash), named) => RunStart::Above { block: BlockRef { number: highest.number.next(), hash }, named },
        (None, Some(hash)) => RunStart::Tip(BlockRef { number: highest.number, hash }),
        (None, None) => return None,
    };
    let lowest = gaps
        .iter()
        .zip(0..most_blocks)
        .take_while(|(gap, below)| gap.number.0 + below == highest.number.0)
        .last()
        .map_or(highest.number, |(gap, _)| gap.number);
    Some(Run { numbers: BlockRange::inclusive(lowest, highest.number).ok()?, kind: highest.kind, from })
}

/// Why `blocks`, which follow from what is stored above them, may not be written, if they may not.
pub(crate) fn contradiction(run: &Run, blocks: &[BlockRef], finalized: Option<BlockRef>) -> Option<GapReason> {
    let finalized = finalized?;
    let found = *blocks.iter().find(|block| block.number == finalized.number)?;
    let (number, kind) = (run.numbers.last(), run.kind);
    (found != finalized).then_some(GapReason::NotFinal { number, kind, found, finalized })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> B256 {
        B256::left_padding_from(&number.to_be_bytes())
    }

    fn block(number: u64) -> BlockRef {
        BlockRef { number: BlockNumber(number), hash: hash(number) }
    }

    /// Missing blocks below a tip at 20, of which the one at `number` is named by the block above if that is stored.
    fn missing(numbers: &[u64]) -> Vec<Gap> {
        let gap = |number: u64| Gap {
            number: BlockNumber(number),
            kind: GapKind::Missing,
            stored_hash: None,
            named_hash: (number == 20 || !numbers.contains(&(number + 1))).then(|| hash(number)),
            above_hash: (number < 20 && !numbers.contains(&(number + 1))).then(|| hash(number + 1)),
        };
        numbers.iter().copied().map(gap).collect()
    }

    fn run(numbers: &[u64]) -> Option<(u64, u64, RunStart)> {
        next_run(&missing(numbers), 32).map(|run| (run.numbers.start().0, run.numbers.last().0, run.from))
    }

    #[test]
    fn neighbouring_gaps_are_closed_together_from_the_block_above() {
        let above = |number| RunStart::Above { block: block(number), named: Some(hash(number - 1)) };
        assert_eq!(run(&[]), None);
        assert_eq!(run(&[15]), Some((15, 15, above(16))));
        assert_eq!(run(&[15, 14, 13, 9, 8]), Some((13, 15, above(16))));
        assert_eq!(run(&[20, 19, 7]), Some((19, 20, RunStart::Tip(block(20)))));
        let all: Vec<u64> = (0..=20).rev().collect();
        assert_eq!(run(&all), Some((0, 20, RunStart::Tip(block(20)))));
    }

    #[test]
    fn a_run_is_bounded() {
        let gaps: Vec<Gap> = (0..100u64)
            .rev()
            .map(|number| Gap { number: BlockNumber(number), named_hash: Some(hash(number)), ..missing(&[20])[0] })
            .collect();
        for most_blocks in [1, 2, 32] {
            let run = next_run(&gaps, most_blocks).unwrap();
            assert_eq!((run.numbers.last(), run.numbers.block_count()), (BlockNumber(99), most_blocks));
        }
    }

    #[test]
    fn a_block_that_nothing_names_is_left_alone() {
        let gap = Gap { named_hash: None, above_hash: None, ..missing(&[15])[0] };
        assert_eq!(next_run(&[gap], 32), None);
    }

    #[test]
    fn a_final_block_is_never_written_over_by_another() {
        let run = next_run(&missing(&[15, 14]), 32).unwrap();
        let blocks = [block(14), block(15)];
        assert_eq!(contradiction(&run, &blocks, None), None);
        assert_eq!(contradiction(&run, &blocks, Some(block(14))), None);
        assert_eq!(contradiction(&run, &blocks, Some(block(16))), None, "it is not among them");
        let other = BlockRef { hash: hash(99), ..block(14) };
        let reason = contradiction(&run, &blocks, Some(other)).unwrap();
        assert_eq!(reason.code(), "follower.gap_not_final");
        for part in ["block 15".to_owned(), block(14).to_string(), other.to_string()] {
            assert!(reason.to_string().contains(&part), "{part}: {reason}");
        }
    }

    #[test]
    fn every_halt_names_the_command_that_ends_it() {
        let (number, kind, block) = (BlockNumber(15), GapKind::Missing, block(15));
        for reason in [
            GapReason::NotServed { number, kind, block },
            GapReason::NotFinal { number, kind, found: block, finalized: block },
            GapReason::StaysSo { number, kind },
        ] {
            let text = reason.to_string();
            assert!(text.contains("`isotherm follower resume --chain NAME --look-again`"), "{text}");
        }
    }
}
