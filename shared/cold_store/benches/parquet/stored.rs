//! Files as compaction writes them, of generated blocks of which no two share a transaction.

use std::ops::Range;

use alloy::primitives::keccak256;
use arrow::array::{AsArray as _, RecordBatch};
use bytes::Bytes;
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify_as_far_as;
use isotherm_chain::{Check, Checks, FetchedBlock};
use isotherm_cold_store::{ChainName, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use serde_json::value::RawValue;
use sqlx::types::chrono::DateTime;

pub(crate) const SEED: u64 = 1;
/// 10,000 transactions a second in blocks of 300 ms.
pub(crate) const TRANSACTIONS_PER_BLOCK: usize = 3_000;
/// Nearly a full row group of transactions.
pub(crate) const BLOCKS_PER_FILE: usize = 40;
pub(crate) const FILES: usize = 12;
const FIRST_BLOCK: u64 = 1_000_000;
const CHAIN_ID: ChainId = ChainId(143);

/// The files of one dataset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) row_count: u64,
    pub(crate) size_bytes: u64,
    /// Bloom filters, which are part of the size.
    pub(crate) filter_bytes: u64,
}

/// Cold storage in memory.
pub(crate) struct Stored {
    /// Files of transactions.
    pub(crate) transactions: Vec<Bytes>,
    weights: Vec<(Dataset, Weight)>,
    /// Of the answers that the blocks were read from.
    pub(crate) json_bytes: u64,
    hashes: Vec<B256>,
}

impl Stored {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a folder can be made");
        let mut stored = Self { transactions: Vec::new(), weights: Vec::new(), json_bytes: 0, hashes: Vec::new() };
        for place in 0..FILES as u64 {
            let first = FIRST_BLOCK + place * BLOCKS_PER_FILE as u64;
            let chain = GeneratedChain::new(&ChainPlan {
                seed: SEED + place,
                chain_id: CHAIN_ID.0,
                first_number: first,
                block_count: BLOCKS_PER_FILE,
                transactions_per_block: TRANSACTIONS_PER_BLOCK,
                // Each block has transactions of its own: a hash is in one file, and nothing repeats that would not.
                body_count: BLOCKS_PER_FILE,
                first_timestamp: 1_750_000_000,
                block_time_ms: 300,
            });
            let (rows, json_bytes) = rows(&chain);
            stored.json_bytes += json_bytes;
            let end = BlockNumber(first + BLOCKS_PER_FILE as u64);
            let blocks = BlockRange::new(BlockNumber(first), end).expect("a file has blocks");
            for (dataset, batch) in &rows {
                if *dataset == Dataset::Transactions {
                    stored.hashes.extend(some_of(batch));
                }
                let file = write(*dataset, blocks, &rows, batch, scratch.path());
                stored.keep(*dataset, batch.num_rows(), file);
            }
        }
        stored
    }

    fn keep(&mut self, dataset: Dataset, row_count: usize, file: Bytes) {
        let place = self.weights.iter().position(|(known, _)| *known == dataset).unwrap_or_else(|| {
            self.weights.push((dataset, Weight::default()));
            self.weights.len() - 1
        });
        let weight = &mut self.weights[place].1;
        weight.row_count += row_count as u64;
        weight.size_bytes += file.len() as u64;
        weight.filter_bytes += filter_bytes(&file);
        if dataset == Dataset::Transactions {
            self.transactions.push(file);
        }
    }

    pub(crate) fn weight(&self, dataset: Dataset) -> Weight {
        let found = self.weights.iter().find(|(known, _)| *known == dataset);
        found.expect("all datasets are written").1
    }

    /// Row groups in the files of transactions.
    pub(crate) fn row_group_count(&self) -> usize {
        self.transactions.iter().map(|file| footer(file).metadata().num_row_groups()).sum()
    }

    /// Hashes of `count` transactions from all over the files.
    pub(crate) fn some_hashes(&self, count: usize) -> Vec<B256> {
        let step = self.hashes.len() / count;
        self.hashes.iter().copied().step_by(step.max(1)).take(count).collect()
    }
}

/// Hashes that no transaction has.
pub(crate) fn strange_hashes(count: usize) -> Vec<B256> {
    (0..count).map(|place| keccak256(format!("strange {place}"))).collect()
}

/// One hash in a thousand.
fn some_of(transactions: &RecordBatch) -> Vec<B256> {
    let hashes = transactions.column_by_name("transaction_hash").expect("transactions have hashes");
    let hashes = hashes.as_fixed_size_binary();
    // From the middle of a page on, not always its first row.
    (500..transactions.num_rows()).step_by(1_000).map(|row| B256::from_slice(hashes.value(row))).collect()
}

/// All rows, and the length of the answers that they come from.
fn rows(chain: &GeneratedChain) -> (Vec<(Dataset, RecordBatch)>, u64) {
    let places: Range<usize> = 0..chain.len();
    let mut json_bytes = 0;
    let mut fetched: Vec<FetchedBlock> = Vec::with_capacity(chain.len());
    for place in places {
        let block = raw(|out| chain.write_block(place, true, out));
        let receipts = raw(|out| chain.write_receipts(place, out));
        json_bytes += (block.get().len() + receipts.get().len()) as u64;
        fetched.push(read_block(&block, &receipts, DateTime::UNIX_EPOCH).expect("the answers hold a block"));
    }
    // The signers are what the generator says; to recover them takes longer than all the rest.
    let checks = Checks { sender: Check::Never, ..Checks::ALL };
    let verified = verify_as_far_as(fetched, &checks).expect("the chain is true");
    (columns::encode(CHAIN_ID, &verified).expect("the blocks have columns"), json_bytes)
}

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).expect("JSON is text")).expect("an answer is JSON")
}

/// The data file of `batch`; `rows` hold its blocks.
fn write(
    dataset: Dataset,
    blocks: BlockRange,
    rows: &[(Dataset, RecordBatch)],
    batch: &RecordBatch,
    scratch: &std::path::Path,
) -> Bytes {
    let headers = rows.iter().find(|(dataset, _)| *dataset == Dataset::Blocks);
    let (_, headers) = headers.expect("rows have their blocks");
    let mut linked = PartitionBlocks::builder(blocks);
    linked.push(headers).expect("the blocks are linked");
    let linked = linked.finish().expect("the blocks are all there");
    let chain = ChainName::new("generated").expect("the name may stand in keys");
    let partition = Partition { chain_id: CHAIN_ID, chain, dataset, blocks };
    let mut writer = PartitionWriter::create(partition, linked, None, scratch).expect("a file can be made");
    writer.write(batch).expect("the rows are in order");
    let staged = writer.finish(RootVerdicts::all(&RootVerdict::Ok)).expect("the file can be written");
    std::fs::read(staged.path()).expect("the file was written").into()
}

fn footer(file: &Bytes) -> ArrowReaderMetadata {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).expect("the file has a footer")
}

fn filter_bytes(file: &Bytes) -> u64 {
    let footer = footer(file);
    let columns = footer.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns);
    columns.filter_map(ColumnChunkMetaData::bloom_filter_length).map(|length| u64::from(length.unsigned_abs())).sum()
}
