//! A look by its steps, at times that are passed in.

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

#[test]
fn of_thousands_that_fail_twice_as_many_are_left_behind_each_time_and_one_by_one_later() {
    let mut now = Instant::now();
    let mut check = GapCheck::default();
    check.left(now, Some(blocks(0, 4_999)));
    let fail = |check: &mut GapCheck, now: Instant, number: u64| {
        let is_left = check.has_not_fetched(now, &run(number, number, GapKind::Traces));
        let State::Going(left) = check.state(now + LONGEST_PAUSE) else { panic!("{check:?}") };
        is_left.then(|| left.last().0)
    };
    for _ in 1..MOST_FAILURES {
        assert_eq!(fail(&mut check, now, 4_000), None);
    }
    let mut number = 4_000;
    for count in [1, 2, 4, 8, 16] {
        assert_eq!(fail(&mut check, now, number), Some(number - count), "{count} at once");
        assert_eq!(check.state(now), State::Done);
        now += FIRST_PAUSE;
        number -= count;
        assert_eq!(check.state(now), State::Going(blocks(0, number)), "it goes on soon");
    }
    check.left(now, None);
    now += LONGEST_PAUSE;
    assert_eq!(check.state(now), State::Again(blocks(number + 1, 4_000)), "all of them");

    check.left(now, Some(blocks(number + 1, 4_000)));
    assert_eq!([4_000, 3_999, 3_998].map(|number| fail(&mut check, now, number)), [3_999, 3_998, 3_997].map(Some));
}

#[test]
fn a_success_in_between_begins_anew_with_one() {
    let now = Instant::now();
    let mut check = failed_at(&run(15, 15, GapKind::Missing));
    check.has_written(BlockNumber(14));
    (0..MOST_FAILURES).for_each(|_| _ = check.has_not_fetched(now, &run(13, 13, GapKind::Missing)));
    assert_eq!(check.state(now + LONGEST_PAUSE), State::Going(blocks(0, 12)));
}

#[test]
fn while_an_endpoint_is_away_that_may_have_it_a_block_is_left_behind_and_not_given_up() {
    let single = run(15, 15, GapKind::Missing);
    let now = Instant::now();
    let mut check = GapCheck::default();
    check.left(now, Some(blocks(0, 19)));
    let mut told = |waits: f64, is_one_away: bool| {
        check.not_there(now + LONGEST_WAIT.mul_f64(waits), &single, block(15), is_one_away)
    };
    assert_eq!(told(0.0, false), Absence::AskAgain);
    for failure in 1..MOST_FAILURES {
        assert_eq!(told(f64::from(failure), true), Absence::AskAgain, "failure {failure}");
    }
    let last = f64::from(MOST_FAILURES);
    assert_eq!(told(last, true), Absence::LeftBehind);
    let all_answer = [0.5, 1.4, 1.5].map(|waits| told(last + waits, false));
    assert_eq!(all_answer, [Absence::AskAgain, Absence::AskAgain, Absence::Hopeless]);
}
