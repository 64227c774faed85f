//! Counts that only grow. Pure.
//!
//! A trigger goes on at multiples of `every`, from the first above the count that it found when it was made. However far a
//! count jumps, the multiples that it passes in one step are one firing, which says from where to where.

use isotherm_types::{ChainId, Dataset};

use crate::triggers::Measure;

/// The count at which a trigger goes on that finds `count`: the next multiple of `every`. `None` if no number is as high.
pub fn first_after(every: u64, count: u64) -> Option<u64> {
    (count / every.max(1)).checked_add(1)?.checked_mul(every.max(1))
}

/// Multiples of `every` that were passed in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where the firing before ended.
    pub from: u64,
    /// The highest multiple that was reached.
    pub to: u64,
    /// Where the trigger goes on.
    pub next: u64,
}

/// What `count` passes for a trigger that goes on at `next`; `None` if it has not got there.
pub fn plan(every: u64, next: u64, count: u64) -> Option<Passed> {
    if every == 0 || count < next {
        return None;
    }
    let to = count - count % every;
    Some(Passed { from: next.saturating_sub(every), to: to.max(next), next: to.max(next).checked_add(every)? })
}

/// The key of a firing. Chain and dataset are in it, for a trigger may be pointed at others, whose counts begin again.
pub fn fire_key(measure: Measure, chain_id: ChainId, dataset: Dataset, passed: Passed) -> String {
    format!("{}-{chain_id}-{dataset}-{}-{}", measure.as_str(), passed.from, passed.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_passed_once_and_together() {
        assert_eq!(first_after(100, 0), Some(100));
        assert_eq!(first_after(100, 99), Some(100));
        assert_eq!(first_after(100, 100), Some(200));
        assert_eq!(first_after(2, u64::MAX), None);
        assert_eq!(plan(100, 200, 199), None);
        assert_eq!(plan(100, 200, 200), Some(Passed { from: 100, to: 200, next: 300 }));
        assert_eq!(plan(100, 200, 555), Some(Passed { from: 100, to: 500, next: 600 }));
        assert_eq!(plan(0, 0, 5), None);
    }

    #[test]
    fn a_key_says_what_was_counted() {
        let passed = Passed { from: 100, to: 500, next: 600 };
        assert_eq!(fire_key(Measure::Rows, ChainId(7), Dataset::Logs, passed), "rows-7-logs-100-500");
        assert_eq!(fire_key(Measure::Blocks, ChainId(7), Dataset::Blocks, passed), "blocks-7-blocks-100-500");
    }

    proptest::proptest! {
        #[test]
        fn firings_tile_the_count_from_where_it_began(
            every in 1u64..90, start in 0u64..500, steps in proptest::collection::vec(0u64..300, 1..20),
        ) {
            let mut next = first_after(every, start).unwrap();
            let mut reached = next - every;
            let mut count = start;
            for step in steps {
                count += step;
                if let Some(passed) = plan(every, next, count) {
                    proptest::prop_assert_eq!(passed.from, reached);
                    proptest::prop_assert!(passed.to > passed.from && passed.to <= count && passed.to.is_multiple_of(every));
                    (reached, next) = (passed.to, passed.next);
                    proptest::prop_assert_eq!(plan(every, next, count), None, "once");
                }
                proptest::prop_assert!(count < next && next == reached + every);
            }
        }
    }
}
