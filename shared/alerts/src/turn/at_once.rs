//! What becomes of findings that are about no block, answer after answer.

use super::*;

const RULE: RuleId = RuleId(1);

fn finding(number: u64) -> Finding<'static> {
    let block = BlockRef { number: BlockNumber(number), hash: B256::left_padding_from(&number.to_be_bytes()) };
    Finding { alert_id: Uuid::from_u128(7), rule_id: RULE, block, block_time: DateTime::UNIX_EPOCH, group_key: None }
}

/// What is planned for the row, suppressed in block 5, that is in an answer as of block 9.
fn plan(cooldown_seconds: i64, muted: bool) -> Changes {
    let at = DateTime::UNIX_EPOCH;
    let terms = Terms {
        rule_id: RULE,
        version: 1,
        release: Release::Latest,
        cooldown: TimeDelta::seconds(cooldown_seconds),
        max_age: None,
        muted_until: muted.then(|| at + TimeDelta::hours(1)),
        first_block: BlockNumber(0),
    };
    let state = AlertState::Suppressed(Suppression::Cooldown);
    let alert = Alert { state, block: finding(5).block };
    let known = Known { alert_id: finding(5).alert_id, rule_id: RULE, rule_version: 1, alert };
    let holder = Holder { rule_id: RULE, group_key: None, block: finding(4).block, block_time: at };
    let reach = Reach { tip: BlockNumber(9), finalized: Some(BlockNumber(9)) };
    let (known, terms) = (HashMap::from([(known.alert_id, known)]), HashMap::from([(RULE, terms)]));
    plan_at_once(&[finding(9)], &known, &terms, &[holder], reach, at)
}

#[test]
fn a_row_that_is_suppressed_as_before_is_left_alone_wherever_the_chain_is() {
    assert_eq!(plan(60, false), Changes::default());
}

#[test]
fn a_row_that_has_nobody_to_yield_to_any_more_is_told() {
    let changes = plan(0, false);
    let suppressed = AlertState::Suppressed(Suppression::Cooldown);
    assert_eq!(changes.followed, [(0, suppressed, AlertState::Confirmed)]);
    assert_eq!(changes.fired, [finding(9).alert_id]);
    let states: Vec<AlertState> = changes.steps.iter().map(|step| step.to.state).collect();
    assert_eq!(states, [AlertState::Pending, AlertState::Sent, AlertState::Confirmed]);
}

#[test]
fn another_reason_to_be_suppressed_is_written_down() {
    let changes = plan(60, true);
    let (before, after) = (AlertState::Suppressed(Suppression::Cooldown), AlertState::Suppressed(Suppression::Muted));
    assert_eq!(changes.followed, [(0, before, after)]);
    assert_eq!(changes.steps.len(), 1);
}
