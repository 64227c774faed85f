//! Rules that find more than may be held in memory.

use super::*;

fn asked(without: &BTreeSet<RuleId>, excess: Excess) -> Asked<'_> {
    Asked { again_from: None, orgs: None, without, excess }
}

fn busy(rows: usize) -> BlockRows {
    let rows: Vec<Log> = (0..rows).map(|_| transfer(7, 0, TOKEN, 5)).collect();
    BlockRows { logs: vec![logs(&rows)], ..BlockRows::default() }
}

fn of_org(org: i64, rule_id: i64, more: &Value) -> CompiledRule {
    let stored = StoredRule { org_id: OrgId(org), ..stored(rule_id, &json!({ "event": TRANSFER }), more) };
    CompiledRule::compile(stored).unwrap()
}

fn faults(found: &Found) -> Vec<(i64, &str)> {
    found.faults.iter().map(|fault| (fault.rule_id.0, fault.code)).collect()
}

#[test]
fn a_rule_that_finds_too_much_has_found_nothing_and_the_others_go_on() {
    let rows = busy(MOST_OF_RULE.row_count + 1);
    let few = json!({ "condition": "log_index < 3" });
    let index = RuleIndex::build(vec![of_org(1, 1, &json!({})), of_org(1, 2, &few)]);
    let found = index.find(&rows);
    assert_eq!(faults(&found), [(1, "alerts.too_many_matches")]);
    assert!(found.faults[0].message.starts_with("at block 7: the rule found more at once"), "{found:?}");
    assert_eq!(found.matches.iter().map(|found| found.rule.0).collect::<Vec<_>>(), [2, 2, 2]);

    let exactly = index.find(&busy(MOST_OF_RULE.row_count));
    assert_eq!((faults(&exactly).len(), exactly.matches.len()), (0, MOST_OF_RULE.row_count + 3));
}

#[test]
fn findings_are_bounded_by_their_bytes_too() {
    // Each has a list of numbers among its facts; some hundred of them are more than a rule may have.
    let event = "Noted(uint256[] notes)";
    let notes = 64;
    let data = [word(32).to_vec(), word(notes).to_vec(), vec![0xff; usize::try_from(32 * notes).unwrap()]].concat();
    let topics = vec![keccak256("Noted(uint256[])").0];
    let one = Log { topics, data, ..transfer(7, 0, TOKEN, 0) };
    let index = RuleIndex::build(vec![rule(1, &json!({ "event": event }), &json!({}))]);
    let rows = |count: usize| BlockRows { logs: vec![logs(&vec![one.clone(); count])], ..BlockRows::default() };
    let few = index.find(&rows(2));
    let [first, _] = few.matches.as_slice() else { panic!("{few:?}") };
    let text = first.facts.to_string().len();
    assert!(faults(&few).is_empty() && text > 1_000, "{text}");
    let count = MOST_OF_RULE.size_bytes / text + 1;
    assert!(count < MOST_OF_RULE.row_count, "its number alone would not do: {count}");
    assert_eq!(faults(&index.find(&rows(count))), [(1, "alerts.too_many_matches")]);
}

#[test]
fn an_organisation_that_finds_too_much_loses_the_rule_that_finds_most_and_no_other() {
    let (count, halves) = (MOST_OF_RULE.row_count - 10, 7);
    let half = json!({ "condition": "log_index % 2 == 0" });
    let mut all: Vec<CompiledRule> = (1..=7).map(|rule_id| of_org(1, rule_id, &half)).collect();
    all.extend([of_org(1, 8, &json!({})), of_org(2, 9, &json!({}))]);
    assert!(count + halves * (count / 2) > MOST_OF_ORG.row_count && halves * (count / 2) < MOST_OF_ORG.row_count);
    let found = RuleIndex::build(all).find(&busy(count));
    assert_eq!(faults(&found), [(8, "alerts.too_many_matches")]);
    assert!(found.faults[0].message.contains("the organisation's rules together"), "{:?}", found.faults);
    let ours = found.matches.iter().filter(|found| found.org == OrgId(1)).count();
    assert_eq!((ours, found.matches.len() - ours), (halves * (count / 2), count));
}

#[test]
fn a_search_over_many_blocks_ends_where_there_is_no_room_and_says_so() {
    let rows = busy(MOST_OF_RULE.row_count + 1);
    let index =
        RuleIndex::build(vec![of_org(1, 1, &json!({})), of_org(2, 2, &json!({ "condition": "log_index < 3" }))]);
    let nobody = BTreeSet::new();
    let found = index.find_as(&rows, &asked(&nobody, Excess::EndsSearch));
    assert_eq!(found, Found { is_too_much: true, ..Found::default() });

    let first = BTreeSet::from([RuleId(1)]);
    let found = index.find_as(&rows, &asked(&first, Excess::EndsSearch));
    assert_eq!(found.matches.len(), 3, "the rule that has failed before is not asked");
    let second = BTreeSet::from([OrgId(2)]);
    let found = index.find_as(&rows, &Asked { orgs: Some(&second), ..asked(&nobody, Excess::EndsSearch) });
    assert_eq!(found.matches.len(), 3, "whoever does not stand there is not asked");
}
