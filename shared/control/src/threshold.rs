//! Threshold triggers: a chain has got so much further, so a job is fired.
//!
//! [`plan`] decides which ranges are due, from values alone; [`evaluate`] fires them. Where a trigger goes on is kept in
//! its row and moves with its firings, so that ranges tile the chain over restarts, and the key of a firing guards
//! against a second one.

use isotherm_types::{BlockNumber, BlockRange, ChainId, TriggerId};
use sqlx::{Connection, PgConnection};

use crate::error::ControlError;
use crate::triggers::{self, Fired, Measure, Trigger, TriggerConfig};

/// Most ranges that one evaluation fires for one trigger; the next evaluation goes on.
pub const MOST_AT_ONCE: usize = 100;

/// Where a chain stands in hot storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The chain.
    pub chain_id: ChainId,
    /// First block ever stored.
    pub first_block: Option<BlockNumber>,
    /// Last block stored.
    pub tip: Option<BlockNumber>,
    /// Last block that the chain calls final; may be ahead of the tip.
    pub finalized: Option<BlockNumber>,
}

/// The ranges that are due: each ends at a multiple of `every`, the first starts at `next` (or at the first stored block),
/// every other where the one before ends. Only ranges that are stored and final to the last block, at most `most`.
pub fn plan(every: u64, next: Option<BlockNumber>, facts: &Facts, most: usize) -> Vec<BlockRange> {
    let (Some(first_block), Some(tip), Some(finalized)) = (facts.first_block, facts.tip, facts.finalized) else {
        return Vec::new();
    };
    if every == 0 {
        return Vec::new();
    }
    let final_end = tip.min(finalized).next();
    let mut ranges = Vec::new();
    let mut start = next.unwrap_or(first_block);
    while ranges.len() < most {
        let Some(end) = (start.0 / every + 1).checked_mul(every).map(BlockNumber) else { break };
        if end > final_end {
            break;
        }
        let Ok(range) = BlockRange::new(start, end) else { break };
        ranges.push(range);
        start = end;
    }
    ranges
}

/// The key of the firing for `blocks`.
pub fn fire_key(blocks: BlockRange) -> String {
    format!("blocks-{}-{}", blocks.start(), blocks.end())
}

/// A firing that happened now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// What it fired for.
    pub blocks: BlockRange,
}

/// Fires what is due for the chain that `facts` tell of, and returns the firings that were new.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn evaluate(conn: &mut PgConnection, facts: &Facts) -> Result<Vec<Crossed>, ControlError> {
    let mut crossed = Vec::new();
    for trigger in triggers::active(&mut *conn, "threshold").await? {
        let TriggerConfig::Threshold(config) = &trigger.config else { continue };
        if config.chain_id == facts.chain_id && config.measure == Measure::FinalizedBlocks {
            crossed.extend(evaluate_one(&mut *conn, &trigger, config.every, facts).await?);
        }
    }
    Ok(crossed)
}

async fn evaluate_one(
    conn: &mut PgConnection,
    trigger: &Trigger,
    every: u64,
    facts: &Facts,
) -> Result<Vec<Crossed>, ControlError> {
    let mut db_tx = conn.begin().await?;
    let row: Option<(Option<i64>,)> =
        sqlx::query_as("SELECT next_block FROM control.triggers WHERE id = $1 AND active FOR UPDATE")
            .bind(trigger.id.0)
            .fetch_optional(&mut *db_tx)
            .await?;
    let Some((next_block,)) = row else { return Ok(Vec::new()) };
    let next = next_block.map(|number| BlockNumber(number.unsigned_abs()));
    let ranges = plan(every, next, facts, MOST_AT_ONCE);
    let Some(last) = ranges.last() else { return Ok(Vec::new()) };
    let goes_on_at = last.end();

    let mut crossed = Vec::new();
    for &blocks in &ranges {
        let addition = serde_json::json!({ "blocks": blocks });
        match triggers::fire(&mut db_tx, trigger, &fire_key(blocks), &addition).await? {
            Fired::Now(_) => crossed.push(Crossed { trigger_id: trigger.id, blocks }),
            Fired::Already => {}
        }
    }
    sqlx::query("UPDATE control.triggers SET next_block = $2 WHERE id = $1")
        .bind(trigger.id.0)
        .bind(i64::try_from(goes_on_at.0).unwrap_or(i64::MAX))
        .execute(&mut *db_tx)
        .await?;
    db_tx.commit().await?;
    Ok(crossed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(first: u64, tip: u64, finalized: u64) -> Facts {
        let (first_block, tip) = (Some(BlockNumber(first)), Some(BlockNumber(tip)));
        Facts { chain_id: ChainId(1), first_block, tip, finalized: Some(BlockNumber(finalized)) }
    }

    fn due(every: u64, next: Option<u64>, facts: &Facts) -> Vec<(u64, u64)> {
        let ranges = plan(every, next.map(BlockNumber), facts, MOST_AT_ONCE);
        ranges.iter().map(|range| (range.start().0, range.end().0)).collect()
    }

    #[test]
    fn a_range_is_due_once_its_last_block_is_final_and_stored() {
        assert_eq!(due(100, None, &facts(0, 500, 98)), []);
        assert_eq!(due(100, None, &facts(0, 500, 99)), [(0, 100)]);
        assert_eq!(due(100, None, &facts(0, 98, 500)), [], "final but not stored");
        assert_eq!(due(100, Some(100), &facts(0, 500, 299)), [(100, 200), (200, 300)]);
    }

    #[test]
    fn the_first_range_starts_at_the_first_stored_block() {
        assert_eq!(due(100, None, &facts(37, 300, 210)), [(37, 100), (100, 200)]);
        assert_eq!(due(100, None, &facts(200, 300, 299)), [(200, 300)]);
    }

    #[test]
    fn nothing_is_due_before_anything_is_known() {
        let unknown = Facts { finalized: None, ..facts(0, 500, 0) };
        assert_eq!(due(100, None, &unknown), []);
        let empty = Facts { first_block: None, tip: None, ..facts(0, 0, 500) };
        assert_eq!(due(100, None, &empty), []);
    }

    proptest::proptest! {
        #[test]
        fn ranges_tile_whatever_the_steps(first in 0u64..300, every in 1u64..120, steps in proptest::collection::vec(1u64..200, 1..12)) {
            let mut next = None;
            let mut covered = first;
            let mut finalized = first;
            for step in steps {
                finalized += step;
                for range in plan(every, next, &facts(first, finalized, finalized), 3) {
                    proptest::prop_assert_eq!(range.start().0, covered);
                    proptest::prop_assert!(range.last().0 <= finalized);
                    proptest::prop_assert_eq!(range.end().0 % every, 0);
                    covered = range.end().0;
                    next = Some(range.end());
                }
            }
        }
    }
}
