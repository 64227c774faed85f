//! The blocks of a range, run by run, each the child of the one before and the last one the one that the chain calls
//! final.
//!
//! Waits for a chain that is away, up to a limit. Never hands out a block twice, out of order or of another branch.

use std::time::Instant;

use isotherm_chain::{Answer, ChainClient, ChainError, Finality, TraceMethod, Traced, VerifiedBlock};
use isotherm_platform::Stop;
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, Classified as _};

use crate::error::IngestError;
use crate::fetch_size::FetchSize;
use crate::outage::Outage;

/// What is asked, and how.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) client: &'a ChainClient,
    pub(crate) traces: TraceMethod,
    pub(crate) stop: &'a Stop,
}

/// What came of asking for more.
pub(crate) enum Next {
    /// More blocks, at least one.
    Run(Vec<VerifiedBlock>),
    /// All blocks have been handed out.
    End,
    /// The task is to stop.
    Stopped,
}

/// A range on its way.
pub(crate) struct Fetch<'a> {
    source: Source<'a>,
    size: &'a mut FetchSize,
    next: BlockNumber,
    /// Hash of the block handed out last.
    before: Option<B256>,
    last: BlockRef,
}

impl<'a> Source<'a> {
    /// The last one of `blocks`, which the chain calls final; `None` if the task is to stop.
    ///
    /// # Errors
    /// [`IngestError::NotFinal`] if it does not; what the endpoints answer.
    pub(crate) async fn final_end(
        self,
        blocks: BlockRange,
        finality: Finality,
    ) -> Result<Option<BlockRef>, IngestError> {
        let number = blocks.last();
        let asked = self.insist(async || Ok(self.client.final_block(number, finality).await?)).await?;
        let Some(found) = asked else { return Ok(None) };
        found.map(Some).ok_or(IngestError::NotFinal { blocks })
    }

    /// Begins to fetch from `start` up to `last`.
    pub(crate) fn fetch(self, start: BlockNumber, last: BlockRef, size: &'a mut FetchSize) -> Fetch<'a> {
        Fetch { source: self, size, next: start, before: None, last }
    }

    /// Blocks of `numbers` with what is wanted of them: the first at least.
    async fn ask(self, numbers: BlockRange) -> Result<Vec<VerifiedBlock>, IngestError> {
        let blocks = match self.client.fetch(numbers).await {
            Answer::Present(blocks) => blocks,
            Answer::Absent => return Err(IngestError::Withheld { block: numbers.start() }),
            Answer::Failed(error) => return Err(error.into()),
            Answer::Lying(lie) => return Err(ChainError::from(lie).into()),
        };
        let first = blocks.first().map(|block| block.block().reference);
        let Traced { blocks, end, .. } = self.client.trace_as_far_as_told(blocks, self.traces).await;
        if !blocks.is_empty() {
            return Ok(blocks);
        }
        match (end, first) {
            (Answer::Present(()), _) => Ok(blocks),
            (Answer::Absent, Some(block)) => Err(ChainError::TracesWithheld { block }.into()),
            (Answer::Absent, None) => Err(IngestError::Withheld { block: numbers.start() }),
            (Answer::Failed(error), _) => Err(error.into()),
            (Answer::Lying(lie), _) => Err(ChainError::from(lie).into()),
        }
    }

    /// Asks until there is an answer, or an outage has lasted for too long; `None` if the task is to stop.
    async fn insist<T>(self, ask: impl AsyncFn() -> Result<T, IngestError>) -> Result<Option<T>, IngestError> {
        let mut outage = Outage::default();
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(None),
                answer = ask() => answer,
            };
            let pause = match answer {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => {
                    tracing::warn!(error.code = error.code(), error.message = %error, "the chain has no usable answer");
                    outage.note(Instant::now(), error)?
                }
            };
            tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl Fetch<'_> {
    /// The next blocks.
    ///
    /// # Errors
    /// What the endpoints answer; [`ChainError::ReplacedWhileFetching`] if they are not of the branch of those before,
    /// or of the final block.
    pub(crate) async fn next(&mut self) -> Result<Next, IngestError> {
        let Some(numbers) = self.size.range(self.next, self.last.number) else { return Ok(Next::End) };
        let source = self.source;
        let Some(run) = source.insist(async || source.ask(numbers).await).await? else { return Ok(Next::Stopped) };
        self.size.learn(run.iter().map(VerifiedBlock::size_bytes));
        let (Some(first), Some(end)) = (run.first(), run.last()) else { return Ok(Next::End) };
        let (first, end) = (first.block(), end.block().reference);
        let adjoins = self.before.is_none_or(|before| before == first.header.parent_hash);
        if !adjoins || (end.number == self.last.number && end != self.last) {
            return Err(ChainError::ReplacedWhileFetching { number: first.reference.number }.into());
        }
        (self.next, self.before) = (end.number.next(), Some(end.hash));
        Ok(Next::Run(run))
    }
}
