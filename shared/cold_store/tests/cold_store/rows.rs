//! Made-up rows of a made-up chain: each value follows from the chain's seed, its dataset, its block and its place.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Decimal128Array, FixedSizeBinaryBuilder, Float64Array, RecordBatch,
    StringBuilder, UInt32Array, UInt64Array,
};
use isotherm_types::schema::{Column, ColumnType, DECIMAL_PRECISION};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};

/// A chain of made-up blocks without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeChain {
    pub(crate) chain_id: ChainId,
    pub(crate) seed: u8,
    /// Values of any length are shorter than this.
    pub(crate) most_bytes: u64,
}

/// Most transactions in a block, and most logs in a transaction; block 0 and others have none.
const MOST_TRANSACTIONS: u64 = 4;
const MOST_LOGS: u64 = 3;

/// Where a row stands: its block, its index there, and for logs the transaction.
#[derive(Clone, Copy)]
struct Place {
    block: u64,
    index: u64,
    transaction: u64,
}

impl MadeChain {
    pub(crate) fn new(chain_id: u64) -> Self {
        Self { chain_id: ChainId(chain_id), seed: 0, most_bytes: 70 }
    }

    pub(crate) fn hash(self, block: u64) -> B256 {
        B256::from_slice(&self.random(b'h', block, 0).bytes(32))
    }

    pub(crate) fn parent_hash(self, block: u64) -> B256 {
        block.checked_sub(1).map_or(B256::ZERO, |before| self.hash(before))
    }

    pub(crate) fn transaction_count(self, block: u64) -> u64 {
        block % (MOST_TRANSACTIONS + 1)
    }

    pub(crate) fn log_count(self, block: u64, transaction: u64) -> u64 {
        (block + transaction) % (MOST_LOGS + 1)
    }

    /// Rows that each block of the range has in the dataset.
    pub(crate) fn rows_per_block(self, dataset: Dataset, blocks: BlockRange) -> Vec<u64> {
        let numbers = blocks.start().0..blocks.end().0;
        numbers.map(|block| self.places(dataset, block).len() as u64).collect()
    }

    /// The rows of a range, sorted.
    pub(crate) fn rows(self, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
        let numbers = blocks.start().0..blocks.end().0;
        let places: Vec<Place> = numbers.flat_map(|block| self.places(dataset, block)).collect();
        let arrays = dataset.columns().iter().map(|column| self.array(dataset, column, &places));
        RecordBatch::try_new(dataset.schema(), arrays.collect()).unwrap()
    }

    fn places(self, dataset: Dataset, block: u64) -> Vec<Place> {
        let transactions = 0..self.transaction_count(block);
        let place = |index, transaction| Place { block, index, transaction };
        match dataset {
            Dataset::Blocks => vec![place(0, 0)],
            Dataset::Transactions | Dataset::Traces => transactions.map(|index| place(index, index)).collect(),
            Dataset::Logs => {
                let emitters = transactions.flat_map(|transaction| {
                    std::iter::repeat_n(transaction, usize::try_from(self.log_count(block, transaction)).unwrap())
                });
                (0..).zip(emitters).map(|(index, transaction)| place(index, transaction)).collect()
            }
        }
    }

    fn random(self, purpose: u8, block: u64, index: u64) -> Random {
        let mut random = Random(u64::from(self.seed) << 8 | u64::from(purpose));
        for part in [block, index, self.chain_id.0] {
            random = Random(random.next() ^ part);
        }
        random
    }

    /// The number in columns that must agree with others; `None` where any value will do.
    fn number(self, dataset: Dataset, column: &str, place: Place) -> Option<u64> {
        match column {
            "chain_id" => Some(self.chain_id.0),
            "block_number" => Some(place.block),
            "timestamp" => Some(1_700_000_000 + place.block),
            "transaction_index" => Some(place.transaction),
            "log_index" | "trace_index" => Some(place.index),
            "transaction_count" => Some(self.transaction_count(place.block)),
            "log_count" if dataset == Dataset::Transactions => Some(self.log_count(place.block, place.index)),
            _ => None,
        }
    }

    fn bytes(self, column: &str, place: Place, length: usize) -> Vec<u8> {
        let random = match column {
            "block_hash" => return self.hash(place.block).to_vec(),
            "parent_hash" => return self.parent_hash(place.block).to_vec(),
            "transaction_hash" => self.random(b't', place.block, place.transaction),
            // Few addresses and topics, as on a real chain.
            _ if length == 20 || column.starts_with("topic") => self.random(b'a', 0, self.few(column, place)),
            _ => self.random(column.as_bytes()[0], place.block, place.index),
        };
        random.bytes(length)
    }

    fn few(self, column: &str, place: Place) -> u64 {
        (place.block * 7 + place.index * 3 + column.len() as u64) % 11
    }

    fn array(self, dataset: Dataset, column: &Column, places: &[Place]) -> ArrayRef {
        let absent =
            |place: &Place| column.nullable && (place.block + place.index + column.name.len() as u64).is_multiple_of(4);
        let present = |place: &Place| (!absent(place)).then_some(*place);
        let number = |place: Place, most: u64| {
            let any = || self.random(b'n', place.block, place.index).next() % most;
            self.number(dataset, column.name, place).unwrap_or_else(any)
        };
        let places = || places.iter().map(present);
        match column.column_type {
            ColumnType::UInt32 => {
                let numbers = places().map(|place| place.map(|place| u32::try_from(number(place, 1 << 20)).unwrap()));
                Arc::new(numbers.collect::<UInt32Array>())
            }
            ColumnType::UInt64 => {
                Arc::new(places().map(|place| place.map(|place| number(place, 1 << 40))).collect::<UInt64Array>())
            }
            ColumnType::Float64 => {
                let numbers = places().map(|place| place.map(|place| number(place, 1 << 60) as f64));
                Arc::new(numbers.collect::<Float64Array>())
            }
            ColumnType::Boolean => {
                Arc::new(places().map(|place| place.map(|place| place.index % 3 == 0)).collect::<BooleanArray>())
            }
            ColumnType::Decimal => {
                let numbers = places().map(|place| place.map(|place| i128::from(number(place, 1 << 60)) << 60));
                let numbers = numbers.collect::<Decimal128Array>();
                Arc::new(numbers.with_precision_and_scale(DECIMAL_PRECISION, 0).unwrap())
            }
            ColumnType::Text => {
                let mut builder = StringBuilder::new();
                places().for_each(|place| builder.append_option(place.map(|place| number(place, 1 << 60).to_string())));
                Arc::new(builder.finish())
            }
            ColumnType::Bytes => {
                let mut builder = BinaryBuilder::new();
                let length = |place: Place| usize::try_from((place.block + place.index) % self.most_bytes).unwrap();
                places().for_each(|place| {
                    builder.append_option(place.map(|place| self.bytes(column.name, place, length(place))));
                });
                Arc::new(builder.finish())
            }
            ColumnType::FixedBytes(length) => {
                let mut builder = FixedSizeBinaryBuilder::new(i32::from(length));
                places().for_each(|place| match place {
                    Some(place) => {
                        builder.append_value(self.bytes(column.name, place, usize::from(length))).unwrap();
                    }
                    None => builder.append_null(),
                });
                Arc::new(builder.finish())
            }
        }
    }
}

/// Numbers without end from a seed. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_be_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// `start..end`.
pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}
