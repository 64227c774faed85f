//! One task's work: look, ask, record, resolve.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use isotherm_cold_store::catalog::DatasetHead;
use isotherm_cold_store::integrity::{
    self, EndpointAnswers, Fault, Finding, ManifestHead, Plan, Report, Sampling, Unverifiable, compare_anchors,
};
use isotherm_cold_store::{ObjectStore, layout};
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockNumber, BlockRange, Dataset, Fence, TaskId};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::Input;
use crate::answers::Endpoints;
use crate::config::{CheckConfig, Sample};
use crate::error::IntegrityError;
use crate::ledger::Ledger;
use crate::refuted::Looked;

/// Memory for decoded rows; what Parquet and S3 need comes on top.
const ROWS_BYTES: usize = 256 << 20;
/// Runs of blocks that the task's output names among those that could not be verified; the count is of all.
const TOLD_UNVERIFIABLE: usize = 20;

/// Checks the cold storage of one chain for one task.
pub struct IntegrityCheck {
    /// The catalogue and the control plane.
    pub pool: PgPool,
    /// Cold storage.
    pub objects: ObjectStore,
    /// The job's settings.
    pub config: CheckConfig,
    /// Whom to ask at level anchor.
    pub endpoints: Option<Endpoints>,
    /// The claim under which findings are recorded.
    pub task: (TaskId, Fence),
    /// Folder for copies of files.
    pub scratch: PathBuf,
    /// Says how far the work has come.
    pub progress: Progress,
    /// Wished when the work is to end.
    pub stop: Stop,
}

/// What is to be checked, as Postgres has it.
struct Scope {
    /// Before anything was read.
    looked_from: DateTime<Utc>,
    /// The datasets that are cold.
    heads: HashMap<Dataset, DatasetHead>,
    blocks: Option<BlockRange>,
    /// Datasets that were asked for and are not cold.
    not_cold: Vec<Dataset>,
}

/// What came of looking.
struct Seen {
    report: Report,
    answers: Vec<EndpointAnswers>,
    /// Blocks whose hash endpoints confirm.
    confirmed: HashSet<BlockNumber>,
}

impl IntegrityCheck {
    /// Makes the check that `input` asks for.
    ///
    /// # Errors
    /// [`IntegrityError`]; what was recorded before it stays.
    pub async fn run(&self, input: Input) -> Result<OperatorEnd, IntegrityError> {
        // Looking changes nothing, so it may end anywhere.
        let (scope, seen) = tokio::select! {
            biased;
            () = self.stop.requested() => return Ok(OperatorEnd::Released),
            looked = self.look(input) => looked?,
        };
        let ledger = self.ledger();
        let mut new_count = 0_u64;
        for finding in &seen.report.findings {
            if self.stop.is_requested() {
                return Ok(OperatorEnd::Released);
            }
            new_count += u64::from(ledger.record(finding, &evidence(finding, &scope, &seen.answers)).await?);
        }
        let newest = |(dataset, head): (&Dataset, &DatasetHead)| (*dataset, head.manifest_key.clone());
        let manifests: HashMap<Dataset, String> = scope.heads.iter().map(newest).collect();
        let Seen { report, confirmed, .. } = &seen;
        let looked = Looked { manifests: &manifests, blocks: scope.blocks, report, confirmed };
        let settled = ledger.settle(scope.looked_from, &looked).await?;
        tracing::info!(
            chain.id = self.config.chain_id.0, integrity.level = %report.level, file_count = report.files,
            size_bytes = report.bytes, block_count = report.blocks, finding_count = report.findings.len(),
            new_count, resolved_count = settled.resolved, unverifiable_count = report.unverifiable.len(),
            "cold storage was checked",
        );
        let is_cold = |dataset: &Dataset| scope.heads.contains_key(dataset);
        let datasets: Vec<Dataset> = Dataset::ALL.into_iter().filter(is_cold).collect();
        let told: Vec<&Unverifiable> = report.unverifiable.iter().take(TOLD_UNVERIFIABLE).collect();
        Ok(OperatorEnd::Completed(json!({
            "level": report.level,
            "datasets": datasets,
            "not_cold": scope.not_cold,
            "manifest_count": report.manifests,
            "file_count": report.files,
            "size_bytes": report.bytes,
            "block_count": report.blocks,
            "anchored_count": seen.confirmed.len(),
            "finding_count": report.findings.len(),
            "new_count": new_count,
            "resolved_count": settled.resolved,
            "open_count": settled.open,
            "unverifiable_count": report.unverifiable.len(),
            "unverifiable": told,
        })))
    }

    fn ledger(&self) -> Ledger<'_> {
        let CheckConfig { chain_id, chain, .. } = &self.config;
        Ledger { pool: &self.pool, chain_id: *chain_id, chain, task: self.task }
    }

    async fn look(&self, input: Input) -> Result<(Scope, Seen), IntegrityError> {
        let scope = self.scope(input).await?;
        let sample = self.config.anchors.as_ref().map(|anchors| anchors.sample);
        let plan = Plan {
            objects: &self.objects,
            chain: &self.config.chain,
            datasets: scope.heads.keys().copied().collect(),
            heads: scope.heads.iter().map(|(dataset, head)| (*dataset, ManifestHead::from(head))).collect(),
            blocks: scope.blocks,
            level: self.config.level,
            anchor: None,
            sampling: sample.map_or(Sampling::None, |sample: Sample| sample.sampling(self.task.0)),
            scratch: &self.scratch,
            at_most_bytes: ROWS_BYTES,
        };
        let mut done = 0;
        let mut show = |seen: integrity::Progress| {
            done = seen.files + seen.blocks;
            let message = format!("{} of {} files, {} blocks", seen.files, seen.of_files, seen.blocks);
            self.progress.report(done, None, message);
        };
        let mut report = integrity::check_by(&plan, &self.config.commitments, &mut show).await?;
        let answers = self.ask(&report, done).await;
        let confirmed = match &self.endpoints {
            None => HashSet::new(),
            Some(endpoints) => {
                let anchors = compare_anchors(&report.headers, &answers, endpoints.agree());
                let confirmed = anchors.confirmed.iter().copied().collect();
                report.add_anchors(anchors);
                confirmed
            }
        };
        Ok((scope, Seen { report, answers, confirmed }))
    }

    /// What endpoints say of the report's headers; `done` steps were done before.
    async fn ask(&self, report: &Report, done: u64) -> Vec<EndpointAnswers> {
        let Some(endpoints) = &self.endpoints else { return Vec::new() };
        let answered = AtomicU64::new(0);
        let asked = || {
            let answered = answered.fetch_add(1, Ordering::Relaxed) + 1;
            self.progress.report(done + answered, None, format!("endpoints gave {answered} answers"));
        };
        endpoints.ask(&report.headers, &asked).await
    }

    async fn scope(&self, input: Input) -> Result<Scope, IntegrityError> {
        let CheckConfig { chain_id, chain, .. } = &self.config;
        if let Some(asked) = input.chain_id.filter(|asked| asked != chain_id) {
            return Err(IntegrityError::OtherChain { asked, configured: *chain_id });
        }
        let (looked_from, cold) = self.ledger().begin().await?;
        let mut heads: HashMap<Dataset, DatasetHead> =
            cold.into_iter().map(|dataset| (dataset.dataset, dataset.head)).collect();
        let asked = input.datasets.as_ref().or(self.config.datasets.as_ref());
        if let Some(asked) = asked {
            heads.retain(|dataset, _| asked.contains(dataset));
        }
        for (dataset, head) in &heads {
            let expected = layout::manifest_key(chain, *dataset, head.manifest_version);
            if expected != head.manifest_key {
                let found = head.manifest_key.clone();
                return Err(IntegrityError::OtherName { chain_id: *chain_id, dataset: *dataset, expected, found });
            }
        }
        let is_not_cold = |dataset: &&Dataset| !heads.contains_key(*dataset);
        let not_cold = asked.into_iter().flatten().filter(is_not_cold).copied().collect();
        Ok(Scope { looked_from, blocks: input.blocks.or(self.config.blocks), not_cold, heads })
    }
}

/// What stands beside a finding that is recorded for the first time.
fn evidence(finding: &Finding, scope: &Scope, answers: &[EndpointAnswers]) -> Value {
    let head = scope.heads.get(&finding.dataset);
    let manifest = head.map(|head| json!({"key": head.manifest_key, "sha256": head.manifest_sha256.to_string()}));
    let number = finding.blocks.filter(|_| finding.fault == Fault::AnchorDiffers).map(BlockRange::start);
    let said = |answer: &EndpointAnswers| {
        let hash = answer.hashes.get(&number?)?;
        Some(json!({"endpoint": answer.endpoint, "hash": hash}))
    };
    json!({
        "manifest": manifest,
        "checked_blocks": scope.blocks,
        "answers": answers.iter().filter_map(said).collect::<Vec<_>>(),
    })
}
