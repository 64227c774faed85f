//! Blocks with what the job wants of them: their traces, if it names a method.
//!
//! Traces are asked for after their blocks. What has its traces goes on without what has not, and blocks are not asked for
//! again because their traces could not be had. A node also traces blocks that have left the chain meanwhile, so whoever has
//! waited is asked about once more. Never hands out a block without the traces that are wanted.

use std::sync::PoisonError;

use isotherm_chain::{Answer, ChainError, TraceMethod, Traced, VerifiedBlock};
use isotherm_types::{BlockRange, BlockRef};

use super::Follower;

/// So often the traces of the same blocks are asked for in vain before the blocks are asked for anew: by then they may
/// have left the chain.
const TRIES: u32 = 4;

/// Verified blocks whose traces could not be had.
#[derive(Debug, Default)]
pub(super) struct Untraced {
    blocks: Vec<VerifiedBlock>,
    /// How often they were asked about since the last one that had its traces.
    tries: u32,
}

impl Untraced {
    /// Those of `numbers`, from its start on; `None` if the blocks are to be asked for.
    fn take(&mut self, numbers: BlockRange) -> Option<Vec<VerifiedBlock>> {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.retain(|block| numbers.contains(block.block().reference.number));
        let begins = blocks.first().is_some_and(|first| first.block().reference.number == numbers.start());
        if begins && self.tries < TRIES {
            return Some(blocks);
        }
        self.tries = 0;
        None
    }

    /// Has the blocks be asked for anew.
    fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes note of what came of asking for traces.
    fn keep(&mut self, traced: &mut Traced) {
        let is_kept = match &traced.end {
            // What they say of the blocks, another one may say otherwise.
            Answer::Failed(ChainError::ReplacedWhileFetching { .. }) | Answer::Absent | Answer::Present(()) => false,
            Answer::Failed(_) | Answer::Lying(_) => true,
        };
        if !traced.blocks.is_empty() {
            self.tries = 0;
        }
        self.tries += u32::from(is_kept);
        self.blocks = if is_kept { std::mem::take(&mut traced.untraced) } else { Vec::new() };
    }
}

impl Follower {
    /// The blocks of `numbers`, as far as the chain has them with what is wanted of them.
    pub(super) async fn fetch(&self, numbers: BlockRange) -> Answer<Vec<VerifiedBlock>> {
        let kept = self.untraced.lock().unwrap_or_else(PoisonError::into_inner).take(numbers);
        let has_waited = kept.is_some();
        let answer = match kept {
            Some(blocks) => Answer::Present(blocks),
            None => self.client.fetch(numbers).await,
        };
        let blocks = match answer {
            Answer::Present(blocks) if self.config.traces != TraceMethod::None => blocks,
            answer => return answer,
        };
        let first = blocks.first().map(|block| block.block().reference);
        let mut traced = self.client.trace_as_far_as_told(blocks, self.config.traces).await;
        self.untraced.lock().unwrap_or_else(PoisonError::into_inner).keep(&mut traced);
        if has_waited
            && let Some(last) = traced.blocks.last().map(|block| block.block().reference)
            && self.client.is_disputed(last).await
        {
            self.untraced.lock().unwrap_or_else(PoisonError::into_inner).forget();
            return Answer::Failed(ChainError::ReplacedWhileFetching { number: last.number });
        }
        match traced.end {
            _ if !traced.blocks.is_empty() => Answer::Present(traced.blocks),
            end => whole(end, first, traced.blocks),
        }
    }

    /// Exactly these blocks.
    pub(super) async fn fetch_by_hash(&self, run: &[BlockRef]) -> Answer<Vec<VerifiedBlock>> {
        let blocks = match self.client.fetch_by_hash(run).await {
            Answer::Present(blocks) if self.config.traces != TraceMethod::None => blocks,
            answer => return answer,
        };
        let first = blocks.first().map(|block| block.block().reference);
        let Traced { blocks, end, .. } = self.client.trace_as_far_as_told(blocks, self.config.traces).await;
        whole(end, first, blocks)
    }
}

/// All of `blocks`, if `end` says that they have their traces. Blocks that are there without them are a failure and not
/// absent.
fn whole(end: Answer<()>, first: Option<BlockRef>, blocks: Vec<VerifiedBlock>) -> Answer<Vec<VerifiedBlock>> {
    match (end, first) {
        (Answer::Present(()), _) => Answer::Present(blocks),
        (Answer::Absent, Some(block)) => Answer::Failed(ChainError::TracesWithheld { block }),
        (Answer::Absent, None) => Answer::Absent,
        (Answer::Failed(error), _) => Answer::Failed(error),
        (Answer::Lying(lie), _) => Answer::Lying(lie),
    }
}
