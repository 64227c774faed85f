//! Merging, after a dataset's own partitions are committed: short files into whole ones, until none can be merged.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use isotherm_cold_store::catalog::CommitOutcome;
use isotherm_cold_store::merge::{self, MergePlan};
use isotherm_cold_store::{CommittedManifest, CurrentManifest, Listing};
use isotherm_hot_store::cursor;
use isotherm_types::Dataset;
use sqlx::Connection as _;

use super::{Compactor, Step, Stopped, answered, refused};
use crate::error::CompactError;

impl Compactor {
    /// Merges what can be merged of a dataset, and returns how many files that made.
    pub(super) async fn merge_short_files(
        &self,
        dataset: Dataset,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<u64, Stopped>, CompactError> {
        let mut merged_count = 0;
        while let Some(plan) = self.plan_merge(dataset).await? {
            let partition = plan.partition.clone();
            let manifest = match self.merge_and_list(plan, done).await? {
                Ok(manifest) => manifest,
                Err(stopped) => return Ok(Err(stopped)),
            };
            match self.commit(&manifest).await? {
                CommitOutcome::Committed if !manifest.change().is_growth() => {
                    merged_count += 1;
                    tracing::info!(
                        chain.id = self.chain_id.0, dataset.name = %dataset, block.start = partition.blocks.start().0,
                        block.end = partition.blocks.end().0, manifest.version = manifest.manifest().manifest_version,
                        "short files were merged into one",
                    );
                }
                // Another run's work: the plan is made anew.
                CommitOutcome::Committed | CommitOutcome::AlreadyCommitted => {}
                CommitOutcome::Stale { .. } => return Err(CompactError::Overtaken { dataset }),
            }
            self.step(Step::MergeCommitted, done, &format!("{partition} is one file"));
            if self.stop.is_requested() {
                return Ok(Err(Stopped));
            }
        }
        Ok(Ok(merged_count))
    }

    async fn plan_merge(&self, dataset: Dataset) -> Result<Option<MergePlan>, CompactError> {
        let planning = async {
            let mut conn = self.connection().await?;
            let begun = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
            let mut snapshot = begun.map_err(refused("open a snapshot"))?;
            let cursor = cursor::read(&mut snapshot, self.chain_id).await?;
            let partition_blocks = cursor.and_then(|cursor| NonZeroU64::new(cursor.partition_blocks));
            let plan = match partition_blocks {
                Some(size) => merge::plan(&mut snapshot, self.chain_id, &self.chain, dataset, size).await?,
                None => None,
            };
            drop(snapshot);
            conn.give_back();
            Ok(plan)
        };
        answered("say what can be merged", planning).await
    }

    async fn merge_and_list(
        &self,
        plan: MergePlan,
        done: &Arc<AtomicU64>,
    ) -> Result<Result<CommittedManifest, Stopped>, CompactError> {
        let current = CurrentManifest::load(&self.objects, Some(&plan.head)).await?;
        let mut merger = plan.begin(&self.objects, &current, &self.scratch).await?;
        while let Some(source) = merger.fetch_next(&self.objects).await? {
            if self.stop.is_requested() {
                return Ok(Err(Stopped));
            }
            let appending = tokio::task::spawn_blocking(move || merger.append(&source)).await;
            merger = appending.map_err(|source| CompactError::Encoder { source })??;
        }
        let finishing = tokio::task::spawn_blocking(move || merger.finish()).await;
        let merged = finishing.map_err(|source| CompactError::Encoder { source })??;
        let partition = &plan.partition;
        self.step(Step::MergeStaged, done, &format!("{partition} is merged"));
        if self.stop.is_requested() {
            return Ok(Err(Stopped));
        }
        let stored = merged.store(&self.objects).await?;
        self.step(Step::MergeStored, done, &format!("{partition} is stored as one file"));
        if self.stop.is_requested() {
            return Ok(Err(Stopped));
        }
        let (Listing::Ours(manifest) | Listing::Theirs { manifest, ours: _ }) =
            stored.replace(&self.objects, &current).await?;
        self.step(Step::MergeListed, done, &format!("{} lists it as one file", manifest.key()));
        Ok(self.unless_stopped(manifest))
    }
}
