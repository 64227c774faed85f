//! The job that backfills a chain. Choosing is pure.

use anyhow::{Context, bail};
use isotherm_control::jobs::{self, Job};
use isotherm_types::{Dataset, OrgId};
use operator_cryo_ingest::IngestConfig;
use sqlx::PgConnection;

/// The operator that backfills.
pub(crate) const OPERATOR: &str = "cryo_ingest";

/// A job of the operator with its settings.
#[derive(Clone, Debug)]
pub(crate) struct BackfillJob {
    pub(crate) job: Job,
    pub(crate) config: IngestConfig,
}

impl BackfillJob {
    fn of(job: Job) -> anyhow::Result<Self> {
        let config = serde_json::from_value(job.config.clone())
            .with_context(|| format!("the config of job {} is none of {OPERATOR}", job.name))?;
        Ok(Self { job, config })
    }

    fn is_for(&self, chain: &str) -> bool {
        self.config.chain.as_str() == chain || self.config.chain_id.to_string() == chain
    }
}

/// The active jobs that backfill, by name.
pub(crate) async fn all(conn: &mut PgConnection, org_id: OrgId) -> anyhow::Result<Vec<BackfillJob>> {
    let jobs = jobs::list(conn, org_id).await.context("could not read the jobs")?;
    jobs.into_iter().filter(|job| job.active && job.operator == OPERATOR).map(BackfillJob::of).collect()
}

/// The one of `jobs` that backfills exactly `datasets` of `chain`; those that it has, if none are named.
pub(super) fn choose(
    jobs: Vec<BackfillJob>,
    chain: &str,
    datasets: Option<&[Dataset]>,
    name: Option<&str>,
) -> anyhow::Result<BackfillJob> {
    let (of_chain, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_for(chain));
    let is_meant = |job: &BackfillJob| {
        datasets.is_none_or(|datasets| are_the_same(datasets, &job.config.datasets))
            && name.is_none_or(|name| job.job.name == name)
    };
    let (mut meant, mut left): (Vec<_>, Vec<_>) = of_chain.into_iter().partition(is_meant);
    if meant.len() > 1 {
        bail!("several jobs backfill chain {chain}, so name one with --job: {}", list(&meant));
    }
    if let Some(job) = meant.pop() {
        return Ok(job);
    }
    left.extend(others);
    let wanted = datasets.map_or_else(String::new, |datasets| format!(" with exactly {}", names(datasets)));
    let called = name.map_or_else(String::new, |name| format!(" called {name:?}"));
    let there = if left.is_empty() { String::new() } else { format!(" (there are: {})", list(&left)) };
    bail!(
        "no job{called} backfills chain {chain}{wanted}{there}: add one of the operator {OPERATOR} to the pipeline \
         file, as backfill-monad is in docs/examples/monad-pipeline.yaml, and `isotherm apply` it"
    )
}

fn are_the_same(wanted: &[Dataset], found: &[Dataset]) -> bool {
    wanted.iter().all(|dataset| found.contains(dataset)) && found.iter().all(|dataset| wanted.contains(dataset))
}

fn list(jobs: &[BackfillJob]) -> String {
    let one = |job: &BackfillJob| format!("{} ({}: {})", job.job.name, job.config.chain, names(&job.config.datasets));
    jobs.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub(super) fn names(datasets: &[Dataset]) -> String {
    datasets.iter().map(|dataset| dataset.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use isotherm_control::jobs::{Runtime, Strategy};
    use isotherm_types::JobId;
    use serde_json::json;

    use super::*;

    const COUNTED: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];

    /// A job of a chain with id 143 and partitions of 100 blocks.
    pub(crate) fn job(name: &str, chain: &str, datasets: &[Dataset]) -> BackfillJob {
        let config = json!({ "chain_id": 143, "chain": chain, "datasets": datasets, "partition_blocks": 100,
                             "traces": "trace_block" });
        let job = Job {
            id: JobId(1),
            org_id: OrgId(1),
            name: name.to_owned(),
            operator: OPERATOR.to_owned(),
            runtime: Runtime::Fargate,
            strategy: Strategy::PerPartition,
            always_on: false,
            config,
            secrets: BTreeMap::new(),
            input_datasets: Vec::new(),
            output_datasets: Vec::new(),
            max_attempts: 3,
            max_concurrency: 1,
            heartbeat_timeout: Duration::from_secs(10),
            run_timeout: None,
            stall_timeout: None,
            priority: 0,
            partition_blocks: None,
            active: true,
            paused: false,
        };
        BackfillJob::of(job).unwrap()
    }

    fn two() -> Vec<BackfillJob> {
        vec![job("counted", "monad", &COUNTED), job("traced", "monad", &[Dataset::Traces])]
    }

    #[test]
    fn a_job_is_chosen_by_chain_and_datasets_in_any_order() {
        let chosen = |datasets: &[Dataset]| choose(two(), "monad", Some(datasets), None).unwrap().job.name;
        assert_eq!(chosen(&[Dataset::Logs, Dataset::Blocks, Dataset::Transactions]), "counted");
        assert_eq!(chosen(&[Dataset::Traces]), "traced");
        assert_eq!(choose(two(), "143", None, Some("traced")).unwrap().job.name, "traced");
        assert_eq!(choose(two().split_off(1), "monad", None, None).unwrap().job.name, "traced");
    }

    #[test]
    fn what_no_job_or_several_do_is_answered_with_what_to_do() {
        let refused = |chain, wanted: Option<&[Dataset]>| choose(two(), chain, wanted, None).unwrap_err().to_string();
        let several = refused("monad", None);
        assert!(several.contains("--job"), "{several}");
        assert!(several.contains("counted (monad: blocks, transactions, logs)"), "{several}");
        assert!(several.contains("traced (monad: traces)"), "{several}");
        for none in [refused("other", None), refused("monad", Some(&[Dataset::Logs]))] {
            assert!(none.contains("docs/examples/monad-pipeline.yaml"), "{none}");
            assert!(none.contains("there are: counted"), "{none}");
        }
        let alone = choose(Vec::new(), "monad", Some(&COUNTED), Some("x")).unwrap_err().to_string();
        let start = "no job called \"x\" backfills chain monad with exactly blocks, transactions, logs: add one";
        assert!(alone.starts_with(start), "{alone}");
    }

    #[test]
    fn a_config_that_is_none_names_its_job() {
        let mut broken = job("broken", "monad", &COUNTED).job;
        broken.config = json!({ "chain_id": 143 });
        let error = format!("{:#}", BackfillJob::of(broken).unwrap_err());
        assert!(error.starts_with("the config of job broken is none of cryo_ingest: missing field"), "{error}");
    }
}
