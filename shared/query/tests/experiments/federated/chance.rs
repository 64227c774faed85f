//! The actor that changes the world, a step for each demand: blocks are appended or replaced, partitions become cold,
//! some of them in two halves that are merged later.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::DateTime;
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::{
    ChainName, CurrentManifest, Listing, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts,
};
use isotherm_hot_store::{BlockBatch, append, cursor, take_back};
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, Dataset};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;

use super::cells;
use super::chain::Block;
use super::relay::Demand;
use super::world::{PARTITION_BLOCKS, World};
use crate::made_chain::{CHAIN, CHAIN_NAME, range};

/// Blocks there are in the beginning.
const FIRST_BLOCKS: u64 = 60;
/// By how many blocks the finalized one is behind the tip.
const NOT_FINAL: u64 = 9;
const DEEPEST_REORG: u64 = 8;
/// First block of those that became cold too late to be cleaned up soon.
const YOUNG_FROM: i64 = 30;

/// The actor, and the chain as it is now.
pub(crate) struct Chance {
    world: Arc<World>,
    random: ChaCha8Rng,
    conn: PgConnection,
    /// The canonical chain; the place of each block is its number.
    blocks: Vec<Block>,
    finalized: u64,
}

impl Chance {
    /// Makes the first blocks, of which most become cold; those of the first partitions have been so for an hour.
    pub(crate) async fn begin(world: Arc<World>, random: ChaCha8Rng) -> Self {
        let conn = world.platform.connect().await;
        let mut chance = Self { world, random, conn, blocks: Vec::new(), finalized: 0 };
        for _ in 0..FIRST_BLOCKS / PARTITION_BLOCKS {
            chance.grow(0, PARTITION_BLOCKS).await;
        }
        chance.world.compact(&Dataset::ALL).await;
        sqlx::query(
            "UPDATE cold.data_partitions SET committed_at = committed_at - interval '1 hour' WHERE end_block <= $1",
        )
        .bind(YOUNG_FROM)
        .execute(&mut chance.conn)
        .await
        .unwrap();
        chance
    }

    /// Does as it is asked, until it is asked to end.
    pub(crate) async fn act(mut self, mut demands: mpsc::Receiver<Demand>) {
        while let Some(Demand::Change(told)) = demands.recv().await {
            self.step().await;
            if let Some(told) = told {
                // Whoever waited may have been stopped meanwhile.
                let _ = told.send(());
            }
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..20) {
            0..9 => {
                let above_final = self.blocks.len() as u64 - 1 - self.finalized;
                let depth = self.random.random_range(1..=DEEPEST_REORG.min(above_final));
                let longer = self.random.random_range(0..2);
                self.grow(depth, depth + longer).await;
            }
            9..14 => {
                let count = self.random.random_range(1..4);
                self.grow(0, count).await;
            }
            _ => self.compact().await,
        }
    }

    /// Replaces the last `depth` blocks by `count` new ones.
    async fn grow(&mut self, depth: u64, count: u64) {
        let first = self.blocks.len() as u64 - depth;
        let (kept, orphans) = self.blocks.split_at(usize::try_from(first).unwrap());
        let ancestor = kept.last().map(Block::reference);
        let mut branch: Vec<Block> = Vec::new();
        for number in first..first + count {
            let parent_hash = branch.last().or(kept.last()).map_or(B256::ZERO, |parent| parent.hash);
            branch.push(Block::draw(&mut self.random, number, parent_hash, orphans.get(branch.len())));
        }
        self.store(ancestor.filter(|_| depth > 0), &branch).await;
        self.blocks.truncate(usize::try_from(first).unwrap());
        self.blocks.extend(branch);
        self.finalize().await;
    }

    /// As the follower does, which replaces blocks in one transaction.
    async fn store(&mut self, ancestor: Option<BlockRef>, branch: &[Block]) {
        let (first, last) = (&branch[0], &branch[branch.len() - 1]);
        let batch = BlockBatch {
            blocks: BlockRange::inclusive(BlockNumber(first.number), BlockNumber(last.number)).unwrap(),
            parent_hash: first.parent_hash,
            tip: last.reference(),
            rows: Dataset::ALL.map(|dataset| (dataset, cells::batch(dataset, rows(branch, dataset)))).into(),
            served_at: DateTime::UNIX_EPOCH,
        };
        let history = Arc::clone(&self.world.history);
        self.world.oracle.add(branch).await;
        history.announce(branch);
        let mut db_tx = self.conn.begin().await.unwrap();
        if let Some(ancestor) = ancestor {
            take_back(&mut db_tx, CHAIN, ancestor, batch.tip).await.unwrap();
        }
        append(&mut db_tx, CHAIN, &batch).await.unwrap();
        db_tx.commit().await.unwrap();
        history.commit(last);
        let counter = if ancestor.is_some() { &history.reorgs } else { &history.appends };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    async fn finalize(&mut self) {
        let tip = self.blocks.len() as u64 - 1;
        let finalized = tip.saturating_sub(NOT_FINAL);
        if finalized > self.finalized {
            let block = self.blocks[usize::try_from(finalized).unwrap()].reference();
            assert!(cursor::set_finalized(&mut self.conn, CHAIN, block).await.unwrap());
            self.world.history.finalize(block);
            self.finalized = finalized;
        }
    }

    /// One dataset of those that are due, so that their watermarks are not the same; with none due a block is appended.
    async fn compact(&mut self) {
        let mut due = Vec::new();
        for dataset in Dataset::ALL {
            let watermark = catalog::watermark(&mut self.conn, CHAIN, dataset).await.unwrap();
            let next = watermark.map_or(0, |watermark| watermark.0 + 1);
            let partition_end = (next / PARTITION_BLOCKS + 1) * PARTITION_BLOCKS;
            if partition_end <= self.finalized + 1 {
                due.push((dataset, next));
            }
        }
        if due.is_empty() {
            self.grow(0, 1).await;
            return;
        }
        let (dataset, next) = due[self.random.random_range(0..due.len())];
        if next % PARTITION_BLOCKS == 0 && self.random.random_bool(0.3) {
            self.write_half(dataset, range(next, next + PARTITION_BLOCKS / 2)).await;
        } else {
            self.world.compact(&[dataset]).await;
        }
    }

    /// Makes half a partition cold, as the end of a backfill may be.
    async fn write_half(&mut self, dataset: Dataset, blocks: BlockRange) {
        let bounds = usize::try_from(blocks.start().0).unwrap()..usize::try_from(blocks.end().0).unwrap();
        let held = &self.blocks[bounds];
        let mut linked = PartitionBlocks::builder(blocks);
        linked.push(&cells::batch(Dataset::Blocks, rows(held, Dataset::Blocks))).unwrap();
        let partition = Partition { chain_id: CHAIN, chain: ChainName::new(CHAIN_NAME).unwrap(), dataset, blocks };
        let scratch = self.world.platform.scratch.path();
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, scratch).unwrap();
        writer.write(&cells::batch(dataset, rows(held, dataset))).unwrap();
        let unproven = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
        let staged = writer.finish(RootVerdicts::all(&unproven)).unwrap();
        let objects = &self.world.platform.objects;
        let stored = staged.store(objects).await.unwrap();
        let head = catalog::head(&mut self.conn, CHAIN, dataset).await.unwrap();
        let current = CurrentManifest::load(objects, head.as_ref()).await.unwrap();
        let Listing::Ours(manifest) = stored.list(objects, &current).await.unwrap() else { panic!("a second writer") };
        let mut db_tx = self.conn.begin().await.unwrap();
        let outcome = catalog::commit(&mut db_tx, &manifest).await.unwrap();
        assert_eq!(outcome, CommitOutcome::Committed);
        db_tx.commit().await.unwrap();
        self.world.history.compactions.fetch_add(1, Ordering::SeqCst);
    }
}

fn rows(blocks: &[Block], dataset: Dataset) -> impl Iterator<Item = &cells::Row> {
    blocks.iter().flat_map(move |block| block.rows(dataset))
}
