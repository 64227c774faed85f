use std::collections::BTreeMap;

use super::*;

/// A chain of blocks from `first` on; a block's hash tells its number and its branch.
#[derive(Clone, Debug)]
struct Branch {
    first: u64,
    hashes: BTreeMap<u64, B256>,
}

fn hash(number: u64, branch: u64) -> B256 {
    B256::left_padding_from(&[branch.to_be_bytes(), number.to_be_bytes()].concat())
}

impl Branch {
    fn new(first: u64, tip: u64) -> Self {
        Self { first, hashes: (first..=tip).map(|number| (number, hash(number, 0))).collect() }
    }

    /// The same chain up to `ancestor`, then other blocks up to `tip`.
    fn forked(&self, ancestor: u64, tip: u64) -> Self {
        self.forked_to(1, ancestor, tip)
    }

    /// The same chain up to `ancestor`, then the blocks of `branch` up to `tip`.
    fn forked_to(&self, branch: u64, ancestor: u64, tip: u64) -> Self {
        let mut hashes = self.hashes.clone();
        hashes.retain(|number, _| *number <= ancestor);
        hashes.extend((ancestor + 1..=tip).map(|number| (number, hash(number, branch))));
        Self { first: self.first, hashes }
    }

    fn block(&self, number: u64) -> BlockRef {
        BlockRef { number: BlockNumber(number), hash: self.hashes[&number] }
    }

    fn tip(&self) -> BlockRef {
        let (number, hash) = self.hashes.last_key_value().unwrap();
        BlockRef { number: BlockNumber(*number), hash: *hash }
    }

    fn get(&self, number: BlockNumber) -> Option<B256> {
        self.hashes.get(&number.0).copied()
    }

    fn header(&self, number: u64) -> HeaderRef {
        let parent_hash =
            self.hashes.get(&(number.wrapping_sub(1))).copied().unwrap_or(hash(number.wrapping_sub(1), 0));
        let reference = BlockRef { number: BlockNumber(number), hash: self.hashes[&number] };
        HeaderRef { reference, parent_hash, timestamp: number }
    }

    fn stored(&self, finalized: Option<u64>, cold_watermark: Option<u64>) -> Stored {
        Stored {
            first_block: BlockNumber(self.first),
            tip: self.tip(),
            finalized: finalized.map(|number| self.block(number)),
            cold_watermark: cold_watermark.map(BlockNumber),
        }
    }
}

/// Walks back as the follower does, until the answer is another one; returns it and the steps taken.
fn follow(stored: &Branch, state: &Stored, chain: &Branch, max_depth: u64) -> (Step, u64) {
    follow_with(None, stored, state, chain, max_depth)
}

/// The same with the permission of a person.
fn follow_with(
    accepted: Option<&AcceptedReorg>,
    stored: &Branch,
    state: &Stored,
    chain: &Branch,
    max_depth: u64,
) -> (Step, u64) {
    walk(accepted, state, chain, max_depth, |number| stored.get(number))
}

fn walk(
    accepted: Option<&AcceptedReorg>,
    state: &Stored,
    chain: &Branch,
    max_depth: u64,
    known_hash: impl Fn(BlockNumber) -> Option<B256>,
) -> (Step, u64) {
    let start = chain.tip().number.0.min(state.tip.number.0 + 1);
    let mut header = chain.header(start);
    let mut shown = Shown::First;
    for steps in 0.. {
        match decide(state, &header, shown, max_depth, accepted, &known_hash) {
            Step::WalkBack { to } => {
                assert_eq!(Some(to.hash), chain.get(to.number), "walked off the chain's branch");
                header = chain.header(to.number.0);
                shown = Shown::WalkedTo;
            }
            step => return (step, steps),
        }
    }
    unreachable!()
}

/// What is known where the rows of `missing` are gone: the block that the one above, the tip or the finalized block of
/// the cursor names.
fn known(stored: &Branch, state: &Stored, missing: &[u64], number: BlockNumber) -> Option<B256> {
    let has_row = |number: BlockNumber| stored.get(number).is_some() && !missing.contains(&number.0);
    let is_named = |block: BlockRef| block.number == number;
    let is_in_cursor = is_named(state.tip) || state.finalized.is_some_and(is_named);
    stored.get(number).filter(|_| has_row(number) || has_row(number.next()) || is_in_cursor)
}

fn replace(branch: &Branch, ancestor: u64) -> Step {
    Step::Replace { ancestor: BlockRef { number: BlockNumber(ancestor), hash: branch.hashes[&ancestor] } }
}

fn halt_code(step: Step) -> &'static str {
    match step {
        Step::Halt { reason } => reason.code(),
        step => panic!("{step:?} instead of a halt"),
    }
}

#[test]
fn a_chain_that_goes_on_is_extended() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(None, None);
    assert_eq!(follow(&branch, &state, &Branch::new(10, 21), 64).0, Step::Extend);
    let further = Branch::new(10, 40).header(40);
    assert_eq!(decide(&state, &further, Shown::First, 64, None, |number| branch.get(number)), Step::Extend);
}

#[test]
fn the_same_tip_and_a_lower_head_on_the_same_branch_are_waited_out() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(Some(18), None);
    assert_eq!(follow(&branch, &state, &branch, 64).0, Step::Wait);
    assert_eq!(follow(&branch, &state, &Branch::new(10, 17), 64).0, Step::Wait);
}

#[test]
fn a_head_below_what_hot_storage_holds_is_waited_out() {
    let stored = Branch::new(10, 20);
    let state = stored.stored(Some(15), Some(12));
    for first_in_hot in [10, 13] {
        for head in [0, 5, first_in_hot - 1] {
            let header = Branch::new(0, head).header(head);
            let in_hot = |number: BlockNumber| stored.get(number).filter(|_| number.0 >= first_in_hot);
            let step = decide(&state, &header, Shown::First, 64, None, in_hot);
            assert_eq!(step, Step::Wait, "head {head}, hot from {first_in_hot}");
        }
    }
}

#[test]
fn a_reorg_is_replaced_from_its_common_ancestor_whatever_its_new_height() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(Some(15), Some(12));
    for tip in [18, 19, 20, 21, 30] {
        assert_eq!(follow(&branch, &state, &branch.forked(17, tip), 64).0, replace(&branch, 17), "new tip {tip}");
    }
    assert_eq!(follow(&branch, &state, &branch.forked(15, 21), 64).0, replace(&branch, 15));
}

#[test]
fn a_finalized_block_is_never_replaced() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(Some(16), None);
    assert_eq!(follow(&branch, &state, &branch.forked(16, 22), 64).0, replace(&branch, 16));
    for (ancestor, tip) in [(15, 22), (15, 20), (15, 16), (11, 22), (11, 12)] {
        let step = follow(&branch, &state, &branch.forked(ancestor, tip), 64).0;
        assert_eq!(halt_code(step), "chain.reorg_below_finalized", "ancestor {ancestor}, new tip {tip}");
    }
}

#[test]
fn a_block_in_cold_storage_is_never_replaced() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(None, Some(16));
    assert_eq!(follow(&branch, &state, &branch.forked(16, 22), 64).0, replace(&branch, 16));
    let step = follow(&branch, &state, &branch.forked(15, 22), 64).0;
    assert_eq!(halt_code(step), "chain.reorg_below_watermark");
}

#[test]
fn a_reorg_deeper_than_allowed_halts_and_one_just_as_deep_does_not() {
    let branch = Branch::new(10, 20);
    let state = branch.stored(None, None);
    assert_eq!(follow(&branch, &state, &branch.forked(16, 22), 4).0, replace(&branch, 16));
    assert_eq!(halt_code(follow(&branch, &state, &branch.forked(15, 22), 4).0), "chain.reorg_too_deep");
    assert_eq!(halt_code(follow(&branch, &state, &branch.forked(11, 12), 4).0), "chain.reorg_too_deep");
}

#[test]
fn a_reorg_below_the_first_stored_block_halts() {
    let stored = Branch::new(10, 12);
    let other = Branch { first: 9, hashes: (9..=14).map(|number| (number, hash(number, 1))).collect() };
    let state = stored.stored(None, None);
    assert_eq!(halt_code(follow(&stored, &state, &other, 64).0), "chain.reorg_below_first_block");
}

#[test]
fn a_reorg_down_to_rows_that_were_dropped_after_compaction_halts() {
    let stored = Branch::new(10, 20);
    let state = stored.stored(None, Some(15));
    let header = stored.forked(15, 20).header(16);
    let in_hot = |number: BlockNumber| stored.get(number).filter(|_| number.0 > 15);
    let step = decide(&state, &header, Shown::WalkedTo, 64, None, in_hot);
    assert_eq!(halt_code(step), "chain.reorg_below_watermark");
}

#[test]
fn a_gap_inside_a_reorg_is_replaced_with_it() {
    let stored = Branch::new(10, 20);
    let state = stored.stored(Some(12), None);
    let cases: [(&[u64], u64); 7] = [
        (&[20], 15),
        (&[18], 15),
        (&[17, 18], 15),
        (&[16, 17, 18, 19, 20], 15),
        // The ancestor's own row is missing, and the one above still names it.
        (&[15], 15),
        // Nothing names it: the block below is the highest that both are known to share.
        (&[15, 16], 14),
        (&[13, 14, 15, 16, 17, 18, 19, 20], 12),
    ];
    for (missing, ancestor) in cases {
        for tip in [20, 21, 30] {
            let chain = stored.forked(15, tip);
            let step = walk(None, &state, &chain, 64, |number| known(&stored, &state, missing, number)).0;
            assert_eq!(step, replace(&stored, ancestor), "missing {missing:?}, new tip {tip}");
        }
    }
}

#[test]
fn a_gap_lets_no_reorg_deeper_than_it_may_be() {
    let stored = Branch::new(10, 20);
    let missing = [12, 13, 14, 15, 16, 17, 18, 19];
    let halts = |state: &Stored, ancestor, max_depth| {
        let known_hash = |number| known(&stored, state, &missing, number);
        halt_code(walk(None, state, &stored.forked(ancestor, 22), max_depth, known_hash).0)
    };
    assert_eq!(halts(&stored.stored(Some(16), None), 14, 64), "chain.reorg_below_finalized");
    assert_eq!(halts(&stored.stored(None, Some(16)), 14, 64), "chain.reorg_below_watermark");
    assert_eq!(halts(&stored.stored(None, None), 14, 4), "chain.reorg_too_deep");
}

#[test]
fn a_lower_head_inside_a_gap_is_waited_out() {
    let stored = Branch::new(10, 20);
    let state = stored.stored(None, None);
    let known_hash = |number| known(&stored, &state, &[14, 15, 16, 17], number);
    assert_eq!(walk(None, &state, &stored.forked(12, 15), 64, known_hash), (Step::Wait, 0));
}

#[test]
fn another_genesis_block_halts() {
    let stored = Branch::new(0, 2);
    let other = Branch { first: 0, hashes: (0..=3).map(|number| (number, hash(number, 1))).collect() };
    let state = stored.stored(None, None);
    assert_eq!(halt_code(follow(&stored, &state, &other, 64).0), "chain.reorg_below_first_block");
}

#[test]
fn every_halt_names_the_commands_that_end_it() {
    let (number, found) = (BlockNumber(16), hash(16, 1));
    let (tip, finalized) = (Branch::new(10, 20).tip(), Branch::new(10, 16).tip());
    let reasons = [
        (HaltReason::BelowFinalized { finalized, number, found }, true),
        (HaltReason::TooDeep { tip, max_depth: 4, number, found }, true),
        (HaltReason::BelowFirstBlock { first_block: number, found }, false),
        (HaltReason::BelowWatermark { watermark: number, number, found }, false),
    ];
    for (reason, may_be_accepted) in reasons {
        let text = reason.to_string();
        assert!(text.contains("`isotherm follower resume --chain NAME --look-again`"), "{text}");
        assert_eq!(text.contains("`isotherm follower resume --chain NAME --accept-reorg`"), may_be_accepted, "{text}");
    }
}

/// A chain whose blocks up to 16 are final, and the permission to replace it from 13 on by the branch that has `shown`.
fn accepted() -> (Branch, Stored, AcceptedReorg) {
    let stored = Branch::new(10, 20);
    let state = stored.stored(Some(16), None);
    let other = stored.forked(13, 16);
    let (first, shown) = (other.block(14), other.block(16));
    let accepted = AcceptedReorg { tip: stored.tip(), ancestor: stored.block(13), first, shown };
    (stored, state, accepted)
}

#[test]
fn an_accepted_reorg_is_replaced_whatever_the_height_of_its_branch() {
    let (stored, state, accepted) = accepted();
    for tip in [14, 16, 18, 20, 21, 40] {
        let chain = stored.forked(13, tip);
        let step = follow_with(Some(&accepted), &stored, &state, &chain, 2).0;
        assert_eq!(step, Step::ReplaceAsAccepted { ancestor: stored.block(13) }, "new tip {tip}");
        assert!(matches!(follow(&stored, &state, &chain, 2).0, Step::Halt { .. }), "without the permission");
    }
}

#[test]
fn a_permission_is_good_for_nothing_deeper_shallower_or_on_another_branch() {
    let (stored, state, accepted) = accepted();
    let same_branch = [(1, 12, 22), (1, 11, 13), (1, 14, 22), (1, 15, 16)];
    let other_branch = [(2, 13, 22), (2, 13, 14), (2, 12, 22)];
    for case @ (branch, ancestor, tip) in same_branch.into_iter().chain(other_branch) {
        let chain = stored.forked_to(branch, ancestor, tip);
        let step = follow_with(Some(&accepted), &stored, &state, &chain, 64).0;
        assert_eq!(halt_code(step), "chain.reorg_below_finalized", "branch, ancestor, new tip: {case:?}");
    }
    // It begins as accepted and parts from what was shown before that.
    let mut chain = stored.forked(13, 14);
    chain.hashes.extend((15..=21).map(|number| (number, hash(number, 2))));
    let step = follow_with(Some(&accepted), &stored, &state, &chain, 64).0;
    assert_eq!(halt_code(step), "chain.reorg_below_finalized");
    let Step::Halt { reason } = step else { unreachable!() };
    assert_eq!(reason.found(), BlockRef { number: BlockNumber(16), hash: hash(16, 2) });
}

#[test]
fn a_permission_is_void_once_the_stored_tip_is_another_one() {
    let (stored, _, accepted) = accepted();
    let longer = Branch::new(10, 21);
    let state = longer.stored(Some(16), None);
    let step = follow_with(Some(&accepted), &longer, &state, &stored.forked(13, 22), 64).0;
    assert_eq!(halt_code(step), "chain.reorg_below_finalized");
}

#[test]
fn no_permission_reaches_into_cold_storage() {
    let (stored, state, accepted) = accepted();
    for (watermark, is_replaced) in [(13, true), (14, false), (16, false)] {
        let state = Stored { cold_watermark: Some(BlockNumber(watermark)), ..state };
        let step = follow_with(Some(&accepted), &stored, &state, &stored.forked(13, 22), 64).0;
        assert_eq!(matches!(step, Step::ReplaceAsAccepted { .. }), is_replaced, "watermark {watermark}: {step:?}");
        assert_eq!(matches!(step, Step::Halt { .. }), !is_replaced, "watermark {watermark}: {step:?}");
    }
}

#[test]
fn what_is_allowed_anyway_uses_no_permission() {
    let (stored, state, accepted) = accepted();
    assert_eq!(follow_with(Some(&accepted), &stored, &state, &stored.forked(17, 22), 64).0, replace(&stored, 17));
    assert_eq!(follow_with(Some(&accepted), &stored, &state, &Branch::new(10, 21), 64).0, Step::Extend);
    assert_eq!(follow_with(Some(&accepted), &stored, &state, &stored, 64).0, Step::Wait);
}

proptest::proptest! {
    #[test]
    fn a_permission_changes_nothing_but_its_own_reorg(
        length in 2u64..30, accepted_up in 0u64..30, ancestor_up in 0u64..30, branch in 1u64..3, new_length in 1u64..40,
        finalized_up in proptest::option::of(0u64..30), max_depth in 1u64..30,
    ) {
        let tip = length - 1;
        let stored = Branch::new(0, tip);
        let state = stored.stored(finalized_up.map(|up| up % length), None);
        let accepted_at = accepted_up % tip;
        let first = stored.forked(accepted_at, accepted_at + 1).block(accepted_at + 1);
        let ancestor = stored.block(accepted_at);
        let accepted = AcceptedReorg { tip: stored.tip(), ancestor, first, shown: first };
        let forked_at = ancestor_up % length;
        let chain = stored.forked_to(branch, forked_at, forked_at + new_length);
        let plain = follow(&stored, &state, &chain, max_depth).0;
        let permitted = follow_with(Some(&accepted), &stored, &state, &chain, max_depth).0;
        if branch == 1 && forked_at == accepted_at && matches!(plain, Step::Halt { .. }) {
            proptest::prop_assert_eq!(permitted, Step::ReplaceAsAccepted { ancestor });
        } else if matches!(plain, Step::Halt { .. }) {
            let is_halt = matches!(permitted, Step::Halt { .. });
            proptest::prop_assert!(is_halt, "{:?}", permitted);
        } else {
            proptest::prop_assert_eq!(permitted, plain);
        }
    }

    #[test]
    fn every_fork_ends_in_the_one_right_step(
        first in 0u64..5, length in 1u64..40, ancestor_up in 0u64..40, new_length in 0u64..40,
        finalized_up in proptest::option::of(0u64..40), watermark_up in proptest::option::of(0u64..40), max_depth in 1u64..50,
    ) {
        let tip = first + length - 1;
        let inside = |up: u64| first + up % length;
        let stored = Branch::new(first, tip);
        let (ancestor, finalized, watermark) = (inside(ancestor_up), finalized_up.map(inside), watermark_up.map(inside));
        let chain = stored.forked(ancestor, ancestor + new_length);
        let state = stored.stored(finalized, watermark);
        let (step, steps) = follow(&stored, &state, &chain, max_depth);

        proptest::prop_assert!(steps <= tip - ancestor + 1);
        if new_length == 0 {
            proptest::prop_assert_eq!(step, Step::Wait);
        } else if ancestor == tip {
            proptest::prop_assert_eq!(step, Step::Extend);
        } else if finalized.is_some_and(|finalized| ancestor < finalized)
            || watermark.is_some_and(|watermark| ancestor < watermark)
            || tip - ancestor > max_depth
        {
            let is_halt = matches!(step, Step::Halt { .. });
            proptest::prop_assert!(is_halt, "{:?}", step);
        } else {
            proptest::prop_assert_eq!(step, replace(&stored, ancestor));
        }
    }
}
