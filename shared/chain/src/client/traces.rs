//! Asks for the traces of verified blocks, a few blocks at a time.
//!
//! Blocks are asked about by hash where the method allows it; by number, an answer of another branch is noticed by the
//! hash that it names. They are asked about after they were verified, and not in the batch that asks for them: to trace
//! takes a node far longer than to look up, the whole batch would wait for it, and one that fails at it would have to be
//! asked for everything again. Never asks about a block that cannot have traces.

use std::sync::Arc;

use isotherm_types::BlockRef;
use serde::Serialize;

use super::ask::Failure;
use super::{ChainClient, quantity};
use crate::answer::Answer;
use crate::endpoint::RawAnswer;
use crate::error::ChainError;
use crate::json_rpc::Call;
use crate::traces::{BlockTraces, TraceMethod, Untraced, read};
use crate::verify::VerifiedBlock;

/// Bytes of blocks whose traces are asked for at once. Traces are about as long as their blocks and receipts, and all
/// raw answers to one question are in memory together.
const GROUP_BYTES: usize = 4 << 20;

/// What `debug_traceBlockByHash` is to do; without it Monad refuses the call.
#[derive(Serialize)]
struct Tracer {
    tracer: &'static str,
}

/// What came of asking for the traces of a run of blocks.
#[derive(Debug)]
pub struct Traced {
    /// Those that have their traces now, the first ones of the run.
    pub blocks: Vec<VerifiedBlock>,
    /// The others, as they were.
    pub untraced: Vec<VerifiedBlock>,
    /// Why the first of the others has none; present if there are no others.
    pub end: Answer<()>,
}

impl ChainClient {
    /// The same blocks with their traces, or unchanged if `method` is [`TraceMethod::None`].
    ///
    /// Absent: no endpoint that answers has those of one of them; they may not have the block any more.
    pub async fn trace(&self, blocks: Vec<VerifiedBlock>, method: TraceMethod) -> Answer<Vec<VerifiedBlock>> {
        let Traced { blocks, end, .. } = self.trace_as_far_as_told(blocks, method).await;
        match end {
            Answer::Present(()) => Answer::Present(blocks),
            Answer::Absent => Answer::Absent,
            Answer::Failed(error) => Answer::Failed(error),
            Answer::Lying(lie) => Answer::Lying(lie),
        }
    }

    /// The same, but of a run of which some cannot be had, the blocks before these have theirs.
    pub async fn trace_as_far_as_told(&self, blocks: Vec<VerifiedBlock>, method: TraceMethod) -> Traced {
        if method == TraceMethod::None {
            return Traced { blocks, untraced: Vec::new(), end: Answer::Present(()) };
        }
        let ends = group_ends(blocks.iter().map(VerifiedBlock::size_bytes), GROUP_BYTES);
        let mut traced = Vec::with_capacity(blocks.len());
        let mut left = blocks.into_iter();
        for end in ends {
            let group = left.by_ref().take(end - traced.len()).collect();
            let found = self.trace_group(group, method).await;
            traced.extend(found.blocks);
            if !matches!(found.end, Answer::Present(())) {
                let untraced = found.untraced.into_iter().chain(left).collect();
                return Traced { blocks: traced, untraced, end: found.end };
            }
        }
        Traced { blocks: traced, untraced: Vec::new(), end: Answer::Present(()) }
    }

    async fn trace_group(&self, group: Vec<VerifiedBlock>, method: TraceMethod) -> Traced {
        let group = Arc::new(group);
        let mut traces: Vec<BlockTraces> = Vec::with_capacity(group.len());
        let end = loop {
            if traces.len() == group.len() {
                break Answer::Present(());
            }
            match self.ask_for_traces(&group, traces.len(), method).await {
                Ok(Some(found)) => traces.extend(found),
                Ok(None) => break Answer::Absent,
                Err(failure) => break failure.into_answer(),
            }
        };
        let mut untraced = Arc::unwrap_or_clone(group);
        let with_traces = untraced.drain(..traces.len()).zip(traces).map(|(block, traces)| block.with_traces(traces));
        let blocks = with_traces.collect();
        Traced { blocks, untraced, end }
    }

    /// The traces of the blocks of `group` from the one at `start` on, of one at least; `None` if nobody who answers
    /// has those of the first.
    async fn ask_for_traces(
        &self,
        group: &Arc<Vec<VerifiedBlock>>,
        start: usize,
        method: TraceMethod,
    ) -> Result<Option<Vec<BlockTraces>>, Failure> {
        let blocks = group[start..].iter().map(VerifiedBlock::block);
        let asked: Vec<BlockRef> =
            blocks.clone().filter(|block| method.asks_about(block)).map(|block| block.reference).collect();
        let calls: Vec<Call> = asked.iter().filter_map(|block| call(method, *block)).collect();
        let (Some(first), Some(name)) = (asked.first(), calls.first().map(|call| call.method)) else {
            return Ok(Some(blocks.map(BlockTraces::none).collect()));
        };
        let shared = Arc::clone(group);
        self.ask_around(&calls, first.number, move |endpoint, answers, _| {
            let malformed = |error: serde_json::Error| ChainError::malformed(endpoint, name, &error);
            read_traces(&shared[start..], method, answers, malformed)
        })
        .await
    }
}

/// The question for one block's traces.
fn call(method: TraceMethod, block: BlockRef) -> Option<Call> {
    let tracer = Tracer { tracer: "callTracer" };
    match method {
        TraceMethod::TraceBlock => Some(Call::new("trace_block", [quantity(block.number)])),
        TraceMethod::DebugTraceBlock => Some(Call::new("debug_traceBlockByHash", (block.hash, tracer))),
        TraceMethod::None => None,
    }
}

/// The traces of `blocks`, in order, from the answers about those that are asked about, up to the first one of these
/// that is not there; `None` if that is the first block.
fn read_traces(
    blocks: &[VerifiedBlock],
    method: TraceMethod,
    answers: &[RawAnswer],
    malformed: impl Fn(serde_json::Error) -> ChainError,
) -> Result<Option<Vec<BlockTraces>>, ChainError> {
    let mut answers = answers.iter();
    let mut traces = Vec::with_capacity(blocks.len());
    for verified in blocks {
        let block = verified.block();
        if !method.asks_about(block) {
            traces.push(BlockTraces::none(block));
            continue;
        }
        let Some(Some(answer)) = answers.next() else { break };
        let found = read(block, &verified.verdicts().sender, method, answer);
        traces.push(found.map_err(|untraced| match untraced {
            Untraced::Json(error) => malformed(error),
            Untraced::Bad(problem) => ChainError::BadBlock(problem),
            Untraced::Replaced => ChainError::ReplacedWhileFetching { number: block.reference.number },
        })?);
    }
    Ok(Some(traces).filter(|traces| !traces.is_empty()))
}

/// Splits blocks of these sizes into groups of at most `most_bytes`, each of at least one block; returns their ends.
fn group_ends(sizes: impl Iterator<Item = usize>, most_bytes: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut in_group, mut group_bytes, mut seen) = (0usize, 0usize, 0usize);
    for size in sizes {
        if in_group > 0 && group_bytes.saturating_add(size) > most_bytes {
            ends.push(seen);
            (in_group, group_bytes) = (0, 0);
        }
        (in_group, group_bytes, seen) = (in_group + 1, group_bytes.saturating_add(size), seen + 1);
    }
    if in_group > 0 {
        ends.push(seen);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_asked_about_in_groups_of_bounded_size() {
        let ends = |sizes: &[usize]| group_ends(sizes.iter().copied(), 10);
        assert_eq!(ends(&[]), [0usize; 0]);
        assert_eq!(ends(&[1, 2, 3]), [3]);
        assert_eq!(ends(&[4, 6, 1, 9, 1]), [2, 4, 5]);
        assert_eq!(ends(&[99, 1, 99, 99]), [1, 2, 3, 4], "a large block is asked about alone");
        assert_eq!(ends(&[usize::MAX, usize::MAX]), [1, 2]);
    }
}
