//! One task's work: plan in a snapshot, stage, store, list, commit, until nothing up to the asked block is due; then
//! merge short files, and in the end remove hot rows that have long been cold.
//!
//! It never waits for the database without a limit, and never hands a connection on whose work broke off.

use std::future::Future;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use isotherm_cold_store::catalog::{self, CommitOutcome, DatasetHead};
use isotherm_cold_store::compaction::{CompactionState, due_partitions};
use isotherm_cold_store::{
    ChainName, Change, CommittedManifest, CurrentManifest, Listing, ObjectStore, Partition, StagedFile,
};
use isotherm_control::{events, tasks};
use isotherm_hot_store::cursor;
use isotherm_platform::Stop;
use isotherm_platform::database::{self, Borrowed, PATIENCE};
use isotherm_platform::metrics::{BYTES_WRITTEN, emit};
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, CrashPoint, Dataset, EventBody, Fence, TaskId};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::error::CompactError;
use crate::staging;

mod cleanup;
mod merging;

/// Compacts the datasets of one chain for one task.
pub struct Compactor {
    /// Hot storage, the catalogue and the control plane.
    pub pool: PgPool,
    /// Cold storage.
    pub objects: ObjectStore,
    /// The chain.
    pub chain_id: ChainId,
    /// Its name in keys.
    pub chain: ChainName,
    /// The claim under which every commit is made.
    pub task: (TaskId, Fence),
    /// Whether short files are merged.
    pub merge: bool,
    /// How long hot rows stay after they became cold; `None`: for ever.
    pub drop_hot_after: Option<Duration>,
    /// Folder for files on their way.
    pub scratch: PathBuf,
    /// Says how far the work has come.
    pub progress: Progress,
    /// Wished when the work is to end at the next step.
    pub stop: Stop,
    /// Hears of each step that is done, before `stop` is looked at: tests break off there.
    pub on_step: Box<dyn Fn(Step) + Send + Sync>,
}

/// A step on the way of a partition, of a merged file, or of hot rows that go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The file is on local disk.
    Staged,
    /// The file is on S3 and read back.
    Stored,
    /// A manifest on S3 lists it.
    Listed,
    /// The watermark has moved.
    Committed,
    /// A merged file is on local disk.
    MergeStaged,
    /// It is on S3 and read back.
    MergeStored,
    /// A manifest on S3 lists it in the place of the short ones.
    MergeListed,
    /// The catalogue lists it.
    MergeCommitted,
    /// A leaf of hot storage is a table of its own.
    Detached,
    /// It is dropped.
    Dropped,
}

/// What was done for one dataset; part of the task's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// The dataset.
    pub dataset: Dataset,
    /// Partitions that this task committed.
    pub partition_count: u64,
    /// Their rows.
    pub row_count: u64,
    /// The length of their files.
    pub size_bytes: u64,
    /// Last block in cold storage; `None` if nothing is cold.
    pub watermark: Option<BlockNumber>,
    /// Files that this task merged short ones into.
    pub merged_count: u64,
}

/// The task is to stop; whatever was not committed is found and taken on by the next attempt.
struct Stopped;

/// A partition that came as far as local disk, and where its dataset stood in the same snapshot.
struct Planned {
    head: Option<DatasetHead>,
    partition: Partition,
    staged: StagedFile,
}

impl Compactor {
    /// Compacts what is due of `datasets` up to the end of `blocks`.
    ///
    /// # Errors
    /// [`CompactError`]; what was committed before it stays.
    pub async fn run(&self, datasets: &[Dataset], blocks: BlockRange) -> Result<OperatorEnd, CompactError> {
        let done = Arc::new(AtomicU64::new(0));
        let mut reports = Vec::new();
        for dataset in datasets {
            match self.compact(*dataset, blocks.last(), &done).await? {
                Ok(report) => reports.push(report),
                Err(Stopped) => return Ok(OperatorEnd::Released),
            }
        }
        let cleaned = match self.drop_hot_after {
            Some(grace) => self.clean_up(grace, &done).await?,
            None => Ok(0),
        };
        Ok(match cleaned {
            Ok(dropped) => {
                OperatorEnd::Completed(serde_json::json!({ "datasets": reports, "dropped_hot_partitions": dropped }))
            }
            Err(Stopped) => OperatorEnd::Released,
        })
    }

    async fn compact(
        &self,
        dataset: Dataset,
        last: BlockNumber,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<DatasetReport, Stopped>, CompactError> {
        let (mut partition_count, mut row_count, mut size_bytes) = (0, 0, 0);
        loop {
            if self.stop.is_requested() {
                return Ok(Err(Stopped));
            }
            let Planned { head, partition, staged } = match self.plan_and_stage(dataset, last, done).await? {
                Ok(Some(planned)) => planned,
                Ok(None) => break,
                Err(stopped) => return Ok(Err(stopped)),
            };
            let manifest = match self.store_and_list(head.as_ref(), staged, done).await? {
                Ok(manifest) => manifest,
                Err(stopped) => return Ok(Err(stopped)),
            };
            let outcome = self.commit(&manifest).await?;
            let file = manifest.newest_file();
            match outcome {
                CommitOutcome::Committed if manifest.change().is_growth() => {
                    (partition_count, row_count, size_bytes) =
                        (partition_count + 1, row_count + file.row_count, size_bytes + file.size_bytes);
                    tracing::info!(
                        chain.id = self.chain_id.0, dataset.name = %dataset, block.start = file.blocks.start().0,
                        block.end = file.blocks.end().0, row_count = file.row_count, size_bytes = file.size_bytes,
                        manifest.version = manifest.manifest().manifest_version, "a partition is in cold storage",
                    );
                }
                // Or a merge that another run had listed.
                CommitOutcome::Committed | CommitOutcome::AlreadyCommitted => {}
                CommitOutcome::Stale { .. } => return Err(CompactError::Overtaken { dataset }),
            }
            self.step(Step::Committed, done, &format!("{partition} is in cold storage"));
        }
        let merged = if self.merge { self.merge_short_files(dataset, done).await? } else { Ok(0) };
        let merged_count = match merged {
            Ok(merged_count) => merged_count,
            Err(stopped) => return Ok(Err(stopped)),
        };
        let watermark = self.watermark(dataset).await?;
        Ok(Ok(DatasetReport { dataset, partition_count, row_count, size_bytes, watermark, merged_count }))
    }

    /// Plans and reads in one snapshot: what is final there is what is read.
    async fn plan_and_stage(
        &self,
        dataset: Dataset,
        last: BlockNumber,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<Option<Planned>, Stopped>, CompactError> {
        let mut conn = self.connection().await?;
        let planning = async {
            let begun = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
            let mut snapshot = begun.map_err(refused("open a snapshot"))?;
            let head = catalog::head(&mut snapshot, self.chain_id, dataset).await?;
            let partition = self.next_partition(&mut snapshot, dataset, head.as_ref(), last).await?;
            Ok((snapshot, head, partition))
        };
        let (mut snapshot, head, partition) = answered("say what is due", planning).await?;
        let Some(partition) = partition else {
            drop(snapshot);
            conn.give_back();
            return Ok(Ok(None));
        };
        let on_rows = {
            let (done, progress, partition) = (Arc::clone(done), self.progress.clone(), partition.to_string());
            move |rows| {
                let before = done.fetch_add(rows, Ordering::Relaxed);
                progress.report(before + rows, None, format!("reading {partition}"));
            }
        };
        let staged = staging::stage(&mut snapshot, &partition, &self.scratch, &self.stop, on_rows).await?;
        // Of rows that were not read to their end the connection is not given back: the rest of them would still come.
        let Some(staged) = staged else { return Ok(Err(Stopped)) };
        // The snapshot is not held while S3 is written to.
        drop(snapshot);
        conn.give_back();
        self.step(Step::Staged, done, &format!("{partition} is staged"));
        Ok(self.unless_stopped(Some(Planned { head, partition, staged })))
    }

    async fn next_partition(
        &self,
        snapshot: &mut PgConnection,
        dataset: Dataset,
        head: Option<&DatasetHead>,
        last: BlockNumber,
    ) -> Result<Option<Partition>, CompactError> {
        let chain_id = self.chain_id;
        let cursor = cursor::read(snapshot, chain_id).await?.ok_or(CompactError::NothingFinal { chain_id })?;
        let other_chain =
            || CompactError::OtherChain { chain_id, expected: self.chain.to_string(), found: cursor.chain.clone() };
        if cursor.chain != self.chain.as_str() {
            return Err(other_chain());
        }
        let partition_blocks = NonZeroU64::new(cursor.partition_blocks).ok_or_else(other_chain)?;
        let (Some(_), Some(finalized)) = (cursor.first_block, cursor.finalized) else {
            return Err(CompactError::NothingFinal { chain_id });
        };
        let first_block = cursor.first_block_of(dataset).ok_or(CompactError::NotTraced { chain_id })?;
        let watermark = head.map(|head| head.watermark);
        let state = CompactionState { first_block, finalized: finalized.number, watermark, partition_blocks };
        let due = due_partitions(state, last)?;
        let partition = |blocks| Partition { chain_id, chain: self.chain.clone(), dataset, blocks };
        Ok(due.first().copied().map(partition))
    }

    async fn store_and_list(
        &self,
        head: Option<&DatasetHead>,
        staged: StagedFile,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<CommittedManifest, Stopped>, CompactError> {
        let current = CurrentManifest::load(&self.objects, head).await?;
        let stored = staged.store(&self.objects).await?;
        let key = stored.file().key.clone();
        self.step(Step::Stored, done, &format!("{key} is stored"));
        if self.stop.is_requested() {
            return Ok(Err(Stopped));
        }
        let manifest = match stored.list(&self.objects, &current).await? {
            Listing::Ours(manifest) => manifest,
            // Another run got as far as this and died: its work is committed, and the plan is made anew.
            Listing::Theirs { manifest, ours: _ } => manifest,
        };
        self.step(Step::Listed, done, &format!("{} is written", manifest.key()));
        Ok(self.unless_stopped(manifest))
    }

    /// Watermark, files and event in one transaction, under the task's fence.
    async fn commit(&self, manifest: &CommittedManifest) -> Result<CommitOutcome, CompactError> {
        let committing = async {
            let mut conn = self.connection().await?;
            let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
            let (task_id, fence) = self.task;
            tasks::assert_fence(&mut db_tx, task_id, fence).await?;
            let outcome = catalog::commit(&mut db_tx, manifest).await?;
            if outcome == CommitOutcome::Committed {
                match manifest.change() {
                    Change::First | Change::Last => self.announce(&mut db_tx, manifest).await?,
                    // The same rows in another file: there is nothing new for anybody.
                    Change::Replaced { .. } => CrashPoint::MergeCommitting.pass(),
                }
            }
            db_tx.commit().await.map_err(refused("commit"))?;
            conn.give_back();
            Ok(outcome)
        };
        let outcome = answered("commit a partition", committing).await?;
        if outcome == CommitOutcome::Committed {
            let size_bytes = manifest.newest_file().size_bytes;
            emit(BYTES_WRITTEN, size_bytes as f64, &[("chain", self.chain.as_str()), ("store", "cold")]);
        }
        Ok(outcome)
    }

    /// Tells of a partition that is new in cold storage, once hot storage is found to have the same blocks still.
    async fn announce(&self, db_tx: &mut PgConnection, manifest: &CommittedManifest) -> Result<(), CompactError> {
        let file = manifest.newest_file();
        // Final blocks change only if a person has accepted that they are replaced, maybe after they were read.
        let last = BlockRef { number: file.blocks.last(), hash: file.last_block_hash };
        let dataset = manifest.manifest().dataset;
        let stays = match cursor::hold_hash(db_tx, self.chain_id, last.number).await? {
            Some(hash) => hash == last.hash,
            None => self.is_below_hot(db_tx, dataset, last.number).await?,
        };
        if !stays {
            return Err(CompactError::Replaced { last });
        }
        let event = EventBody::PartitionCommitted {
            chain_id: self.chain_id,
            dataset,
            blocks: file.blocks,
            manifest_version: manifest.manifest().manifest_version,
        };
        events::record(db_tx, &event).await?;
        CrashPoint::CompactCommitting.pass();
        Ok(())
    }

    /// Whether `block` is from before hot storage has rows of `dataset`: of a backfill that died, whose manifest is adopted.
    async fn is_below_hot(
        &self,
        conn: &mut PgConnection,
        dataset: Dataset,
        block: BlockNumber,
    ) -> Result<bool, CompactError> {
        let cursor = cursor::read(conn, self.chain_id).await?;
        let first_block = cursor.and_then(|cursor| cursor.first_block_of(dataset));
        Ok(first_block.is_some_and(|first_block| block < first_block))
    }

    async fn watermark(&self, dataset: Dataset) -> Result<Option<BlockNumber>, CompactError> {
        let asking = async {
            let mut conn = self.connection().await?;
            let watermark = catalog::watermark(&mut conn, self.chain_id, dataset).await?;
            conn.give_back();
            Ok(watermark)
        };
        answered("read the watermark", asking).await
    }

    async fn connection(&self) -> Result<Borrowed, CompactError> {
        database::borrow(&self.pool).await.map_err(refused("give a connection"))
    }

    fn step(&self, step: Step, done: &AtomicU64, message: &str) {
        let crash_point = match step {
            Step::Staged => CrashPoint::CompactStaged,
            Step::Stored => CrashPoint::CompactStored,
            Step::Listed => CrashPoint::CompactListed,
            Step::Committed => CrashPoint::CompactCommitted,
            Step::MergeStaged => CrashPoint::MergeStaged,
            Step::MergeStored => CrashPoint::MergeStored,
            Step::MergeListed => CrashPoint::MergeListed,
            Step::MergeCommitted => CrashPoint::MergeCommitted,
            Step::Detached => CrashPoint::CleanupDetached,
            Step::Dropped => CrashPoint::CleanupDropped,
        };
        // Before the report, so that a crash leaves a step that nobody has heard of.
        crash_point.pass();
        let before = done.fetch_add(1, Ordering::Relaxed);
        self.progress.report(before + 1, None, message);
        (self.on_step)(step);
    }

    fn unless_stopped<T>(&self, value: T) -> Result<T, Stopped> {
        if self.stop.is_requested() { Err(Stopped) } else { Ok(value) }
    }
}

/// The outcome of `work`, which is `action`; that the database is away if it takes longer than [`PATIENCE`].
async fn answered<T>(
    action: &'static str,
    work: impl Future<Output = Result<T, CompactError>>,
) -> Result<T, CompactError> {
    database::answered_within(PATIENCE, async { Ok(work.await) }).await.map_err(refused(action))?
}

fn refused(action: &'static str) -> impl FnOnce(sqlx::Error) -> CompactError {
    move |source| CompactError::Postgres { action, source }
}
