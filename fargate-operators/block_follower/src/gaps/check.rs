//! A look at all that is stored: how far it has come, how much it does at once, and when it goes on or gives up. Pure.

use std::time::{Duration, Instant};

use isotherm_hot_store::gaps::{Gap, GapKind};
use isotherm_types::{BlockNumber, BlockRange, BlockRef};

use super::{LONGEST_WAIT, Run, is_named};
use crate::batch::StepSize;

/// Blocks that are looked at in one statement at most; fewer if they are large.
const PAGE_BLOCKS: u64 = 1_000;

/// Blocks that are written anew in one transaction at most.
const RUN_BLOCKS: u64 = 32;

/// Pause before a look goes on that the database did not answer, or that has to begin anew.
const PAUSE: Duration = Duration::from_secs(10);

/// Pause after blocks could not be fetched; twice as long after each further time, so that following goes on meanwhile.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest of these pauses. Shorter than `isotherm follower gaps --repair` is patient.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Failures without a success after which a single block is left behind: the pauses have become the longest by then.
const MOST_FAILURES: u32 = 6;

/// A look at all that is stored, under way or not.
#[derive(Debug)]
pub(crate) struct GapCheck {
    state: State,
    /// When it may go on.
    not_before: Option<Instant>,
    /// What one statement looks at.
    page: StepSize,
    /// What is fetched and written at once.
    run: StepSize,
    /// Fetches that failed since blocks were last written anew.
    failures: u32,
    /// From the highest to the lowest block that this look has left behind. Numbers between them may be whole.
    left_behind: Option<BlockRange>,
    /// How often blocks were left behind since some were last written anew or this look began.
    times_left: u32,
    /// This look comes back to what another one has left behind.
    is_return: bool,
    /// The block that the endpoints answer not to have, and since when they have given no other answer.
    unserved: Option<(BlockRef, Instant)>,
    /// The highest gap of the run that was written last.
    written: Option<BlockNumber>,
}

/// What a look is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All that is stored is to be looked at.
    Wanted,
    /// This is left.
    Going(BlockRange),
    /// Blocks were left behind among these: they are to be looked at again.
    Again(BlockRange),
    /// There is nothing to look at.
    Done,
}

/// What becomes of a block that nobody who answers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It is asked for again, after a pause if an endpoint does not answer.
    AskAgain,
    /// It is left behind, as an endpoint does not answer that may have it.
    LeftBehind,
    /// It cannot be mended.
    Hopeless,
}

impl Default for GapCheck {
    /// A follower that starts looks at what it finds.
    fn default() -> Self {
        Self::beginning(StepSize::new(PAGE_BLOCKS), StepSize::new(RUN_BLOCKS))
    }
}

impl GapCheck {
    fn beginning(page: StepSize, run: StepSize) -> Self {
        Self {
            state: State::Wanted,
            not_before: None,
            page,
            run,
            failures: 0,
            left_behind: None,
            times_left: 0,
            is_return: false,
            unserved: None,
            written: None,
        }
    }

    /// Begins anew from the tip.
    pub(crate) fn want(&mut self) {
        *self = Self::beginning(self.page, self.run);
    }

    /// What is to be done at `now`.
    pub(crate) fn state(&self, now: Instant) -> State {
        if self.not_before.is_some_and(|instant| now < instant) { State::Done } else { self.state }
    }

    /// The upper end of `within` that is to be looked at in one statement.
    pub(crate) fn page_of(&self, within: BlockRange) -> BlockRange {
        self.page.upper_end(within)
    }

    /// Blocks that are to be fetched and written at once, at most.
    pub(crate) fn run_blocks(&self) -> u64 {
        self.run.blocks()
    }

    /// Notes that a page was looked at.
    pub(crate) fn has_looked(&mut self) {
        self.page.succeed();
    }

    /// The database did not answer: later, and less.
    pub(crate) fn has_not_looked(&mut self, now: Instant) {
        self.page.fail();
        self.put_off(now);
    }

    /// Notes at `now` what is left; `None`: nothing. Then it comes back to what it has left behind, after a pause.
    pub(crate) fn left(&mut self, now: Instant, left: Option<BlockRange>) {
        self.state = match (left, self.left_behind) {
            (Some(left), _) => State::Going(left),
            (None, None) => State::Done,
            (None, Some(blocks)) => {
                self.not_before = Some(now + LONGEST_PAUSE);
                self.is_return = true;
                State::Again(blocks)
            }
        };
        if !matches!(self.state, State::Going(_)) {
            self.left_behind = None;
            self.times_left = 0;
            self.written = None;
        }
    }

    /// Those of `gaps`, found at the upper end of `within`, that can be closed now. Right below a block that was left
    /// behind nothing may say what belongs there: the next one that something names is gone on from.
    pub(crate) fn reachable<'a>(&self, within: BlockRange, gaps: &'a [Gap]) -> &'a [Gap] {
        let is_below_left = self.left_behind.is_some_and(|left| left.start() == within.end());
        let passed = if is_below_left { gaps.iter().take_while(|gap| !is_named(gap)).count() } else { 0 };
        &gaps[passed..]
    }

    /// Leaves the blocks from `lowest` to `highest` behind, which are below all that this look has left behind so far.
    pub(crate) fn leave_behind(&mut self, lowest: BlockNumber, highest: BlockNumber) {
        let end = self.left_behind.map_or(highest.next(), BlockRange::end);
        self.left_behind = BlockRange::new(lowest, end).ok();
    }

    /// The lowest block of `within` to leave behind with the one at `number`. Twice as many each time in a row: whoever
    /// does not have one often has none of thousands below. One by one when they are come back to: some may be there.
    fn lowest_to_leave(&mut self, within: BlockRange, number: BlockNumber) -> BlockNumber {
        let below = if self.is_return { 0 } else { (1_u64 << self.times_left.min(32)) - 1 };
        self.times_left = self.times_left.saturating_add(1);
        BlockNumber(number.0.saturating_sub(below)).max(within.start())
    }

    /// Goes on after a pause.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.not_before = Some(now + PAUSE);
    }

    /// Notes that the run whose highest gap is `number` was written anew.
    pub(crate) fn has_written(&mut self, number: BlockNumber) {
        self.run.succeed();
        self.failures = 0;
        self.times_left = 0;
        self.unserved = None;
        self.written = Some(number);
    }

    /// Whether that was the run written last: then it did not help.
    pub(crate) fn wrote_last(&self, number: BlockNumber) -> bool {
        self.written == Some(number)
    }

    /// Notes that the chain gave no usable answer about `run`: later, and less. That says nothing about what it has.
    /// Returns whether the run is a single block that has failed often enough to be left behind, maybe with others: it
    /// goes on below, soon.
    ///
    /// Where another block is stored than belongs there, it does not: those below may follow from that one.
    pub(crate) fn has_not_fetched(&mut self, now: Instant, run: &Run) -> bool {
        self.run.fail();
        self.unserved = None;
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        let is_hindrance = self.failures >= MOST_FAILURES && run.numbers.block_count() == 1;
        match self.state {
            State::Going(within) if is_hindrance && run.kind != GapKind::OtherHash => {
                let number = run.numbers.start();
                let lowest = self.lowest_to_leave(within, number);
                self.not_before = Some(now + FIRST_PAUSE);
                self.leave_behind(lowest, number);
                self.left(now, BlockRange::new(within.start(), lowest).ok());
                true
            }
            State::Wanted | State::Going(_) | State::Again(_) | State::Done => false,
        }
    }

    /// Notes that chain or database were of no use for a while: nothing was answered in that time.
    pub(crate) fn was_away(&mut self) {
        self.unserved = None;
    }

    /// Notes that a run was not there as a whole: fewer blocks of it may be.
    pub(crate) fn ask_for_fewer(&mut self) {
        self.run.fail();
    }

    /// Notes at `now` that those endpoints which answer do not have `block`, without which the single block of `run`
    /// cannot be mended; `is_one_away` if there is one that does not answer. That one may have it: then it is as if
    /// nobody had answered.
    pub(crate) fn not_there(&mut self, now: Instant, run: &Run, block: BlockRef, is_one_away: bool) -> Absence {
        if !is_one_away {
            return if self.is_hopeless(now, block) { Absence::Hopeless } else { Absence::AskAgain };
        }
        if self.has_not_fetched(now, run) { Absence::LeftBehind } else { Absence::AskAgain }
    }

    /// Notes at `now` that the endpoints answer not to have `block`; returns whether that has lasted too long.
    fn is_hopeless(&mut self, now: Instant, block: BlockRef) -> bool {
        let since = self.unserved.filter(|(unserved, _)| *unserved == block).map_or(now, |(_, since)| since);
        self.unserved = Some((block, since));
        now.duration_since(since) >= LONGEST_WAIT
    }

    /// Notes that the chain is on another branch, or too low to have what is to be written anew: what was learnt of
    /// single blocks is void.
    pub(crate) fn branch_changed(&mut self) {
        self.unserved = None;
        self.written = None;
    }
}

#[cfg(test)]
mod tests;
