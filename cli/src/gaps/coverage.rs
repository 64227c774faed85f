//! What of a dataset is missing between its first block and the tip. Pure.
//!
//! What is there is there in one of three places: cold storage, files that wait for their neighbour, hot storage.

use isotherm_types::{BlockNumber, BlockRange, Dataset};
use operator_cryo_ingest::plan::{self, Held};

/// Where a dataset's blocks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) dataset: Dataset,
    pub(super) cold: Option<BlockRange>,
    pub(super) waiting: Vec<BlockRange>,
    /// Blocks that hot storage has taken, from the first to the tip; those that are cold may be gone from there.
    pub(super) hot: Option<BlockRange>,
    /// Lowest block that a backfill was asked for.
    pub(super) asked_from: Option<BlockNumber>,
}

/// What there is of a dataset, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    /// From the first block that is there or was asked for to the last one.
    pub(super) blocks: BlockRange,
    /// In order.
    pub(super) missing: Vec<BlockRange>,
}

impl Places {
    /// The blocks from the first to the last, and those between that are in no place; `None` if nothing is anywhere.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        let there = || self.cold.iter().chain(&self.waiting).chain(&self.hot);
        let end = there().map(|blocks| blocks.end()).max()?;
        let first = there().map(|blocks| blocks.start()).chain(self.asked_from).min()?;
        let blocks = BlockRange::new(first, end).ok()?;
        let others = self.waiting.iter().chain(&self.hot).copied().collect();
        let held = Held { cold: self.cold, waiting: others, hot_first_block: None };
        Some(Coverage { blocks, missing: plan::missing(blocks, &held) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn nothing() -> Places {
        Places { dataset: Dataset::Logs, cold: None, waiting: Vec::new(), hot: None, asked_from: None }
    }

    #[test]
    fn three_places_together_have_a_chain_or_leave_gaps() {
        let places = Places {
            cold: Some(range(100, 200)),
            waiting: vec![range(20, 40), range(60, 100)],
            hot: Some(range(150, 300)),
            ..nothing()
        };
        let found = |places: &Places| places.coverage().unwrap();
        assert_eq!(found(&places), Coverage { blocks: range(20, 300), missing: vec![range(40, 60)] });
        let asked = Places { asked_from: Some(BlockNumber(0)), ..places.clone() };
        assert_eq!(found(&asked), Coverage { blocks: range(0, 300), missing: vec![range(0, 20), range(40, 60)] });
        let parted = Places { hot: Some(range(250, 300)), ..places };
        assert_eq!(found(&parted).missing, [range(40, 60), range(200, 250)]);
        let whole = Places { waiting: vec![range(20, 100)], hot: None, ..parted };
        assert_eq!(found(&whole), Coverage { blocks: range(20, 200), missing: Vec::new() });
    }

    #[test]
    fn what_is_nowhere_has_no_gap() {
        assert_eq!(nothing().coverage(), None);
        assert_eq!(Places { asked_from: Some(BlockNumber(5)), ..nothing() }.coverage(), None);
    }
}
