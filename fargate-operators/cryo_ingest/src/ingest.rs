//! One task's work: partition by partition, fetch, stage, store, let wait; then list and commit what adjoins.
//!
//! It never waits for the database without a limit, and never hands a connection on whose work broke off.

use std::path::PathBuf;

use isotherm_chain::{ChainClient, TraceMethod};
use isotherm_cold_store::catalog::{self, CommitOutcome, pending};
use isotherm_cold_store::{CommittedManifest, ObjectStore, Partition, StagedFile, StoredFile};
use isotherm_control::{events, tasks};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_platform::Stop;
use isotherm_platform::database::{self, Borrowed, PATIENCE};
use isotherm_platform::metrics::{BYTES_WRITTEN, emit};
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockRange, BlockRef, CrashPoint, Dataset, EventBody, Fence, TaskId};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::Input;
use crate::config::IngestConfig;
use crate::error::IngestError;
use crate::fetch::{Next, Source};
use crate::fetch_size::FetchSize;
use crate::held::{held as held_of, hot_first_block};
use crate::plan::{self, Held, Work};
use crate::writers::Writers;

mod repair;

/// Backfills the datasets of one chain for one task.
pub struct Ingest {
    /// The catalogue and the control plane.
    pub pool: PgPool,
    /// The chain.
    pub client: ChainClient,
    /// Cold storage.
    pub objects: ObjectStore,
    /// The job's settings.
    pub config: IngestConfig,
    /// The claim under which every file is recorded and committed.
    pub task: (TaskId, Fence),
    /// Folder for files on their way.
    pub scratch: PathBuf,
    /// Says how far the work has come.
    pub progress: Progress,
    /// Wished when the work is to end at the next step.
    pub stop: Stop,
    /// Hears of each step that is done, before `stop` is looked at: tests break off there.
    pub on_step: Box<dyn Fn(Step) + Send + Sync>,
}

/// A step on the way of a partition, or of a file that is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its files are on local disk.
    Staged,
    /// A file is on S3 and read back.
    Stored,
    /// The file waits until its neighbour is listed.
    Pending,
    /// A manifest on S3 lists it.
    Listed,
    /// It is in the catalogue.
    Committed,
    /// The bytes of a damaged file are kept.
    Kept,
    /// That file is restored and read back.
    Restored,
}

/// What was done for one dataset; part of the task's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// The dataset.
    pub dataset: Dataset,
    /// Files that this task stored.
    pub file_count: u64,
    /// Their rows.
    pub row_count: u64,
    /// Their length.
    pub size_bytes: u64,
    /// Files that this task committed, whoever had stored them.
    pub committed_count: u64,
}

/// The task is to stop; whatever waits is found and committed by the next attempt.
struct Stopped;

/// How far the task is.
struct State {
    /// Blocks and steps that are done.
    done: u64,
    size: FetchSize,
    reports: Vec<DatasetReport>,
}

impl State {
    fn new(config: &IngestConfig) -> Self {
        let report = |dataset: &Dataset| DatasetReport {
            dataset: *dataset,
            file_count: 0,
            row_count: 0,
            size_bytes: 0,
            committed_count: 0,
        };
        let reports = config.datasets.iter().map(report).collect();
        Self { done: 0, size: FetchSize::new(config.batch_bytes), reports }
    }

    fn report(&mut self, dataset: Dataset) -> &mut DatasetReport {
        let found = self.reports.iter_mut().find(|report| report.dataset == dataset);
        found.expect("each of the job's datasets has its report")
    }
}

impl Ingest {
    /// Backfills the partitions of `input`.
    ///
    /// # Errors
    /// [`IngestError`]; what was stored or committed before it stays.
    pub async fn run(&self, input: Input) -> Result<OperatorEnd, IngestError> {
        let Input { blocks, may_begin_inside } = input;
        plan::check_whole(blocks, self.config.partition_blocks, may_begin_inside)?;
        self.set_up().await?;
        let mut state = State::new(&self.config);
        // What an attempt left that was killed between its steps.
        if let Err(Stopped) = self.commit_adjacent(&mut state).await? {
            return Ok(OperatorEnd::Released);
        }
        for partition in plan::partitions(blocks, self.config.partition_blocks) {
            if let Err(Stopped) = self.ingest(partition, &mut state).await? {
                return Ok(OperatorEnd::Released);
            }
        }
        Ok(OperatorEnd::Completed(serde_json::json!({ "datasets": state.reports })))
    }

    /// Makes the chain known, if nobody follows it: what is cold of a chain that is not is in no answer.
    async fn set_up(&self) -> Result<(), IngestError> {
        let IngestConfig { chain_id, chain, partition_blocks, .. } = &self.config;
        self.ask("set the chain up", async |conn| match cursor::read(conn, *chain_id).await? {
            Some(cursor) => self.check_settings(&cursor),
            None => {
                let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
                cursor::ensure(&mut db_tx, *chain_id, chain.as_str(), partition_blocks.get()).await?;
                db_tx.commit().await.map_err(refused("commit"))
            }
        })
        .await
    }

    async fn ingest(&self, partition: BlockRange, state: &mut State) -> Result<Result<(), Stopped>, IngestError> {
        if self.stop.is_requested() {
            return Ok(Err(Stopped));
        }
        let work = plan::work(partition, &self.held().await?);
        if work.is_empty() {
            state.done += partition.block_count();
            self.progress.report(state.done, None, format!("blocks {partition} are there already"));
            return Ok(Ok(()));
        }
        for Work { blocks, datasets } in work {
            let Some(staged) = self.stage(blocks, &datasets, state).await? else { return Ok(Err(Stopped)) };
            if let Err(stopped) = self.step(Step::Staged, state, &format!("blocks {blocks} are staged")) {
                return Ok(Err(stopped));
            }
            for file in staged {
                if let Err(stopped) = self.store_and_record(file, state).await? {
                    return Ok(Err(stopped));
                }
            }
        }
        self.commit_adjacent(state).await
    }

    /// What of each dataset is in cold storage or on its way there.
    async fn held(&self) -> Result<Vec<(Dataset, Held)>, IngestError> {
        let chain_id = self.config.chain_id;
        self.ask("say what is in cold storage", async |conn| {
            let cursor = cursor::read(conn, chain_id).await?;
            let mut held = Vec::with_capacity(self.config.datasets.len());
            for dataset in &self.config.datasets {
                held.push((*dataset, held_of(conn, chain_id, *dataset, cursor.as_ref()).await?));
            }
            Ok(held)
        })
        .await
    }

    /// Checks that hot storage cuts the chain into the same partitions under the same name.
    fn check_settings(&self, cursor: &Cursor) -> Result<(), IngestError> {
        let (name, partition_blocks) = (self.config.chain.as_str(), self.config.partition_blocks);
        if cursor.chain == name && cursor.partition_blocks == partition_blocks.get() {
            return Ok(());
        }
        Err(IngestError::OtherChain {
            chain_id: self.config.chain_id,
            expected: name.to_owned(),
            expected_blocks: partition_blocks,
            found: cursor.chain.clone(),
            found_blocks: cursor.partition_blocks,
        })
    }

    /// Fetches `blocks` and writes their files to local disk; the next run is fetched while one is encoded. `None` if
    /// the task is to stop.
    async fn stage(
        &self,
        blocks: BlockRange,
        datasets: &[Dataset],
        state: &mut State,
    ) -> Result<Option<Vec<StagedFile>>, IngestError> {
        let traces = if datasets.contains(&Dataset::Traces) { self.config.traces } else { TraceMethod::None };
        let source = Source { client: &self.client, traces, stop: &self.stop };
        let Some(last) = source.final_end(blocks, self.config.finality).await? else { return Ok(None) };
        self.ask("say what is in hot storage", async |conn| self.check_hot_rows(conn, last).await).await?;
        let (chain_id, chain) = (self.config.chain_id, &self.config.chain);
        let partition = |dataset: &Dataset| Partition { chain_id, chain: chain.clone(), dataset: *dataset, blocks };
        let mut writers = Writers::create(chain_id, datasets.iter().map(partition), &self.scratch)?;
        let mut fetch = source.fetch(blocks.start(), last, &mut state.size);
        let mut fetched = fetch.next().await?;
        loop {
            let run = match fetched {
                Next::Run(run) => run,
                Next::End => break,
                Next::Stopped => return Ok(None),
            };
            state.done += run.len() as u64;
            let newest = run.last().map_or(blocks.start(), |block| block.block().reference.number);
            self.progress.report(state.done, None, format!("block {newest} of {blocks}"));
            let encoding = tokio::task::spawn_blocking(move || writers.write(&run).map(|()| writers));
            let (encoded, next) = tokio::join!(encoding, fetch.next());
            writers = encoded.map_err(|source| IngestError::Encoder { source })??;
            fetched = next?;
        }
        let finished = tokio::task::spawn_blocking(move || writers.finish()).await;
        Ok(Some(finished.map_err(|source| IngestError::Encoder { source })??))
    }

    /// Stores a file and lets it wait, under the task's fence.
    async fn store_and_record(
        &self,
        staged: StagedFile,
        state: &mut State,
    ) -> Result<Result<(), Stopped>, IngestError> {
        let stored = staged.store(&self.objects).await?;
        let (dataset, file) = (stored.partition().dataset, stored.file().clone());
        if let Err(stopped) = self.step(Step::Stored, state, &format!("{} is stored", file.key)) {
            return Ok(Err(stopped));
        }
        self.record(&stored).await?;
        let report = state.report(dataset);
        report.file_count += 1;
        report.row_count += file.row_count;
        report.size_bytes += file.size_bytes;
        Ok(self.step(Step::Pending, state, &format!("{} waits for its neighbour", file.key)))
    }

    async fn record(&self, stored: &StoredFile) -> Result<(), IngestError> {
        let (task_id, fence) = self.task;
        self.ask("record a stored file", async |conn| {
            let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
            tasks::assert_fence(&mut db_tx, task_id, fence).await?;
            pending::record(&mut db_tx, stored, Some(task_id)).await?;
            db_tx.commit().await.map_err(refused("commit"))
        })
        .await
    }

    /// Lists and commits the files that adjoin cold storage, until none does, whoever stored them.
    async fn commit_adjacent(&self, state: &mut State) -> Result<Result<(), Stopped>, IngestError> {
        for dataset in &self.config.datasets {
            while let Some(adjacent) = self.next_adjacent(*dataset).await? {
                let listing = adjacent.list(&self.objects).await?;
                let manifest = listing.manifest();
                if let Err(stopped) = self.step(Step::Listed, state, &format!("{} is written", manifest.key())) {
                    return Ok(Err(stopped));
                }
                let file = manifest.newest_file();
                match self.commit(manifest).await? {
                    CommitOutcome::Committed => {
                        state.report(*dataset).committed_count += 1;
                        tracing::info!(
                            chain.id = self.config.chain_id.0, dataset.name = %dataset,
                            block.start = file.blocks.start().0, block.end = file.blocks.end().0,
                            row_count = file.row_count, size_bytes = file.size_bytes,
                            manifest.version = manifest.manifest().manifest_version,
                            "a partition is in cold storage",
                        );
                    }
                    // Another run was faster: what adjoins now is another file.
                    CommitOutcome::AlreadyCommitted | CommitOutcome::Stale { .. } => {}
                }
                if let Err(stopped) = self.step(Step::Committed, state, &format!("{} is in cold storage", file.key)) {
                    return Ok(Err(stopped));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn next_adjacent(&self, dataset: Dataset) -> Result<Option<pending::Adjacent>, IngestError> {
        let chain_id = self.config.chain_id;
        self.ask("say what can be listed", async |conn| {
            let cursor = cursor::read(conn, chain_id).await?;
            let first_block = hot_first_block(cursor.as_ref(), dataset);
            Ok(pending::next_adjacent(conn, chain_id, dataset, first_block).await?)
        })
        .await
    }

    /// Catalogue and event in one transaction, under the task's fence.
    async fn commit(&self, manifest: &CommittedManifest) -> Result<CommitOutcome, IngestError> {
        let (task_id, fence) = self.task;
        let file = manifest.newest_file();
        let last = BlockRef { number: file.blocks.last(), hash: file.last_block_hash };
        let committing = self.ask("commit a partition", async |conn| {
            let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
            tasks::assert_fence(&mut db_tx, task_id, fence).await?;
            let outcome = catalog::commit(&mut db_tx, manifest).await?;
            // A merge that a compactor had listed brings nothing new.
            if outcome == CommitOutcome::Committed && manifest.change().is_growth() {
                self.check_hot_rows(&mut db_tx, last).await?;
                let event = EventBody::PartitionCommitted {
                    chain_id: self.config.chain_id,
                    dataset: manifest.manifest().dataset,
                    blocks: file.blocks,
                    manifest_version: manifest.manifest().manifest_version,
                };
                events::record(&mut db_tx, &event).await?;
            }
            db_tx.commit().await.map_err(refused("commit"))?;
            Ok(outcome)
        });
        let outcome = committing.await?;
        if outcome == CommitOutcome::Committed {
            emit(BYTES_WRITTEN, file.size_bytes as f64, &[("chain", self.config.chain.as_str()), ("store", "cold")]);
        }
        Ok(outcome)
    }

    /// Checks that hot storage has no other block in the place of `last`, and gets none before the caller's transaction ends.
    async fn check_hot_rows(&self, conn: &mut PgConnection, last: BlockRef) -> Result<(), IngestError> {
        match cursor::hold_hash(conn, self.config.chain_id, last.number).await? {
            Some(hash) if hash != last.hash => Err(IngestError::Contradicted { fetched: last }),
            _ => Ok(()),
        }
    }

    /// What `work`, which is `action`, finds over a connection of its own; that the database is away if it takes longer
    /// than [`PATIENCE`].
    async fn ask<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, IngestError>,
    ) -> Result<T, IngestError> {
        let asking = async {
            let mut conn: Borrowed = database::borrow(&self.pool).await?;
            let found = work(&mut *conn).await;
            if found.is_ok() {
                conn.give_back();
            }
            Ok::<_, sqlx::Error>(found)
        };
        database::answered_within(PATIENCE, asking).await.map_err(refused(action))?
    }

    fn step(&self, step: Step, state: &mut State, message: &str) -> Result<(), Stopped> {
        let crash_point = match step {
            Step::Staged => CrashPoint::IngestStaged,
            Step::Stored => CrashPoint::IngestStored,
            Step::Pending => CrashPoint::IngestPending,
            Step::Listed => CrashPoint::IngestListed,
            Step::Committed => CrashPoint::IngestCommitted,
            Step::Kept => CrashPoint::RestoreKept,
            Step::Restored => CrashPoint::RestoreStored,
        };
        // Before the report, so that a crash leaves a step that nobody has heard of.
        crash_point.pass();
        state.done += 1;
        self.progress.report(state.done, None, message);
        (self.on_step)(step);
        if self.stop.is_requested() { Err(Stopped) } else { Ok(()) }
    }
}

fn refused(action: &'static str) -> impl FnOnce(sqlx::Error) -> IngestError {
    move |source| IngestError::Postgres { action, source }
}
