//! Blocks with what the job wants of them: their traces, if it names a method.

use isotherm_chain::{Answer, ChainError, TraceMethod, VerifiedBlock};
use isotherm_types::{BlockRange, BlockRef};

use super::Follower;

impl Follower {
    /// The blocks of `numbers`, as far as the chain has them.
    pub(super) async fn fetch(&self, numbers: BlockRange) -> Answer<Vec<VerifiedBlock>> {
        self.traced(self.client.fetch(numbers).await).await
    }

    /// Exactly these blocks.
    pub(super) async fn fetch_by_hash(&self, run: &[BlockRef]) -> Answer<Vec<VerifiedBlock>> {
        self.traced(self.client.fetch_by_hash(run).await).await
    }

    /// The blocks of `answer` with their traces. Blocks that are there without them are a failure and not absent.
    async fn traced(&self, answer: Answer<Vec<VerifiedBlock>>) -> Answer<Vec<VerifiedBlock>> {
        let blocks = match answer {
            Answer::Present(blocks) if self.config.traces != TraceMethod::None => blocks,
            answer => return answer,
        };
        let first = blocks.first().map(|block| block.block().reference);
        match (self.client.trace(blocks, self.config.traces).await, first) {
            (Answer::Absent, Some(block)) => Answer::Failed(ChainError::TracesWithheld { block }),
            (answer, _) => answer,
        }
    }
}
