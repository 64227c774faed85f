//! Blocks drawn by chance: few addresses, topics and texts, so that filters hit; absent values wherever a column may
//! have them; amounts on both sides of 10^38; transactions that come again in another block after a reorg.

use alloy::primitives::U256;
use isotherm_types::schema::{Column, ColumnType};
use isotherm_types::{B256, BlockNumber, BlockRef, Dataset};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::cells::{Cell, Row};
use crate::made_chain::CHAIN;

/// Texts that columns hold; the empty one is not an absent one.
pub(crate) const TEXTS: [&str; 6] = ["", "call", "delegate_call", "out of gas", "Reverted: 10 %", "Übertrag"];

/// Addresses that there are.
pub(crate) const ADDRESSES: u8 = 10;
/// Topics that there are.
pub(crate) const TOPICS: u8 = 7;
/// Small numbers, which come again, are below this.
pub(crate) const SMALL: u64 = 40;

const MOST_TRANSACTIONS: usize = 4;
const MOST_LOGS: u64 = 3;
const MOST_INNER_CALLS: u64 = 2;
const MOST_BYTES: usize = 40;

/// A block with its rows.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) transaction_hashes: Vec<B256>,
    /// By dataset, in the order of [`Dataset::ALL`].
    rows: [Vec<Row>; 4],
}

impl Block {
    /// The block after `parent_hash`. Some transactions of `orphan`, which stood in its place, come again.
    pub(crate) fn draw(random: &mut ChaCha8Rng, number: u64, parent_hash: B256, orphan: Option<&Self>) -> Self {
        let mut known = orphan.map(|orphan| orphan.transaction_hashes.clone()).unwrap_or_default();
        let count = random.random_range(0..=MOST_TRANSACTIONS);
        let mut transaction_hashes = Vec::with_capacity(count);
        for _ in 0..count {
            let again = if random.random_bool(0.5) { known.pop() } else { None };
            transaction_hashes.push(again.unwrap_or_else(|| B256::from(random.random::<[u8; 32]>())));
        }
        let hash = B256::from(random.random::<[u8; 32]>());
        let mut block = Self { number, hash, parent_hash, transaction_hashes, rows: Default::default() };
        block.rows = block.draw_rows(random);
        block
    }

    pub(crate) fn reference(&self) -> BlockRef {
        BlockRef { number: BlockNumber(self.number), hash: self.hash }
    }

    pub(crate) fn rows(&self, dataset: Dataset) -> &[Row] {
        &self.rows[dataset as usize]
    }

    fn draw_rows(&self, random: &mut ChaCha8Rng) -> [Vec<Row>; 4] {
        let count = self.transaction_hashes.len() as u64;
        let header = self.row(random, Dataset::Blocks, |name| match name {
            "parent_hash" => Some(bytes(self.parent_hash)),
            "transaction_count" => Some(Cell::Number(count)),
            _ => None,
        });
        let (mut transactions, mut logs, mut traces) = (Vec::new(), Vec::new(), Vec::new());
        for (index, hash) in (0..).zip(&self.transaction_hashes) {
            let log_count = random.random_range(0..=MOST_LOGS);
            transactions.push(self.transaction(random, index, *hash, log_count));
            for _ in 0..log_count {
                let log_index = logs.len() as u64;
                logs.push(self.row(random, Dataset::Logs, |name| match name {
                    "log_index" => Some(Cell::Number(log_index)),
                    name => of_transaction(name, index, *hash),
                }));
            }
            let inner_calls = random.random_range(0..=MOST_INNER_CALLS);
            for call in 0..=inner_calls {
                let (path, below) = call.checked_sub(1).map_or((String::new(), inner_calls), |i| (i.to_string(), 0));
                traces.push(self.trace(random, traces.len(), &path, below, Some((index, *hash))));
            }
        }
        if random.random_bool(0.3) {
            traces.push(self.trace(random, traces.len(), "", 0, None));
        }
        [vec![header], transactions, logs, traces]
    }

    fn transaction(&self, random: &mut ChaCha8Rng, index: u64, hash: B256, log_count: u64) -> Row {
        let amount = draw_amount(random);
        let fits = i128::try_from(amount).ok().filter(|amount| *amount < 10_i128.pow(38));
        self.row(random, Dataset::Transactions, |name| match name {
            "log_count" => Some(Cell::Number(log_count)),
            "value_binary" => Some(Cell::Bytes(amount.to_be_bytes::<32>().to_vec())),
            "value_string" => Some(Cell::Text(amount.to_string())),
            "value_f64" => Some(Cell::Double(amount.to_string().parse().unwrap())),
            "value" => Some(fits.map_or(Cell::Absent, Cell::Decimal)),
            name => of_transaction(name, index, hash),
        })
    }

    /// The frame at `path`, or a reward if there is no transaction.
    fn trace(
        &self,
        random: &mut ChaCha8Rng,
        index: usize,
        path: &str,
        below: u64,
        transaction: Option<(u64, B256)>,
    ) -> Row {
        let amount = draw_amount(random);
        self.row(random, Dataset::Traces, |name| match (name, transaction) {
            ("trace_index", _) => Some(Cell::Number(index as u64)),
            ("trace_address", _) => Some(Cell::Text(path.to_owned())),
            ("subtraces", _) => Some(Cell::Number(below)),
            ("action_value", _) => Some(Cell::Text(amount.to_string())),
            ("action_type", None) => Some(Cell::Text("reward".to_owned())),
            ("transaction_index" | "transaction_hash", None) => Some(Cell::Absent),
            (name, Some((index, hash))) => of_transaction(name, index, hash),
            (_, None) => None,
        })
    }

    /// A row of this block: `known` says what is in some columns, and chance what is in the others.
    fn row(&self, random: &mut ChaCha8Rng, dataset: Dataset, known: impl Fn(&str) -> Option<Cell>) -> Row {
        let of_block = |name: &str| match name {
            "block_number" => Some(Cell::Number(self.number)),
            "block_hash" => Some(bytes(self.hash)),
            "chain_id" => Some(Cell::Number(CHAIN.0)),
            "timestamp" => Some(Cell::Number(1_700_000_000 + self.number)),
            _ => None,
        };
        let cell = |column: &Column| known(column.name).or_else(|| of_block(column.name));
        dataset.columns().iter().map(|column| cell(column).unwrap_or_else(|| any(random, column))).collect()
    }
}

/// An address of those that there are.
pub(crate) fn address(index: u8) -> Vec<u8> {
    [[0xA0 + index; 12].as_slice(), &[index; 8]].concat()
}

/// A topic of those that there are.
pub(crate) fn topic(index: u8) -> Vec<u8> {
    [[0x70 + index; 31].as_slice(), &[0]].concat()
}

fn of_transaction(name: &str, index: u64, hash: B256) -> Option<Cell> {
    match name {
        "transaction_index" => Some(Cell::Number(index)),
        "transaction_hash" => Some(bytes(hash)),
        _ => None,
    }
}

fn bytes(hash: B256) -> Cell {
    Cell::Bytes(hash.to_vec())
}

/// Wei, about one amount in three at 10^38 or more. Those below stay so small that their sum has 38 digits too.
fn draw_amount(random: &mut ChaCha8Rng) -> U256 {
    match random.random_range(0..6) {
        0 => U256::ZERO,
        1 => U256::from(random.random_range(1..SMALL)),
        2 => U256::from(10_u128.pow(18) * u128::from(random.random_range(1..50_u64))),
        3 => U256::from(random.random_range(0..10_u128.pow(33))),
        4 => U256::from(10_u128.pow(38) + u128::from(random.random_range(0..3_u64))),
        _ => U256::MAX - U256::from(random.random::<u128>()),
    }
}

fn any(random: &mut ChaCha8Rng, column: &Column) -> Cell {
    if column.nullable && random.random_bool(0.25) {
        return Cell::Absent;
    }
    match column.column_type {
        ColumnType::UInt32 => Cell::Number(random.random_range(0..SMALL)),
        ColumnType::UInt64 if random.random_bool(0.5) => Cell::Number(random.random_range(0..SMALL)),
        ColumnType::UInt64 => Cell::Number(random.random_range(0..1 << 40)),
        ColumnType::Float64 => Cell::Double(f64::from(random.random::<u32>()) / 8.0),
        ColumnType::Boolean => Cell::Boolean(random.random_bool(0.6)),
        ColumnType::Text => Cell::Text(TEXTS[random.random_range(0..TEXTS.len())].to_owned()),
        ColumnType::Bytes => {
            let length = random.random_range(0..MOST_BYTES);
            any_bytes(random, length)
        }
        ColumnType::FixedBytes(20) => Cell::Bytes(address(random.random_range(0..ADDRESSES))),
        ColumnType::FixedBytes(32) if column.name.starts_with("topic") => {
            Cell::Bytes(topic(random.random_range(0..TOPICS)))
        }
        ColumnType::FixedBytes(length) => any_bytes(random, usize::from(length)),
        ColumnType::Decimal if random.random_bool(0.5) => Cell::Decimal(random.random_range(0..i128::from(SMALL))),
        ColumnType::Decimal => Cell::Decimal(random.random_range(0..10_i128.pow(38))),
    }
}

fn any_bytes(random: &mut ChaCha8Rng, length: usize) -> Cell {
    let mut bytes = vec![0; length];
    random.fill(bytes.as_mut_slice());
    Cell::Bytes(bytes)
}
