//! A made-up chain whose rows follow from their block and place, and a way to move its partitions to cold storage.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::layout::{ChainName, Partition};
use isotherm_cold_store::{
    CurrentManifest, Listing, ObjectStore, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts,
};
use isotherm_hot_store::{BlockBatch, append};
use isotherm_types::schema::{Column, ColumnType};
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::{Connection, PgConnection};

pub(crate) const CHAIN: ChainId = ChainId(31_337);
pub(crate) const CHAIN_NAME: &str = "made";
/// Transactions in each block; logs are twice as many.
pub(crate) const TRANSACTIONS: u64 = 3;

pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

pub(crate) fn hash(block: u64) -> B256 {
    let mut hash = B256::repeat_byte(0xB1);
    hash[..8].copy_from_slice(&block.to_be_bytes());
    hash
}

pub(crate) fn rows(dataset: Dataset, blocks: BlockRange) -> RecordBatch {
    let numbers = blocks.start().0..blocks.end().0;
    let places: Vec<(u64, u64)> =
        numbers.flat_map(|block| (0..rows_per_block(dataset)).map(move |index| (block, index))).collect();
    let arrays = dataset.columns().iter().map(|column| array(dataset, column, &places));
    RecordBatch::try_new(dataset.schema(), arrays.collect()).unwrap()
}

fn rows_per_block(dataset: Dataset) -> u64 {
    match dataset {
        Dataset::Blocks => 1,
        Dataset::Transactions | Dataset::Traces => TRANSACTIONS,
        Dataset::Logs => 2 * TRANSACTIONS,
    }
}

fn array(dataset: Dataset, column: &Column, places: &[(u64, u64)]) -> ArrayRef {
    let place_column = dataset.sort_columns().get(1).copied();
    let number = |&(block, index): &(u64, u64)| match column.name {
        "block_number" => block,
        "chain_id" => CHAIN.0,
        "transaction_count" => TRANSACTIONS,
        "transaction_index" if dataset == Dataset::Logs => index / 2,
        name if Some(name) == place_column => index,
        _ => block * 100 + index,
    };
    let numbers = || places.iter().map(number);
    let bytes = |place: &(u64, u64), length: usize| {
        let seed = match column.name {
            "block_hash" => hash(place.0),
            "parent_hash" => place.0.checked_sub(1).map_or(B256::ZERO, hash),
            _ => hash(number(place)),
        };
        seed.iter().copied().cycle().take(length).collect::<Vec<u8>>()
    };
    match column.column_type {
        ColumnType::UInt32 => Arc::new(numbers().map(|n| Some(u32::try_from(n).unwrap())).collect::<UInt32Array>()),
        ColumnType::UInt64 => Arc::new(numbers().map(Some).collect::<UInt64Array>()),
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        ColumnType::Float64 => Arc::new(numbers().map(|n| Some(n as f64)).collect::<Float64Array>()),
        ColumnType::Boolean => Arc::new(numbers().map(|n| Some(n % 3 == 0)).collect::<BooleanArray>()),
        ColumnType::Text => Arc::new(numbers().map(|n| Some(n.to_string())).collect::<StringArray>()),
        ColumnType::Bytes => {
            let values: Vec<Vec<u8>> = places.iter().map(|place| bytes(place, 5)).collect();
            Arc::new(BinaryArray::from_iter_values(values))
        }
        ColumnType::FixedBytes(length) => {
            let values = places.iter().map(|place| bytes(place, length.into()));
            Arc::new(FixedSizeBinaryArray::try_from_iter(values).unwrap())
        }
        ColumnType::Decimal => {
            let values = numbers().map(|n| Some(i128::from(n) * 10i128.pow(20)));
            Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap())
        }
    }
}

/// Writes blocks to hot storage as the follower does.
pub(crate) async fn follow(conn: &mut PgConnection, blocks: BlockRange) {
    let collected = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];
    let batch = BlockBatch {
        blocks,
        parent_hash: blocks.start().previous().map_or(B256::ZERO, |before| hash(before.0)),
        tip: BlockRef { number: blocks.last(), hash: hash(blocks.last().0) },
        rows: collected.map(|dataset| (dataset, rows(dataset, blocks))).into(),
        served_at: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    };
    append(conn, CHAIN, &batch).await.unwrap();
}

/// Moves a partition of each collected dataset to cold storage as the compactor does: file, manifest, watermark.
/// Hot rows stay, as they do until their grace period is over.
pub(crate) async fn compact(conn: &mut PgConnection, objects: &ObjectStore, scratch: &Path, blocks: BlockRange) {
    for dataset in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs] {
        let mut linked = PartitionBlocks::builder(blocks);
        linked.push(&rows(Dataset::Blocks, blocks)).unwrap();
        let partition = Partition { chain_id: CHAIN, chain: ChainName::new(CHAIN_NAME).unwrap(), dataset, blocks };
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, scratch).unwrap();
        writer.write(&rows(dataset, blocks)).unwrap();
        let unproven = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
        let stored = writer.finish(RootVerdicts::all(&unproven)).unwrap().store(objects).await.unwrap();
        let head = catalog::head(conn, CHAIN, dataset).await.unwrap();
        let current = CurrentManifest::load(objects, head.as_ref()).await.unwrap();
        let Listing::Ours(manifest) = stored.list(objects, &current).await.unwrap() else { panic!("a second writer") };
        let mut db_tx = conn.begin().await.unwrap();
        let outcome = catalog::commit(&mut db_tx, &manifest).await.unwrap();
        assert_eq!(outcome, CommitOutcome::Committed);
        db_tx.commit().await.unwrap();
    }
}
