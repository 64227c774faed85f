//! One file's repair: look, fetch, stage, keep what was there, put back what belongs there.

use isotherm_cold_store::catalog;
use isotherm_cold_store::restore::{self, Unsound};
use isotherm_cold_store::{ColdStoreError, CurrentManifest, DataFile, ObjectDigest, Partition};
use isotherm_control::tasks;
use isotherm_platform::operator_main::OperatorEnd;
use serde_json::json;
use sqlx::Connection as _;

use super::{Ingest, State, Step, Stopped, refused};
use crate::error::IngestError;
use crate::input::Repair;

/// What a person is told who has had a sound file repaired.
const NOTHING_TO_REPAIR: &str = "the object has the bytes that its manifest lists; if a check finds its rows wrong, \
     they were wrong when they were committed, and a repair does not mend that";

/// What came of a repair.
struct Outcome<'a> {
    file: &'a DataFile,
    is_restored: bool,
    /// What was there instead of the file; `None` if nothing was, or the file itself.
    found: Option<ObjectDigest>,
    /// Where that is now.
    evidence_key: Option<String>,
}

impl Ingest {
    /// Restores the file that `repair` names, if its object is damaged or gone.
    ///
    /// # Errors
    /// [`IngestError`]; the object was left as it was, unless the file is in its place.
    pub async fn repair(&self, repair: Repair) -> Result<OperatorEnd, IngestError> {
        let Repair { dataset, blocks } = repair;
        if !self.config.datasets.contains(&dataset) {
            return Err(IngestError::OtherDataset { dataset });
        }
        let (chain_id, chain) = (self.config.chain_id, self.config.chain.clone());
        let partition = Partition { chain_id, chain, dataset, blocks };
        let file = self.listed(&partition).await?;
        let mut state = State::new(&self.config);
        self.progress.report(state.done, None, format!("{} is read", file.key));
        let Some(unsound) = Unsound::look(&self.objects, partition, file.clone(), &self.scratch).await? else {
            return Ok(Outcome { file: &file, is_restored: false, found: None, evidence_key: None }.end());
        };
        let found = unsound.found();
        let Some(staged) = self.stage(blocks, &[dataset], &mut state).await? else { return Ok(OperatorEnd::Released) };
        if let Err(Stopped) = self.step(Step::Staged, &mut state, &format!("{} is made again", file.key)) {
            return Ok(OperatorEnd::Released);
        }
        let staged = staged.into_iter().next().expect("one dataset makes one file");
        let reproduced = unsound.reproduced(staged)?;
        self.check_claim().await?;
        let kept = reproduced.keep(&self.objects).await?;
        let evidence_key = kept.evidence_key().map(str::to_owned);
        if let Err(Stopped) = self.step(Step::Kept, &mut state, &format!("what was at {} is kept", file.key)) {
            return Ok(OperatorEnd::Released);
        }
        kept.store(&self.objects).await?;
        // It is done, whether or not the task is to stop now.
        self.step(Step::Restored, &mut state, &format!("{} is restored", file.key)).unwrap_or(());
        tracing::warn!(
            chain.id = chain_id.0, dataset.name = %dataset,
            block.start = blocks.start().0, block.end = blocks.end().0,
            object.key = file.key, evidence.key = evidence_key,
            "a file of cold storage was damaged or gone, and is restored",
        );
        Ok(Outcome { file: &file, is_restored: true, found, evidence_key }.end())
    }

    /// How the file is listed, by the newest manifest and by Postgres.
    async fn listed(&self, partition: &Partition) -> Result<DataFile, IngestError> {
        let Partition { chain_id, dataset, blocks, .. } = *partition;
        let (head, catalogued) = self
            .ask("say what is listed", async |conn| {
                let begun = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
                let mut snapshot = begun.map_err(refused("open a snapshot"))?;
                let head = catalog::head(&mut snapshot, chain_id, dataset).await?;
                let catalogued = catalog::overlapping(&mut snapshot, chain_id, dataset, blocks).await?;
                snapshot.rollback().await.map_err(refused("end a snapshot"))?;
                Ok((head, catalogued))
            })
            .await?;
        let current = CurrentManifest::load(&self.objects, head.as_ref()).await?;
        let listed = restore::listed(current.manifest(), &catalogued, partition);
        Ok(listed.map_err(ColdStoreError::from)?)
    }

    /// Checks that the task is still this worker's, before anything is overwritten.
    async fn check_claim(&self) -> Result<(), IngestError> {
        let (task_id, fence) = self.task;
        self.ask("say whose the task is", async |conn| Ok(tasks::assert_fence(conn, task_id, fence).await?)).await
    }
}

impl Outcome<'_> {
    fn end(self) -> OperatorEnd {
        let Self { file, is_restored, found, evidence_key } = self;
        let found = found.map(|found| json!({ "size_bytes": found.size_bytes, "sha256": found.sha256 }));
        OperatorEnd::Completed(json!({ "repair": {
            "object_key": file.key,
            "sha256": file.sha256,
            "outcome": if is_restored { "restored" } else { "nothing_to_repair" },
            "message": (!is_restored).then_some(NOTHING_TO_REPAIR),
            "found": found,
            "evidence_key": evidence_key,
        }}))
    }
}
