//! One whole partition of final blocks in hot storage.

use std::ops::Range;

use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify_as_far_as;
use isotherm_chain::{Check, Checks, FetchedBlock};
use isotherm_hot_store::{BlockBatch, cursor};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::types::chrono::DateTime;

use crate::stage::{DATASETS, Stage};

pub(crate) const SEED: u64 = 1;
pub(crate) const CHAIN_ID: ChainId = ChainId(143);
pub(crate) const CHAIN: &str = "generated";
/// 10,000 transactions a second in blocks of 300 ms.
pub(crate) const TRANSACTIONS_PER_BLOCK: usize = 3_000;
/// Of the partition.
pub(crate) const BLOCKS: usize = 100;
const FIRST_BLOCK: u64 = 1_000_000;
/// Blocks that are written in one transaction.
const BATCH_BLOCKS: usize = 10;

/// The partition.
pub(crate) fn blocks() -> BlockRange {
    range(0..BLOCKS)
}

/// Writes its rows, and returns how many there are of all datasets.
pub(crate) async fn write(stage: &Stage) -> u64 {
    let mut conn = stage.connect().await;
    cursor::ensure(&mut conn, CHAIN_ID, CHAIN, BLOCKS as u64).await.expect("the chain is new");
    let row_count = write_blocks(&mut conn).await;
    stage.execute(&["VACUUM ANALYZE", "CHECKPOINT"]).await;
    row_count
}

async fn write_blocks(conn: &mut PgConnection) -> u64 {
    let chain = GeneratedChain::new(&ChainPlan {
        seed: SEED,
        chain_id: CHAIN_ID.0,
        first_number: FIRST_BLOCK,
        block_count: BLOCKS,
        transactions_per_block: TRANSACTIONS_PER_BLOCK,
        // Each block has transactions of its own: nothing repeats that would not.
        body_count: BLOCKS,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    });
    let reference =
        |place: usize| BlockRef { number: BlockNumber(FIRST_BLOCK + place as u64), hash: chain.header(place).hash() };
    let mut row_count = 0;
    for first in (0..BLOCKS).step_by(BATCH_BLOCKS) {
        let places = first..first + BATCH_BLOCKS;
        let fetched: Vec<FetchedBlock> = places.clone().map(|place| fetched(&chain, place)).collect();
        // The signers are what the generator says; to recover them takes longer than all the rest.
        let checks = Checks { sender: Check::Never, ..Checks::ALL };
        let verified = verify_as_far_as(fetched, &checks).expect("the chain is true");
        let rows = columns::encode(CHAIN_ID, &verified).expect("the blocks have columns");
        assert_eq!(rows.iter().map(|(dataset, _)| *dataset).collect::<Vec<_>>(), DATASETS);
        row_count += rows.iter().map(|(_, batch)| batch.num_rows() as u64).sum::<u64>();
        let batch = BlockBatch {
            blocks: range(places.clone()),
            parent_hash: chain.header(first).parent_hash,
            tip: reference(places.end - 1),
            rows,
            served_at: DateTime::UNIX_EPOCH,
        };
        isotherm_hot_store::append(conn, CHAIN_ID, &batch).await.expect("the rows are taken");
    }
    let is_final = cursor::set_finalized(conn, CHAIN_ID, reference(BLOCKS - 1)).await;
    assert!(is_final.expect("the cursor is there"), "the last block is stored");
    row_count
}

fn fetched(chain: &GeneratedChain, place: usize) -> FetchedBlock {
    let block = raw(|out| chain.write_block(place, true, out));
    let receipts = raw(|out| chain.write_receipts(place, out));
    read_block(&block, &receipts, DateTime::UNIX_EPOCH).expect("the answers hold a block")
}

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).expect("JSON is text")).expect("an answer is JSON")
}

fn range(places: Range<usize>) -> BlockRange {
    let [start, end] = [places.start, places.end].map(|place| BlockNumber(FIRST_BLOCK + place as u64));
    BlockRange::new(start, end).expect("there are blocks")
}
