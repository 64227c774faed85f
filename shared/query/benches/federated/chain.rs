//! A generated chain whose cells follow from their block and their place in it, so that none has to be remembered.
//!
//! Hashes and signatures are drawn by chance, which hardly compresses, as on a real chain. Senders, recipients and
//! emitters are drawn unevenly: a few are everywhere, most are rare.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Decimal128Array, FixedSizeBinaryBuilder, Float64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use isotherm_types::schema::{Column, ColumnType, DECIMAL_PRECISION};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};

pub(crate) const SEED: u64 = 1;
pub(crate) const CHAIN_ID: ChainId = ChainId(143);
pub(crate) const CHAIN: &str = "generated";
/// What is written.
pub(crate) const DATASETS: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
/// A multiple of the partition size.
const FIRST_BLOCK: u64 = 1_000_000;
pub(crate) const PARTITION_BLOCKS: u64 = 800;
/// Files of each dataset.
pub(crate) const COLD_PARTITIONS: u64 = 12;
/// Half a partition, which is not full yet.
pub(crate) const HOT_BLOCKS: u64 = 400;
pub(crate) const TRANSACTIONS_PER_BLOCK: u64 = 200;
pub(crate) const LOGS_PER_TRANSACTION: u64 = 2;
const FIRST_TIMESTAMP: u64 = 1_750_000_000;
/// The whole chain is a day and a third long.
const BLOCK_SECONDS: u64 = 12;
const ACCOUNTS: u64 = 200_000;
const CONTRACTS: u64 = 5_000;
const EVENTS: u64 = 4;
/// The longest column of fixed length, `logs_bloom`.
const LONGEST_FIXED: usize = 256;
const INPUT_BYTES: usize = 68;
const DATA_BYTES: usize = 32;

/// What a number is drawn for; numbers for different things have nothing to do with each other.
#[derive(Clone, Copy)]
enum Of {
    Block,
    Transaction,
    Account,
    Contract,
    Event,
    Sender,
    Recipient,
    Emitter,
    Topic,
    Amount,
    Gas,
    Column(u64),
}

/// Where a row stands.
#[derive(Clone, Copy)]
struct Place {
    block: u64,
    /// Among the rows of its block.
    index: u64,
    /// Of its transaction, where it has one.
    transaction: u64,
}

/// All blocks.
pub(crate) fn blocks() -> BlockRange {
    range(FIRST_BLOCK, hot_blocks().end().0)
}

/// The blocks of a cold file.
pub(crate) fn cold_blocks(partition: u64) -> BlockRange {
    let start = FIRST_BLOCK + partition * PARTITION_BLOCKS;
    range(start, start + PARTITION_BLOCKS)
}

/// The blocks after the last cold file.
pub(crate) fn hot_blocks() -> BlockRange {
    let start = FIRST_BLOCK + COLD_PARTITIONS * PARTITION_BLOCKS;
    range(start, start + HOT_BLOCKS)
}

pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).expect("there are blocks")
}

pub(crate) fn block_hash(block: u64) -> B256 {
    drawn_hash(Of::Block, block, 0)
}

pub(crate) fn transaction_hash(block: u64, transaction: u64) -> B256 {
    drawn_hash(Of::Transaction, block, transaction)
}

/// First topic of a quarter of the logs.
pub(crate) fn event() -> B256 {
    drawn_hash(Of::Event, 0, 0)
}

fn drawn_hash(of: Of, block: u64, place: u64) -> B256 {
    let mut hash = [0; 32];
    random(of, block, place, &mut hash);
    B256::from(hash)
}

/// An account of a middling rank, which sends somewhat less than a transaction an hour.
pub(crate) fn rare_sender() -> [u8; 20] {
    let mut ranks = (FIRST_BLOCK..).map(|block| skewed(ACCOUNTS, draw(Of::Sender, block, 0)));
    let rank = ranks.find(|rank| (15_000..25_000).contains(rank)).expect("a tenth of all have such a rank");
    let mut address = [0; 20];
    random(Of::Account, rank, 0, &mut address);
    address
}

pub(crate) fn timestamp(block: u64) -> u64 {
    FIRST_TIMESTAMP + (block - FIRST_BLOCK) * BLOCK_SECONDS
}

pub(crate) fn rows_per_block(dataset: Dataset) -> u64 {
    match dataset {
        Dataset::Blocks => 1,
        Dataset::Transactions | Dataset::Traces => TRANSACTIONS_PER_BLOCK,
        Dataset::Logs => TRANSACTIONS_PER_BLOCK * LOGS_PER_TRANSACTION,
    }
}

/// The rows of `blocks`, in order.
pub(crate) fn rows(dataset: Dataset, blocks: BlockRange) -> RecordBatch {
    let place = |block: u64, index: u64| {
        let transaction = if dataset == Dataset::Logs { index / LOGS_PER_TRANSACTION } else { index };
        Place { block, index, transaction }
    };
    let numbers = blocks.start().0..blocks.end().0;
    let places: Vec<Place> =
        numbers.flat_map(|block| (0..rows_per_block(dataset)).map(move |index| place(block, index))).collect();
    let arrays = dataset.columns().iter().map(|column| array(dataset, column, &places));
    RecordBatch::try_new(dataset.schema(), arrays.collect()).expect("the columns are those of the schema")
}

fn array(dataset: Dataset, column: &Column, places: &[Place]) -> ArrayRef {
    let numbers = || places.iter().map(move |place| number(dataset, column, *place));
    match column.column_type {
        ColumnType::UInt32 => {
            let small = |number: u64| u32::try_from(number).expect("small numbers are in small columns");
            Arc::new(numbers().map(|number| number.map(small)).collect::<UInt32Array>())
        }
        ColumnType::UInt64 => Arc::new(numbers().collect::<UInt64Array>()),
        ColumnType::Float64 => {
            Arc::new(places.iter().map(|place| Some(amount(*place) as f64)).collect::<Float64Array>())
        }
        ColumnType::Boolean => {
            let even = |place: &Place| draw(Of::Column(tag(column)), place.block, place.index).is_multiple_of(2);
            Arc::new(places.iter().map(|place| Some(even(place))).collect::<BooleanArray>())
        }
        ColumnType::Text => {
            let texts = places.iter().map(|place| amount(*place).to_string());
            Arc::new(StringArray::from_iter_values(texts))
        }
        ColumnType::Decimal => {
            let values = places.iter().map(|place| decimal(column, *place)).collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(DECIMAL_PRECISION, 0).expect("the precision of the schema"))
        }
        ColumnType::FixedBytes(length) => fixed_bytes(column, usize::from(length), places),
        ColumnType::Bytes => bytes(column, places),
    }
}

fn number(dataset: Dataset, column: &Column, place: Place) -> Option<u64> {
    let Place { block, index, transaction } = place;
    Some(match column.name {
        "chain_id" | "signed_chain_id" => CHAIN_ID.0,
        "block_number" => block,
        "timestamp" => timestamp(block),
        "transaction_index" => transaction,
        "log_index" => index,
        "transaction_count" => TRANSACTIONS_PER_BLOCK,
        "log_count" => LOGS_PER_TRANSACTION,
        "transaction_type" => 2,
        "gas_used" if dataset == Dataset::Transactions => 21_000 + draw(Of::Gas, block, index) % 200_000,
        "n_input_bytes" => INPUT_BYTES as u64,
        _ if column.nullable => return None,
        _ => 300_000 + index,
    })
}

/// Wei sent.
fn amount(place: Place) -> i128 {
    i128::from(draw(Of::Amount, place.block, place.index) % 1_000_000_000) * 1_000_000_000_000
}

fn decimal(column: &Column, place: Place) -> Option<i128> {
    match column.name {
        "value" => Some(amount(place)),
        "max_fee_per_blob_gas" => None,
        _ => Some(1_000_000_000 + i128::from(draw(Of::Column(tag(column)), place.block, place.index) % 1_000_000)),
    }
}

fn fixed_bytes(column: &Column, length: usize, places: &[Place]) -> ArrayRef {
    let width = i32::try_from(length).expect("columns are short");
    let mut builder = FixedSizeBinaryBuilder::with_capacity(places.len(), width);
    let mut cell = [0; LONGEST_FIXED];
    for place in places {
        cell.fill(0);
        if fill(column, *place, &mut cell[..length]) {
            builder.append_value(&cell[..length]).expect("the cell is as long as its column");
        } else {
            builder.append_null();
        }
    }
    Arc::new(builder.finish())
}

/// Fills a cell that is zero; `false` if it is absent.
fn fill(column: &Column, place: Place, cell: &mut [u8]) -> bool {
    let Place { block, index, transaction } = place;
    match column.name {
        "block_hash" => random(Of::Block, block, 0, cell),
        "parent_hash" => random(Of::Block, block - 1, 0, cell),
        "transaction_hash" => random(Of::Transaction, block, transaction, cell),
        "from_address" => random(Of::Account, skewed(ACCOUNTS, draw(Of::Sender, block, index)), 0, cell),
        "to_address" => random(Of::Contract, skewed(CONTRACTS, draw(Of::Recipient, block, index)), 0, cell),
        "address" => random(Of::Contract, skewed(CONTRACTS, draw(Of::Emitter, block, index)), 0, cell),
        "topic0" => random(Of::Event, draw(Of::Topic, block, index) % EVENTS, 0, cell),
        // Accounts, as an event of a token has them.
        "topic1" | "topic2" => {
            let drawn = draw(Of::Column(tag(column)), block, index);
            random(Of::Account, skewed(ACCOUNTS, drawn), 0, &mut cell[12..]);
        }
        "value_binary" => cell[16..].copy_from_slice(&amount(place).to_be_bytes()),
        _ if column.nullable => return false,
        _ => random(Of::Column(tag(column)), block, index, cell),
    }
    true
}

fn bytes(column: &Column, places: &[Place]) -> ArrayRef {
    let mut builder = BinaryBuilder::new();
    for place in places {
        match column.name {
            // A call with an account and an amount.
            "input" => {
                let mut cell = [0; INPUT_BYTES];
                cell[..4].copy_from_slice(&[0xA9, 0x05, 0x9C, 0xBB]);
                random(Of::Column(tag(column)), place.block, place.index, &mut cell[16..36]);
                random(Of::Amount, place.block, place.index, &mut cell[60..]);
                builder.append_value(cell);
            }
            "data" => {
                let mut cell = [0; DATA_BYTES];
                random(Of::Amount, place.block, place.index, &mut cell[24..]);
                builder.append_value(cell);
            }
            "extra_data" => builder.append_value(b"generated"),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn random(of: Of, block: u64, place: u64, cell: &mut [u8]) {
    let seed = draw(of, block, place);
    for (number, piece) in (0_u64..).zip(cell.chunks_mut(8)) {
        piece.copy_from_slice(&scatter(seed.wrapping_add(number)).to_be_bytes()[..piece.len()]);
    }
}

/// A number that follows from its arguments alone.
fn draw(of: Of, block: u64, place: u64) -> u64 {
    let of = match of {
        Of::Block => 1,
        Of::Transaction => 2,
        Of::Account => 3,
        Of::Contract => 4,
        Of::Event => 5,
        Of::Sender => 6,
        Of::Recipient => 7,
        Of::Emitter => 8,
        Of::Topic => 9,
        Of::Amount => 10,
        Of::Gas => 11,
        Of::Column(tag) => 1_000 + tag,
    };
    scatter(scatter(scatter(SEED ^ of) ^ block) ^ place)
}

/// Source: `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A rank below `count`, small ones far more often: the product of three numbers below 1.
fn skewed(count: u64, drawn: u64) -> u64 {
    [0, 15, 30].into_iter().fold(count, |rank, shift| (rank * ((drawn >> shift) & 0x7FFF)) >> 15)
}

/// Different for each column that is drawn by its name.
fn tag(column: &Column) -> u64 {
    column.name.bytes().fold(0, |tag, byte| tag * 31 % 1_000_003 + u64::from(byte))
}
