//! What of a range is still to be fetched, and in which tasks. Pure.
//!
//! What each partition lacks is said by the operator's own rule, `operator_cryo_ingest::plan`.

use std::num::NonZeroU64;

use anyhow::bail;
use isotherm_control::tasks::BriefTask;
use isotherm_types::{BlockNumber, BlockRange, Dataset};
use operator_cryo_ingest::Input;
use operator_cryo_ingest::plan::{self, Held};

/// Tasks that one run makes, unless the range has more holes than that.
const MOST_TASKS: u64 = 200;

/// A range of which something is to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Whole partitions.
    pub(super) blocks: BlockRange,
    /// Partitions in it.
    pub(super) partitions: u64,
    /// Blocks to fetch; the others are there.
    pub(super) fetched: u64,
}

/// What a range falls into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Partitions that lack something, in order.
    pub(super) lacking: Vec<Piece>,
    /// Blocks that are in cold storage already, or wait.
    pub(super) held: u64,
    /// Blocks that are in hot storage only: compaction moves them.
    pub(super) hot: u64,
    /// Blocks of partitions that tasks are at work on already.
    pub(super) asked: u64,
}

/// The blocks from `from` up to, not with, `to`, if those are whole partitions.
pub(super) fn whole(
    from: u64,
    to: u64,
    partition_blocks: NonZeroU64,
    may_begin_inside: bool,
) -> anyhow::Result<BlockRange> {
    let Ok(blocks) = BlockRange::new(BlockNumber(from), BlockNumber(to)) else {
        bail!("--to is the block after the last one, so it has to be above --from: {from}..{to} has no block")
    };
    if plan::check_whole(blocks, partition_blocks, may_begin_inside).is_ok() {
        return Ok(blocks);
    }
    let (start, end) = outwards(blocks, partition_blocks);
    bail!(
        "blocks {blocks} are not whole partitions of {partition_blocks} blocks; those around them are --from {start} \
         --to {end}: what is in cold storage already is left out"
    )
}

/// The whole partitions around `blocks`: first block, and the one after the last.
pub(crate) fn outwards(blocks: BlockRange, partition_blocks: NonZeroU64) -> (u64, u64) {
    let (start, size) = (blocks.start().0, partition_blocks.get());
    (start - start % size, blocks.end().0.div_ceil(size).saturating_mul(size))
}

/// Checks that the chain calls all of `blocks` final.
pub(super) fn check_final(
    blocks: BlockRange,
    finalized: Option<BlockNumber>,
    partition_blocks: NonZeroU64,
) -> anyhow::Result<()> {
    let Some(finalized) = finalized else {
        bail!("the chain calls no block final yet, so there is no history to fetch; ask again when it does")
    };
    if blocks.last() <= finalized {
        return Ok(());
    }
    // A block that is final does not end a partition until the next one begins.
    let size = partition_blocks.get();
    let end = finalized.0.saturating_add(1) / size * size;
    if end <= blocks.start().0 {
        bail!("blocks {blocks} are not final: the chain's last final block is {finalized}; ask for them when they are")
    }
    bail!("not all of blocks {blocks} are final: the chain's last final block is {finalized}; use --to {end}")
}

/// Splits `blocks`, which are whole partitions, by what is held and by which tasks are at work.
pub(super) fn split(
    blocks: BlockRange,
    partition_blocks: NonZeroU64,
    held: &[(Dataset, Held)],
    tasks: &[BriefTask],
) -> Split {
    let asked: Vec<BlockRange> = tasks.iter().filter(|task| task.state.is_live()).filter_map(blocks_of).collect();
    let mut split = Split::default();
    for partition in plan::partitions(blocks, partition_blocks) {
        let work = plan::work(partition, held);
        let is_left = |work: &plan::Work| work.datasets.iter().all(|dataset| is_hot(*dataset, work.blocks, held));
        if work.is_empty() {
            split.held += partition.block_count();
        } else if work.iter().all(is_left) {
            split.hot += partition.block_count();
        } else if asked.iter().any(|asked| asked.intersection(partition) == Some(partition)) {
            split.asked += partition.block_count();
        } else {
            let fetched = work.iter().map(|work| work.blocks.block_count()).sum();
            split.lacking.push(Piece { blocks: partition, partitions: 1, fetched });
        }
    }
    split
}

/// Whether hot storage has all of `blocks`, which are final.
fn is_hot(dataset: Dataset, blocks: BlockRange, held: &[(Dataset, Held)]) -> bool {
    let found = held.iter().find(|(of, _)| *of == dataset).and_then(|(_, held)| held.hot_first_block);
    found.is_some_and(|first| first <= blocks.start())
}

/// Neighbouring partitions together, so that there are few tasks; those next to cold storage first, as what adjoins it
/// can be queried at once.
pub(super) fn pieces(lacking: &[Piece], cold: Option<BlockRange>) -> Vec<Piece> {
    let of_each = (lacking.len() as u64).div_ceil(MOST_TASKS).max(1);
    let mut pieces: Vec<Piece> = Vec::new();
    for next in lacking {
        match pieces.last_mut() {
            Some(last) if last.partitions < of_each && last.blocks.is_followed_by(next.blocks) => {
                last.blocks = BlockRange::new(last.blocks.start(), next.blocks.end()).unwrap_or(last.blocks);
                last.partitions += next.partitions;
                last.fetched += next.fetched;
            }
            _ => pieces.push(*next),
        }
    }
    if let Some(cold) = cold {
        let distance = |piece: &Piece| {
            let below = cold.start().0.checked_sub(piece.blocks.last().0);
            below.unwrap_or_else(|| piece.blocks.start().0.saturating_sub(cold.last().0))
        };
        pieces.sort_by_key(distance);
    }
    pieces
}

/// Names a firing for `blocks`: the same for runs at the same time, another one when all such tasks have ended.
pub(super) fn firing_key(blocks: BlockRange, tasks: &[BriefTask]) -> String {
    let ended = tasks.iter().filter(|task| !task.state.is_live() && blocks_of(task) == Some(blocks)).count();
    format!("backfill-{}-{}-{ended}", blocks.start(), blocks.end())
}

/// Key that the task of a firing by hand has.
pub(super) fn task_key(firing_key: &str) -> String {
    format!("manual-{firing_key}")
}

/// The blocks that a task is about; `None` if its input says none.
pub(crate) fn blocks_of(task: &BriefTask) -> Option<BlockRange> {
    serde_json::from_value::<Input>(task.input.clone()).ok().map(|input| input.blocks)
}

/// Whether a task is at work on some of `blocks`, or waits to be.
pub(super) fn is_about(task: &BriefTask, blocks: BlockRange) -> bool {
    task.state.is_live() && blocks_of(task).is_some_and(|of_task| of_task.intersection(blocks).is_some())
}

#[cfg(test)]
pub(super) mod tests;
