//! Rules against rows that are made up, each column by its schema.

use std::sync::Arc;

use alloy_primitives::{U256, keccak256};
use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::Schema;
use isotherm_types::{BlockNumber, ChainId};
use serde_json::json;

use super::*;
use crate::definition::Definition;
use crate::rules::StoredRule;

mod bounds;
mod calls;

const TOKEN: u8 = 0xaa;
const OTHER: u8 = 0xbb;
const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// A log, as the tests need it.
#[derive(Clone, Debug)]
struct Log {
    block: u32,
    transaction: u32,
    address: u8,
    topics: Vec<[u8; 32]>,
    data: Vec<u8>,
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

fn transfer(block: u32, transaction: u32, address: u8, value: u64) -> Log {
    let topic0 = keccak256("Transfer(address,address,uint256)").0;
    Log { block, transaction, address, topics: vec![topic0, word(1), word(2)], data: word(value).to_vec() }
}

fn hash(block: u32, transaction: u32) -> [u8; 32] {
    keccak256([block.to_be_bytes(), transaction.to_be_bytes()].concat()).0
}

fn fixed<const N: usize>(rows: impl Iterator<Item = Option<[u8; N]>>) -> ArrayRef {
    let length = i32::try_from(N).unwrap();
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, length).unwrap())
}

/// A batch with these columns of `dataset`, as the schema has them.
fn batch(dataset: Dataset, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let schema = dataset.schema();
    let fields: Vec<_> = columns.iter().map(|(name, _)| schema.field_with_name(name).unwrap().clone()).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn logs(rows: &[Log]) -> RecordBatch {
    let topic = |place: usize| fixed(rows.iter().map(|log| log.topics.get(place).copied()));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("block_number", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|log| log.block)))),
        ("transaction_index", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|log| log.transaction)))),
        ("log_index", Arc::new(UInt32Array::from_iter_values(0..u32::try_from(rows.len()).unwrap()))),
        ("transaction_hash", fixed(rows.iter().map(|log| Some(hash(log.block, log.transaction))))),
        ("address", fixed(rows.iter().map(|log| Some([log.address; 20])))),
        ("topic0", topic(0)),
        ("topic1", topic(1)),
        ("topic2", topic(2)),
        ("topic3", topic(3)),
        ("data", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|log| &log.data)))),
        ("block_hash", fixed(rows.iter().map(|log| Some(hash(log.block, u32::MAX))))),
        ("timestamp", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|log| 1_000 + log.block)))),
    ];
    batch(Dataset::Logs, columns)
}

fn stored(rule_id: i64, source: &Value, more: &Value) -> StoredRule {
    let mut definition =
        json!({ "name": format!("rule-{rule_id}"), "chain": "monad", "channels": ["ops"], "source": source });
    for (key, value) in more.as_object().unwrap() {
        definition[key.as_str()] = value.clone();
    }
    StoredRule {
        rule_id: RuleId(rule_id),
        org_id: OrgId(1),
        chain_id: ChainId(143),
        name: format!("rule-{rule_id}"),
        version: 1,
        definition: Definition::parse(&definition).unwrap(),
        first_block: BlockNumber(0),
        muted_until: None,
    }
}

fn rule(rule_id: i64, source: &Value, more: &Value) -> CompiledRule {
    CompiledRule::compile(stored(rule_id, source, more)).unwrap()
}

fn address(byte: u8) -> String {
    format!("0x{}", format!("{byte:02x}").repeat(20))
}

/// Rules and positions of what is found.
fn spots(found: &Found) -> Vec<(i64, u64, u32)> {
    let mut spots: Vec<_> =
        found.matches.iter().map(|found| (found.rule.0, found.block.number.0, found.position)).collect();
    spots.sort_unstable();
    spots
}

#[test]
fn an_event_is_found_by_contract_signature_and_condition() {
    let rules = vec![
        rule(
            1,
            &json!({ "event": TRANSFER, "address": [address(TOKEN)] }),
            &json!({
                "condition": "args.value >= 100",
                "message": "{{ args.value }} to {{ args.to }}",
                "group_by": "args.from",
                "severity": "critical",
            }),
        ),
        rule(2, &json!({ "event": TRANSFER }), &json!({})),
        rule(
            3,
            &json!({ "event": "Transfer(address indexed from, address indexed to, uint256 indexed id)" }),
            &json!({}),
        ),
        rule(4, &json!({ "dataset": "logs", "address": [address(OTHER)] }), &json!({})),
        rule(5, &json!({ "dataset": "logs" }), &json!({ "condition": "size(data) == 0" })),
    ];
    let index = RuleIndex::build(rules);
    assert_eq!(index.datasets(), [Dataset::Logs]);
    let erc721 = Log {
        topics: [transfer(0, 0, 0, 0).topics, vec![word(9)]].concat(),
        data: Vec::new(),
        ..transfer(7, 1, TOKEN, 0)
    };
    let rows = [transfer(7, 0, TOKEN, 99), transfer(7, 0, TOKEN, 100), transfer(7, 1, OTHER, 5), erc721];
    let found = index.find(&BlockRows { logs: vec![logs(&rows)], ..BlockRows::default() });
    assert_eq!(found.faults, []);
    assert_eq!(
        spots(&found),
        [(1, 7, 1), (2, 7, 0), (2, 7, 0), (2, 7, 1), (3, 7, 1), (4, 7, 0), (5, 7, 1)],
        "{found:?}"
    );
    let first = found.matches.iter().find(|found| found.rule == RuleId(1)).unwrap();
    assert_eq!(first.title, "rule-1: Transfer on monad");
    assert_eq!(first.message, "100 to 0x0000000000000000000000000000000000000002");
    assert_eq!(first.group_key.as_deref(), Some("0x0000000000000000000000000000000000000001"));
    assert_eq!(first.severity, Severity::Critical);
    assert_eq!(first.block_time.timestamp(), 1_007);
    assert_eq!(first.transaction_hash, Some(hash(7, 0).into()));
    assert_eq!(first.facts["event"], "Transfer");
    assert_eq!(first.facts["args"]["value"], 100);
    assert_eq!(first.facts["address"], address(TOKEN));
    let second = found.matches.iter().find(|found| found.rule == RuleId(2)).unwrap();
    assert!(second.message.starts_with("Transfer: ") && second.message.contains("value 99"), "{}", second.message);
}

#[test]
fn a_finding_keeps_its_identity_in_another_block_and_gets_another_one_in_another_transaction() {
    let index = RuleIndex::build(vec![rule(1, &json!({ "event": TRANSFER }), &json!({}))]);
    let find = |rows: &[Log], moved: Option<u32>| {
        let batch = logs(rows);
        let Some(block) = moved else {
            return index.find(&BlockRows { logs: vec![batch], ..BlockRows::default() }).matches;
        };
        // The same transaction, included in another block behind another one.
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
            let array: ArrayRef = match field.name().as_str() {
                "block_number" => Arc::new(UInt32Array::from(vec![block; rows.len()])),
                "transaction_index" => Arc::new(UInt32Array::from(vec![5; rows.len()])),
                "block_hash" => fixed(rows.iter().map(|_| Some([9; 32]))),
                _ => Arc::clone(array),
            };
            (field.name().clone(), array)
        });
        let moved = RecordBatch::try_from_iter(columns).unwrap();
        index.find(&BlockRows { logs: vec![moved], ..BlockRows::default() }).matches
    };
    let rows = [transfer(7, 0, TOKEN, 1), transfer(7, 0, TOKEN, 2)];
    let (before, after) = (find(&rows, None), find(&rows, Some(8)));
    let identities = |matches: &[Match]| matches.iter().map(|found| found.identity).collect::<Vec<_>>();
    assert_eq!(identities(&before), identities(&after));
    assert_ne!(before[0].identity, before[1].identity);
    assert_ne!(before[0].block, after[0].block);
    let elsewhere = find(&[transfer(7, 1, TOKEN, 1)], None);
    assert_ne!(elsewhere[0].identity, before[0].identity);
}

#[test]
fn a_rule_that_fails_is_a_fault_of_its_own_and_the_others_go_on() {
    let rules = vec![
        rule(1, &json!({ "event": TRANSFER }), &json!({ "condition": "100 / args.value > 1" })),
        rule(2, &json!({ "event": TRANSFER }), &json!({ "condition": "args.value != 0 && 100 / args.value > 1" })),
        rule(
            3,
            &json!({ "event": TRANSFER }),
            &json!({ "message": "{{ 1 / args.value }}", "group_by": "1 / args.value" }),
        ),
    ];
    let rows = [transfer(1, 0, TOKEN, 7), transfer(2, 0, TOKEN, 0), transfer(3, 0, TOKEN, 7)];
    let found = RuleIndex::build(rules).find(&BlockRows { logs: vec![logs(&rows)], ..BlockRows::default() });
    let fault = |fault: &RuleFault| (fault.rule_id.0, fault.code);
    assert_eq!(found.faults.iter().map(fault).collect::<Vec<_>>(), [(1, "alerts.condition_failed")]);
    assert!(found.faults[0].message.contains("block 2") && found.faults[0].message.contains("divided by 0"));
    assert_eq!(spots(&found), [(1, 1, 0), (2, 1, 0), (2, 3, 0), (3, 1, 0), (3, 2, 0), (3, 3, 0)]);
    let odd = found.matches.iter().find(|found| found.rule.0 == 3 && found.block.number.0 == 2).unwrap();
    assert_eq!((odd.message.as_str(), odd.group_key.as_deref()), ("?", None));
}

#[test]
fn blocks_from_before_a_rule_do_not_concern_it() {
    let mut young = stored(1, &json!({ "event": TRANSFER }), &json!({}));
    young.first_block = BlockNumber(6);
    let index = RuleIndex::build(vec![CompiledRule::compile(young.clone()).unwrap()]);
    let rows = [transfer(5, 0, TOKEN, 1), transfer(6, 0, TOKEN, 1)];
    let found = index.find(&BlockRows { logs: vec![logs(&rows)], ..BlockRows::default() });
    assert_eq!(spots(&found), [(1, 6, 0)]);
    let rows =
        BlockRows { logs: vec![logs(&[4, 5, 6].map(|block| transfer(block, 0, TOKEN, 1)))], ..BlockRows::default() };
    let nobody = BTreeSet::new();
    let again = Asked { again_from: Some(BlockNumber(5)), orgs: None, without: &nobody, excess: Excess::IsAFault };
    let found = index.find_as(&rows, &again);
    assert_eq!(spots(&found), [(1, 5, 0), (1, 6, 0)], "it may have moved there");
    let compiled = index.rule(RuleId(1));
    assert!(compiled.refreshed(StoredRule { version: 2, ..young.clone() }).is_none());
    let muted = StoredRule { muted_until: Some(DateTime::UNIX_EPOCH), ..young };
    assert_eq!(compiled.refreshed(muted.clone()).unwrap().stored, muted);
}

#[test]
fn only_the_columns_that_some_rule_needs_are_asked_for() {
    let columns = |source: Value, more: Value| {
        let index = RuleIndex::build(vec![rule(1, &source, &more)]);
        Dataset::ALL.map(|dataset| index.columns(dataset))
    };
    let [blocks, transactions, logs, traces] = columns(json!({ "event": TRANSFER }), json!({}));
    assert!(blocks.is_empty() && transactions.is_empty() && traces.is_empty());
    for name in ["block_number", "transaction_hash", "topic0", "topic1", "topic3", "data", "address", "log_index"] {
        assert!(logs.contains(&name), "{name}");
    }
    let [_, _, logs, _] = columns(json!({ "dataset": "logs", "address": [address(TOKEN)] }), json!({}));
    assert!(!logs.contains(&"data") && !logs.contains(&"topic1"), "{logs:?}");
    let condition = json!({ "condition": "has(topic2)", "message": "{{ data }}", "group_by": "topic1" });
    let [_, _, logs, _] = columns(json!({ "dataset": "logs", "address": [address(TOKEN)] }), condition);
    assert!(["topic1", "topic2", "data"].iter().all(|name| logs.contains(name)), "{logs:?}");
    let [_, transactions, _, _] = columns(json!({ "dataset": "transactions" }), json!({ "condition": "value > 5" }));
    assert!(transactions.contains(&"value_binary") && !transactions.contains(&"input"), "{transactions:?}");
    let [blocks, ..] = columns(json!({ "dataset": "blocks" }), json!({ "condition": "gas_used > 5" }));
    assert!(blocks.contains(&"gas_used") && !blocks.contains(&"extra_data"), "{blocks:?}");
}

#[test]
fn rules_of_sql_and_of_findings_are_kept_and_make_matches_of_their_rows() {
    let sql = rule(
        1,
        &json!({ "sql": "SELECT 1 AS n", "every_seconds": 60 }),
        &json!({ "message": "{{ n }} of {{ what }}", "group_by": "what" }),
    );
    let platform = rule(2, &json!({ "platform": ["integrity_violated"] }), &json!({}));
    let index = RuleIndex::build(vec![sql, platform]);
    assert!(index.datasets().is_empty() && index.len() == 2);
    assert_eq!(index.find(&BlockRows::default()), Found::default());
    let block = BlockRef { number: BlockNumber(9), hash: hash(9, 0).into() };
    let fields = json!({ "n": 5, "what": "apples", "alert_key": "k" });
    let row = fields.as_object().unwrap();
    let found = index.rule(RuleId(1)).match_of_row(row, block, DateTime::UNIX_EPOCH);
    assert_eq!((found.message.as_str(), found.group_key.as_deref()), ("5 of apples", Some("apples")));
    assert_eq!((found.title.as_str(), found.block), ("rule-1: row on monad", block));
    let platform = index.rule(RuleId(2));
    assert!(
        platform.wants(crate::definition::Finding::IntegrityViolated)
            && !index.rule(RuleId(1)).wants(crate::definition::Finding::IntegrityViolated)
    );
    let found = platform.match_of_finding("event-7", row, block, DateTime::UNIX_EPOCH);
    assert!(found.message.starts_with("finding: ") && found.message.contains("n 5"), "{}", found.message);
}
