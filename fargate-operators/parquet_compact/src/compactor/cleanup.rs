//! Cleanup, after everything else: hot leaves whose rows have been cold for long enough.
//!
//! What may go is decided by `isotherm_hot_store::cleanup`; a leaf that somebody uses is left to the next run, which
//! also completes what was broken off.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use isotherm_cold_store::catalog::{self, DatasetHead};
use isotherm_control::tasks;
use isotherm_hot_store::cleanup::{self, ColdFacts, DatasetFacts, Leaf, LeafState, Removal, Rules};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_types::{BlockRange, Dataset};
use sqlx::{Connection as _, PgConnection};

use super::{Compactor, Step, Stopped, answered, refused};
use crate::error::CompactError;

impl Compactor {
    /// Drops what may be dropped, lowest blocks first, and returns how many leaves went.
    pub(super) async fn clean_up(
        &self,
        grace: Duration,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<u64, Stopped>, CompactError> {
        let Some((rules, leaves)) = self.read_leaves(grace).await? else { return Ok(Ok(0)) };
        let mut dropped_count = 0;
        for leaves in leaves.chunk_by(|left, right| left.blocks == right.blocks) {
            let Some(blocks) = leaves.first().map(|leaf| leaf.blocks) else { continue };
            let facts = self.read_facts(blocks, leaves).await?;
            if let Err(reason) = cleanup::droppable(blocks, &rules, &facts) {
                tracing::debug!(chain.id = self.chain_id.0, block.start = blocks.start().0, ?reason, "hot rows stay");
                break;
            }
            let mut is_busy = false;
            for leaf in leaves {
                match self.remove(*leaf, done).await? {
                    Ok(true) => dropped_count += 1,
                    Ok(false) => is_busy = true,
                    Err(stopped) => return Ok(Err(stopped)),
                }
            }
            if is_busy {
                tracing::warn!(
                    chain.id = self.chain_id.0,
                    block.start = blocks.start().0,
                    block.end = blocks.end().0,
                    "hot rows that are cold are still in use; the next task removes them",
                );
                break;
            }
        }
        Ok(Ok(dropped_count))
    }

    /// `None` if nothing of the chain is final.
    async fn read_leaves(&self, grace: Duration) -> Result<Option<(Rules, Vec<Leaf>)>, CompactError> {
        let chain_id = self.chain_id;
        let reading = async {
            let mut conn = self.connection().await?;
            let cursor = cursor::read(&mut conn, chain_id).await?;
            let found = match cursor {
                Some(Cursor { finalized: Some(finalized), halted, partition_blocks, .. }) => {
                    let rules = Rules { finalized: finalized.number, is_halted: halted.is_some(), grace };
                    Some((rules, cleanup::leaves(&mut conn, chain_id, partition_blocks).await?))
                }
                Some(_) | None => None,
            };
            conn.give_back();
            Ok(found)
        };
        answered("list the hot partitions", reading).await
    }

    /// What is known of every dataset in `blocks`, whose leaves are `leaves`, under the task's fence.
    async fn read_facts(&self, blocks: BlockRange, leaves: &[Leaf]) -> Result<Vec<DatasetFacts>, CompactError> {
        let (task_id, fence) = self.task;
        let reading = async {
            let mut conn = self.connection().await?;
            let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
            tasks::assert_fence(&mut db_tx, task_id, fence).await?;
            let cursor = cursor::read(&mut db_tx, self.chain_id).await?;
            let first_traced_block = cursor.and_then(|cursor| cursor.first_traced_block);
            let mut facts = Vec::new();
            for dataset in Dataset::ALL {
                let first_row = match leaves.iter().find(|leaf| leaf.dataset == dataset) {
                    Some(leaf) => cleanup::first_row(&mut db_tx, self.chain_id, leaf).await?,
                    None => None,
                };
                let is_promised = match dataset {
                    Dataset::Blocks | Dataset::Transactions | Dataset::Logs => true,
                    Dataset::Traces => first_traced_block.is_some_and(|first| first <= blocks.last()),
                };
                let cold = self.read_cold(&mut db_tx, dataset, blocks).await?;
                facts.push(DatasetFacts { dataset, first_row, is_promised, cold });
            }
            db_tx.rollback().await.map_err(refused("end a transaction"))?;
            conn.give_back();
            Ok(facts)
        };
        answered("say which hot rows are cold", reading).await
    }

    async fn read_cold(
        &self,
        conn: &mut PgConnection,
        dataset: Dataset,
        blocks: BlockRange,
    ) -> Result<Option<ColdFacts>, CompactError> {
        let head = catalog::head(conn, self.chain_id, dataset).await?;
        let age = catalog::age(conn, self.chain_id, dataset, blocks).await?;
        let cold = |(head, age): (DatasetHead, Duration)| {
            let DatasetHead { first_block, watermark, .. } = head;
            ColdFacts { first_block, watermark, age }
        };
        Ok(head.zip(age).map(cold))
    }

    /// Detaches and drops a leaf; `false` if somebody uses it.
    async fn remove(&self, leaf: Leaf, done: &AtomicU64) -> Result<Result<bool, Stopped>, CompactError> {
        let mut leaf = leaf;
        let name = format!("{} of {} in hot storage", leaf.blocks, leaf.dataset);
        loop {
            if self.stop.is_requested() {
                return Ok(Err(Stopped));
            }
            let removing = async {
                let mut conn = self.connection().await?;
                // Closed after, with the time-outs that it was given.
                Ok(cleanup::remove(&mut conn, self.chain_id, &leaf).await?)
            };
            match answered("remove hot rows that are cold", removing).await? {
                Removal::Detached => {
                    leaf.state = LeafState::Detached;
                    self.step(Step::Detached, done, &format!("{name} are detached"));
                }
                Removal::Gone => {
                    self.step(Step::Dropped, done, &format!("{name} are dropped"));
                    return Ok(Ok(true));
                }
                Removal::Busy => return Ok(Ok(false)),
            }
        }
    }
}
