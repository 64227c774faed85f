//! A chain of made-up blocks in hot storage, written as its follower writes it: one transaction a block, and one a reorg.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use chrono::DateTime;
use isotherm_control::events;
use isotherm_hot_store::{BlockBatch, append, cursor, take_back};
use isotherm_types::{Address, B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset, EventBody, EventId};
use sqlx::{Connection, PgConnection};

pub(crate) const CHAIN: ChainId = ChainId(31337);
/// `Transfer(address,address,uint256)`. Source: ERC-20.
pub(crate) const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const BLOCK_SECONDS: u64 = 10;

/// A transaction with its transfers.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: u64,
    pub(crate) transfers: Vec<Transfer>,
}

/// A log of a token: so much was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) token: u64,
    pub(crate) amount: u128,
}

impl Transaction {
    /// With one transfer.
    pub(crate) fn of(id: u64, token: u64, amount: u128) -> Self {
        Self { id, transfers: vec![Transfer { token, amount }] }
    }

    pub(crate) fn hash(&self) -> B256 {
        hash(0x77, self.id)
    }
}

pub(crate) fn token(number: u64) -> Address {
    Address::left_padding_from(&(0xaa00_0000 + number).to_be_bytes())
}

fn hash(kind: u8, number: u64) -> B256 {
    let mut hash = B256::left_padding_from(&number.to_be_bytes());
    hash[0] = kind;
    hash
}

/// The chain, and what is stored of it.
pub(crate) struct MadeChain {
    blocks: Vec<BlockRef>,
    /// Blocks that were ever made: each has a hash of its own.
    made: u64,
    start_time: u64,
}

impl MadeChain {
    /// A chain that has no block yet; the first one's time is `start_time`.
    pub(crate) async fn new(conn: &mut PgConnection, start_time: u64) -> Self {
        cursor::ensure(conn, CHAIN, "made", 1_000).await.unwrap();
        Self { blocks: Vec::new(), made: 0, start_time }
    }

    pub(crate) fn tip(&self) -> BlockRef {
        *self.blocks.last().expect("the chain has a block")
    }

    /// Adds a block; returns the event that tells of it.
    pub(crate) async fn append(&mut self, conn: &mut PgConnection, transactions: Vec<Transaction>) -> EventId {
        let mut db_tx = conn.begin().await.unwrap();
        let event_id = self.write(&mut db_tx, transactions).await;
        db_tx.commit().await.unwrap();
        event_id
    }

    /// Replaces the last `depth` blocks by others; returns the last event that tells of it.
    pub(crate) async fn reorg(&mut self, conn: &mut PgConnection, depth: usize, new: Vec<Vec<Transaction>>) -> EventId {
        let mut db_tx = conn.begin().await.unwrap();
        let old_tip = self.tip();
        self.blocks.truncate(self.blocks.len() - depth);
        let ancestor = self.tip();
        let new_tip = BlockRef {
            number: BlockNumber(ancestor.number.0 + new.len() as u64),
            hash: hash(0xbb, self.made + new.len() as u64),
        };
        let blocks = take_back(&mut db_tx, CHAIN, ancestor, new_tip).await.unwrap();
        assert_eq!(blocks.last(), old_tip.number);
        let body = EventBody::DatasetInvalidated {
            chain_id: CHAIN,
            datasets: vec![Dataset::Logs],
            blocks,
            common_ancestor: ancestor,
        };
        let mut event_id = events::record(&mut db_tx, &body).await.unwrap();
        for transactions in new {
            event_id = self.write(&mut db_tx, transactions).await;
        }
        assert_eq!(self.tip(), new_tip);
        db_tx.commit().await.unwrap();
        event_id
    }

    /// The block `depth` below the tip is final.
    pub(crate) async fn finalize(&self, conn: &mut PgConnection, depth: usize) {
        let last = self.blocks[self.blocks.len() - 1 - depth];
        cursor::set_finalized(conn, CHAIN, last).await.unwrap();
    }

    async fn write(&mut self, conn: &mut PgConnection, transactions: Vec<Transaction>) -> EventId {
        self.made += 1;
        let number = BlockNumber(self.blocks.len() as u64);
        let tip = BlockRef { number, hash: hash(0xbb, self.made) };
        let parent_hash = self.blocks.last().map_or(B256::ZERO, |block| block.hash);
        let blocks = BlockRange::single(number);
        let rows = self.rows(tip, parent_hash, &transactions);
        let served_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let batch = BlockBatch { blocks, parent_hash, tip, rows, served_at };
        append(conn, CHAIN, &batch).await.unwrap();
        self.blocks.push(tip);
        let datasets = vec![Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
        let body = EventBody::DatasetAdvanced { chain_id: CHAIN, datasets, blocks, tip };
        events::record(conn, &body).await.unwrap()
    }

    fn rows(&self, block: BlockRef, parent: B256, transactions: &[Transaction]) -> Vec<(Dataset, RecordBatch)> {
        let time = self.start_time + BLOCK_SECONDS * block.number.0;
        let of_block = |cells: &[(&'static str, Cell)]| -> Cells {
            let shared = [
                ("chain_id", Cell::Number(CHAIN.0)),
                ("block_number", Cell::Number(block.number.0)),
                ("block_hash", Cell::Bytes(block.hash.to_vec())),
                ("timestamp", Cell::Number(time)),
            ];
            shared.into_iter().chain(cells.iter().cloned()).collect()
        };
        let header = of_block(&[
            ("parent_hash", Cell::Bytes(parent.to_vec())),
            ("transaction_count", Cell::Number(transactions.len() as u64)),
        ]);
        let (mut of_transactions, mut of_logs) = (Vec::new(), Vec::new());
        for (index, transaction) in (0u64..).zip(transactions) {
            let place = [
                ("transaction_index", Cell::Number(index)),
                ("transaction_hash", Cell::Bytes(transaction.hash().to_vec())),
            ];
            let mut cells = place.to_vec();
            cells.push(("value_string", Cell::Text("0".to_owned())));
            of_transactions.push(of_block(&cells));
            for transfer in &transaction.transfers {
                let mut cells = place.to_vec();
                cells.extend([
                    ("log_index", Cell::Number(of_logs.len() as u64)),
                    ("address", Cell::Bytes(token(transfer.token).to_vec())),
                    ("topic0", Cell::Bytes(TRANSFER.parse::<B256>().unwrap().to_vec())),
                    ("topic1", Cell::Bytes(hash(0, 1).to_vec())),
                    ("topic2", Cell::Bytes(hash(0, 2).to_vec())),
                    ("data", Cell::Bytes(B256::left_padding_from(&transfer.amount.to_be_bytes()).to_vec())),
                ]);
                of_logs.push(of_block(&cells));
            }
        }
        vec![
            (Dataset::Blocks, batch(Dataset::Blocks, &[header])),
            (Dataset::Transactions, batch(Dataset::Transactions, &of_transactions)),
            (Dataset::Logs, batch(Dataset::Logs, &of_logs)),
        ]
    }
}

type Cells = BTreeMap<&'static str, Cell>;

#[derive(Clone)]
enum Cell {
    Number(u64),
    Bytes(Vec<u8>),
    Text(String),
}

/// Rows with these cells; a column without one is absent where it may be, else zero or empty.
fn batch(dataset: Dataset, rows: &[Cells]) -> RecordBatch {
    let columns = dataset.columns().iter().map(|column| -> ArrayRef {
        let cell = |row: &Cells| row.get(column.name).cloned();
        let numbers = || {
            rows.iter().map(|row| match cell(row) {
                Some(Cell::Number(number)) => Some(number),
                _ => (!column.nullable).then_some(0),
            })
        };
        let bytes = |length: usize| {
            let rows = rows.iter().map(|row| match cell(row) {
                Some(Cell::Bytes(bytes)) => Some(bytes),
                _ => (!column.nullable).then(|| vec![0; length]),
            });
            rows.collect::<Vec<_>>()
        };
        match column.column_type.arrow() {
            DataType::UInt32 => {
                Arc::new(numbers().map(|n| n.map(|n| u32::try_from(n).unwrap())).collect::<UInt32Array>())
            }
            DataType::UInt64 => Arc::new(numbers().collect::<UInt64Array>()),
            DataType::Float64 => Arc::new(numbers().map(|n| n.map(|_| 0.0)).collect::<Float64Array>()),
            DataType::Boolean => Arc::new(numbers().map(|n| n.map(|_| false)).collect::<BooleanArray>()),
            DataType::Utf8 => {
                let texts = rows.iter().map(|row| match cell(row) {
                    Some(Cell::Text(text)) => Some(text),
                    _ => (!column.nullable).then(String::new),
                });
                Arc::new(texts.collect::<StringArray>())
            }
            DataType::Binary => {
                let values = bytes(0);
                Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>())
            }
            DataType::FixedSizeBinary(length) => {
                let values = bytes(usize::try_from(length).unwrap());
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), length).unwrap())
            }
            DataType::Decimal128(precision, scale) => {
                let values = numbers().map(|n| n.map(i128::from)).collect::<Decimal128Array>();
                Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
            }
            other => panic!("{other}"),
        }
    });
    RecordBatch::try_new(dataset.schema(), columns.collect()).unwrap()
}
