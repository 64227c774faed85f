//! Writes the chain: every row to Postgres, the older ones to cold storage too, and all files to the local disk.

use std::path::Path;

use arrow::array::RecordBatch;
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::layout::{ChainName, Partition};
use isotherm_cold_store::{CurrentManifest, Listing, PartitionWriter, RootVerdict, RootVerdicts, StagedFile};
use isotherm_hot_store::{BlockBatch, append};
use isotherm_types::{BlockRange, BlockRef, Dataset};
use sqlx::types::chrono::DateTime;
use sqlx::{Connection as _, PgConnection};

use crate::chain::{
    CHAIN, CHAIN_ID, COLD_PARTITIONS, DATASETS, block_hash, cold_blocks, hot_blocks, range, rows, rows_per_block,
};
use crate::stage::Stage;

/// Blocks that are written in one transaction.
const BATCH_BLOCKS: usize = 100;

/// A file of each dataset, being written.
type Writers = Vec<(Dataset, PartitionWriter)>;
/// The rows of some blocks.
type Rows = Vec<(Dataset, RecordBatch)>;

/// What lies where.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Of all datasets.
    pub(crate) row_count: u64,
    /// Keys of the objects of each dataset.
    pub(crate) cold: Vec<(Dataset, String)>,
    pub(crate) cold_bytes: u64,
}

/// Writes all of it. The rows of blocks that are cold stay in Postgres too, which is what the peer reads; the engine
/// reads those above the watermark only.
pub(crate) async fn write(stage: &Stage) -> Written {
    let mut conn = stage.connect().await;
    let mut written = Written::default();
    for partition in 0..COLD_PARTITIONS {
        for file in write_blocks(stage, &mut conn, cold_blocks(partition), &mut written).await {
            written.cold_bytes += file.file().size_bytes;
            let key = file.file().key.clone();
            let dataset = commit(stage, &mut conn, file).await;
            written.cold.push((dataset, key));
        }
    }
    // The files of these are for the peer on the local disk alone.
    write_blocks(stage, &mut conn, hot_blocks(), &mut written).await;
    written
}

/// Writes the rows of `blocks` to Postgres, and a file of each dataset; returns the files, which have been copied.
async fn write_blocks(
    stage: &Stage,
    conn: &mut PgConnection,
    blocks: BlockRange,
    written: &mut Written,
) -> Vec<StagedFile> {
    let mut writers: Writers =
        DATASETS.into_iter().map(|dataset| (dataset, writer(dataset, blocks, stage.folder.path()))).collect();
    for first in (blocks.start().0..blocks.end().0).step_by(BATCH_BLOCKS) {
        let batch = range(first, (first + BATCH_BLOCKS as u64).min(blocks.end().0));
        let made = tokio::task::spawn_blocking(move || made_rows(batch)).await.expect("the rows are made");
        written.row_count += made.iter().map(|(_, rows)| rows.num_rows() as u64).sum::<u64>();
        // Postgres is another process: files are encoded while it works.
        let encoding = tokio::task::spawn_blocking({
            let made = made.clone();
            move || encode(writers, &made, batch)
        });
        follow(conn, batch, made).await;
        writers = encoding.await.expect("the rows are encoded");
    }
    let finish = |(dataset, writer): (Dataset, PartitionWriter)| {
        let unproven = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
        let staged = writer.finish(RootVerdicts::all(&unproven)).expect("the file is whole");
        std::fs::copy(staged.path(), stage.local_file(dataset, blocks.start().0)).expect("the disk has room");
        staged
    };
    writers.into_iter().map(finish).collect()
}

fn made_rows(blocks: BlockRange) -> Rows {
    DATASETS.into_iter().map(|dataset| (dataset, rows(dataset, blocks))).collect()
}

fn writer(dataset: Dataset, blocks: BlockRange, scratch: &Path) -> PartitionWriter {
    let chain = ChainName::new(CHAIN).expect("the name may stand in keys");
    let partition = Partition { chain_id: CHAIN_ID, chain, dataset, blocks };
    PartitionWriter::create_growing(partition, scratch).expect("a file can be made")
}

fn encode(mut writers: Writers, made: &[(Dataset, RecordBatch)], blocks: BlockRange) -> Writers {
    let of = |dataset: Dataset| &made.iter().find(|(found, _)| *found == dataset).expect("all are made").1;
    for (dataset, writer) in &mut writers {
        let counts: Vec<u64> = (0..blocks.block_count()).map(|_| rows_per_block(*dataset)).collect();
        writer.extend(of(Dataset::Blocks), &counts).expect("the blocks are linked");
        writer.write(of(*dataset)).expect("the rows are in order");
    }
    writers
}

/// Writes rows as the follower does.
async fn follow(conn: &mut PgConnection, blocks: BlockRange, rows: Rows) {
    let batch = BlockBatch {
        blocks,
        parent_hash: block_hash(blocks.start().0 - 1),
        tip: BlockRef { number: blocks.last(), hash: block_hash(blocks.last().0) },
        rows,
        served_at: DateTime::UNIX_EPOCH,
    };
    let mut db_tx = conn.begin().await.expect("a transaction");
    append(&mut db_tx, CHAIN_ID, &batch).await.expect("the rows are taken");
    db_tx.commit().await.expect("the rows are stored");
}

/// Moves a file to cold storage as the compactor does; returns its dataset.
async fn commit(stage: &Stage, conn: &mut PgConnection, staged: StagedFile) -> Dataset {
    let stored = staged.store(&stage.objects).await.expect("the file is stored");
    let dataset = stored.partition().dataset;
    let head = catalog::head(conn, CHAIN_ID, dataset).await.expect("the catalogue answers");
    let current = CurrentManifest::load(&stage.objects, head.as_ref()).await.expect("the manifest is there");
    let listing = stored.list(&stage.objects, &current).await.expect("a manifest is written");
    let Listing::Ours(manifest) = listing else { panic!("nobody else writes here") };
    let mut db_tx = conn.begin().await.expect("a transaction");
    let outcome = catalog::commit(&mut db_tx, &manifest).await.expect("the manifest is recorded");
    assert_eq!(outcome, CommitOutcome::Committed);
    db_tx.commit().await.expect("it is cold");
    dataset
}
