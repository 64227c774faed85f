//! Why findings are taken back whose block was replaced.

use super::*;

const RULE: RuleId = RuleId(1);
const OTHER: RuleId = RuleId(2);
const TIP: BlockNumber = BlockNumber(9);

/// An alert that was sent, in a block of the branch.
fn suspect(id: u128, rule_id: RuleId, number: u64, branch: u8) -> Known {
    let block = BlockRef { number: BlockNumber(number), hash: B256::repeat_byte(branch) };
    let alert = Alert { state: AlertState::Sent, block };
    Known { alert_id: Uuid::from_u128(id), rule_id, rule_version: 1, alert }
}

/// The blocks up to the tip are those of the second branch; the rows of block 5 are gone.
fn stored(number: BlockNumber) -> Option<B256> {
    (number <= TIP && number != BlockNumber(5)).then_some(B256::repeat_byte(2))
}

fn reasons(changes: &Changes) -> Vec<(u128, &'static str)> {
    changes.steps.iter().map(|step| (step.alert_id.as_u128(), step.reason.unwrap())).collect()
}

#[test]
fn what_may_be_in_a_block_whose_rows_are_gone_is_not_said_not_to_have_happened() {
    let suspects =
        [suspect(1, RULE, 3, 1), suspect(2, RULE, 3, 2), suspect(3, RULE, 5, 2), suspect(4, RULE, TIP.0 + 1, 1)];
    let changes = plan_orphans(&suspects, TIP, stored, |_| Some(1));
    assert_eq!(reasons(&changes), [(1, "orphaned"), (3, "rule_not_at_work"), (4, "orphaned")]);
}

#[test]
fn what_a_rule_found_that_did_not_look_is_taken_back_and_what_others_found_waits() {
    let suspects = [suspect(1, RULE, 3, 1), suspect(2, OTHER, 3, 1), suspect(3, OTHER, 3, 2)];
    let changes = plan_unseen(&suspects, stored, |rule_id| rule_id == RULE);
    assert_eq!(reasons(&changes), [(2, "rule_not_at_work")]);
    assert_eq!(changes.retracted, [Uuid::from_u128(2)]);
}
