//! From hot rows to a file on local disk: all reads in the caller's snapshot, the encoder on a thread of its own.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use futures::TryStreamExt;
use isotherm_cold_store::blocks::LINK_COLUMNS;
use isotherm_cold_store::layout::Partition;
use isotherm_cold_store::parquet_file::ParquetFileError;
use isotherm_cold_store::{PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts, StagedFile};
use isotherm_hot_store::rows::{self, Order};
use isotherm_platform::Stop;
use isotherm_platform::database::{PATIENCE, answered_within};
use isotherm_types::{BlockNumber, Dataset};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::error::CompactError;
use crate::silence::LONGEST_SILENCES;

/// Rows of a batch at most; one of large rows ends earlier, by its bytes.
const BATCH_ROWS: usize = 1_024;
/// Batches between Postgres and the encoder, beside the one that each of them is at: the encoder is the slower one, and
/// rows may be large.
const WAITING_BATCHES: usize = 1;
/// Rows of a batch of narrow columns.
const NARROW_BATCH_ROWS: usize = 16_384;

/// Writes the rows of `partition` to a file in `scratch`; `None` if `stop` was wished before the end.
///
/// `on_rows` hears how many rows each step of the encoder took.
///
/// # Errors
/// What Postgres reports, and rows that do not belong in the file.
pub(crate) async fn stage(
    snapshot: &mut PgConnection,
    partition: &Partition,
    scratch: &Path,
    stop: &Stop,
    on_rows: impl Fn(u64) + Send + 'static,
) -> Result<Option<StagedFile>, CompactError> {
    let_take_as_long_as_it_needs(snapshot).await?;
    let blocks = read_blocks(snapshot, partition).await?;
    let rows_per_block = read_rows_per_block(snapshot, partition, &blocks).await?;
    let mut writer = PartitionWriter::create(partition.clone(), blocks, rows_per_block, scratch)?;

    let (batches, mut waiting) = mpsc::channel::<RecordBatch>(WAITING_BATCHES);
    let encoder = tokio::task::spawn_blocking(move || -> Result<PartitionWriter, ParquetFileError> {
        while let Some(batch) = waiting.blocking_recv() {
            writer.write(&batch)?;
            on_rows(batch.num_rows() as u64);
        }
        Ok(writer)
    });

    let columns: Vec<&str> = partition.dataset.columns().iter().map(|column| column.name).collect();
    let mut rows = read(snapshot, partition, partition.dataset, &columns, BATCH_ROWS).await?;
    while let Some(batch) = rows.try_next().await? {
        if stop.is_requested() {
            return Ok(None);
        }
        if batches.send(batch).await.is_err() {
            // The encoder has refused a row; it says which below.
            break;
        }
    }
    drop((batches, rows));
    let writer = encoder.await.map_err(|source| CompactError::Encoder { source })??;
    let finished = tokio::task::spawn_blocking(move || writer.finish(verdicts())).await;
    Ok(Some(finished.map_err(|source| CompactError::Encoder { source })??))
}

/// Lifts the limit of a statement until the transaction ends: a COPY goes at the encoder's pace, which for a large partition
/// takes longer than any other statement may. One that goes silent is given up here ([`LONGEST_SILENCES`]); one whose reader
/// is gone Postgres ends by itself, which it asks for every 10 s.
async fn let_take_as_long_as_it_needs(snapshot: &mut PgConnection) -> Result<(), CompactError> {
    let lifting = async {
        sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL client_connection_check_interval = '10s'")
            .execute(snapshot)
            .await?;
        Ok::<_, sqlx::Error>(())
    };
    let action = "let rows take as long as they need";
    answered_within(PATIENCE, lifting).await.map_err(|source| CompactError::Postgres { action, source })
}

async fn read_blocks(snapshot: &mut PgConnection, partition: &Partition) -> Result<PartitionBlocks, CompactError> {
    let mut builder = PartitionBlocks::builder(partition.blocks);
    let mut batches = read(snapshot, partition, Dataset::Blocks, LINK_COLUMNS, NARROW_BATCH_ROWS).await?;
    while let Some(batch) = batches.try_next().await? {
        builder.push(&batch)?;
    }
    Ok(builder.finish()?)
}

/// How many rows each block must have, by what is stored beside them; `None` if nothing says so.
async fn read_rows_per_block(
    snapshot: &mut PgConnection,
    partition: &Partition,
    blocks: &PartitionBlocks,
) -> Result<Option<Vec<u64>>, CompactError> {
    match partition.dataset {
        Dataset::Blocks => Ok(None),
        Dataset::Transactions => Ok(Some(blocks.transaction_counts().to_vec())),
        Dataset::Logs => {
            let mut log_counts = vec![0; blocks.transaction_counts().len()];
            let columns = ["block_number", "log_count"];
            let mut batches = read(snapshot, partition, Dataset::Transactions, &columns, NARROW_BATCH_ROWS).await?;
            while let Some(batch) = batches.try_next().await? {
                let numbers = batch.column(0).as_primitive::<UInt32Type>().values();
                let counts = batch.column(1).as_primitive::<UInt32Type>().values();
                for (number, count) in numbers.iter().zip(counts) {
                    let index = blocks.index(BlockNumber(u64::from(*number)));
                    let index = index.expect("the query names the partition's blocks only");
                    log_counts[index] += u64::from(*count);
                }
            }
            Ok(Some(log_counts))
        }
        Dataset::Traces => Ok(Some(count_traces(snapshot, partition, blocks).await?)),
    }
}

/// How many traces each block has, once every transaction is found to have its top frame: a block that was stored
/// without its traces would look like one that has none.
async fn count_traces(
    snapshot: &mut PgConnection,
    partition: &Partition,
    blocks: &PartitionBlocks,
) -> Result<Vec<u64>, CompactError> {
    let expected = blocks.transaction_counts();
    let (mut counts, mut tops) = (vec![0; expected.len()], vec![0u64; expected.len()]);
    let columns = ["block_number", "trace_address", "transaction_index"];
    let mut batches = read(snapshot, partition, Dataset::Traces, &columns, NARROW_BATCH_ROWS).await?;
    while let Some(batch) = batches.try_next().await? {
        let numbers = batch.column(0).as_primitive::<UInt32Type>();
        let (paths, transactions) = (batch.column(1).as_string::<i32>(), batch.column(2));
        for row in 0..batch.num_rows() {
            let index = blocks.index(BlockNumber(u64::from(numbers.value(row))));
            let index = index.expect("the query names the partition's blocks only");
            counts[index] += 1;
            tops[index] += u64::from(paths.value(row).is_empty() && transactions.is_valid(row));
        }
    }
    let numbers = partition.blocks.start().0..;
    match numbers.zip(expected.iter().zip(&tops)).find(|(_, (expected, found))| expected != found) {
        None => Ok(counts),
        Some((block, (transactions, traced))) => {
            Err(CompactError::Untraced { block: BlockNumber(block), transactions: *transactions, traced: *traced })
        }
    }
}

async fn read<'c>(
    snapshot: &'c mut PgConnection,
    partition: &Partition,
    dataset: Dataset,
    columns: &[&str],
    batch_rows: usize,
) -> Result<
    impl futures::Stream<Item = Result<RecordBatch, isotherm_hot_store::HotStoreError>> + Unpin + use<'c>,
    CompactError,
> {
    let (chain_id, blocks) = (partition.chain_id, partition.blocks);
    let asked = rows::read(snapshot, chain_id, dataset, columns, blocks, Order::ByPlace, batch_rows);
    Ok(LONGEST_SILENCES.bound(asked).await?)
}

/// The follower checks each block before it stores it; this operator recomputes nothing.
fn verdicts() -> RootVerdicts {
    RootVerdicts::all(&RootVerdict::NotVerifiable { reason: "not recomputed when the file was written".to_owned() })
}
