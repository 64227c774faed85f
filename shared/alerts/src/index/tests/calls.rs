//! Calls, of transactions and of frames; and all rules at once beside each alone.

use arrow::array::{BooleanArray, StringArray};

use super::*;

/// Transactions to these addresses with this call data, one a block.
fn transactions(rows: &[(Option<u8>, Vec<u8>)]) -> RecordBatch {
    let numbers = || 0..u32::try_from(rows.len()).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("block_number", Arc::new(UInt32Array::from_iter_values(numbers()))),
        ("transaction_index", Arc::new(UInt64Array::from(vec![0; rows.len()]))),
        ("transaction_hash", fixed(numbers().map(|number| Some(hash(number, 0))))),
        ("from_address", fixed(rows.iter().map(|_| Some([1; 20])))),
        ("to_address", fixed(rows.iter().map(|(to, _)| to.map(|to| [to; 20])))),
        ("value_binary", fixed(numbers().map(|number| Some(word(u64::from(number)))))),
        ("input", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, input)| input)))),
        ("success", Arc::new(BooleanArray::from(vec![true; rows.len()]))),
        ("block_hash", fixed(numbers().map(|number| Some(hash(number, u32::MAX))))),
        ("timestamp", Arc::new(UInt32Array::from_iter_values(numbers()))),
    ];
    batch(Dataset::Transactions, columns)
}

#[test]
fn calls_and_transactions_are_found_by_selector_and_address() {
    let call = [&[0xa9, 0x05, 0x9c, 0xbb][..], &word(7), &word(500)].concat();
    let rows = [
        (Some(TOKEN), call.clone()),
        (Some(OTHER), call.clone()),
        (Some(TOKEN), call[..40].to_vec()),
        (None, call),
        (Some(TOKEN), Vec::new()),
    ];
    let rules = vec![
        rule(
            1,
            &json!({ "call": "transfer(address to, uint256 value)", "address": [address(TOKEN)] }),
            &json!({ "condition": "args.value == 500 && success" }),
        ),
        rule(2, &json!({ "call": "transfer(address to, uint256 value)" }), &json!({})),
        rule(3, &json!({ "dataset": "transactions", "selector": ["0xa9059cbb"] }), &json!({})),
        rule(
            4,
            &json!({ "dataset": "transactions", "address": [address(TOKEN)] }),
            &json!({ "condition": "value >= 2" }),
        ),
        rule(5, &json!({ "dataset": "transactions" }), &json!({ "condition": "!has(to_address)" })),
    ];
    let found =
        RuleIndex::build(rules).find(&BlockRows { transactions: vec![transactions(&rows)], ..BlockRows::default() });
    assert_eq!(found.faults, []);
    let expected = [
        (1, 0, 0),
        (2, 0, 0),
        (2, 1, 0),
        (2, 3, 0),
        (3, 0, 0),
        (3, 1, 0),
        (3, 2, 0),
        (3, 3, 0),
        (4, 2, 0),
        (4, 4, 0),
        (5, 3, 0),
    ];
    assert_eq!(spots(&found), expected);
}

#[test]
fn an_internal_call_is_one_frame_and_no_code_on_another_account() {
    let call = [&[0xa9, 0x05, 0x9c, 0xbb][..], &word(7), &word(500)].concat();
    let kinds = [
        ("call", Some("call")),
        ("call", Some("delegate_call")),
        ("call", Some("static_call")),
        ("create", None),
        ("reward", None),
    ];
    let is_reward = |kind: &str| kind == "reward";
    let count = u32::try_from(kinds.len()).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("action_from", fixed(kinds.iter().map(|_| Some([1; 20])))),
        ("action_to", fixed(kinds.iter().map(|_| Some([TOKEN; 20])))),
        ("action_value", Arc::new(StringArray::from(vec!["0"; kinds.len()]))),
        ("action_input", Arc::new(BinaryArray::from_iter_values(kinds.iter().map(|_| &call)))),
        ("action_call_type", Arc::new(StringArray::from_iter(kinds.iter().map(|(_, call)| *call)))),
        ("action_type", Arc::new(StringArray::from_iter_values(kinds.iter().map(|(kind, _)| *kind)))),
        (
            "transaction_index",
            Arc::new(UInt32Array::from_iter(kinds.iter().map(|(kind, _)| (!is_reward(kind)).then_some(0_u32)))),
        ),
        ("transaction_hash", fixed(kinds.iter().map(|(kind, _)| (!is_reward(kind)).then(|| hash(1, 0))))),
        ("block_number", Arc::new(UInt32Array::from(vec![1; kinds.len()]))),
        ("block_hash", fixed(kinds.iter().map(|_| Some([3; 32])))),
        ("trace_index", Arc::new(UInt32Array::from_iter_values(0..count))),
        ("timestamp", Arc::new(UInt32Array::from(vec![1; kinds.len()]))),
    ];
    let rows = BlockRows { traces: vec![batch(Dataset::Traces, columns)], ..BlockRows::default() };
    let rules = vec![
        rule(1, &json!({ "call": "transfer(address to, uint256 value)", "internal": true }), &json!({})),
        rule(
            2,
            &json!({ "dataset": "traces", "address": [address(TOKEN)] }),
            &json!({ "condition": "action_type == 'reward' && action_value == 0" }),
        ),
    ];
    let found = RuleIndex::build(rules).find(&rows);
    assert_eq!(found.faults, []);
    assert_eq!(spots(&found), [(1, 1, 0), (1, 1, 2), (2, 1, 0)]);
    let reward = found.matches.iter().find(|found| found.rule.0 == 2).unwrap();
    assert_eq!(reward.transaction_hash, None);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn all_rules_together_find_what_each_finds_alone(
        shapes in proptest::collection::vec((0u8..6, 0u8..4, 0u64..4), 1..20),
        rows in proptest::collection::vec((0u32..6, 0u8..4, 0u8..3, 0u64..4), 0..60),
        cut in 1usize..20,
    ) {
        let other_topic = keccak256("Other()").to_string();
        let rules: Vec<CompiledRule> = (1i64..).zip(&shapes).map(|(id, (shape, byte, value))| {
            let source = match shape {
                0 => json!({ "event": TRANSFER }),
                1 => json!({ "event": TRANSFER, "address": [address(*byte)] }),
                2 => json!({ "dataset": "logs", "address": [address(*byte), address(byte + 1)] }),
                3 => json!({ "dataset": "logs", "topic0": [other_topic] }),
                4 => json!({ "dataset": "logs", "topic0": [other_topic, keccak256("Third()").to_string()], "address": [address(*byte)] }),
                _ => json!({ "dataset": "logs" }),
            };
            let condition = if *shape < 2 { format!("args.value > {value}") } else { format!("size(data) > {value}") };
            rule(id, &source, &json!({ "condition": condition }))
        }).collect();
        let mut rows: Vec<Log> = rows.iter().map(|(place, address, topic, value)| {
            let mut log = transfer(place / 2, place % 2, *address, *value);
            match topic {
                0 => {}
                1 => log.topics = vec![keccak256("Other()").0],
                _ => (log.topics, log.data) = (Vec::new(), vec![0; 2]),
            }
            log
        }).collect();
        rows.sort_by_key(|log| (log.block, log.transaction));
        let batches = BlockRows { logs: rows.chunks(cut).map(logs).collect(), ..BlockRows::default() };
        let together = RuleIndex::build(rules.clone()).find(&batches);
        let mut alone = Vec::new();
        for rule in rules {
            let whole = BlockRows { logs: vec![logs(&rows)], ..BlockRows::default() };
            alone.extend(RuleIndex::build(vec![rule]).find(&whole).matches);
        }
        let order = |found: &Match| (found.rule, found.identity);
        let mut together = together.matches;
        together.sort_by_key(order);
        alone.sort_by_key(order);
        let keys = |matches: &[Match]| matches.iter().map(|found| (found.rule, found.identity, found.position, found.block)).collect::<Vec<_>>();
        proptest::prop_assert_eq!(keys(&together), keys(&alone));
        let distinct: std::collections::BTreeSet<_> = together.iter().map(|found| found.identity).collect();
        proptest::prop_assert_eq!(distinct.len(), together.len(), "no two findings are one");
    }
}
