//! The follower's database transactions: each is a whole step, made under the task's fence.
//!
//! Rows, cursor, finality and events of one step become visible together or not at all. Never writes without holding
//! the fence, never decides what is canonical, and never waits for an answer without a limit.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use isotherm_chain::fork::{AcceptedReorg, Stored};
use isotherm_chain::{ChainError, Heads, VerifiedBlock, columns};
use isotherm_control::dataset_cursors::{self, Advance};
use isotherm_hot_store::cursor::{self, Cursor, Halt};
use isotherm_hot_store::{Appended, BlockBatch, HotStoreError, append, known_hash, stored_hash, take_back};
use isotherm_platform::Fault;
use isotherm_platform::database::{self, Borrowed, PATIENCE, PROBE};
use isotherm_types::{
    B256, BlockNumber, BlockRange, BlockRef, ChainId, CrashPoint, Dataset, EventBody, Fence, TaskId, TraceId,
};
use sqlx::{Connection as _, PgPool, Postgres, Transaction};

use crate::config::FollowerConfig;
use crate::error::FollowerError;

mod datasets;
mod disputes;
mod gaps;
mod status;

/// The datasets that may be in cold storage.
const DATASETS: [Dataset; 4] = Dataset::ALL;

/// Hot storage of one chain, written under one claim of one task.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: PgPool,
    chain_id: ChainId,
    task_id: TaskId,
    fence: Fence,
    /// How long a transaction may take.
    patience: Duration,
    /// Bytes of rows that were committed, as COPY sent them.
    written: Arc<AtomicU64>,
}

/// What a step has written.
struct Step {
    /// The new finalized block, if it moved.
    finalized: Option<BlockRef>,
    trace_id: Option<TraceId>,
    size_bytes: u64,
}

impl Store {
    /// Sets the chain up, or finds it set up.
    ///
    /// # Errors
    /// [`HotStoreError::Halted`], [`HotStoreError::OtherSettings`], a stale fence, a database that does not answer.
    pub(crate) async fn open(
        pool: PgPool,
        config: &FollowerConfig,
        task_id: TaskId,
        fence: Fence,
    ) -> Result<Self, Fault> {
        let patience = config.transaction_timeout();
        let written = Arc::default();
        let store = Self { pool, chain_id: config.chain_id, task_id, fence, patience, written };
        let opening = async {
            let mut conn = store.connection().await?;
            let mut db_tx = store.begin(&mut conn).await?;
            let cursor = cursor::ensure(&mut db_tx, config.chain_id, &config.chain, config.partition_blocks).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok(cursor)
        };
        // It may have to make tables, which a setting for blocks does not reckon with.
        let patient = Self { patience: patience.max(PATIENCE), ..store.clone() };
        let cursor = patient.answered("set the chain up", opening).await?;
        match cursor.halted {
            Some(Halt { code, message }) => {
                Err(HotStoreError::Halted { chain_id: config.chain_id, code, message }.into())
            }
            None => Ok(store),
        }
    }

    /// What is stored; `None` while nothing is.
    pub(crate) async fn stored(&self) -> Result<Option<Stored>, Fault> {
        self.answered("read the cursor", self.read_stored()).await
    }

    /// The same, asked of a database that has been away.
    pub(crate) async fn stored_after_outage(&self) -> Result<Option<Stored>, Fault> {
        let probe = Self { patience: self.patience.min(PROBE), ..self.clone() };
        probe.stored().await
    }

    async fn read_stored(&self) -> Result<Option<Stored>, Fault> {
        let mut conn = self.connection().await?;
        let cursor = cursor::read(&mut conn, self.chain_id).await?;
        let mut cold_watermark = None;
        for dataset in DATASETS {
            let watermark = isotherm_cold_store::catalog::watermark(&mut conn, self.chain_id, dataset).await?;
            cold_watermark = cold_watermark.max(watermark);
        }
        conn.give_back();
        let Some(Cursor { first_block: Some(first_block), tip: Some(tip), finalized, .. }) = cursor else {
            return Ok(None);
        };
        Ok(Some(Stored { first_block, tip, finalized, cold_watermark }))
    }

    /// The hashes of the blocks that belong at `number` and the one before, as far as what is stored says so.
    pub(crate) async fn hashes_at(&self, number: BlockNumber) -> Result<BTreeMap<BlockNumber, B256>, Fault> {
        self.answered("read stored hashes", self.read_hashes_at(number)).await
    }

    async fn read_hashes_at(&self, number: BlockNumber) -> Result<BTreeMap<BlockNumber, B256>, Fault> {
        let mut conn = self.connection().await?;
        let mut hashes = BTreeMap::new();
        for number in [Some(number), number.previous()].into_iter().flatten() {
            if let Some(hash) = known_hash(&mut conn, self.chain_id, number).await? {
                hashes.insert(number, hash);
            }
        }
        conn.give_back();
        Ok(hashes)
    }

    /// Appends a run of blocks and moves `finalized` as far as `heads` allows. Returns the new finalized block, if it
    /// moved.
    pub(crate) async fn append(
        &self,
        blocks: Arc<[VerifiedBlock]>,
        stored: Option<Stored>,
        heads: &Heads,
    ) -> Result<Option<BlockRef>, Fault> {
        let appending = async {
            let mut conn = self.connection().await?;
            let (mut db_tx, batch) = self.begin_with(&mut conn, blocks, heads).await?;
            let appended = self.append_in(&mut db_tx, &batch, stored, heads).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok((batch, appended))
        };
        let (batch, step) = self.answered("store blocks", appending).await?;
        CrashPoint::FollowCommitted.pass();
        self.note(&batch, &step);
        Ok(step.finalized)
    }

    /// Takes back every block above `ancestor` and appends the new branch, in one transaction. The permission for
    /// `accepted`, if that is what is replaced, is used up in it.
    pub(crate) async fn replace(
        &self,
        ancestor: BlockRef,
        blocks: Arc<[VerifiedBlock]>,
        accepted: Option<AcceptedReorg>,
        stored: Stored,
        heads: &Heads,
    ) -> Result<Option<BlockRef>, Fault> {
        let first = blocks[0].block().reference;
        let replacing = async {
            let mut conn = self.connection().await?;
            let (mut db_tx, batch) = self.begin_with(&mut conn, blocks, heads).await?;
            if accepted.is_some() {
                self.use_up(&mut db_tx, ancestor, first, stored.tip).await?;
            }
            let datasets = self.losing(&mut db_tx, ancestor, stored, &batch).await?;
            let taken_back = take_back(&mut db_tx, self.chain_id, ancestor, batch.tip).await?;
            let invalidated = EventBody::DatasetInvalidated {
                chain_id: self.chain_id,
                datasets,
                blocks: taken_back,
                common_ancestor: ancestor,
            };
            isotherm_control::events::record(&mut db_tx, &invalidated).await?;
            CrashPoint::FollowTakenBack.pass();
            let appended = self.append_in(&mut db_tx, &batch, Some(stored), heads).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok((batch, appended))
        };
        let (batch, step) = self.answered("replace blocks", replacing).await?;
        CrashPoint::FollowCommitted.pass();
        self.note(&batch, &step);
        Ok(step.finalized)
    }

    /// Moves `finalized` without a new block. Returns it if it moved.
    pub(crate) async fn finalize(&self, stored: Stored, heads: &Heads) -> Result<Option<BlockRef>, Fault> {
        let finalizing = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            let finalized = self.finalize_in(&mut db_tx, stored, heads).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok(finalized)
        };
        self.answered("move the finalized block", finalizing).await
    }

    /// What says how many bytes were written so far.
    pub(crate) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Counts what was committed, and logs it: what follows from these blocks is found by this line's trace.
    fn note(&self, batch: &BlockBatch, step: &Step) {
        self.written.fetch_add(step.size_bytes, Ordering::Relaxed);
        tracing::info!(
            chain.id = self.chain_id.0,
            block.number = batch.tip.number.0,
            block.count = batch.blocks.block_count(),
            trace.id = step.trace_id.map(String::from).as_deref(),
            "blocks were stored"
        );
    }

    async fn append_in(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        batch: &BlockBatch,
        stored: Option<Stored>,
        heads: &Heads,
    ) -> Result<Step, Fault> {
        let appended = append(db_tx, self.chain_id, batch).await?;
        self.count(db_tx, batch.blocks, &appended).await?;
        let advanced = EventBody::DatasetAdvanced {
            chain_id: self.chain_id,
            datasets: datasets::written(batch),
            blocks: batch.blocks,
            tip: batch.tip,
        };
        let (_, trace_id) = isotherm_control::events::record_traced(db_tx, &advanced).await?;
        let first_block = stored.map_or(batch.blocks.start(), |stored| stored.first_block);
        let stored = Stored {
            first_block,
            tip: batch.tip,
            finalized: stored.and_then(|stored| stored.finalized),
            cold_watermark: None,
        };
        let finalized = self.finalize_in(db_tx, stored, heads).await?;
        CrashPoint::FollowCopied.pass();
        let size_bytes = appended.iter().map(|appended| appended.size_bytes).sum();
        Ok(Step { finalized, trace_id, size_bytes })
    }

    /// Counts what was written, in its transaction.
    async fn count(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        blocks: BlockRange,
        appended: &[Appended],
    ) -> Result<(), Fault> {
        let advance = |appended: &Appended| Advance {
            dataset: appended.dataset,
            block_count: blocks.block_count(),
            row_count: appended.row_count,
            size_bytes: appended.size_bytes,
        };
        let advances: Vec<Advance> = appended.iter().map(advance).collect();
        Ok(dataset_cursors::advance(db_tx, self.chain_id, &advances).await?)
    }

    /// Moves `finalized` to the chain's finalized block, if that is stored.
    async fn finalize_in(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        stored: Stored,
        heads: &Heads,
    ) -> Result<Option<BlockRef>, Fault> {
        let Some(claimed) = heads.finalized else { return Ok(None) };
        let known = stored.finalized.map(|finalized| finalized.number);
        if claimed.number < stored.first_block || known.is_some_and(|known| claimed.number <= known) {
            return Ok(None);
        }
        if stored_hash(db_tx, self.chain_id, claimed.number).await? != Some(claimed.hash) {
            // Not stored yet, or another branch; the next look at the newest block will tell.
            return Ok(None);
        }
        let has_moved = cursor::set_finalized(db_tx, self.chain_id, claimed).await?;
        Ok(has_moved.then_some(claimed))
    }

    /// The outcome of `work`, which is `action`; that the database is away if it takes too long.
    async fn answered<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        database::answered_within(self.patience, async { Ok(work.await) }).await.map_err(refused(action))?
    }

    async fn connection(&self) -> Result<Borrowed, FollowerError> {
        database::borrow(&self.pool).await.map_err(refused("be reached"))
    }

    /// Begins a transaction that ends with an error if another worker has the task.
    async fn begin<'a>(&self, conn: &'a mut Borrowed) -> Result<Transaction<'a, Postgres>, Fault> {
        let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
        isotherm_control::tasks::assert_fence(&mut db_tx, self.task_id, self.fence).await?;
        Ok(db_tx)
    }

    /// The same, and the rows of `blocks`, which are made meanwhile.
    async fn begin_with<'a>(
        &self,
        conn: &'a mut Borrowed,
        blocks: Arc<[VerifiedBlock]>,
        heads: &Heads,
    ) -> Result<(Transaction<'a, Postgres>, BlockBatch), Fault> {
        let (db_tx, batch) = tokio::join!(self.begin(conn), self.batch(blocks, heads));
        Ok((db_tx?, batch?))
    }

    /// The blocks' rows, made on a thread of their own.
    async fn batch(&self, blocks: Arc<[VerifiedBlock]>, heads: &Heads) -> Result<BlockBatch, Fault> {
        let chain_id = self.chain_id;
        let (latest, latest_served_at) = (heads.latest.reference, heads.served_at);
        let encoding = tokio::task::spawn_blocking(move || {
            let (first, last) = (blocks.first()?.block(), blocks.last()?.block());
            let (parent_hash, tip) = (first.header.parent_hash, last.reference);
            // The newest block was first seen as a head, before it was fetched.
            let served_at = if tip == latest { latest_served_at } else { last.served_at };
            let numbers = BlockRange::inclusive(first.reference.number, tip.number).ok()?;
            let rows = columns::encode(chain_id, &blocks);
            Some(rows.map(|rows| BlockBatch { blocks: numbers, parent_hash, tip, rows, served_at }))
        });
        let batch = encoding.await.map_err(|_| ChainError::Interrupted)?;
        Ok(batch.expect("a run has at least one block").map_err(ChainError::Column)?)
    }
}

async fn commit(db_tx: Transaction<'_, Postgres>) -> Result<(), FollowerError> {
    db_tx.commit().await.map_err(refused("commit a transaction"))
}

fn refused(action: &'static str) -> impl FnOnce(sqlx::Error) -> FollowerError {
    move |source| FollowerError::Database { action, source }
}

#[cfg(test)]
mod tests;
