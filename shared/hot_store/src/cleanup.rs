//! Cleanup: hot rows that are cold as well go by whole leaves, long after they became cold.
//!
//! [`droppable`] decides, and is pure; [`leaves()`], [`first_row`] and [`remove`] read and act. Queries read hot rows
//! above the watermark of their snapshot, so that a leaf below it is read by nobody but queries that began before it
//! became cold. Those have come to hold it ([`crate::rows::hold`]) long before the grace period is over, and are waited for.
//! Invariants: a row that is not cold never goes, and neither does one near the finalized block.

use std::time::Duration;

use isotherm_types::{BlockNumber, BlockRange, Dataset};

use crate::gaps::COUNTED;

mod leaves;

pub use leaves::{Leaf, LeafState, Removal, first_row, leaves, remove};

/// What holds for every leaf of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Highest block known to be final.
    pub finalized: BlockNumber,
    /// Whether the chain waits for a person's decision, who may want to look at what is stored.
    pub is_halted: bool,
    /// How long rows stay after they became cold: longer than it takes a query to hold what it will read.
    pub grace: Duration,
}

/// What is known of one dataset in one run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetFacts {
    /// The dataset.
    pub dataset: Dataset,
    /// First block that has a row in the leaf; `None` if the leaf is empty or gone.
    pub first_row: Option<BlockNumber>,
    /// Whether its rows of the run are promised to be there, be it that there are none: cold storage will ask for them.
    pub is_promised: bool,
    /// What of it is cold; `None` if nothing is.
    pub cold: Option<ColdFacts>,
}

/// What of a dataset is in cold storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdFacts {
    /// First cold block.
    pub first_block: BlockNumber,
    /// Last cold block.
    pub watermark: BlockNumber,
    /// How long ago the last block of the run became cold.
    pub age: Duration,
}

/// Why a run of blocks stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The chain is halted.
    Halted,
    /// It is the partition below the finalized block's, or a later one.
    NearFinalized,
    /// Some of its rows are not cold.
    NotCold {
        /// Of which dataset.
        dataset: Dataset,
    },
    /// Its rows have not been cold for long enough.
    TooYoung {
        /// Of which dataset.
        dataset: Dataset,
    },
}

/// Whether all leaves of `blocks` may go.
///
/// They go together or not at all: a dataset becomes cold by means of the others' rows, its blocks' and transactions'.
/// One partition below the finalized block's stays, cold or not, since the follower looks at the newest final blocks.
///
/// # Errors
/// Why they stay.
pub fn droppable(blocks: BlockRange, rules: &Rules, datasets: &[DatasetFacts]) -> Result<(), Kept> {
    if rules.is_halted {
        return Err(Kept::Halted);
    }
    let kept_from = blocks.end().0.checked_add(blocks.block_count());
    if kept_from.is_none_or(|kept_from| kept_from > rules.finalized.0) {
        return Err(Kept::NearFinalized);
    }
    for dataset in Dataset::ALL {
        let facts = datasets.iter().find(|facts| facts.dataset == dataset);
        let is_needed = facts.is_none_or(|facts| facts.is_promised || facts.first_row.is_some());
        if !COUNTED.contains(&dataset) && !is_needed {
            continue;
        }
        let cold = facts.and_then(|facts| facts.cold.filter(|cold| cold.has(facts.first_row, blocks)));
        match cold {
            None => return Err(Kept::NotCold { dataset }),
            Some(cold) if cold.age < rules.grace => return Err(Kept::TooYoung { dataset }),
            Some(_) => {}
        }
    }
    Ok(())
}

impl ColdFacts {
    /// Whether every row from `first_row` to the end of `blocks` is cold.
    fn has(&self, first_row: Option<BlockNumber>, blocks: BlockRange) -> bool {
        first_row.is_none_or(|first_row| self.first_block <= first_row) && blocks.last() <= self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn rules() -> Rules {
        Rules { finalized: BlockNumber(40), is_halted: false, grace: HOUR }
    }

    /// Blocks 20 to 29 of every dataset: there, and cold for two hours.
    fn facts() -> [DatasetFacts; 4] {
        let cold = ColdFacts { first_block: BlockNumber(3), watermark: BlockNumber(29), age: 2 * HOUR };
        Dataset::ALL.map(|dataset| DatasetFacts {
            dataset,
            first_row: Some(BlockNumber(20)),
            is_promised: true,
            cold: Some(cold),
        })
    }

    fn judged(change: impl FnOnce(&mut Rules, &mut [DatasetFacts; 4])) -> Result<(), Kept> {
        let (mut rules, mut facts) = (rules(), facts());
        change(&mut rules, &mut facts);
        droppable(range(20, 30), &rules, &facts)
    }

    #[test]
    fn what_is_cold_long_enough_goes() {
        assert_eq!(judged(|_, _| ()), Ok(()));
        assert_eq!(judged(|rules, _| rules.grace = 2 * HOUR), Ok(()));
        assert_eq!(judged(|rules, _| rules.grace = 2 * HOUR + Duration::from_nanos(1)), too_young(Dataset::Blocks));
    }

    fn not_cold(dataset: Dataset) -> Result<(), Kept> {
        Err(Kept::NotCold { dataset })
    }

    fn too_young(dataset: Dataset) -> Result<(), Kept> {
        Err(Kept::TooYoung { dataset })
    }

    #[test]
    fn one_dataset_that_is_not_cold_keeps_all_of_them() {
        for (index, dataset) in Dataset::ALL.into_iter().enumerate() {
            assert_eq!(judged(|_, facts| facts[index].cold = None), not_cold(dataset));
            let one_less = |_: &mut Rules, facts: &mut [DatasetFacts; 4]| {
                facts[index].cold.as_mut().unwrap().watermark = BlockNumber(28);
            };
            assert_eq!(judged(one_less), not_cold(dataset));
            let begins_later = |_: &mut Rules, facts: &mut [DatasetFacts; 4]| {
                facts[index].cold.as_mut().unwrap().first_block = BlockNumber(21);
            };
            assert_eq!(judged(begins_later), not_cold(dataset));
            let young = |_: &mut Rules, facts: &mut [DatasetFacts; 4]| {
                facts[index].cold.as_mut().unwrap().age = Duration::ZERO;
            };
            assert_eq!(judged(young), too_young(dataset));
        }
        assert_eq!(droppable(range(20, 30), &rules(), &facts()[1..]), not_cold(facts()[0].dataset));
    }

    #[test]
    fn cold_storage_may_begin_where_the_rows_do() {
        let begin = |_: &mut Rules, facts: &mut [DatasetFacts; 4]| {
            for facts in facts {
                facts.first_row = Some(BlockNumber(23));
                facts.cold.as_mut().unwrap().first_block = BlockNumber(23);
            }
        };
        assert_eq!(judged(begin), Ok(()));
    }

    #[test]
    fn traces_that_nobody_collects_keep_nothing_but_those_that_are_there_do() {
        let traces = Dataset::ALL.iter().position(|dataset| *dataset == Dataset::Traces).unwrap();
        let judged_with = |is_promised, first_row: Option<u64>| {
            judged(|_, facts| {
                facts[traces].cold = None;
                facts[traces].is_promised = is_promised;
                facts[traces].first_row = first_row.map(BlockNumber);
            })
        };
        assert_eq!(judged_with(false, None), Ok(()));
        assert_eq!(judged_with(true, None), not_cold(Dataset::Traces));
        assert_eq!(judged_with(false, Some(25)), not_cold(Dataset::Traces));
        // Of the others all have to be cold, rows or none.
        for index in (0..4).filter(|index| *index != traces) {
            let empty = judged(|_, facts| {
                facts[index] = DatasetFacts { first_row: None, is_promised: false, cold: None, ..facts[index] };
            });
            assert_eq!(empty, not_cold(Dataset::ALL[index]));
        }
    }

    #[test]
    fn a_partition_near_the_finalized_block_stays_and_so_does_all_of_a_halted_chain() {
        assert_eq!(judged(|rules, _| rules.finalized = BlockNumber(39)), Err(Kept::NearFinalized));
        assert_eq!(judged(|rules, _| rules.finalized = BlockNumber(0)), Err(Kept::NearFinalized));
        assert_eq!(judged(|rules, _| rules.is_halted = true), Err(Kept::Halted));
        let last = range(u64::MAX - 10, u64::MAX);
        assert_eq!(droppable(last, &rules(), &facts()), Err(Kept::NearFinalized));
    }
}
