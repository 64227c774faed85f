//! A chain as one snapshot shows it: how far it has got, and the runs of whole blocks that rules are held against.

use std::collections::BTreeSet;

use isotherm_alerts::cursors::AlertCursor;
use isotherm_alerts::index::{Asked, BlockRows, Excess, Found, RuleIndex};
use isotherm_alerts::release::Reach;
use isotherm_alerts::turn::{self, Position};
use isotherm_hot_store::cleanup::{self, LeafState};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::whole_blocks::{self, Bounds, Header};
use isotherm_hot_store::{HotStoreError, known_hash, reorg};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Classified, Dataset, OrgId, RuleId};
use sqlx::PgConnection;

use crate::trouble::Trouble;

/// How much a run holds. A block may be more.
const RUN: Bounds = Bounds { row_count: 20_000, size_bytes: 32 * 1024 * 1024 };
/// Blocks of a run; near the tip it is one, and a reorg is a few.
pub(crate) const MOST_BLOCKS: u64 = 256;

/// A chain in one snapshot.
pub(crate) struct ChainView {
    pub(crate) chain_id: ChainId,
    cursor: Cursor,
    /// Last block stored.
    pub(crate) tip: BlockRef,
    /// Newest row of the chain's reorgs.
    newest_reorg: i64,
}

/// What was found in a run of blocks.
pub(crate) struct Run {
    /// Its last block.
    pub(crate) last: BlockRef,
    /// What the rules found.
    pub(crate) found: Found,
}

/// Which rules a run is held against.
pub(crate) struct Audience<'a> {
    pub(crate) index: &'a RuleIndex,
    /// Whose; `None`: everybody's.
    pub(crate) orgs: Option<&'a BTreeSet<OrgId>>,
    /// Rules that have failed in this turn.
    pub(crate) failed: &'a BTreeSet<RuleId>,
    /// What was found from this block on is looked for again, also by rules that those blocks do not concern any more.
    pub(crate) again_from: Option<BlockNumber>,
}

/// What follows a block.
pub(crate) enum Next {
    /// A run.
    Run(Run),
    /// Rows that are gone since they have long been cold: `block` is the last one without.
    Gone(BlockRef),
    /// A block that is missing, and will be mended.
    Gap,
}

impl ChainView {
    /// Reads it; `None` while nothing is stored.
    pub(crate) async fn read(snapshot: &mut PgConnection, chain_id: ChainId) -> Result<Option<Self>, HotStoreError> {
        let Some(cursor) = cursor::read(snapshot, chain_id).await? else { return Ok(None) };
        let Some(tip) = cursor.tip else { return Ok(None) };
        let newest_reorg = reorg::newest_id(snapshot, chain_id).await?;
        Ok(Some(Self { chain_id, cursor, tip, newest_reorg }))
    }

    /// How far the chain has got.
    pub(crate) fn reach(&self) -> Reach {
        Reach { tip: self.tip.number, finalized: self.cursor.finalized.map(|block| block.number) }
    }

    /// The cursor of an organisation that has none: nothing is known, and no reorg concerns it.
    pub(crate) fn new_cursor(&self) -> AlertCursor {
        AlertCursor { block: None, invalidation_id: self.newest_reorg, recheck_from: None }
    }

    /// The cursor from which an organisation goes on: gone back to where the branches part, if a reorg came between; gone ahead
    /// to the first block that concerns a rule (`first_block`; `None`: none does).
    pub(crate) async fn going_on(
        &self,
        snapshot: &mut PgConnection,
        stored: &AlertCursor,
        first_block: Option<BlockNumber>,
    ) -> Result<AlertCursor, HotStoreError> {
        let reorgs = if stored.invalidation_id < self.newest_reorg {
            reorg::since(snapshot, self.chain_id, stored.invalidation_id).await?
        } else {
            Vec::new()
        };
        let hash = match stored.block {
            Some(block) => known_hash(snapshot, self.chain_id, block.number).await?,
            None => None,
        };
        let finalized = self.cursor.finalized.map(|block| block.number);
        let mut cursor = *stored;
        if let Position::BackTo(start) = turn::position(stored, &reorgs, hash, finalized) {
            if let (true, Some(block)) = (reorgs.is_empty(), stored.block) {
                let trouble = Trouble::CursorOffChain { block };
                tracing::error!(
                    chain.id = self.chain_id.0,
                    error.code = trouble.code(),
                    error.message = %trouble,
                    "an evaluator's cursor is off the chain"
                );
            }
            let ancestor = match start.previous() {
                Some(number) => self.block(snapshot, number).await?,
                None => None,
            };
            cursor = turn::rewind(stored, start, ancestor, reorgs.last().map(|(id, _)| *id));
        }
        // Without a rule nothing can be found again; with one, what was found is looked for again before it is judged.
        if first_block.is_none() || cursor.recheck_from.is_none() {
            let first = first_block.unwrap_or(self.tip.number.next()).min(self.tip.number.next());
            let before = match first.previous() {
                Some(number) if cursor.block.is_none_or(|block| block.number < number) => {
                    self.block(snapshot, number).await?
                }
                _ => None,
            };
            cursor.block = before.or(cursor.block);
        }
        Ok(cursor)
    }

    /// The block of this number, as far as the snapshot knows which one it is.
    async fn block(&self, snapshot: &mut PgConnection, number: BlockNumber) -> Result<Option<BlockRef>, HotStoreError> {
        let hash = known_hash(snapshot, self.chain_id, number).await?;
        Ok(hash.map(|hash| BlockRef { number, hash }))
    }

    /// The first block after the cursor: without one, the first that is stored and concerns a rule.
    pub(crate) fn next_block(&self, cursor: &AlertCursor, first_block: Option<BlockNumber>) -> BlockNumber {
        let stored = self.cursor.first_block.unwrap_or(BlockNumber(0));
        cursor.block.map_or_else(|| stored.max(first_block.unwrap_or(stored)), |block| block.number.next())
    }

    /// Reads a run of `blocks` from their start on and holds the rules against it. Of blocks in which more is found than may be held
    /// there are fewer; in one block the rule that finds too much is at fault.
    pub(crate) async fn next(
        &self,
        snapshot: &mut PgConnection,
        audience: &Audience<'_>,
        blocks: BlockRange,
    ) -> Result<Next, HotStoreError> {
        let headers = whole_blocks::headers(snapshot, self.chain_id, blocks).await?;
        let whole = contiguous(&headers, blocks.start());
        let Some(last) = headers[..whole].last() else { return self.missing(snapshot, blocks.start()).await };
        let range = BlockRange::inclusive(blocks.start(), last.block.number).expect("there is one header at least");
        let Audience { index, orgs, failed, again_from } = *audience;
        let wanted: Vec<(Dataset, Vec<&str>)> =
            index.datasets().into_iter().map(|dataset| (dataset, with_block_number(index, dataset))).collect();
        let mut read = whole_blocks::read(snapshot, self.chain_id, range, &wanted, RUN).await?;
        loop {
            let count = read.blocks.block_count();
            let excess = if count > 1 { Excess::EndsSearch } else { Excess::IsAFault };
            let found = index.find_as(&block_rows(&read), &Asked { again_from, orgs, without: failed, excess });
            if found.is_too_much {
                read.keep_before(BlockNumber(read.blocks.start().0 + count / 2))?;
                continue;
            }
            let place = usize::try_from(count - 1).expect("a run is short");
            return Ok(Next::Run(Run { last: headers[place].block, found }));
        }
    }

    /// Why there is no block at `number`, though the tip is above.
    async fn missing(&self, snapshot: &mut PgConnection, number: BlockNumber) -> Result<Next, HotStoreError> {
        let leaves = cleanup::leaves(snapshot, self.chain_id, self.cursor.partition_blocks).await?;
        let is_there = leaves.iter().any(|leaf| {
            leaf.dataset == Dataset::Blocks && leaf.state == LeafState::Attached && leaf.blocks.contains(number)
        });
        let first = whole_blocks::first_header(snapshot, self.chain_id, number).await?;
        Ok(match first.and_then(|first| Some((first.block.number.previous()?, first.parent_hash))) {
            Some((number, hash)) if !is_there => Next::Gone(BlockRef { number, hash }),
            _ => Next::Gap,
        })
    }
}

/// How many of `headers` follow one another from `start` on.
fn contiguous(headers: &[Header], start: BlockNumber) -> usize {
    let mut expected = (start, None);
    headers
        .iter()
        .take_while(|header| {
            let (number, parent) = expected;
            expected = (header.block.number.next(), Some(header.block.hash));
            header.block.number == number && parent.is_none_or(|hash| header.parent_hash == hash)
        })
        .count()
}

fn with_block_number(index: &RuleIndex, dataset: Dataset) -> Vec<&'static str> {
    let mut columns = index.columns(dataset);
    if !columns.contains(&"block_number") {
        columns.push("block_number");
    }
    columns
}

fn block_rows(read: &whole_blocks::WholeBlocks) -> BlockRows {
    let of = |dataset| read.rows.get(&dataset).cloned().unwrap_or_default();
    BlockRows {
        blocks: of(Dataset::Blocks),
        transactions: of(Dataset::Transactions),
        logs: of(Dataset::Logs),
        traces: of(Dataset::Traces),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::B256;

    use super::*;

    #[test]
    fn a_run_ends_where_a_block_is_missing_or_another_one_is_named() {
        let hash = |number: u8| B256::repeat_byte(number);
        let header = |number: u8, parent: u8| Header {
            block: BlockRef { number: BlockNumber(u64::from(number)), hash: hash(number) },
            parent_hash: hash(parent),
        };
        let start = BlockNumber(5);
        assert_eq!(contiguous(&[header(5, 4), header(6, 5), header(7, 6)], start), 3);
        assert_eq!(contiguous(&[header(5, 4), header(7, 6)], start), 1);
        assert_eq!(contiguous(&[header(5, 4), header(6, 9), header(7, 6)], start), 1);
        assert_eq!(contiguous(&[header(6, 5)], start), 0);
        assert_eq!(contiguous(&[], start), 0);
    }
}
