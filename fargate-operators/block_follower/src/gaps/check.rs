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
                State::Again(blocks)
            }
        };
        if !matches!(self.state, State::Going(_)) {
            self.left_behind = None;
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

    /// Leaves `number` behind, which is below all that this look has left behind so far.
    pub(crate) fn leave_behind(&mut self, number: BlockNumber) {
        let end = self.left_behind.map_or(number.next(), BlockRange::end);
        self.left_behind = BlockRange::new(number, end).ok();
    }

    /// Goes on after a pause.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.not_before = Some(now + PAUSE);
    }

    /// Notes that the run whose highest gap is `number` was written anew.
    pub(crate) fn has_written(&mut self, number: BlockNumber) {
        self.run.succeed();
        self.failures = 0;
        self.unserved = None;
        self.written = Some(number);
    }

    /// Whether that was the run written last: then it did not help.
    pub(crate) fn wrote_last(&self, number: BlockNumber) -> bool {
        self.written == Some(number)
    }

    /// Notes that the chain gave no usable answer about `run`: later, and less. That says nothing about what it has.
    /// Returns whether the run is a single block that has failed often enough to be left behind: it goes on below.
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
                self.leave_behind(number);
                self.left(now, BlockRange::new(within.start(), number).ok());
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

    /// Notes at `now` that the endpoints answer not to have `block`; returns whether that has lasted too long.
    pub(crate) fn is_hopeless(&mut self, now: Instant, block: BlockRef) -> bool {
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
mod tests {
    use isotherm_types::B256;

    use super::*;
    use crate::gaps::RunStart;

    fn block(number: u64) -> BlockRef {
        BlockRef { number: BlockNumber(number), hash: B256::left_padding_from(&number.to_be_bytes()) }
    }

    fn blocks(first: u64, last: u64) -> BlockRange {
        BlockRange::inclusive(BlockNumber(first), BlockNumber(last)).unwrap()
    }

    fn run(first: u64, last: u64, kind: GapKind) -> Run {
        Run { numbers: blocks(first, last), kind, from: RunStart::Tip(block(last)) }
    }

    /// Missing blocks, the highest first; the block above says which one belongs there, unless it is missing too.
    fn missing(numbers: &[u64]) -> Vec<Gap> {
        let gap = |number: u64| {
            let above = Some(block(number + 1).hash).filter(|_| !numbers.contains(&(number + 1)));
            let named_hash = above.map(|_| block(number).hash);
            let (number, kind) = (BlockNumber(number), GapKind::Missing);
            Gap { number, kind, stored_hash: None, named_hash, above_hash: above }
        };
        numbers.iter().copied().map(gap).collect()
    }

    /// A look over blocks 0 to 19 that has failed at `run` until it left it behind, or as often as it would have.
    fn failed_at(run: &Run) -> GapCheck {
        let now = Instant::now();
        let mut check = GapCheck::default();
        check.left(now, Some(blocks(0, 19)));
        (0..MOST_FAILURES).for_each(|_| _ = check.has_not_fetched(now, run));
        check
    }

    #[test]
    fn a_look_ends_and_waits_and_begins_anew_as_it_should() {
        let now = Instant::now();
        let mut check = GapCheck::default();
        assert_eq!(check.state(now), State::Wanted);
        let blocks = BlockRange::inclusive(BlockNumber(0), BlockNumber(9)).unwrap();
        check.left(now, Some(blocks));
        assert_eq!(check.state(now), State::Going(blocks));
        check.put_off(now);
        assert_eq!(check.state(now + PAUSE / 2), State::Done);
        assert_eq!(check.state(now + PAUSE), State::Going(blocks));
        check.has_written(BlockNumber(9));
        assert!(check.wrote_last(BlockNumber(9)) && !check.wrote_last(BlockNumber(8)));
        check.left(now, None);
        assert_eq!(check.state(now + PAUSE), State::Done);
        check.want();
        assert_eq!(check.state(now), State::Wanted);
        assert!(!check.wrote_last(BlockNumber(9)));
    }

    #[test]
    fn only_the_same_answer_about_the_same_block_for_long_is_hopeless() {
        let now = Instant::now();
        let after = |waits: f64| now + LONGEST_WAIT.mul_f64(waits);
        let mut check = GapCheck::default();
        assert!(!check.is_hopeless(now, block(9)) && !check.is_hopeless(after(0.9), block(9)));
        assert!(check.is_hopeless(after(1.0), block(9)));

        let resets: [fn(&mut GapCheck, Instant); 6] = [
            |check, now| assert!(!check.has_not_fetched(now, &run(9, 9, GapKind::Missing))),
            |check, _| check.was_away(),
            |check, _| check.has_written(BlockNumber(9)),
            |check, _| check.branch_changed(),
            |check, _| check.want(),
            |check, now| assert!(!check.is_hopeless(now, block(8))),
        ];
        for reset in resets {
            let mut check = GapCheck::default();
            assert!(!check.is_hopeless(now, block(9)));
            reset(&mut check, after(0.5));
            assert!(!check.is_hopeless(after(1.0), block(9)), "the time begins anew");
            assert!(check.is_hopeless(after(2.0), block(9)));
        }
    }

    #[test]
    fn an_outage_of_the_chain_makes_pauses_longer_and_runs_shorter() {
        let now = Instant::now();
        let mut check = GapCheck::default();
        let mut runs = Vec::new();
        for pause_seconds in [1, 2, 4, 8, 16, 30, 30] {
            let (most, kind) = (check.run_blocks(), GapKind::OtherHash);
            assert!(!check.has_not_fetched(now, &run(40 - most, 39, kind)), "it is not left behind");
            let pause = Duration::from_secs(pause_seconds);
            assert_eq!(check.state(now + pause.mul_f64(0.9)), State::Done);
            assert_eq!(check.state(now + pause), State::Wanted);
            runs.push(check.run_blocks());
        }
        assert_eq!(runs, [16, 8, 4, 2, 1, 1, 1]);
        check.has_written(BlockNumber(9));
        check.has_not_fetched(now, &run(9, 9, GapKind::Missing));
        assert_eq!(check.state(now + FIRST_PAUSE), State::Wanted, "it went well in between");
    }

    #[test]
    fn a_block_that_keeps_failing_is_left_behind_and_come_back_to() {
        let now = Instant::now();
        let later = now + 2 * LONGEST_PAUSE;
        let mut check = GapCheck::default();
        check.left(now, Some(blocks(0, 19)));
        for failure in 1..=MOST_FAILURES {
            let is_left = check.has_not_fetched(now, &run(15, 15, GapKind::Traces));
            assert_eq!(is_left, failure == MOST_FAILURES);
        }
        assert_eq!(check.state(now + LONGEST_PAUSE), State::Going(blocks(0, 14)));
        check.has_written(BlockNumber(9));
        check.left(now, None);
        assert_eq!(check.state(now + LONGEST_PAUSE.mul_f64(0.9)), State::Done);
        assert_eq!(check.state(later), State::Again(blocks(15, 15)));
        assert!(!check.wrote_last(BlockNumber(9)), "that was another look");
        check.left(later, Some(blocks(15, 15)));
        check.has_written(BlockNumber(15));
        check.left(later, None);
        assert_eq!(check.state(later + LONGEST_PAUSE), State::Done, "nothing was left behind any more");
    }

    #[test]
    fn all_that_was_left_behind_is_come_back_to() {
        let now = Instant::now();
        let mut check = failed_at(&run(15, 15, GapKind::Missing));
        assert!(check.has_not_fetched(now, &run(0, 0, GapKind::Missing)), "the next one is not given six tries");
        assert_eq!(check.state(now + 2 * LONGEST_PAUSE), State::Again(blocks(0, 15)), "nothing is left below");
    }

    #[test]
    fn only_a_single_block_that_those_below_do_not_follow_from_wrongly_is_left_behind() {
        for kept in [run(14, 15, GapKind::Missing), run(15, 15, GapKind::OtherHash)] {
            let check = failed_at(&kept);
            assert_eq!(check.state(Instant::now() + LONGEST_PAUSE), State::Going(blocks(0, 19)), "{kept:?}");
        }
    }

    #[test]
    fn below_a_block_that_was_left_behind_the_next_that_something_names_is_gone_on_from() {
        let check = failed_at(&run(15, 15, GapKind::Missing));
        let numbers = |within: BlockRange, gaps: &[Gap]| -> Vec<u64> {
            check.reachable(within, gaps).iter().map(|gap| gap.number.0).collect()
        };
        // Block 15 is missing still: nothing names 14, nor 13 below it.
        let below: Vec<Gap> = missing(&[15, 14, 13, 9, 8]).split_off(1);
        assert_eq!(numbers(blocks(0, 14), &below), [9, 8]);
        assert!(numbers(blocks(13, 14), &below[..2]).is_empty());
        assert_eq!(numbers(blocks(0, 14), &missing(&[14, 13])), [14, 13], "its row is there, its traces are not");
        assert_eq!(numbers(blocks(0, 12), &below[2..]), [9, 8]);
        assert_eq!(numbers(blocks(0, 19), &below), [14, 13, 9, 8], "not right below: what is above has changed");
        assert_eq!(GapCheck::default().reachable(blocks(0, 14), &below).len(), 4);
    }

    #[test]
    fn a_page_that_the_database_does_not_answer_is_halved_and_stays_so_when_the_look_begins_anew() {
        let now = Instant::now();
        let all = BlockRange::inclusive(BlockNumber(0), BlockNumber(4_999)).unwrap();
        let mut check = GapCheck::default();
        assert_eq!(check.page_of(all).block_count(), PAGE_BLOCKS);
        check.has_not_looked(now);
        assert_eq!((check.page_of(all).block_count(), check.state(now)), (PAGE_BLOCKS / 2, State::Done));
        check.want();
        assert_eq!(check.page_of(all).block_count(), PAGE_BLOCKS / 2);
        (0..20).for_each(|_| check.has_not_looked(now));
        assert_eq!(check.page_of(all), BlockRange::single(BlockNumber(4_999)));
        (0..200).for_each(|_| check.has_looked());
        assert_eq!(check.page_of(all).block_count(), PAGE_BLOCKS);
    }
}
