//! Made-up chains whose rows follow from chain, block and place, and a way to move their partitions to cold storage.

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
/// A second chain, which tests set up themselves.
pub(crate) const OTHER: ChainId = ChainId(31_338);
pub(crate) const OTHER_NAME: &str = "made-too";
/// Transactions in each block; traces are as many, logs twice as many.
pub(crate) const TRANSACTIONS: u64 = 3;

pub(crate) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

pub(crate) fn hash(block: u64) -> B256 {
    hash_on(CHAIN, block)
}

pub(crate) fn hash_on(chain: ChainId, block: u64) -> B256 {
    let mut hash = B256::repeat_byte(if chain == CHAIN { 0xB1 } else { 0xB2 });
    hash[..8].copy_from_slice(&block.to_be_bytes());
    hash
}

pub(crate) fn rows(dataset: Dataset, blocks: BlockRange) -> RecordBatch {
    rows_on(CHAIN, dataset, blocks)
}

fn rows_on(chain: ChainId, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
    let numbers = blocks.start().0..blocks.end().0;
    let places: Vec<(u64, u64)> =
        numbers.flat_map(|block| (0..rows_per_block(dataset)).map(move |index| (block, index))).collect();
    let arrays = dataset.columns().iter().map(|column| array(chain, dataset, column, &places));
    RecordBatch::try_new(dataset.schema(), arrays.collect()).unwrap()
}

fn rows_per_block(dataset: Dataset) -> u64 {
    match dataset {
        Dataset::Blocks => 1,
        Dataset::Transactions | Dataset::Traces => TRANSACTIONS,
        Dataset::Logs => 2 * TRANSACTIONS,
    }
}

fn array(chain: ChainId, dataset: Dataset, column: &Column, places: &[(u64, u64)]) -> ArrayRef {
    let place_column = dataset.sort_columns().get(1).copied();
    let number = |&(block, index): &(u64, u64)| match column.name {
        "block_number" => block,
        "chain_id" => chain.0,
        "transaction_count" => TRANSACTIONS,
        "transaction_index" if dataset == Dataset::Logs => index / 2,
        name if Some(name) == place_column => index,
        _ => block * 100 + index,
    };
    let numbers: Vec<u64> = places.iter().map(number).collect();
    let bytes = |place: usize, length: Option<usize>| {
        let seed = match column.name {
            "block_hash" => hash_on(chain, places[place].0),
            "parent_hash" => parent(chain, places[place].0),
            _ => hash_on(chain, numbers[place]),
        };
        seed.iter().copied().cycle().take(length.unwrap_or(5)).collect::<Vec<u8>>()
    };
    array_of(column.column_type, &numbers, |number| number.to_string(), bytes)
}

/// The values of a column: those that are no bytes follow from `numbers`, bytes from their place among those and from the
/// length that they must have, if they must.
pub(crate) fn array_of(
    column_type: ColumnType,
    numbers: &[u64],
    text: impl Fn(u64) -> String,
    bytes: impl Fn(usize, Option<usize>) -> Vec<u8>,
) -> ArrayRef {
    let values = || numbers.iter().copied();
    match column_type {
        ColumnType::UInt32 => Arc::new(values().map(|n| Some(u32::try_from(n).unwrap())).collect::<UInt32Array>()),
        ColumnType::UInt64 => Arc::new(values().map(Some).collect::<UInt64Array>()),
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        ColumnType::Float64 => Arc::new(values().map(|n| Some(n as f64)).collect::<Float64Array>()),
        ColumnType::Boolean => Arc::new(values().map(|n| Some(n % 3 == 0)).collect::<BooleanArray>()),
        ColumnType::Text => Arc::new(values().map(|n| Some(text(n))).collect::<StringArray>()),
        ColumnType::Bytes => {
            let values: Vec<Vec<u8>> = (0..numbers.len()).map(|place| bytes(place, None)).collect();
            Arc::new(BinaryArray::from_iter_values(values))
        }
        ColumnType::FixedBytes(length) => {
            let values = (0..numbers.len()).map(|place| bytes(place, Some(length.into())));
            Arc::new(FixedSizeBinaryArray::try_from_iter(values).unwrap())
        }
        ColumnType::Decimal => {
            let values = values().map(|n| Some(i128::from(n) * 10i128.pow(20)));
            Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap())
        }
    }
}

fn parent(chain: ChainId, block: u64) -> B256 {
    block.checked_sub(1).map_or(B256::ZERO, |before| hash_on(chain, before))
}

/// Writes blocks with all datasets to hot storage as the follower does.
pub(crate) async fn follow(conn: &mut PgConnection, blocks: BlockRange) {
    follow_on(conn, CHAIN, &Dataset::ALL, blocks).await;
}

/// Writes blocks of one of the chains with the datasets that it collects.
pub(crate) async fn follow_on(conn: &mut PgConnection, chain: ChainId, collected: &[Dataset], blocks: BlockRange) {
    let batch = BlockBatch {
        blocks,
        parent_hash: parent(chain, blocks.start().0),
        tip: BlockRef { number: blocks.last(), hash: hash_on(chain, blocks.last().0) },
        rows: collected.iter().map(|&dataset| (dataset, rows_on(chain, dataset, blocks))).collect(),
        served_at: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    };
    append(conn, chain, &batch).await.unwrap();
}

/// Moves a partition of each dataset to cold storage as the compactor does: file, manifest, watermark.
/// Hot rows stay, as they do until their grace period is over.
pub(crate) async fn compact(conn: &mut PgConnection, objects: &ObjectStore, scratch: &Path, blocks: BlockRange) {
    compact_on(conn, CHAIN, &Dataset::ALL, objects, scratch, blocks).await;
}

/// Moves a partition of the datasets that one of the chains collects.
pub(crate) async fn compact_on(
    conn: &mut PgConnection,
    chain: ChainId,
    collected: &[Dataset],
    objects: &ObjectStore,
    scratch: &Path,
    blocks: BlockRange,
) {
    let name = ChainName::new(if chain == CHAIN { CHAIN_NAME } else { OTHER_NAME }).unwrap();
    for &dataset in collected {
        let partition = Partition { chain_id: chain, chain: name.clone(), dataset, blocks };
        commit(conn, objects, scratch, partition, |dataset| rows_on(chain, dataset, blocks)).await;
    }
}

/// Writes the file of a partition, lists it, and moves the watermark. `rows` gives those of the partition's blocks.
pub(crate) async fn commit(
    conn: &mut PgConnection,
    objects: &ObjectStore,
    scratch: &Path,
    partition: Partition,
    rows: impl Fn(Dataset) -> RecordBatch,
) {
    let (chain, dataset) = (partition.chain_id, partition.dataset);
    let mut linked = PartitionBlocks::builder(partition.blocks);
    linked.push(&rows(Dataset::Blocks)).unwrap();
    let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, scratch).unwrap();
    writer.write(&rows(dataset)).unwrap();
    let unproven = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
    let stored = writer.finish(RootVerdicts::all(&unproven)).unwrap().store(objects).await.unwrap();
    let head = catalog::head(conn, chain, dataset).await.unwrap();
    let current = CurrentManifest::load(objects, head.as_ref()).await.unwrap();
    let Listing::Ours(manifest) = stored.list(objects, &current).await.unwrap() else { panic!("a second writer") };
    let mut db_tx = conn.begin().await.unwrap();
    let outcome = catalog::commit(&mut db_tx, &manifest).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    db_tx.commit().await.unwrap();
}
