//! Rules and logs that are made for the benchmark.

use std::sync::Arc;

use alloy_primitives::{U256, keccak256};
use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use isotherm_alerts::definition::Definition;
use isotherm_alerts::index::{BlockRows, CompiledRule};
use isotherm_alerts::rules::StoredRule;
use isotherm_types::{BlockNumber, ChainId, OrgId, RuleId};
use serde_json::json;

/// Logs in all.
pub(crate) const ROWS: usize = 1_000_000;

/// Logs of a batch.
const BATCH: usize = 50_000;

/// Logs of a block: 10,000 transactions a second, some three logs each, 300 ms.
const ROWS_PER_BLOCK: usize = 9_000;

/// Logs of a transaction.
const ROWS_PER_TRANSACTION: usize = 3;

/// Contracts whose logs there are; of one in a hundred some rule wants to know.
const CONTRACTS: u64 = 50_000;
const WATCHED: u64 = CONTRACTS / 100;

/// Events beside `Transfer`, which half of the logs are.
const OTHER_EVENTS: u64 = 500;

/// First topic and address.
pub(crate) type Key = ([u8; 32], [u8; 20]);

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// What the logs and rules are made of.
pub(crate) struct Made {
    seed: u64,
    transfer: [u8; 32],
    others: Vec<[u8; 32]>,
}

impl Made {
    pub(crate) fn new(seed: u64) -> Self {
        let others = (0..OTHER_EVENTS).map(|event| keccak256(format!("Event{event}(address,uint256)")).0).collect();
        Self { seed, transfer: keccak256("Transfer(address,address,uint256)").0, others }
    }

    /// So many rules, and the pair that each is chosen by. The first ones watch contracts whose logs there are, all others contracts of
    /// which there are none. Nine in ten are about transfers, the others about another event that the contract may emit.
    pub(crate) fn rules(&self, count: usize) -> (Vec<CompiledRule>, Vec<Key>) {
        (0u64..).take(count).map(|number| self.rule(number)).unzip()
    }

    fn rule(&self, number: u64) -> (CompiledRule, Key) {
        let contract = if number < WATCHED { number } else { CONTRACTS + number };
        let address = address(contract);
        let written = format!("0x{}", address.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let (source, condition, topic) = if number % 10 == 9 {
            let topic = self.others[usize_of(number % OTHER_EVENTS)];
            let topic_text = format!("0x{}", topic.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            let source = json!({ "dataset": "logs", "address": [written], "topic0": [topic_text] });
            (source, "size(data) >= 32 && has(topic1)".to_owned(), topic)
        } else {
            let condition = format!("args.value > units(\"{}\", 6) && args.from != args.to", number % 1000);
            (json!({ "event": TRANSFER, "address": [written] }), condition, self.transfer)
        };
        let name = format!("rule-{number}");
        let definition =
            json!({ "name": name, "chain": "monad", "channels": ["ops"], "source": source, "condition": condition });
        let stored = StoredRule {
            rule_id: RuleId(i64::try_from(number).expect("it is small")),
            org_id: OrgId(1),
            chain_id: ChainId(143),
            name,
            version: 1,
            definition: Definition::parse(&definition).expect("it is a rule"),
            first_block: BlockNumber(0),
            muted_until: None,
        };
        (CompiledRule::compile(stored).expect("it means something"), (topic, address))
    }

    /// The logs, and the pair of each.
    pub(crate) fn rows(&self) -> (BlockRows, Vec<Key>) {
        let pairs: Vec<Key> = (0u64..).take(ROWS).map(|row| self.pair(row)).collect();
        let logs = (0..ROWS / BATCH).map(|batch| self.batch(batch * BATCH, &pairs)).collect();
        (BlockRows { logs, ..BlockRows::default() }, pairs)
    }

    fn pair(&self, row: u64) -> Key {
        let chance = mixed(self.seed, row);
        let contract = chance % CONTRACTS;
        let event = chance >> 40;
        let topic =
            if event.is_multiple_of(2) { self.transfer } else { self.others[usize_of(event / 2 % OTHER_EVENTS)] };
        (topic, address(contract))
    }

    fn batch(&self, first: usize, pairs: &[Key]) -> RecordBatch {
        let rows = || first..first + BATCH;
        let numbers = |number: fn(usize) -> usize| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(rows().map(|row| u32::try_from(number(row)).expect("it is small"))))
        };
        let hash = |salt: u64, number: usize| {
            keccak256(mixed(salt, u64::try_from(number).expect("it is small")).to_be_bytes()).0
        };
        let words = |salt: u64| -> ArrayRef {
            fixed(rows().map(move |row| {
                let mut word = [0; 32];
                word[12..].copy_from_slice(&address(mixed(salt, u64::try_from(row).expect("it is small"))));
                Some(word)
            }))
        };
        let value = |row: usize| {
            U256::from(mixed(5, u64::try_from(row).expect("it is small")) % 2_000_000_000).to_be_bytes::<32>()
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("block_number", numbers(|row| row / ROWS_PER_BLOCK)),
            ("transaction_index", numbers(|row| row % ROWS_PER_BLOCK / ROWS_PER_TRANSACTION)),
            ("log_index", numbers(|row| row % ROWS_PER_BLOCK)),
            ("transaction_hash", fixed(rows().map(|row| Some(hash(6, row / ROWS_PER_TRANSACTION))))),
            ("address", fixed(rows().map(|row| Some(pairs[row].1)))),
            ("topic0", fixed(rows().map(|row| Some(pairs[row].0)))),
            ("topic1", words(3)),
            ("topic2", words(4)),
            ("topic3", fixed(rows().map(|_| None::<[u8; 32]>))),
            ("data", Arc::new(BinaryArray::from_iter_values(rows().map(value)))),
            ("block_hash", fixed(rows().map(|row| Some(hash(7, row / ROWS_PER_BLOCK))))),
            ("timestamp", numbers(|row| 1_767_225_600 + row / ROWS_PER_BLOCK)),
        ];
        RecordBatch::try_from_iter(columns).expect("the columns have one length")
    }
}

fn fixed<const N: usize>(rows: impl Iterator<Item = Option<[u8; N]>>) -> ArrayRef {
    let length = i32::try_from(N).expect("it is small");
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, length).expect("each has this length"))
}

fn address(contract: u64) -> [u8; 20] {
    let mut address = [0; 20];
    let parts = [mixed(1, contract), mixed(2, contract), mixed(8, contract)].map(u64::to_be_bytes).concat();
    address.copy_from_slice(&parts[..20]);
    address
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).expect("it is small")
}

/// A number that looks drawn by chance, always the same one of the same two. Source: Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014 (`SplitMix64`).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0xa076_1d64_78bd_642f).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
