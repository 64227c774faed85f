//! Closing gaps in what is stored: looks at a page while the chain has nothing new, and writes anew what is not whole.
//!
//! What belongs into a gap follows by hash from the stored block above it. Never writes what was not verified, and
//! halts the chain where a gap cannot be closed. An endpoint that gives no usable answer has not said that it lacks a
//! block, whatever the others say: that is an outage and no reason to halt. A block for which there is none again and
//! again is left behind, for the gaps below it to be closed, and come back to.

use std::sync::Arc;
use std::time::Instant;

use isotherm_chain::{Answer, ChainError, Heads, HealthState, VerifiedBlock};
use isotherm_hot_store::cursor::Halt;
use isotherm_hot_store::gaps::Page;
use isotherm_platform::Fault;
use isotherm_types::{BlockRange, BlockRef, Classified as _};

use super::{Follower, Round, RoundError};
use crate::error::FollowerError;
use crate::gaps::{Absence, GapReason, Run, RunStart, State, contradiction, next_run};

/// Why what belongs into a gap was not fetched.
#[derive(Debug)]
enum Unseen {
    /// The chain does not have this block.
    Absent(BlockRef),
    /// There was no usable answer.
    Failed(ChainError),
    /// Asked to stop.
    Stopped,
}

/// What `answer` to a question about `block` means for the repair; `None`: asked to stop.
fn seen<T>(answer: Option<Answer<T>>, block: BlockRef) -> Result<T, Unseen> {
    match answer {
        Some(Answer::Present(found)) => Ok(found),
        Some(Answer::Absent) => Err(Unseen::Absent(block)),
        Some(Answer::Failed(error)) => Err(Unseen::Failed(error)),
        Some(Answer::Lying(lie)) => Err(Unseen::Failed(lie.into())),
        None => Err(Unseen::Stopped),
    }
}

/// Whether an endpoint in this state gives no answer now that counts.
fn is_away(state: &HealthState) -> bool {
    match state {
        HealthState::Cooling { .. } | HealthState::RateLimited { .. } => true,
        HealthState::Healthy | HealthState::Lagging { .. } | HealthState::Quarantined { .. } => false,
    }
}

impl Follower {
    /// Does the next piece of a look at all that is stored, if one is wanted.
    pub(super) async fn mend(&mut self, heads: &Heads) -> Result<Round, RoundError> {
        if self.status.take_gap_request() {
            self.gaps.want();
        }
        let state = self.gaps.state(Instant::now());
        if state == State::Done {
            return Ok(Round::Idle);
        }
        let (within, page) = match self.look(state).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.gaps.left(Instant::now(), None);
                return Ok(Round::Idle);
            }
            // The blocks' own transactions tell whether the database is away; a look can wait, and be a smaller one.
            Err(fault) => {
                tracing::warn!(
                    chain.id = self.config.chain_id.0,
                    error.code = fault.code(),
                    error.message = %fault.message(),
                    "stored blocks cannot be looked at now"
                );
                self.gaps.has_not_looked(Instant::now());
                return Ok(Round::Idle);
            }
        };
        self.gaps.has_looked();
        let gaps = self.gaps.reachable(within, &page.gaps);
        match next_run(gaps, self.gaps.run_blocks()) {
            Some(run) => {
                self.gaps.left(Instant::now(), Some(within));
                self.close(run, heads).await
            }
            None if gaps.is_empty() => {
                if let Some(lowest) = page.gaps.last() {
                    self.gaps.leave_behind(lowest.number, lowest.number);
                }
                self.gaps.left(Instant::now(), BlockRange::new(within.start(), page.blocks.start()).ok());
                Ok(Round::Idle)
            }
            // Nothing says what belongs there: what is above has changed meanwhile.
            None => Ok(self.begin_anew()),
        }
    }

    /// What is to be looked at and what was found at its upper end; `None` if nothing is stored.
    async fn look(&self, state: State) -> Result<Option<(BlockRange, Page)>, Fault> {
        let within = match state {
            State::Done => None,
            State::Going(within) => Some(within),
            State::Wanted => self.store.hot_blocks().await?,
            State::Again(blocks) => self.store.hot_blocks().await?.and_then(|hot| hot.intersection(blocks)),
        };
        match within {
            Some(within) => Ok(Some((within, self.store.look_for_gaps(self.gaps.page_of(within)).await?))),
            None => Ok(None),
        }
    }

    /// Has a new look begin at the tip, after a pause.
    fn begin_anew(&mut self) -> Round {
        self.gaps.want();
        self.gaps.put_off(Instant::now());
        Round::Idle
    }

    /// Fetches the blocks that belong into `run` and writes them.
    async fn close(&mut self, run: Run, heads: &Heads) -> Result<Round, RoundError> {
        let (number, kind) = (run.numbers.last(), run.kind);
        tracing::warn!(
            chain.id = self.config.chain_id.0,
            block.number = number.0,
            block.count = run.numbers.block_count(),
            gap.kind = kind.as_str(),
            "stored blocks are missing or not whole"
        );
        if self.gaps.wrote_last(number) {
            return Err(self.halt_unmended(GapReason::StaysSo { number, kind }).await?.into());
        }
        let blocks = match self.blocks_of(&run).await {
            Ok(blocks) => blocks,
            Err(unseen) => return self.not_fetched(&run, unseen, heads).await,
        };
        if let Some(reason) = contradiction(&run, &blocks, self.stored.and_then(|stored| stored.finalized)) {
            return Err(self.halt_unmended(reason).await?.into());
        }
        let answer = self.unless_stopped(self.fetch_by_hash(&blocks)).await;
        let fetched: Arc<[VerifiedBlock]> = match seen(answer, blocks[blocks.len() - 1]) {
            Ok(fetched) => fetched.into(),
            Err(unseen) => return self.not_fetched(&run, unseen, heads).await,
        };
        if !self.store.write_anew(fetched, kind, heads).await? {
            return Ok(self.begin_anew());
        }
        self.gaps.has_written(number);
        tracing::info!(
            chain.id = self.config.chain_id.0,
            block.number = number.0,
            block.count = blocks.len(),
            "stored blocks were written anew"
        );
        Ok(Round::Advanced)
    }

    /// The blocks that belong into `run`, ascending, by walking down from the block above; that one too, if what is
    /// stored of it is wrong.
    async fn blocks_of(&self, run: &Run) -> Result<Vec<BlockRef>, Unseen> {
        let mut blocks = match run.from {
            RunStart::Tip(tip) => vec![tip],
            RunStart::Above { block: above, named } => {
                let highest = self.parent_of(above).await?;
                if named == Some(highest.hash) { vec![highest] } else { vec![above, highest] }
            }
        };
        let mut lowest = blocks[blocks.len() - 1];
        while lowest.number > run.numbers.start() {
            lowest = self.parent_of(lowest).await?;
            blocks.push(lowest);
        }
        blocks.reverse();
        Ok(blocks)
    }

    /// The parent of `block`, by what its header says. `block` is not the genesis block.
    async fn parent_of(&self, block: BlockRef) -> Result<BlockRef, Unseen> {
        let header = seen(self.unless_stopped(self.client.header(block)).await, block)?;
        let number = block.number.previous().expect("a block above another has a number above 0");
        Ok(BlockRef { number, hash: header.parent_hash })
    }

    /// Has the repair go on later, with less at once; halts the chain if a single block has been absent for too long
    /// while every endpoint answered.
    async fn not_fetched(&mut self, run: &Run, unseen: Unseen, heads: &Heads) -> Result<Round, RoundError> {
        let block = match unseen {
            Unseen::Stopped => return Ok(Round::Stopped),
            Unseen::Failed(error) => {
                if self.gaps.has_not_fetched(Instant::now(), run) {
                    tracing::warn!(
                        chain.id = self.config.chain_id.0,
                        block.number = run.numbers.last().0,
                        gap.kind = run.kind.as_str(),
                        error.code = error.code(),
                        "no endpoint gives a usable answer about a block that is missing or not whole: gaps further \
                         below are closed first, then it is asked for again; if it stays so, use an endpoint that has \
                         it"
                    );
                }
                return Err(error.into());
            }
            Unseen::Absent(block) => block,
        };
        // A head that went down: if it comes back on another branch, the gap is replaced with the rest.
        if heads.latest.reference.number < block.number {
            self.gaps.branch_changed();
            return Ok(Round::Idle);
        }
        if run.numbers.block_count() > 1 {
            self.gaps.ask_for_fewer();
            return Ok(Round::Idle);
        }
        let (number, kind) = (run.numbers.last(), run.kind);
        let is_one_away = self.client.health().iter().any(|endpoint| is_away(&endpoint.state));
        match self.gaps.not_there(Instant::now(), run, block, is_one_away) {
            Absence::AskAgain => Ok(Round::Idle),
            Absence::LeftBehind => {
                tracing::warn!(
                    chain.id = self.config.chain_id.0,
                    block.number = number.0,
                    gap.kind = kind.as_str(),
                    "no endpoint that answers has a block that is missing or not whole, and one does not answer: gaps \
                     further below are closed first, then it is asked for again; if it stays so, put that endpoint \
                     right, take it from the list, or use one that has the block"
                );
                Ok(Round::Idle)
            }
            Absence::Hopeless => Err(self.halt_unmended(GapReason::NotServed { number, kind, block }).await?.into()),
        }
    }

    async fn halt_unmended(&self, reason: GapReason) -> Result<Fault, RoundError> {
        let halt = Halt { code: reason.code().to_owned(), message: reason.to_string() };
        self.store.halt(&halt, None).await?;
        Ok(FollowerError::NotMended { chain_id: self.config.chain_id, reason }.into())
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber, Clock as _, SystemClock};

    use super::*;

    #[test]
    fn only_an_endpoint_that_answers_can_say_that_a_block_is_not_there() {
        let until = SystemClock.now();
        let quarantined = HealthState::Quarantined { until, code: "chain.bad_hash".to_owned() };
        let answering = [HealthState::Healthy, HealthState::Lagging { blocks: 9 }, quarantined];
        assert!(!answering.iter().any(is_away));
        assert!([HealthState::Cooling { until }, HealthState::RateLimited { until }].iter().all(is_away));
    }

    #[test]
    fn only_the_answer_that_it_is_not_there_says_so() {
        let block = BlockRef { number: BlockNumber(7), hash: B256::repeat_byte(7) };
        assert!(matches!(seen(Some(Answer::Present(3)), block), Ok(3)));
        assert!(matches!(seen::<u8>(Some(Answer::Absent), block), Err(Unseen::Absent(found)) if found == block));
        let failure = ChainError::RateLimited { endpoint: "a".to_owned(), wait: None };
        assert!(matches!(seen::<u8>(Some(Answer::Failed(failure)), block), Err(Unseen::Failed(_))));
        assert!(matches!(seen::<u8>(None, block), Err(Unseen::Stopped)));
    }
}
