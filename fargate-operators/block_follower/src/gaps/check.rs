//! A look at all that is stored: how far it has come, how much it does at once, and when it goes on or gives up. Pure.

use std::time::{Duration, Instant};

use isotherm_types::{BlockNumber, BlockRange, BlockRef};

use super::LONGEST_WAIT;
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
        Self { state: State::Wanted, not_before: None, page, run, failures: 0, unserved: None, written: None }
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

    /// Notes what is left; `None`: nothing.
    pub(crate) fn left(&mut self, left: Option<BlockRange>) {
        self.state = left.map_or(State::Done, State::Going);
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

    /// Notes that the chain gave no usable answer: later, and less. That says nothing about what it has.
    pub(crate) fn has_not_fetched(&mut self, now: Instant) {
        self.run.fail();
        self.unserved = None;
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
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

    fn block(number: u64) -> BlockRef {
        BlockRef { number: BlockNumber(number), hash: B256::left_padding_from(&number.to_be_bytes()) }
    }

    #[test]
    fn a_look_ends_and_waits_and_begins_anew_as_it_should() {
        let now = Instant::now();
        let mut check = GapCheck::default();
        assert_eq!(check.state(now), State::Wanted);
        let blocks = BlockRange::inclusive(BlockNumber(0), BlockNumber(9)).unwrap();
        check.left(Some(blocks));
        assert_eq!(check.state(now), State::Going(blocks));
        check.put_off(now);
        assert_eq!(check.state(now + PAUSE / 2), State::Done);
        assert_eq!(check.state(now + PAUSE), State::Going(blocks));
        check.has_written(BlockNumber(9));
        assert!(check.wrote_last(BlockNumber(9)) && !check.wrote_last(BlockNumber(8)));
        check.left(None);
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

        let resets: [fn(&mut GapCheck, Instant); 5] = [
            GapCheck::has_not_fetched,
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
            check.has_not_fetched(now);
            let pause = Duration::from_secs(pause_seconds);
            assert_eq!(check.state(now + pause.mul_f64(0.9)), State::Done);
            assert_eq!(check.state(now + pause), State::Wanted);
            runs.push(check.run_blocks());
        }
        assert_eq!(runs, [16, 8, 4, 2, 1, 1, 1]);
        check.has_written(BlockNumber(9));
        check.has_not_fetched(now);
        assert_eq!(check.state(now + FIRST_PAUSE), State::Wanted, "it went well in between");
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
